"""A unique value that moves from one record to another within one run, whichever of the two is written first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.world import World, told
from tieline.testing import Collection, Crash, Process, error

FIELDS: dict[str, dict[str, Any]] = {"email": {"type": "string"}, "handle": {"type": "string"}}
MAP = {"email": "email", "handle": "handle"}
WAYS = [{"direction": "one-way"}, {"direction": "two-way", "conflict": "left"}]
HABITS: list[dict[str, Any]] = [{}, {"batch": {"create": 3, "update": 3}}, {"refused": 422}, {"versions": "header"}]


def new(folder: Path, way: dict[str, Any], habits: dict[str, Any], *handles: str) -> World:
    """Return a world in which people with these handles are on both sides, and have arrived."""
    there = Collection("members", FIELDS, unique="handle", find=("email",), **habits)
    world = World(folder, Collection("leads", FIELDS), there, **way, map=MAP)
    for number, handle in enumerate(handles):
        world.leads.add(email=f"p{number}@x", handle=handle)
    assert "green" == world.run().state
    world.clock.advance(10.0)
    return world


def handles(world: World, collection: Collection | None = None) -> list[str]:
    return [r["handle"] for r in sorted((collection or world.members).records, key=lambda r: str(r["email"]))]


def give(world: World, *given: str) -> None:
    for lead, handle in zip(world.leads.records, given, strict=False):
        if lead["handle"] != handle:
            world.leads.change(lead["id"], handle=handle)


@pytest.mark.parametrize("way", WAYS, ids=["one way", "both ways"])
@pytest.mark.parametrize("habits", HABITS, ids=["single", "batch", "422", "versions"])
def test_a_chain_of_values_moves_in_one_run(swift_path: Path, way: dict[str, Any], habits: dict[str, Any]) -> None:
    """Each takes what the next one gives up; the first written is the first refused."""
    world = new(swift_path, way, habits, "a", "b", "c", "d")
    give(world, "b", "c", "d", "e")

    outcome = world.run()

    assert {"green": outcome.counts.read, "updated": 4} == {k: v for k, v in told(outcome).items() if k != "unchanged"}
    assert ["b", "c", "d", "e"] == handles(world) == handles(world, world.leads)
    assert [] == world.letters()


@pytest.mark.parametrize("way", WAYS, ids=["one way", "both ways"])
@pytest.mark.parametrize("habits", HABITS, ids=["single", "batch", "422", "versions"])
def test_a_swap_is_parked_and_holds_up_nothing_else(swift_path: Path, way: dict[str, Any], habits: dict[str, Any]) -> None:
    world = new(swift_path, way, habits, "a", "b", "c")
    give(world, "b", "a", "z")

    outcome = world.run()

    assert ("attention", 1, 2) == (outcome.state, outcome.counts.updated, outcome.counts.parked)
    assert ["a", "b", "z"] == handles(world)
    letters = {letter.source_id: letter for letter in world.letters()}
    first, second = (str(lead["id"]) for lead in world.leads.records[:2])
    assert {first, second} == set(letters)
    assert "handle b already exists" in letters[first].message
    assert second in letters[first].next_step
    assert first in letters[second].next_step
    calls = len(world.mail.writes)
    assert "attention" == world.run().state
    assert calls == len(world.mail.writes)
    world.leads.change(world.leads.records[0]["id"], handle="q")  # a person helps
    world.clock.advance(10.0)
    world.run()
    world.run(redrive=(letters[second].id,))
    assert ["q", "a", "z"] == handles(world)


@pytest.mark.parametrize("way", WAYS, ids=["one way", "both ways"])
@pytest.mark.parametrize("habits", HABITS, ids=["single", "batch", "422", "versions"])
def test_a_new_record_takes_what_another_gives_up(swift_path: Path, way: dict[str, Any], habits: dict[str, Any]) -> None:
    world = new(swift_path, way, habits, "a")
    world.leads.add(email="new@x", handle="a")
    world.leads.change(world.leads.records[0]["id"], handle="b")

    outcome = world.run()

    assert ("green", 1, 1) == (outcome.state, outcome.counts.created, outcome.counts.updated)
    assert ["a", "b"] == handles(world)


def test_a_new_record_takes_what_a_deleted_one_had(swift_path: Path) -> None:
    there = Collection("members", FIELDS, unique="handle", find=("email",))
    source = Collection("leads", FIELDS, changed_since="time", tombstones=True)
    world = World(swift_path, source, there, map=MAP, deletes="delete", brakes={"deletes": 10})
    world.leads.add(email="p0@x", handle="a")
    world.run()
    world.clock.advance(10.0)
    world.leads.add(email="new@x", handle="a")
    world.leads.remove(world.leads.records[0]["id"])

    outcome = world.run()

    assert ("green", 1, 1) == (outcome.state, outcome.counts.created, outcome.counts.deleted)
    assert ["a"] == handles(world)


def test_what_nobody_gives_up_is_refused_once_and_parked_with_the_vendors_words(swift_path: Path) -> None:
    world = new(swift_path, WAYS[0], {"refused": 422}, "a", "b")
    give(world, "b")
    before = len(world.mail.writes)

    outcome = world.run()

    assert ("attention", 1, 1) == (outcome.state, outcome.counts.parked, len(world.mail.writes) - before)
    (letter,) = world.letters()
    assert letter.message.endswith("422: handle b already exists")


def test_what_was_held_back_when_a_process_died_is_owed(swift_path: Path) -> None:
    """Whatever the moment, the next runs bring it to the same end."""
    for step in range(1, 60, 3):
        folder = swift_path / str(step)
        folder.mkdir()
        world = new(folder, WAYS[0], {}, "a", "b")
        give(world, "b", "c")
        try:
            world.run(process=Process(lambda number, what, step=step: number == step))  # type: ignore[misc]
        except Crash:
            world.clock.advance(61.0)
            world.run()
        world.run()
        assert ["b", "c"] == handles(world), step
        assert [] == world.letters(), step


def test_a_run_that_is_halted_leaves_what_it_held_back_owed(swift_path: Path) -> None:
    world = new(swift_path, WAYS[0], {"refused": 422}, "a", "b", "c")
    give(world, "b", "c", "d")
    world.network.strike(error(401), system="mail", method="PATCH", after=1, times=1)

    halted = world.run()
    world.clock.advance(100.0)
    again = world.run()

    assert 0 == halted.counts.parked
    assert "green" == again.state
    assert ["b", "c", "d"] == handles(world)


def test_what_waits_for_a_write_that_is_owed_is_owed_too(swift_path: Path) -> None:
    """The first to give up its value meets an outage of its own: the other one is not parked meanwhile."""
    world = new(swift_path, {**WAYS[0], "retry": {"attempts": 2}}, {"refused": 422}, "a", "b")
    give(world, "b", "c")
    world.network.strike(error(503), system="mail", method="PATCH", after=1, times=2)

    first = world.run()
    world.clock.advance(600.0)
    again = world.run()

    assert (0, 2) == (first.counts.parked, first.counts.owed)
    assert ("green", 2) == (again.state, again.counts.carried_delivered)
    assert ["b", "c"] == handles(world)
