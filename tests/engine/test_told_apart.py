"""Deletions that a vendor lists apart from its records: told of is not believed, and what could not be asked is told again."""

from __future__ import annotations

from typing import Any

import pytest

from engine.world import World
from tieline.testing import Collection, answering
from tieline.testing.collection import Burial

FIELDS = {"email": {"type": "string"}, "name": {"type": "string"}}


@pytest.fixture(params=["one-way", "two-way"])
def world(request, tmp_path) -> World:
    """Four records are linked."""
    more: dict[str, Any] = {"direction": "two-way", "conflict": "left", "deletes": {"left": "delete", "right": "ignore"}}
    world = World(
        tmp_path, Collection("leads", FIELDS, feed="whole", changed_since="time", page_size=2), Collection("members", FIELDS),
        map={"email": "email", "name": "name"}, brakes={"deletes": 2}, **(more if request.param == "two-way" else {"deletes": "delete"}),
    )  # fmt: skip
    for name in ("ann", "bob", "cy", "di"):
        world.leads.add(email=f"{name}@x", name=name)
    world.run()
    world.clock.advance(60)
    return world


def emails(world: World) -> list[str]:
    return sorted(record["email"] for record in world.members.records)


def asked(world: World) -> list[str]:
    """Return the ids of the leads that were asked for since this was last called."""
    found = [request.url.rsplit("/", 1)[1] for request in world.crm.requests if request.method == "GET" and "/leads/items/" in request.url]
    world.crm.requests.clear()
    return found


def test_each_is_asked_for_once_and_what_is_there_is_not_deleted(world):
    """However often the feed tells it, and however many it tells of that no one knows."""
    world.leads.remove(1001)
    world.leads.buried += [Burial(id, world.crm.now(), 0) for id in (1002, 7)]

    first = world.run()
    asked_first = asked(world)
    second = world.run()

    assert ("owed", 1) == (first.state, first.counts.deleted)
    assert "one deletion was told of" in (first.error or "")  # of 1002, which may be shown late
    assert {"1001", "1002"} == set(asked_first)
    assert (0, ["1002"]) == (second.counts.deleted, asked(world))
    assert ["bob@x", "cy@x", "di@x"] == emails(world)


@pytest.mark.parametrize(("path", "state"), [("/leads/deleted", "failed"), ("/leads/items/1001", "attention")])
def test_a_feed_that_fails_or_an_answer_that_does_not_come_deletes_nothing_and_loses_nothing(world, path, state):
    """The run fails as with a list that can't be read, or names the one record; the next is told again."""
    world.leads.remove(1001)
    world.network.strike(answering(403, b""), path=path)

    failed = world.run()
    there = emails(world)
    world.run()

    assert state == failed.state
    assert 4 == len(there)
    assert ["bob@x", "cy@x", "di@x"] == emails(world)


def test_the_brake_holds_what_a_feed_tells_of(world):
    """And the next run still knows of it."""
    for id in (1001, 1002, 1003):
        world.leads.remove(id)

    states = [world.run().state, world.run().state]
    there = len(world.members.records)
    world.run(allow_deletes=3)

    assert ["halted", "halted"] == states
    assert 4 == there
    assert ["di@x"] == emails(world)


def test_a_whole_read_is_told_of_deletions_too(world):
    """One way nothing else would tell of them."""
    world.leads.remove(1001)

    world.run(full=True)

    assert ["bob@x", "cy@x", "di@x"] == emails(world)
