"""Webhooks are hints: they say which record to ask for, each once, in any order; what follows is what would follow from a list."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from engine.world import World
from tieline.app import Tieline
from tieline.dialects.webhooks import Incoming, Unverified
from tieline.observe.status import IntegrationStatus
from tieline.store import inbox, retention, runs
from tieline.testing import Collection, Crash, Process, SimulatedDatabase, answering, error

FIELDS = {"email": {"type": "string"}, "name": {"type": "string"}, "rev": {"type": "integer"}}


def world_of(folder: Path, *, number: int = 3, target: dict[str, Any] | None = None, **integration: Any) -> World:
    """Return a world whose CRM sends webhooks, and shows changes in its list ten minutes late; its leads are linked."""
    folder.mkdir(exist_ok=True)
    source = Collection("leads", FIELDS, changed_since="time", list_lag=600.0, webhooks=True, ids="given")
    world = World(folder, source, Collection("members", FIELDS, find=("email",), **(target or {})), **{"deletes": "delete", **integration})
    for letter in "abcdefghij"[:number]:
        world.leads.add(id=letter, email=f"{letter}@x", name=letter.upper(), rev=1)
        world.clock.advance(700)  # later reads show the last one alone once more
    for _ in range(2):
        world.clock.advance(601)
        assert "green" == world.run().state
    world.clock.advance(61)
    return world


def two_ways(folder: Path, **more: Any) -> World:
    """Return such a world in which both sides are kept alike, and both send webhooks."""
    target = {"webhooks": True, "changed_since": "time", "list_lag": 600.0}
    both = {"direction": "two-way", "conflict": "left", "deletes": {"left": "delete", "right": "delete"}}
    return world_of(folder, target=target, **{**both, **more})


def asked(world: World, system: str = "crm") -> list[str]:
    """Return the ids of records that were asked for since the last time."""
    found = [path for method, path in world.calls(system=system) if method == "GET" and path not in ("leads", "members", "search")]
    world.network.exchanges.clear()
    return found


def names(world: World) -> dict[str, str]:
    """Return {e-mail address: name} of the members."""
    return {record["email"]: record["name"] for record in world.members.records}


def status(world: World) -> IntegrationStatus:
    """Return how the integration is doing."""

    async def look(tieline: Tieline) -> IntegrationStatus:
        return next(one for one in tieline.status() if one.integration == "leads")

    return world.within(look)


BOTH = pytest.mark.parametrize("make", [world_of, two_ways], ids=["one way", "both ways"])


@BOTH
def test_a_deletion_and_a_change_arrive_that_no_list_has_shown(make: Any, tmp_path: Path) -> None:
    world = make(tmp_path / "w")
    world.leads.remove("a")
    world.leads.change("b", name="Bea")
    world.leads.add(id="n", email="n@x", name="New", rev=1)
    before = world.run()
    for kind, id in (("deleted", "a"), ("changed", "b"), ("changed", "n")):
        world.webhook("leads", kind, id)
    waiting = status(world).webhooks[0]
    outcome = world.run()

    assert (0, 0) == (before.counts.written, before.counts.webhooks)
    assert ("crm", 3, 0) == (waiting.connection, waiting.waiting, waiting.refused)
    assert (1, 1, 1, 3) == (outcome.counts.created, outcome.counts.updated, outcome.counts.deleted, outcome.counts.webhooks)
    assert outcome.counts.balances
    assert {"b@x": "Bea", "c@x": "C", "n@x": "New"} == names(world)
    assert 0 == status(world).webhooks[0].waiting
    assert 0 == world.run().counts.written
    (moment,) = [moment for moment in world.story("b").moments if moment.what == "told by a webhook"]
    assert "leads.changed" in moment.text


@BOTH
def test_many_webhooks_about_one_record_cost_one_question_in_any_order(make: Any, tmp_path: Path) -> None:
    """And those about a record that no one knows and that is gone cost none."""
    events = [("deleted", "a"), ("changed", "a"), ("changed", "b"), ("deleted", "b"), ("deleted", "zz")]
    ends = []
    for number, order in enumerate(itertools.permutations(events)):
        if number % 10:
            continue
        world = make(tmp_path / str(number))
        world.leads.remove("a")
        world.leads.change("b", name="Bea")
        world.network.exchanges.clear()
        for kind, id in [*order, *order]:
            world.webhook("leads", kind, id)
        outcome = world.run()
        ends.append((names(world), sorted(asked(world)), outcome.counts.webhooks, outcome.counts.balances))

    assert [({"b@x": "Bea", "c@x": "C"}, ["a", "b"], 10, True)] * len(ends) == ends


@BOTH
def test_an_id_that_a_vendor_uses_for_several_events_drops_none(make: Any, tmp_path: Path) -> None:
    """Vendors give one id to the change and the deletion of a record, or to events about two records."""
    world = make(tmp_path / "w")

    async def receive(tieline: Tieline) -> list[int]:
        accepted = []
        for kind, id in [("changed", "a"), ("deleted", "a"), ("changed", "b"), ("changed", "b")]:
            world.crm._told_of = 41
            received = await tieline.receiving()["crm"].receive(Incoming(*world.crm.webhook("leads", kind, id)))
            accepted.append(received.accepted)
        return accepted

    assert [1, 1, 1, 0] == world.within(receive)


@BOTH
def test_a_record_that_the_list_has_shown_is_not_asked_for(make: Any, tmp_path: Path) -> None:
    """Unless it is said to be gone: a list can be older than the deletion."""
    world = make(tmp_path / "w")
    world.leads.change("b", name="Bea")
    world.leads.change("c", name="Cee")
    world.clock.advance(601)
    world.webhook("leads", "changed", "b")
    world.webhook("leads", "deleted", "c")
    world.webhook("leads", "changed", "c")
    world.network.exchanges.clear()
    outcome = world.run()

    assert ["c"] == asked(world)
    assert 2 == outcome.counts.updated
    assert outcome.counts.balances
    assert {"a@x": "A", "b@x": "Bea", "c@x": "Cee"} == names(world)


def test_several_integrations_use_one_event(tmp_path: Path) -> None:
    """Each keeps its place, so that one that runs seldom misses nothing."""
    world = world_of(tmp_path / "w")
    other = {"match": {"email": "email"}, "deletes": "delete", "map": {"email": "email", "rev": "rev"}}
    world._others["slow"] = other
    world.declare(deletes="delete")
    world.run("slow")
    world.leads.change("b", name="Bea", rev=2)
    world.webhook("leads", "changed", "b")
    first, again, slow = world.run(), world.run(), world.run("slow")

    assert [1, 0, 1] == [one.counts.webhooks for one in (first, again, slow)]
    assert 1 == slow.counts.updated


@BOTH
def test_a_plan_takes_nothing_up(make: Any, tmp_path: Path) -> None:
    world = make(tmp_path / "w")
    world.leads.remove("a")
    world.webhook("leads", "deleted", "a")

    async def plan(tieline: Tieline) -> dict[str, int]:
        with await tieline.plan("leads") as made:
            return made.counts()

    with mock.patch("tieline.engine.runs.plan.Database", lambda path: SimulatedDatabase(path, world.clock)):
        planned = [world.within(plan)["delete"] for _ in range(2)]
    with world.store() as db:
        known = runs.state_of(db, "leads")
        assert known is not None
        place = inbox.position(db, known.id)

    assert [1, 1] == planned
    assert 0 == place
    assert 1 == world.run().counts.deleted


@BOTH
def test_a_mass_of_deletions_is_braked_and_not_forgotten(make: Any, tmp_path: Path) -> None:
    world = make(tmp_path / "w", brakes={"deletes": 1})
    for id in "ab":
        world.leads.remove(id)
        world.webhook("leads", "deleted", id)
    halted, still = world.run(), world.run()

    assert ["halted", "halted"] == [halted.state, still.state]
    assert 3 == len(world.members.records)
    assert 2 == world.run(allow_deletes=2).counts.deleted
    assert {"c@x": "C"} == names(world)


@BOTH
def test_a_question_that_is_refused_stops_nothing_and_an_outage_forgets_nothing(make: Any, tmp_path: Path) -> None:
    """A bad id would else stand in the way of all that comes after it; while the system is down, everything waits."""
    world = make(tmp_path / "w")
    world.leads.change("b", name="Bea")
    for id in ("a", "b"):
        world.webhook("leads", "changed", id)
    world.network.strike(error(503), system="crm", path="/items/", times=20)
    down = world.run()
    world.network.strikes_end()
    world.clock.advance(61)
    world.network.strike(answering(400, b'{"error": "no such number"}'), system="crm", path="items/a")
    outcome = world.run()

    assert "owed" == down.state
    assert "green" == outcome.state
    assert "Bea" == names(world)["b@x"]
    assert ["told by a webhook, and can't be asked for"] == [m.what for m in world.story("a").moments if "webhook" in m.what]


def test_whoever_has_not_the_secret_is_not_believed(tmp_path: Path) -> None:
    world = world_of(tmp_path / "w")
    world.leads.remove("a")
    with pytest.raises(Unverified):
        world.webhook("leads", "deleted", "a", forged=True)
    outcome = world.run()

    assert 0 == outcome.counts.webhooks
    assert 3 == len(world.members.records)


def test_a_process_may_die_at_any_step_of_taking_them_up(swift_path: Path) -> None:
    """Both ways: what a webhook told of arrives once, wherever the run was killed."""
    number, finished = 0, False
    while not finished:
        number += 1
        world = two_ways(swift_path / str(number))
        world.leads.remove("a")
        world.leads.change("b", name="Bea")
        world.leads.add(id="n", email="n@x", name="New", rev=1)
        member = world.members.where("email", "c@x")[0]["id"]
        world.members.change(member, name="Cee")
        told_of: Sequence[tuple[str, str, Any]] = [("leads", "deleted", "a"), ("leads", "changed", "b"), ("leads", "changed", "n")]
        for collection, kind, id in [*told_of, ("members", "changed", member)]:
            world.webhook(collection, kind, id)
        try:
            world.run(process=Process(lambda step, what, last=number: step == last))
            finished = True
        except Crash:
            world.clock.advance(61)
            world.run()
            assert ("Bea", "Cee") == (names(world)["b@x"], names(world)["c@x"]), number
            world.clock.advance(661)  # whether the creation had arrived is known once the list is sure to show it
            world.run()
        world.clock.advance(1000)  # a list whose changes overlap by ten minutes need not show sooner what was made
        world.run()
        writes = len(world.members.written) + len(world.leads.written)
        world.run()

        assert {"b@x": "Bea", "c@x": "Cee", "n@x": "New"} == names(world), number
        assert {"b@x": "Bea", "c@x": "Cee", "n@x": "New"} == {r["email"]: r["name"] for r in world.leads.records}, number
        assert writes == len(world.members.written) + len(world.leads.written), number
    assert number > 20


def test_webhooks_are_kept_as_long_as_history_is(tmp_path: Path) -> None:
    """And numbers are not used again, or an integration would pass over what comes later."""
    world = world_of(tmp_path / "w")
    world.webhook("leads", "changed", "a")
    world.clock.advance(50 * 86_400)
    world.webhook("leads", "changed", "b")
    assert 2 == world.run().counts.webhooks
    with world.store() as db:
        for days in (45, 100):
            retention.prune(db, retention.USUAL, now=world.clock.now() + days * 86_400, integration=1, run=None)
            left = [row[0] for row in db.read("SELECT id FROM inbox")]
            assert ["b"] == left if days == 45 else [] == left
    world.webhook("leads", "changed", "c")

    assert 1 == world.run().counts.webhooks


@BOTH
def test_a_list_that_shows_the_record_contradicts_a_webhook_of_its_deletion(make: Any, tmp_path: Path) -> None:
    """The webhook is mistaken, and `get` knows nothing of the record: the list has shown it since."""
    world = make(tmp_path / "w")
    world.leads.change("b", name="Bea")
    world.clock.advance(601.0)
    world.webhook("leads", "deleted", "b")
    world.leads.hides = lambda way, entry: way == "get" and str(entry.id) == "b"
    for _ in range(2):
        world.run()
        world.clock.advance(61.0)
    assert {"a@x", "b@x", "c@x"} == names(world).keys()
    world.leads.hides = lambda way, entry: False
    world.run(full=True)
    assert ("green", "Bea") == (world.run().state, names(world)["b@x"])
