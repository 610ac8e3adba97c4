"""A list in the destination that people fill, too, over weeks of faults: what they put there stays, and what the source took out is out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.world import World
from tieline.testing import Collection
from tieline.testing.faults import LOST, REFUSED, UNANSWERED, error

FIELDS = {"email": {"type": "string"}, "tags": {"type": "array"}}
POOL = ["vip", "press", "board", "new", "lead"]
"""What the source has, and people add as well while nothing fails: with an answer lost, whose it is could not be told."""
OWN = ["own", "by hand", "later"]
FAULTS = [LOST, REFUSED, UNANSWERED, error(503), error(503, done=True), error(429)]


@pytest.mark.parametrize("versions", [None, "header"])
@pytest.mark.parametrize("seed", range(12))
def test_what_others_put_there_stays_and_what_the_source_took_out_is_out(seed: int, versions: str | None, swift_path: Path) -> None:
    chance = random.Random(seed)
    there = Collection("members", FIELDS, find=("email",), versions=versions)
    rules = {"email": "email", "tags": {"from": "tags", "conflict": "union"}}
    world = World(swift_path, Collection("leads", FIELDS), there, map=rules, seed=seed)
    theirs: dict[str, set[str]] = {}
    for name in ("ann", "bob"):
        world.leads.add(email=name, tags=chance.sample(POOL, 2))
    theirs["ann"] = set(chance.sample(POOL + OWN, 3))
    there.add(email="ann", tags=sorted(theirs["ann"]))

    for _ in range(8):
        faulty = chance.random() < 0.5
        for lead in world.leads.records:
            if chance.random() < 0.6:
                world.leads.change(lead["id"], tags=chance.sample(POOL, chance.randrange(4)))
        for member in there.records:
            new = chance.choice(OWN if faulty else POOL + OWN)
            if new not in member["tags"] and chance.random() < 0.5:
                there.change(member["id"], tags=[new, *member["tags"]])
                theirs.setdefault(member["email"], set()).add(new)
        for _ in range(chance.randrange(3) if faulty else 0):
            world.network.strike(chance.choice(FAULTS), system="mail", method=chance.choice(["PATCH", "GET"]))
        world.run()
        world.network.strikes_end()
        world.clock.advance(chance.choice([1.0, 3600.0]))
        for _ in range(3 if not faulty else 0):  # it comes to rest, and people meet no write that is under way
            world.run()
            world.clock.advance(3600.0)
    for _ in range(4):
        outcome = world.run()
        world.clock.advance(3600.0)

    assert "green" == outcome.state, outcome
    wanted = {lead["email"]: set(lead["tags"]) | theirs.get(lead["email"], set()) for lead in world.leads.records}
    assert wanted == {member["email"]: set(member["tags"]) for member in there.records}
    assert 2 == len(there.records)
