"""How a simulated vendor says no: inside a success, apart from what was done, not at all, about another record, or for now only. And how it spells ids."""

from __future__ import annotations

import random
from collections.abc import Callable

from tieline.testing import Collection


def give_manners(collection: Collection, seed: object, calm: Callable[[], bool]) -> None:
    """Give a collection habits of answering, by a draw of their own. What is left out, mixed up or locked is so only until it is `calm`."""
    give_spelling(collection, seed)
    chance = random.Random(f"manners {seed}")
    collection.says_no = chance.choice(["status", "status", "flag", "code", "list"])
    if collection.says_no != "status" and collection.already:
        collection.already = ("already exists", "taken")
    collection.apart = collection.results != "none" and chance.random() < 0.4
    left_out, mixed_up, locked = chance.choice([0.0, 0.1, 0.4]), chance.choice([0.0, 0.2]), chance.choice([0.0, 0.05, 0.15])
    collection.leaves_out = lambda: not calm() and chance.random() < left_out
    collection.mixes_up = lambda: not calm() and chance.random() < mixed_up
    collection.locked = lambda: not calm() and chance.random() < locked


def give_spelling(collection: Collection, seed: object) -> None:
    """Have a collection spell its ids another way in each place, by a draw of their own."""
    if collection.ids == "text" and random.Random(f"spelling {seed}").random() < 0.6:
        collection.ids = "guid"
