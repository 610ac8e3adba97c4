"""What a look answers with rubbish tells nothing: it is asked again, within the run and by the next runs, and only what stays rubbish is set aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.test_refused_gets import DIRECTIONS, names, three
from engine.world import World, leads, members
from tieline.testing import UNANSWERED, Fault, answering, garbled, mistaken
from tieline.transport.ports import HttpRequest

SEARCHES = {"cut off": garbled("truncated"), "a page": garbled("html"), "another shape": garbled("list"), "a number": answering(200, b"7")}
GETS = {**SEARCHES, "another shape": answering(200, b'"no"'), "another record": mistaken("another"), "no id": mistaken("no id")}
RETRY = {"attempts": 3, "base": "1s"}


def confuse(world: World, part: str, fault: Fault, system: str = "mail") -> None:
    """Let a system answer from now on with rubbish when it is asked for what has this in its address."""
    world.network.weather = lambda name, request, now: fault if name == system and request.method == "GET" and part in request.url else None


def clear(world: World) -> None:
    """Let all be well again, a while later."""
    world.network.weather = lambda name, request, now: None
    world.clock.advance(4000.0)


def lose_the_answer(world: World, then: Fault) -> None:
    """Let the answer to the next creation be lost, and all looks after it be answered with rubbish."""
    lost: list[str] = []

    def weather(name: str, request: HttpRequest, now: float) -> Fault | None:
        if name == "mail" and request.method == "POST":
            lost.append(request.url)
            return UNANSWERED
        return then if name == "mail" and lost else None

    world.network.weather = weather


def two_leads(folder: Path, **habits: Any) -> World:
    world = World(folder, leads(), members(**habits), retry=RETRY)
    for name in ("ann", "bob"):
        world.leads.add(email=f"{name}@example.org", name=name, rev=1)
    return world


@pytest.mark.parametrize("fault", SEARCHES.values(), ids=SEARCHES)
def test_once_it_is_asked_again_in_the_same_run(fault: Fault, swift_path: Path) -> None:
    world = two_leads(swift_path, lists=False)
    world.network.strike(fault, system="mail", method="GET")
    assert ("green", 2) == ((outcome := world.run()).state, outcome.counts.created)


@pytest.mark.parametrize("fault", SEARCHES.values(), ids=SEARCHES)
def test_a_first_search_is_made_again_by_the_next_run(fault: Fault, swift_path: Path) -> None:
    world = two_leads(swift_path, lists=False)
    confuse(world, "ann", fault)
    outcome = world.run()
    assert ("owed", 1, 1) == (outcome.state, outcome.counts.created, outcome.counts.owed)
    assert "members with email 'ann@example.org'" in (outcome.error or "")
    clear(world)
    assert "green" == world.run().state
    assert ["ann", "bob"] == sorted(names(world))


def test_a_search_that_stays_rubbish_parks_its_record_with_the_call(swift_path: Path) -> None:
    world = two_leads(swift_path, lists=False)
    confuse(world, "ann", garbled("html"))
    assert ["owed", "owed", "attention", "attention"] == [world.run().state for _ in range(4)]
    (letter,) = world.letters()
    assert ("look-up", 3) == (letter.cause, letter.why["looked"])
    assert "members with email 'ann@example.org' is an HTML page" in letter.message
    clear(world)
    world.run(redrive=(letter.id,))
    assert ["ann", "bob"] == sorted(names(world))


@pytest.mark.parametrize("habits", [{"lists": False}, {"find": ()}], ids=["a search", "a list"])
@pytest.mark.parametrize("fault", SEARCHES.values(), ids=SEARCHES)
def test_after_a_lost_answer_nothing_is_sent_before_the_look_has_told(fault: Fault, habits: dict[str, Any], swift_path: Path) -> None:
    world = two_leads(swift_path, **habits)
    world.run()
    world.leads.add(email="cid@example.org", name="cid", rev=1)
    lose_the_answer(world, fault)
    outcome = world.run()
    assert ("owed", 0, []) == (outcome.state, outcome.counts.created, world.letters())
    clear(world)
    assert "green" == world.run().state
    assert ["ann", "bob", "cid"] == sorted(names(world))


def test_a_doubt_about_which_the_look_stays_rubbish_is_for_a_person(swift_path: Path) -> None:
    world = two_leads(swift_path, lists=False)
    world.run()
    world.leads.add(email="cid@example.org", name="cid", rev=1)
    lose_the_answer(world, garbled("html"))
    assert ["owed", "owed", "attention"] == [world.run().state for _ in range(3)]
    (letter,) = world.letters()
    assert ("held", "unknown", 3) == (letter.state, letter.cause, len(names(world)))
    assert "members with email 'cid@example.org' is an HTML page" in letter.message


@pytest.mark.parametrize("fault", GETS.values(), ids=GETS)
@pytest.mark.parametrize("how", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_deletion_waits_until_the_look_before_it_has_told(how: dict[str, Any], fault: Fault, swift_path: Path) -> None:
    world = three(swift_path, source=leads(changed_since="version", order="changed", tombstones=True), retry=RETRY, **how)
    ann = world.members.where("name", "ann")[0]["id"]
    lead = world.leads.where("name", "ann")[0]["id"]
    world.leads.remove(lead)
    confuse(world, f"/items/{ann}", fault)
    outcome = world.run()
    assert ("owed", 1, []) == (outcome.state, outcome.counts.owed, world.letters())
    assert ["ann", "bob", "cid"] == sorted(names(world))
    clear(world)
    assert "green" == world.run().state
    assert ["bob", "cid"] == sorted(names(world))
    (gone,) = [one for one in world.deliveries(lead) if one.operation == "delete" and one.state == "delivered"]
    assert b'"name":"ann"' in (gone.before or b"")


@pytest.mark.parametrize("how", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_deletion_before_which_the_look_stays_rubbish_is_parked(how: dict[str, Any], swift_path: Path) -> None:
    world = three(swift_path, source=leads(changed_since="version", order="changed", tombstones=True), retry=RETRY, **how)
    ann = world.members.where("name", "ann")[0]["id"]
    world.leads.remove(world.leads.where("name", "ann")[0]["id"])
    confuse(world, f"/items/{ann}", mistaken("another"))
    assert ["owed", "owed", "attention"] == [world.run().state for _ in range(3)]
    (letter,) = world.letters()
    assert ("dead", "another-record") == (letter.state, letter.cause)
    assert f"members {ann}: the answer is about 999999999" in letter.message
    assert ["ann", "bob", "cid"] == sorted(names(world))


def test_what_a_search_shows_and_a_get_does_not_is_there_all_the_same(swift_path: Path) -> None:
    """Asked for one record, its counterpart is found by the search, and `get` is behind: it is not made a second time."""
    world = World(swift_path, **DIRECTIONS["both ways"])
    world.leads.add(email="ann@x", name="ann", rev=1)
    world.members.add(email="ann@x", name="ann", rev=1)
    world.members.hides = lambda way, entry: way == "get"
    outcome = world.run(only=str(world.leads.records[0]["id"]), side="left")
    assert ("halted", ["ann"]) == (outcome.state, names(world))
    assert f"has no record {world.members.records[0]['id']}: one answer proves no deletion" in (outcome.error or "")
    assert ("green", ["ann"]) == (world.run(full=True).state, names(world))


def test_what_was_there_already_and_no_list_has_shown_since_is_not_taken_for_deleted(swift_path: Path) -> None:
    """A person has entered it there, and the list is an hour behind: found by the refusal of a second one, it is in doubt until it is shown."""
    habits: dict[str, Any] = {"lag": 3600.0, "declared_lag": None, "unique": "email"}
    world = World(swift_path, target=members(**habits), **DIRECTIONS["both ways"])
    for name in ("ann", "bob"):
        world.members.add(email=f"{name}@x", name=name, rev=1)
    world.clock.advance(10_000.0)
    world.run()
    for system in (world.members, world.leads):
        system.add(email="cid@x", name="cid", rev=1)
    for _ in range(4):
        world.run(full=True)
        world.clock.advance(600.0)
    assert ["ann", "bob", "cid"] == sorted(record["name"] for record in world.leads.records) == sorted(names(world))
    world.clock.advance(3600.0)
    world.run(full=True)
    assert ("green", []) == (world.run(full=True).state, world.letters())
