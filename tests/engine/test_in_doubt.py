"""What we made both ways and nothing has shown since is looked for by its match key before a person is asked about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.world import World, leads, members
from tieline.testing import error

LONG = 100_000.0


def made_there(folder: Path, side: str) -> tuple[World, Any]:
    """Return a world in which ann and bob were made on a side that never shows ann, by a list or by her id; and her id there."""
    hidden = {"hides": lambda how, entry: entry.record.get("name") == "ann", "declared_lag": 60.0}
    kept: dict[str, Any] = {"find": ("email",)}
    world = World(
        folder,
        leads(**kept, **(hidden if side == "left" else {})),
        members(**kept, **(hidden if side == "right" else {})),
        direction="two-way",
        conflict="left",
        deletes={"left": "delete", "right": "delete"},
        brakes={"deletes": 5},
    )
    here, there = (world.members, world.leads) if side == "left" else (world.leads, world.members)
    for name in ("ann", "bob"):
        here.add(email=f"{name}@x", name=name, rev=1)
    assert "green" == world.run().state
    for _ in range(2):
        world.clock.advance(LONG)
        world.run()
    return world, there.where("email", "ann@x")[0]["id"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_a_search_shows_is_there(side: str, swift_path: Path) -> None:
    world, _ = made_there(swift_path, side)
    for _ in range(3):
        assert "green" == world.run(full=True).state
        world.clock.advance(LONG)
    assert [] == world.letters()
    assert 2 == len(world.leads.records) == len(world.members.records)


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_has_another_id_now_is_its_counterpart(side: str, swift_path: Path) -> None:
    world, ann = made_there(swift_path, side)
    here, there = (world.members, world.leads) if side == "left" else (world.leads, world.members)
    there.remove(ann)
    there.hides = lambda how, entry: False
    again = there.add(email="ann@x", name="ann", rev=1)
    assert "green" == world.run(full=True).state
    assert [] == world.letters()
    here.change(here.where("email", "ann@x")[0]["id"], name="Anna")
    world.run()
    assert "Anna" == there.record(again)["name"]
    assert 2 == len(world.leads.records) == len(world.members.records)


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_nothing_shows_is_held(side: str, swift_path: Path) -> None:
    world, ann = made_there(swift_path, side)
    there = world.leads if side == "left" else world.members
    there.remove(ann)
    searched = len(world.calls(system="crm" if side == "left" else "mail"))
    assert "attention" == world.run(full=True).state
    (letter,) = world.letters()
    assert "never shown since we made it" in letter.message
    assert searched < len(world.calls(system="crm" if side == "left" else "mail"))
    assert {1, 2} == {len(world.leads.records), len(world.members.records)}


def test_a_search_that_is_refused_holds_it_alone(swift_path: Path) -> None:
    world, _ = made_there(swift_path, "right")
    world.network.strike(error(422, text="not this one"), system="mail", path="search", times=99)
    bob = world.leads.where("name", "bob")[0]["id"]
    world.leads.change(bob, name="Bobby")
    assert "attention" == world.run(full=True).state
    assert ["never shown since we made it" in letter.message for letter in world.letters()] == [True]
    assert "Bobby" in [one["name"] for one in world.arrived]


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_was_unlinked_unseen_is_met_again_and_still_in_doubt(side: str, swift_path: Path) -> None:
    """A list that is behind does not show what we have made: that it is there is known by the key that it was made with."""
    late: dict[str, Any] = {"lag": LONG, "declared_lag": None, "find": ("email",)}
    world = World(
        swift_path,
        leads(**(late if side == "left" else {})),
        members(**(late if side == "right" else {})),
        direction="two-way",
        conflict="left",
        deletes={"left": "unlink", "right": "delete"} if side == "right" else {"left": "delete", "right": "unlink"},
        brakes={"deletes": 5},
    )
    here, there = (world.members, world.leads) if side == "left" else (world.leads, world.members)
    ids = [here.add(email=f"{name}@x", name=name, rev=1) for name in ("ann", "bob")]
    assert "green" == world.run().state
    here.remove(ids[0])
    for _ in range(2):  # an absence is believed the second time
        world.clock.advance(61.0)
        world.run(full=True)
    here.add(email="ann@x", name="ann", rev=2)
    world.clock.advance(61.0)
    world.run(full=True)
    assert 1 == len(there.where("email", "ann@x"))
    world.clock.advance(1_000.0)
    world.run(full=True)
    assert 2 == len(here.records) == len(there.records)
    assert 2 == there.where("email", "ann@x")[0]["rev"]
