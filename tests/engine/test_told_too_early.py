"""A deletion that is told of within the lag can't be believed yet: the run says so, until when, and it is never lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.world import World, leads, members

LAG = 600.0
DIRECTIONS: dict[str, dict[str, Any]] = {
    "one way": {"deletes": "delete"},
    "both ways": {"direction": "two-way", "conflict": "left", "deletes": {"left": "delete", "right": "delete"}},
}
EACH = pytest.mark.parametrize("how", DIRECTIONS.values(), ids=DIRECTIONS)


def two(folder: Path, how: dict[str, Any], **habits: Any) -> World:
    """Return a world in which two leads have arrived, and in which reads of the source may be late by ten minutes."""
    world = World(folder, leads(changed_since="time", declared_lag=LAG, **habits), members(declared_lag=0.0), **how)
    for name in ("ann", "bob"):
        world.leads.add(email=f"{name}@x", name=name, rev=1)
    world.run()
    world.clock.advance(2 * LAG)
    assert "green" == world.run().state
    return world


def names(world: World) -> list[str]:
    return sorted(record["name"] for record in world.arrived)


@EACH
@pytest.mark.parametrize("gets", [True, False], ids=["get", "no get"])
def test_by_a_feed(how: dict[str, Any], gets: bool, swift_path: Path) -> None:
    """Without `get` nothing asks again, and the feed's mark has moved past it."""
    world = two(swift_path, how, feed="version", gets=gets)
    world.leads.remove(world.leads.where("name", "ann")[0]["id"])
    outcome = world.run()
    assert "owed" == outcome.state
    assert "crm.leads: one deletion was told of within the lag" in (outcome.error or "")
    assert outcome.next_try_at is not None
    assert world.clock.now() < outcome.next_try_at <= world.clock.now() + LAG
    assert ["ann", "bob"] == names(world)
    world.clock.advance(LAG + 1)
    assert ["green", "green"] == [world.run().state for _ in range(2)]
    assert ["bob"] == names(world)


@EACH
def test_by_a_webhook(how: dict[str, Any], swift_path: Path) -> None:
    world = two(swift_path, how, webhooks=True)
    ann = world.leads.where("name", "ann")[0]["id"]
    world.leads.remove(ann)
    world.webhook("leads", "deleted", ann)
    outcome = world.run()
    assert "owed" == outcome.state
    assert "told of within the lag" in (outcome.error or "")
    world.clock.advance(LAG + 1)
    assert "green" == world.run().state
    assert ["bob"] == names(world)


@EACH
def test_what_a_list_shows_after_the_lag_is_there(how: dict[str, Any], swift_path: Path) -> None:
    """A feed that tells of a deletion, of a record that was made again, and that can't be asked for."""
    world = two(swift_path, how, feed="version", gets=False)
    ann = world.leads.where("name", "ann")[0]["id"]
    kept = world.leads.entries[str(ann)]
    world.leads.remove(ann)
    assert "owed" == world.run().state
    world.leads.entries[str(ann)] = kept
    kept.deleted = False
    world.clock.advance(LAG + 1)
    world.leads.change(ann, name="Anna")
    assert "green" == world.run().state
    world.clock.advance(LAG + 1)
    assert "green" == world.run().state
    assert ["Anna", "bob"] == names(world)


@EACH
def test_without_get_a_record_is_gone_after_two_whole_lists_in_a_row(how: dict[str, Any], swift_path: Path) -> None:
    """The same both ways: a list that leaves a record out once deletes nothing."""
    hidden: set[str] = set()
    source = leads(gets=False, hides=lambda way, entry: entry.record["name"] in hidden)
    world = World(swift_path, source, **how)
    for name in ("ann", "bob"):
        world.leads.add(email=f"{name}@x", name=name, rev=1)
    world.run()
    world.clock.advance(10_000.0)
    for shown in ({"ann"}, set[str](), {"ann"}):
        hidden.clear()
        hidden.update(shown)
        assert "green" == world.run().state
        assert ["ann", "bob"] == names(world)
        world.clock.advance(60.0)
    assert "green" == world.run().state
    assert ["bob"] == names(world)
