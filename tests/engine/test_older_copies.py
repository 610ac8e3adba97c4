"""Vendors answer from several copies: one that shows what stood there before our own last write is behind, and tells of no edit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from engine.test_verifying import verified
from engine.world import World, told
from tieline.testing import Collection

_FIELDS = {"email": {"type": "string"}, "name": {"type": "string"}, "city": {"type": "string"}}
_OURS_SECONDS = 900.0
_MAP = {"email": "email", "name": "name", "city": "city"}


def after_an_update(folder: Path, conflict: str = "right", **habits: Any) -> tuple[World, Any]:
    """Return a world in which we have renamed Ann on the right, which was shown there, and the copy from before."""
    left = Collection("leads", _FIELDS, find=("email",))
    right = Collection("members", _FIELDS, find=("email",), **{"declared_lag": None, **habits})
    world = World(folder, left, right, direction="two-way", conflict=conflict, map=_MAP)
    world.leads.add(email="ann@x", name="Ann", city="Bonn")
    world.run()
    (member,) = world.members.entries.values()
    older = copy.deepcopy(member)
    world.clock.advance(60.0)
    world.leads.change(world.leads.records[0]["id"], name="Anna")
    for _ in range(2):
        assert "green" == world.run().state
        world.clock.advance(60.0)
    return world, older


@pytest.mark.parametrize("habits", [{}, {"changed_since": "time"}])
@pytest.mark.parametrize("conflict", ["left", "right", "hold"])
def test_an_older_copy_takes_nothing_back(conflict: str, habits: dict[str, Any], swift_path: Path) -> None:
    world, older = after_an_update(swift_path, conflict, **habits)
    (id,) = world.members.entries
    newer = world.members.entries[id]
    world.members.entries[id] = older
    assert ("green", 0) == ((outcome := world.run(full=True)).state, told(outcome).get("updated", 0))
    world.leads.change(world.leads.records[0]["id"], name="Annabel")
    world.clock.advance(60.0)
    world.members.entries[id] = newer
    assert "green" == world.run(full=True).state
    assert "green" == world.run(full=True).state

    assert ["Annabel", "Annabel"] == [world.leads.records[0]["name"], world.members.records[0]["name"]]


def test_an_edit_in_an_older_copy_arrives_and_nothing_else(swift_path: Path) -> None:
    """It has another field changed: a person was at it there."""
    world, older = after_an_update(swift_path)
    (id,) = world.members.entries
    older.record["city"] = "Kiel"
    world.members.entries[id] = older
    assert 1 == told(world.run(full=True))["updated"]
    assert ("Anna", "Kiel") == (world.leads.records[0]["name"], world.leads.records[0]["city"])


@pytest.mark.parametrize("habits", [{}, {"changed_since": "time"}])
def test_what_somebody_sets_back_goes_home(habits: dict[str, Any], swift_path: Path) -> None:
    """At once where the vendor tells a later time of change, else after the lag."""
    world, _ = after_an_update(swift_path, **habits)
    world.members.change(world.members.records[0]["id"], name="Ann")
    world.clock.advance(60.0)
    world.run()
    assert ("Ann" if habits else "Anna") == world.leads.records[0]["name"]
    world.clock.advance(_OURS_SECONDS)
    assert "green" == world.run().state
    assert "Ann" == world.leads.records[0]["name"]


def test_where_reads_are_never_late_it_is_an_edit(swift_path: Path) -> None:
    world, older = after_an_update(swift_path, declared_lag=0.0)
    world.members.entries[next(iter(world.members.entries))] = older
    world.run(full=True)
    assert "Ann" == world.leads.records[0]["name"]


def test_a_write_that_is_not_shown_yet_is_neither_held_nor_repaired(swift_path: Path) -> None:
    world, older = after_an_update(swift_path)
    (id,) = world.members.entries
    world.leads.change(world.leads.records[0]["id"], name="Annabel")
    assert 1 == told(world.run(full=True))["updated"]
    newer, world.members.entries[id] = world.members.entries[id], older
    for _ in range(2):
        assert ("green", 0) == ((outcome := world.run(full=True)).state, told(outcome).get("updated", 0))
        assert {"excluded: too new to tell: it was written within the system's lag": 1} == verified(world).why
    world.members.entries[id] = newer
    assert ("green", 1) == (world.run(full=True).state, verified(world).in_sync)


def test_a_write_that_is_not_kept_is_held_once_it_can_be_told(swift_path: Path) -> None:
    world, _ = after_an_update(swift_path)
    (id,) = world.members.entries
    world.leads.change(world.leads.records[0]["id"], name="Annabel")
    world.run(full=True)
    world.members.entries[id].record["name"] = "Anna"
    assert "green" == world.run(full=True).state
    world.clock.advance(_OURS_SECONDS)
    assert "attention" == world.run(full=True).state
