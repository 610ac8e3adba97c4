"""Sums add up: what was read is the sum of what became of it, in a plan, in the run after it, in the status and in what verify finds."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.test_verifying import adds_up
from engine.world import NAME, World, leads, members
from tieline.engine.runs.passes import Wanted
from tieline.observe.status import IntegrationStatus
from tieline.testing import SimulatedDatabase

PARTS = ("created", "updated", "deleted", "unchanged", "filtered", "held", "parked", "owed", "superseded")
BAD = "refuse me"


def parts(counts: Mapping[str, int] | Any) -> int:
    read = counts.get if isinstance(counts, dict) else lambda name, none: getattr(counts, name, none)
    return sum(read(name, 0) for name in PARTS)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["one-way", "two-way"]),
    st.integers(0, 10**6),
    st.fixed_dictionaries({}, optional={"when": st.just("new.rev < 5"), "unmatched": st.sampled_from(["hold", "ignore"])}),
)
def test_what_was_read_is_the_sum_of_what_became_of_it(direction: str, seed: int, said: dict[str, Any]) -> None:
    chance = random.Random(seed)
    if direction == "two-way":
        said = {"direction": "two-way", "conflict": chance.choice(["hold", "left"]), **{k: v for k, v in said.items() if k != "when"}}
    source = leads(tombstones=chance.random() < 0.5, changed_since=chance.choice([None, "time"]))
    source.tombstones = source.tombstones and source.changed_since is not None
    deletes = "delete" if source.tombstones else "ignore"
    said["deletes"] = {"left": deletes, "right": "ignore"} if direction == "two-way" else deletes
    target = members(refuses=lambda operation, record: "no such name" if record.get("name") == BAD else None)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), source, target, **said)
        for turn in range(4):
            for _ in range(chance.randint(0, 5)):
                _edit(world, chance, turn)
            world.clock.advance(5.0)
            wanted = Wanted(full=chance.random() < 0.3, limit=3 if direction == "one-way" and chance.random() < 0.2 else None)

            async def plan(tieline: Any, wanted: Wanted = wanted) -> Any:
                with await tieline.plan(NAME, wanted) as made:
                    return made.outcome.counts, made.counts(), sum(1 for _ in made.writes())

            async def look(tieline: Any) -> IntegrationStatus:
                (found,) = tieline.status()
                return found

            with mock.patch("tieline.engine.runs.plan.Database", lambda path: SimulatedDatabase(path, world.clock)):
                planned, by_operation, writes = world.within(plan)
            outcome = world.run(full=wanted.full, limit=wanted.limit)
            status = world.within(look)

            sent = sum(by_operation[name] for name in ("create", "update", "delete"))
            assert planned.read == parts(planned) + sent, (planned, by_operation)
            assert writes == sum(by_operation.values())
            assert outcome.counts.balances
            assert outcome.counts.read == parts(outcome.counts), outcome.counts
            assert planned.read == outcome.counts.read, "a plan reads what the run reads"
            assert status.counts.get("read", 0) == parts(status.counts)
            assert sum(status.open.values()) == status.owed + status.held + status.parked

            async def verified(tieline: Any) -> None:
                with await tieline.verify(NAME) as verification:
                    if direction == "one-way":
                        adds_up(verification.verified)
                    v = verification.verified
                    assert v.source_read == v.in_sync + v.differing + v.missing + v.excluded + v.unreadable
                    assert v.target_read == v.counterparts + v.left_over + v.only_there + v.target_unreadable

            world.within(verified)


def _edit(world: World, chance: random.Random, turn: int) -> None:
    ids = [record["id"] for record in world.leads.records]
    what = chance.random()
    if what < 0.5 or not ids:
        email = chance.choice([f"p{chance.randint(0, 6)}@example.com", None, "same@example.com"])
        world.leads.add(email=email, name=chance.choice(["Ann", "Bob", BAD]), rev=chance.randint(0, 9))
    elif what < 0.7:
        world.leads.change(chance.choice(ids), name=chance.choice(["Cy", BAD, f"n{turn}"]))
    elif what < 0.8 and world.leads.tombstones:
        world.leads.remove(chance.choice(ids))
    else:
        world.members.add(email=f"p{chance.randint(0, 9)}@example.com", name="Eve", rev=1)
