"""What we have deleted may be shown for a while yet: it is no new record, and is not made again where a person has deleted it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from engine.world import World, told
from tieline.testing import Collection

_FIELDS = {"email": {"type": "string"}, "name": {"type": "string"}}
_OURS_SECONDS = 900.0
_DELETES = {"left": "delete", "right": "ignore"}


def after_a_deletion(folder: Path, **habits: Any) -> tuple[World, Any]:
    """Return a world in which Ann was deleted on the left, and by us on the right, where she is still shown; and her id there."""
    left = Collection("leads", _FIELDS, find=("email",))
    right = Collection("members", _FIELDS, find=("email",), **{"declared_lag": None, **habits})
    world = World(folder, left, right, direction="two-way", conflict="left", deletes=_DELETES, map={"email": "email", "name": "name"})
    for name in ("Ann", "Bob"):
        world.leads.add(email=f"{name}@x", name=name)
    world.run()
    (ann,) = world.members.where("name", "Ann")
    as_it_was = copy.deepcopy(world.members.entries[str(ann["id"])])
    world.clock.advance(2 * _OURS_SECONDS)
    world.leads.remove(world.leads.where("name", "Ann")[0]["id"])
    assert 1 == told(world.run(full=True))["deleted"]
    world.members.entries[str(ann["id"])] = as_it_was
    return world, ann["id"]


@pytest.mark.parametrize("habits", [{}, {"gets": False}, {"declared_lag": 900.0}])
def test_both_ways_what_we_have_deleted_is_not_made_again_by_a_late_read(habits: dict[str, Any], swift_path: Path) -> None:
    world, ann = after_a_deletion(swift_path, **habits)
    for full in (False, True):
        outcome = world.run(full=full)
        assert ("green", 1) == (outcome.state, told(outcome)["filtered"])
        world.clock.advance(60.0)
    del world.members.entries[str(ann)]
    world.clock.advance(_OURS_SECONDS)
    for full in (False, True):
        assert "green" == world.run(full=full).state

    assert ["Bob"] == [record["name"] for record in world.leads.records]


@pytest.mark.parametrize("since", ["time", None])
def test_what_is_still_there_after_the_lag_was_restored_by_somebody(since: Any, swift_path: Path) -> None:
    """A list of changes shows it once only."""
    world, _ = after_a_deletion(swift_path, changed_since=since)
    world.run(full=True)
    world.clock.advance(_OURS_SECONDS)
    for _ in range(2):
        assert "green" == world.run().state

    assert ["Ann", "Bob"] == sorted(record["name"] for record in world.leads.records)


def test_where_reads_are_never_late_it_is_there(swift_path: Path) -> None:
    world, _ = after_a_deletion(swift_path, declared_lag=0.0)
    assert 1 == told(world.run(full=True))["created"]
