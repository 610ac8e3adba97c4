"""A write that is answered 404 soon after its record was made proves nothing yet: it waits for the lag, and is asked again."""

from pathlib import Path
from typing import Any

from engine.world import World, members, told
from tieline.testing import UNANSWERED, error

LAG = 3600.0


def behind(world: World, method: str, *, after: float = LAG) -> None:
    """Let the destination know of no record by its address before `after` seconds have passed."""
    known_from = world.clock.now() + after
    world.network.weather = lambda name, request, now: (
        error(404, text="no such member") if name == "mail" and request.method == method and now < known_from else None
    )


def made(folder: Path, **target: Any) -> tuple[World, Any]:
    """Return a world in which a record was made a moment ago, where reads and writes may be behind by an hour, and its id at the source."""
    world = World(folder, target=members(**{"declared_lag": LAG, "find": (), **target}), deletes="delete")
    ann = world.leads.add(email="ann@x", name="Ann", rev=1)
    assert "green" == world.run().state
    return world, ann


def test_an_update_waits_and_arrives(swift_path: Path) -> None:
    world, ann = made(swift_path)
    world.leads.change(ann, name="Anna")
    behind(world, "PATCH", after=LAG / 2)
    outcome = world.run()
    assert {"owed": 1} == {"owed": outcome.counts.owed}
    assert "owed" == outcome.state
    assert "too early to believe" in (outcome.error or "")
    assert [] == world.letters()
    world.clock.advance(LAG + 60)
    assert "green" == world.run().state
    assert ["Anna"] == [one["name"] for one in world.arrived]


def test_what_is_not_there_after_the_lag_is_parked(swift_path: Path) -> None:
    world, ann = made(swift_path)
    world.leads.change(ann, name="Anna")
    behind(world, "PATCH", after=10 * LAG)
    world.run()
    world.clock.advance(LAG + 60)
    assert {"attention": 1, "unchanged": 1, "carried_parked": 1} == told(world.run())
    assert ["not-there"] == [letter.cause for letter in world.letters()]


def test_what_was_made_long_ago_is_parked_once_the_change_is_older_than_the_lag(swift_path: Path) -> None:
    """What anybody wrote may be late by a declared lag, so that the change itself has to be as old."""
    world, ann = made(swift_path)
    world.clock.advance(100 * LAG)
    world.leads.change(ann, name="Anna")
    behind(world, "PATCH", after=10 * LAG)
    assert "owed" == world.run().state
    world.clock.advance(LAG + 60)
    assert "attention" == world.run().state


def test_a_lag_of_nothing_parks_at_once(swift_path: Path) -> None:
    world, ann = made(swift_path, declared_lag=0.0)
    world.leads.change(ann, name="Anna")
    behind(world, "PATCH")
    assert "attention" == world.run().state


def test_a_deletion_waits_until_the_record_must_be_known(swift_path: Path) -> None:
    """404 for a deletion means done, and here nothing was done: it would stay there for ever, in green."""
    world = World(swift_path, target=members(declared_lag=LAG, find=()), deletes="delete")
    world.leads.tombstones = True
    ann = world.leads.add(email="ann@x", name="Ann", rev=1)
    world.declare(deletes="delete")
    world.run()
    behind(world, "DELETE", after=LAG / 2)
    world.leads.remove(ann)
    assert "owed" == world.run().state
    assert ["Ann"] == [one["name"] for one in world.arrived]
    world.clock.advance(LAG + 60)
    assert "green" == world.run().state
    assert [] == world.arrived


def test_a_deletion_that_was_done_at_the_first_try_waits_for_nothing(swift_path: Path) -> None:
    """The answer was lost, and the second try is answered 404."""
    world = World(swift_path, target=members(declared_lag=LAG, find=()), deletes="delete")
    world.leads.tombstones = True
    world.declare(deletes="delete")
    ann = world.leads.add(email="ann@x", name="Ann", rev=1)
    world.run()
    world.network.strike(UNANSWERED, system="mail", method="DELETE", times=1)
    world.leads.remove(ann)
    assert "green" == world.run().state
    assert [] == world.arrived


def test_both_ways_an_update_waits_too(swift_path: Path) -> None:
    world = World(swift_path, target=members(declared_lag=LAG), direction="two-way", conflict="left")
    ann = world.leads.add(email="ann@x", name="Ann", rev=1)
    world.run()
    world.leads.change(ann, name="Anna")
    behind(world, "PATCH", after=LAG / 2)
    assert "owed" == world.run().state
    world.clock.advance(LAG + 60)
    assert "green" == world.run().state
    assert ["Anna"] == [one["name"] for one in world.arrived]
