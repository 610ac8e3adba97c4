"""What a run makes of its lists: what could not be read is counted, the cursor stays, time has an end, and calls are saved without harm."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.world import NAME, World, leads, members, plain, told
from tieline.engine.lookup.find_cache import Remembered
from tieline.model.records import decode_json, encode_json
from tieline.store import runs
from tieline.testing import LOST
from tieline.testing.faults import answering, slow


def start(world: World, number: int) -> list[Any]:
    return [world.leads.add(email=f"lead{n}@example.com", name=f"Lead {n}", rev=n) for n in range(number)]


def cursor(world: World) -> str | None:
    with world.store() as db:
        known = runs.state_of(db, NAME)
        return known.cursor if known is not None else None


# -- what comes twice


@pytest.mark.parametrize(
    ("unmatched", "anew", "what"), [("create", False, "created"), ("create", True, "updated"), ("ignore", False, "filtered")]
)
def test_a_record_on_two_pages_is_decided_once(new_world, unmatched, anew, what):
    """At a first meeting, after the mapping has changed, and when what was ignored is looked at again: nothing is sent that says nothing new."""
    world = new_world(leads(paging="cursor", page_size=2), unmatched=unmatched)
    start(world, 4)
    if anew:
        world.run()
        world.declare(map={"email": "email", "name": {"from": "name", "as": "upper"}, "rev": "rev"})
    handle = world.crm.handle
    shown: list[Any] = []

    def once_more(request: Any) -> Any:
        response = handle(request)
        page = decode_json(response.body)
        page["data"] += shown
        shown.append(page["data"][0])
        response.body = encode_json(page)
        return response

    world.crm.handle = once_more  # type: ignore[method-assign]

    assert {"green": 5, what: 4, "unchanged": 1} == told(world.run())
    assert (0 if unmatched == "ignore" else 4) == len(world.calls(method="POST"))
    assert (4 if anew else 0) == len(world.calls(method="PATCH"))


# -- what could not be read


def hide(world: World, *ids: int) -> None:
    """Have the vendor count records, and not show them."""
    handle = world.crm.handle
    hidden = {str(id) for id in ids}

    def boasting(request: Any) -> Any:
        if request.method != "GET" or not hidden:
            return handle(request)
        kept = {id: world.leads.entries.pop(id) for id in hidden if id in world.leads.entries}
        response = handle(request)
        world.leads.entries |= kept
        total = len(world.leads.records)
        response.body = response.body.replace(b'"total":%d' % (total - len(kept)), b'"total":%d' % total)
        return response

    world.crm.handle = boasting  # type: ignore[method-assign]
    world.leads.shows_all = lambda: hidden.clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize("style", ["page", "cursor", "next_url"])
def test_a_short_list_is_no_success_and_the_next_run_reads_it_again(new_world, style):
    """Pain 12 and 40: what arrived is kept, what is missing is counted, and the cursor has not passed it."""
    world = new_world(leads(paging=style, page_size=4, total="all", changed_since="version", order="changed"))
    start(world, 10)
    hide(world, 1003, 1004)

    short = world.run()
    with world.life() as life:
        status = life.tieline.status()[0]
    moved = cursor(world)
    world.leads.shows_all()
    whole = world.run()

    assert ("failed", 2, None) == (short.state, short.counts.missing, moved)
    assert "it has 10 records, but its pages held 8: 2 could not be read" in (short.error or "")
    assert {"created": 8} == {k: v for k, v in told(short).items() if k == "created"}
    assert short.counts.balances
    assert (True, 2, None) == (status.needs_someone, status.counts["missing"], status.watermark)
    assert ("green", 0) == (whole.state, whole.counts.missing)
    assert 10 == len(world.members.records)


def test_a_list_that_does_not_hold_still_ends_as_owed_and_is_counted_once(new_world):
    world = new_world(leads(paging="page", page_size=2, changed_since="version", order="changed"))
    ids = start(world, 9)
    chance = random.Random(3)
    world.network.passing = lambda exchange: (
        world.leads.change(chance.choice(ids), name=str(chance.random())) if exchange.system == "crm" else None
    )

    restless = world.run()
    moved = cursor(world)
    world.network.passing = lambda exchange: None
    world.clock.advance(60)
    calm = world.run()

    assert ("owed", None) == (restless.state, moved)
    assert "changed each of the 5 times" in (restless.error or "")
    assert restless.counts.balances
    assert "green" == calm.state
    assert sorted(record["name"] for record in world.leads.records) == sorted(record["name"] for record in world.members.records)


def test_what_comes_again_is_not_counted_as_read(new_world):
    """A second reading because a record was deleted in the middle: each record is counted once, and made once."""
    world = new_world(leads(paging="page", page_size=3, changed_since="version"))
    start(world, 9)
    pages = 0

    def remove_one(exchange: Any) -> None:
        nonlocal pages
        if exchange.system == "crm":
            pages += 1
            if pages == 2:
                world.leads.remove(1002)

    world.network.passing = remove_one

    outcome = world.run()

    assert {"green": 9, "created": 9} == {k: v for k, v in told(outcome).items() if k != "repeated"}
    assert outcome.counts.repeated > 0
    assert {f"lead{n}@example.com" for n in range(9)} == {record["email"] for record in world.members.records}


def test_the_counterparts_that_a_listing_shows_are_all_there_is(new_world):
    """A survey decides by what is missing: a record that slipped through would be made a second time."""
    world = new_world(leads(), members(find=(), paging="page", page_size=3, creates=True))
    start(world, 9)
    for lead in world.leads.records:
        world.members.add(email=lead["email"], name="old", rev=0)
    extra = world.members.add(email="extra@example.com", name="not ours", rev=0)
    world.members.entries = {str(extra): world.members.entries.pop(str(extra)), **world.members.entries}
    world.members.entries[str(extra)].made_at -= 1
    pages = 0

    def remove_one(exchange: Any) -> None:
        nonlocal pages
        if exchange.system == "mail" and exchange.request.method == "GET":
            pages += 1
            if pages == 2:
                world.members.remove(extra)

    world.network.passing = remove_one

    outcome = world.run()

    assert {"green": 9, "updated": 9, "matched": 9} == told(outcome)
    assert 9 == len(world.members.records)


def test_a_bad_entry_is_parked_alone_and_once(new_world):
    world = new_world(leads(paging=None))
    body = (
        b'{"data": [{"id": 1, "email": "a@example.com", "name": "A", "rev": 1}, "what?", {"id": 2, "email": "b@example.com", "name": NaN}]}'
    )
    world.network.strike(answering(200, body), system="crm", times=2)

    first, second = world.run(), world.run()

    assert {"attention": 3, "created": 1, "parked": 2} == told(first)
    assert {"attention": 3, "unchanged": 1, "parked": 2} == told(second)
    letters = world.letters()
    assert ["unreadable", "unreadable"] == [letter.cause for letter in letters]
    assert {"unreadable": '"what?"'} in [letter.record for letter in letters]
    assert {"attention": 2, "parked": 2} == told(world.run(redrive=tuple(letter.id for letter in letters)))
    assert [letter.id for letter in letters] == [letter.id for letter in world.letters()], "redriven, they are the letters that they were"


def test_a_record_that_was_deleted_and_made_anew_within_one_read_stays(new_world):
    """Its tombstone is on the first page, it itself on the last."""
    world = new_world(leads(paging="cursor", page_size=1, changed_since="version", order="changed", tombstones=True), deletes="delete")
    ids = start(world, 4)
    world.run()
    world.run()
    world.leads.remove(ids[0])
    world.leads.change(ids[2], name="New")
    back = False

    def restore(exchange: Any) -> None:
        nonlocal back
        if exchange.system == "crm" and "after=" in exchange.request.url and not back:
            back = True
            entry = world.leads.entries[str(ids[0])]
            world.leads._keep(entry, {"id": ids[0], "email": "lead0@example.com", "name": "Back", "rev": 0})

    world.network.passing = restore
    outcome = world.run()

    assert back
    assert outcome.counts.balances
    assert 4 == len(world.members.records)


# -- time has an end


def test_a_page_that_hangs_ends_with_the_run_and_gives_the_lease_back(new_world):
    """Pain 14. A black hole: each attempt takes its minute, and the run ends in good order when its time is over."""
    world = new_world(leads(page_size=2, order="changed", changed_since="version"), max_run="100s", retry={"attempts": 50})
    start(world, 1)
    world.run()
    began, had = world.clock.elapsed_seconds, cursor(world)
    for number in range(1, 7):
        world.leads.add(email=f"lead{number}@example.com", name="Lead", rev=1)
    world.network.strike(LOST, system="crm", after=2, times=1000)

    hung = world.run()
    with world.store() as db:
        known = runs.state_of(db, NAME)
    took = world.clock.elapsed_seconds - began
    world.network._strikes.clear()
    world.clock.advance(300)
    next_one = world.run()

    assert ("owed", "the run took longer than `max_run`, 100 s") == (hung.state, hung.error)
    assert 100 <= took <= 121
    assert {"owed": 4, "created": 4} == told(hung)  # what had come before was sent while the next page hung
    assert known is not None
    assert (None, 0) == (known.holder, known.lease_until)
    assert known.cursor != had
    assert {"green": 2, "created": 2} == told(next_one)
    assert 7 == len(world.members.records)


def test_a_look_up_that_hangs_ends_with_the_run_too(new_world):
    world = new_world(max_run="100s", retry={"attempts": 50}, connector=lambda declared: declared.update(breaker={"failures": 1000}))
    start(world, 2)
    world.network.strike(LOST, system="mail", times=1000)

    hung = world.run()

    assert "owed" == hung.state
    assert "max_run" in (hung.error or "")
    assert world.clock.elapsed_seconds <= 125


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_read_is_tried_as_often_as_the_integration_says(new_world, attempts):
    world = new_world(retry={"attempts": attempts})
    start(world, 1)
    world.network.strike(LOST, system="crm", times=attempts)

    outcome = world.run()

    assert "owed" == outcome.state
    assert attempts == len(world.calls(system="crm"))


def test_an_answer_that_takes_longer_than_total_is_lost_and_asked_for_again(new_world):
    world = new_world()
    start(world, 1)
    world.network.strike(slow(1000.0), system="crm")

    outcome = world.run()

    assert "green" == outcome.state
    assert 300 <= world.clock.elapsed_seconds <= 310


# -- nothing has changed


def test_a_run_that_meets_a_304_is_complete(new_world):
    world = new_world(leads(paging=None, conditional="etag"))
    start(world, 3)
    world.run()
    world.clock.advance(60)
    before = len(world.calls(system="crm"))

    outcome = world.run()
    with world.life() as life:
        status = life.tieline.status()[0]

    assert {"green": 0} == told(outcome)
    assert 1 == outcome.counts.not_modified
    assert 1 == len(world.calls(system="crm")) - before
    assert status.freshness_age is not None
    assert status.freshness_age < 1


def test_a_mapping_that_changed_asks_for_everything(new_world):
    """A 304 would say that nothing has changed there; but here something has."""
    world = new_world(leads(paging=None, conditional="etag"))
    start(world, 3)
    world.run()
    world.declare(map={"email": "email", "name": {"const": "all the same"}, "rev": "rev"})

    outcome = world.run()

    assert 0 == outcome.counts.not_modified
    assert 3 == outcome.counts.updated


def test_a_list_that_was_not_read_whole_is_asked_for_without_condition(new_world):
    world = new_world(leads(paging=None, conditional="etag", total="all"))
    start(world, 5)
    hide(world, 1002)
    world.run()
    world.leads.shows_all()

    outcome = world.run()

    assert {"green": 5, "created": 1, "unchanged": 4} == told(outcome)


# -- what was looked for lately


def remembering(new_world: Any, **more: Any) -> World:
    """A world in which two integrations write into one list: the leads' names, and customers' revisions."""
    customers = leads()
    customers.name = "customers"
    second = plain(**{"from": "crm.customers", "map": {"email": "email", "rev": "rev"}})
    world: World = new_world(
        leads(), members(find=("email",), lists=False, find_cache=600.0), customers,
        integrations={"customers": {k: v for k, v in second.items() if k in ("from", "map")}}, map={"email": "email", "name": "name"}, **more,
    )  # fmt: skip
    return world


def searches(world: World) -> int:
    return sum(1 for method, path in world.calls() if path == "search")


def test_a_counterpart_that_was_found_is_not_searched_for_again(new_world):
    """By another integration, in another process, within the time that the connector allows; later it is."""
    world = remembering(new_world, conflict="hold")
    customers = world.crm["customers"]
    world.members.add(email="a@example.com", name="A", rev=1)
    world.members.add(email="b@example.com", name="B", rev=1)
    for email, name in (("a@example.com", "A"), ("b@example.com", "B")):
        world.leads.add(email=email, name=name, rev=1)
    customers.add(email="a@example.com", rev=1)
    world.run()
    first = searches(world)
    again = world.run("customers")
    second = searches(world)
    customers.add(email="b@example.com", rev=1)
    world.clock.advance(601)
    world.run("customers")

    assert [2, 2, 3] == [first, second, searches(world)]
    assert (1, 1) == (again.counts.remembered, again.counts.matched)


def test_that_there_is_none_is_not_remembered(new_world):
    """Someone else makes it between two runs: it must not be made a second time."""
    world = remembering(new_world, unmatched="ignore")
    world.leads.add(email="a@example.com", name="A", rev=1)
    world.run()
    world.members.add(email="a@example.com", name="theirs", rev=5)
    world.crm["customers"].add(email="a@example.com", rev=7)

    outcome = world.run("customers")

    assert 1 == outcome.counts.matched
    assert [7] == [record["rev"] for record in world.members.records]


def test_what_we_write_is_forgotten(new_world):
    """The counterpart is found, and its address changed by us: what was found under the old one is not true any more."""
    world = remembering(new_world)
    world.members.add(email="old@example.com", name="A", rev=1)
    id = world.leads.add(email="old@example.com", name="A", rev=1)
    world.run()
    world.leads.change(id, email="new@example.com")
    world.run()
    world.crm["customers"].add(email="old@example.com", rev=7)

    world.run("customers")

    assert {("new@example.com", 1), ("old@example.com", 7)} == {(record["email"], record["rev"]) for record in world.members.records}


def test_memory_that_keeps_what_we_write_is_noticed(new_world, monkeypatch):
    """The test above, with the protection taken away: the wrong record would be overwritten."""

    async def keep(self: Remembered, written: Any) -> None:
        pass

    monkeypatch.setattr(Remembered, "forget", keep)

    with pytest.raises(AssertionError):
        test_what_we_write_is_forgotten(new_world)


def test_what_a_person_has_decided_again_is_searched_for(new_world):
    """It was held because the values differ; the person corrects them there, and redrives it at once."""
    world = remembering(new_world, conflict="hold")
    there = world.members.add(email="a@example.com", name="Other", rev=1)
    world.leads.add(email="a@example.com", name="A", rev=1)
    world.run()
    [letter] = world.letters()
    world.members.change(there, name="A")

    world.run(redrive=(letter.id,))

    assert [] == world.letters()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6))
def test_memory_never_doubles_a_record(new_world, seed):
    """Two integrations with one destination, people on all sides, time that passes: each address is there once."""
    chance = random.Random(seed)
    world = remembering(new_world)
    (world.folder / "store.db").unlink(missing_ok=True)
    for path in world.folder.glob("store.db*"):
        path.unlink()
    emails = [f"{letter}@example.com" for letter in "abcdef"]
    customers = world.crm["customers"]
    for _ in range(12):
        email = chance.choice(emails)
        match chance.randint(0, 5):
            case 0 if not world.leads.where("email", email):
                world.leads.add(email=email, name=chance.choice("xyz"), rev=0)
            case 1 if not customers.where("email", email):
                customers.add(email=email, rev=chance.randint(1, 9))
            case 2 if not world.members.where("email", email):
                world.members.add(email=email, name="theirs", rev=0)
            case 3 if world.leads.records:
                world.leads.change(chance.choice(world.leads.records)["id"], name=chance.choice("xyz"))
            case 4:
                world.clock.advance(chance.choice([1, 300, 700]))
            case _:
                world.run(chance.choice([NAME, "customers"]))
    for name in (NAME, "customers", NAME, "customers"):
        world.clock.advance(700)
        world.run(name)

    there = [record["email"] for record in world.members.records]
    assert len(there) == len(set(there))
    assert {record["email"] for record in [*world.leads.records, *customers.records]} <= set(there)


def test_memory_is_bounded(new_world):
    world = remembering(new_world)
    for n in range(30):
        world.members.add(email=f"{n}@example.com", name="x", rev=n)
        world.leads.add(email=f"{n}@example.com", name="x", rev=n)
    world.run()
    with world.store() as db:
        kept = db.read("SELECT count(*) FROM lookup")[0][0]
    world.clock.advance(601)
    world.run()
    with world.store() as db:
        left = db.read("SELECT count(*) FROM lookup")[0][0]

    assert (30, 0) == (kept, left)
