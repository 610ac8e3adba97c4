"""What follows a failure of a write: retried in its time, decided again, found again, parked, or halted for a person."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest

from engine.world import leads, members, told
from tieline.engine.core.failures import FAILURES, Reaction, as_table, reaction_to
from tieline.model import errors
from tieline.testing import LOST, REFUSED, UNANSWERED, Crash, Process, answering, error, throttled


def start(world: Any, count: int = 3) -> None:
    for number in range(count):
        world.leads.add(email=f"p{number}@example.com", name=f"P{number}", rev=0)


def test_every_class_of_failure_has_its_row():
    """A new class without a row would be parked without anybody having thought about it."""
    classes = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.RemoteError) and kind is not errors.RemoteError
    }

    assert classes == {failure.error for failure in FAILURES}
    assert all(kind.likely and kind.next_step and kind.kind in as_table() for kind in classes)
    assert Reaction.PARK_OR_HALT is reaction_to(errors.Rejected("301: moved", status=301))
    assert Reaction.PARK is reaction_to(errors.Rejected("200, but it says: no", status=200)), "a refusal inside a success is of one record"


def test_an_outage_is_probed_by_one_call_and_drains_when_it_is_over(new_world):
    """While the destination is down, it is not hammered; nothing is lost, and the run that outlives the outage is green."""
    world = new_world(retry={"attempts": 20})
    start(world, 200)
    world.network.strike(error(503), system="mail", after=1, times=14)

    outcome = world.run()

    assert {"green": 200, "created": 200} == told(outcome)
    failed = [e.sent_at for e in world.network.exchanges if e.fault == "503"]
    assert all(after - before > 0.4 for before, after in itertools.pairwise(failed[8:])), "a probe at a time"
    assert sorted(r["email"] for r in world.members.records) == sorted(r["email"] for r in world.leads.records)


def test_reading_goes_on_while_the_destination_is_down(new_world):
    """`unavailable: keep`: what changes meanwhile is accepted at once and waits in the store, not in the source."""
    world = new_world(match={}, retry={"attempts": 20})
    start(world, 5000)
    world.network.strike(REFUSED, system="mail", times=12)
    read: list[float] = []

    outcome = world.run(progress=lambda counts: read.append(world.clock.elapsed_seconds) if counts.read == 5000 else None)
    again = world.run()

    assert 5 > read[0]
    assert "owed" == outcome.state
    assert 5000 == outcome.counts.created + outcome.counts.owed
    assert "green" == again.state
    assert 5000 == len(world.members.records)


def test_a_long_outage_ends_the_run_and_each_later_run_asks_once(new_world):
    """Promise 6, and exit code 3: what is owed waits. A run started by cron in the middle of an outage makes one probe and ends."""
    world = new_world(retry={"attempts": 5})
    start(world, 50)
    world.network.strike(REFUSED, system="mail", times=10_000)

    first = world.run()
    world.clock.advance(120)
    before = len(world.calls())
    second = world.run()
    probes = len(world.calls()) - before
    with world.life() as life:
        status = life.tieline.status()[0]
    world.network.strikes_end()
    world.clock.advance(120)
    third = world.run()

    assert {"owed": 50, "owed_": 50} == {first.state: first.counts.read, "owed_": first.counts.owed}
    assert "owed" == second.state
    assert 1 == probes
    assert ["mail"] == [down.connection for down in status.outages]
    assert "no connection" in status.outages[0].why
    assert "green" == third.state
    assert 50 == len(world.members.records)


def test_a_run_soon_after_an_outage_waits_for_the_probe_and_goes_on(new_world):
    """It used to end as owed without a single call, though the probe was due in a few seconds and the system was back."""
    world = new_world()
    start(world)
    world.run()
    world.leads.add(email="new@example.com", name="New", rev=0)
    world.network.strike(REFUSED, system="mail", times=10_000)
    down = world.run()
    world.clock.advance(60)
    again = world.run()
    began, before = world.clock.now(), len(world.calls())
    world.network.strikes_end()

    back = world.run()

    assert ("owed", "owed") == (down.state, again.state)
    (waiting,) = again.waiting
    assert "no connection to mail" in str(again.error)
    assert ("mail", True, "no connection to mail") == (waiting.connection, waiting.down, waiting.why)
    assert began < waiting.until < began + 60
    assert ("green", 4) == (back.state, len(world.members.records))
    probe = [e for e in world.network.exchanges if e.system == "mail"][before]
    assert waiting.until == pytest.approx(probe.sent_at + world.clock.now() - world.clock.monotonic(), abs=0.1)
    assert [] == back.waiting


def test_a_system_that_comes_back_and_makes_everybody_wait_has_said_so(new_world):
    """The probe is answered with a wait of hours: what is owed stays so, and what has changed meanwhile is accepted all the same."""
    world = new_world(freshness="1d")
    start(world)
    world.run()
    world.leads.add(email="new@example.com", name="New", rev=0)
    world.network.strike(REFUSED, system="mail", times=10_000)
    world.run()
    world.network.strikes_end()
    world.network.strike(throttled(7200.0), system="mail")
    world.leads.add(email="newer@example.com", name="Newer", rev=0)

    outcome = world.run()

    assert {"owed": 5, "unchanged": 4, "owed_": 1} == {
        outcome.state: outcome.counts.read, "unchanged": outcome.counts.unchanged, "owed_": outcome.counts.owed
    }, "and reading goes on"  # fmt: skip
    assert "429" in str(outcome.error)
    assert [("mail", False)] == [(waiting.connection, waiting.down) for waiting in outcome.waiting]
    assert 7200 == pytest.approx(outcome.waiting[0].until - world.clock.now(), abs=5)
    world.clock.advance(7201)
    assert ("green", 5) == (world.run().state, len(world.members.records))


def test_a_restart_neither_hurries_nor_forgets_the_next_attempt(new_world):
    """The time of the next attempt is durable."""
    world = new_world(retry={"attempts": 1, "base": "100s"})
    start(world, 1)
    world.network.strike(error(500), system="mail", method="POST")
    world.run()
    (delivery,) = world.deliveries(world.leads.records[0]["id"])
    assert delivery.due_at - world.clock.now() == pytest.approx(75, abs=26)

    world.clock.advance(10)
    world.run()

    post = [e.sent_at for e in world.network.exchanges if e.request.method == "POST"]
    assert post[-1] >= delivery.due_at - (world.clock.now() - world.clock.monotonic()) - 0.1
    assert 1 == len(world.members.records)


def test_the_wait_goes_on_growing_over_restarts(new_world):
    """Each run has its attempts; the wait between two does not begin at one second again."""
    world = new_world(retry={"attempts": 1, "base": "1s"}, connector=lambda declared: declared.update(breaker={"failures": 100}))
    start(world, 1)
    world.network.strike(error(500), system="mail", method="POST", times=4)
    for _ in range(4):
        world.run()
    (delivery,) = world.deliveries(world.leads.records[0]["id"])

    assert 4 <= delivery.due_at - world.clock.now() <= 8


def test_a_clock_set_back_does_not_keep_a_delivery_waiting_for_hours(new_world):
    world = new_world(retry={"attempts": 1, "base": "10s", "most": "20s"})
    start(world, 1)
    world.network.strike(error(500), system="mail", method="POST")
    world.run()
    world.clock.set_back(6 * 3600)
    began = world.clock.elapsed_seconds

    outcome = world.run()

    assert "green" == outcome.state
    assert 25 > world.clock.elapsed_seconds - began


def test_a_clock_set_back_does_not_keep_what_is_looked_for_waiting_for_hours(new_world):
    world = new_world(leads(), members(declared_lag=None), retry={"attempts": 1, "base": "10s", "most": "20s"})
    start(world, 1)
    world.network.strike(error(500), system="mail", method="POST")
    assert "owed" == world.run().state
    world.clock.set_back(6 * 3600)
    assert "owed" == world.run().state
    world.clock.advance(901.0)

    assert "green" == world.run().state


def test_a_conflict_on_update_is_decided_again_with_what_is_there_now(new_world):
    """409, 412: someone else was at the record. It is read again, and what it does not have yet is sent."""
    world = new_world()
    start(world, 1)
    world.run()
    lead, there = world.leads.records[0], world.members.records[0]
    world.leads.change(lead["id"], name="Ann", rev=1)
    world.members.change(there["id"], name="Ann")
    world.network.strike(error(409), system="mail", method="PATCH")

    outcome = world.run()

    assert "green" == outcome.state
    assert {"rev": 1} == world.members.written[-1].sent
    assert "Ann" == world.members.records[0]["name"]


def test_a_conflict_that_left_nothing_to_send_is_agreement(new_world):
    world = new_world()
    start(world, 1)
    world.run()
    lead, there = world.leads.records[0], world.members.records[0]
    world.leads.change(lead["id"], name="Ann")
    world.members.change(there["id"], name="Ann")
    world.network.strike(error(412), system="mail", method="PATCH")
    writes = len(world.members.written)

    assert "green" == world.run().state
    assert writes == len(world.members.written)
    assert "looked: it says so already" in [moment.what for moment in world.story(lead["id"]).moments]


def test_a_conflict_that_does_not_end_is_parked(new_world):
    """The vendor's text stays with it, and no other record waits."""
    world = new_world(retry={"attempts": 3})
    start(world, 2)
    world.run()
    for lead in world.leads.records:
        world.leads.change(lead["id"], name="changed")
    stubborn = world.members.records[0]["id"]
    world.network.strike(error(409, text="locked by an approval"), system="mail", method="PATCH", path=f"/{stubborn}", times=99)

    outcome = world.run()
    (letter,) = world.letters()

    assert {"attention": 2, "updated": 1, "parked": 1} == told(outcome)
    assert "stale" == letter.cause
    assert "locked by an approval" in letter.message
    assert 3 == letter.attempts
    assert letter.why["likely"]


def test_a_creation_that_conflicts_with_what_is_there_adopts_it(new_world):
    """409 on a creation: someone made the record a moment ago. Nothing is doubled."""
    world = new_world(None, members(find=("email",), unique="email"))
    start(world, 1)
    real = world.members.add
    world.network.passing = lambda e: (
        real(email="p0@example.com", name="theirs", rev=0)
        if e.system == "mail" and e.request.method == "POST" and not world.members.records
        else None
    )

    outcome = world.run()

    assert "green" == outcome.state
    assert [{"email": "p0@example.com", "name": "P0", "rev": 0}] == world.arrived


def test_a_counterpart_that_was_made_anew_is_found_by_its_match_key(new_world):
    """404 on an update: the record was merged, or deleted and made again, under another id."""
    world = new_world()
    start(world, 1)
    world.run()
    lead, there = world.leads.records[0], world.members.records[0]
    world.members.remove(there["id"])
    world.members.add(email=there["email"], name="again", rev=0)
    world.leads.change(lead["id"], name="Ann")

    outcome = world.run()
    story = world.story(lead["id"])

    assert "green" == outcome.state
    assert "Ann" == world.members.records[0]["name"]
    assert str(world.members.records[0]["id"]) == story.target_id
    assert "its counterpart has another id now" in [moment.what for moment in story.moments]


def test_a_counterpart_that_is_gone_is_parked_and_made_anew_only_when_a_person_says_so(new_world):
    """Someone deleted it there, perhaps for a reason."""
    world = new_world()
    start(world, 1)
    world.run()
    lead, there = world.leads.records[0], world.members.records[0]
    world.members.remove(there["id"])
    world.leads.change(lead["id"], name="Ann")

    outcome = world.run()
    (letter,) = world.letters()
    again = world.run(redrive=(letter.id,))

    assert {"attention": 1, "parked": 1} == told(outcome)
    assert "not-there" == letter.cause
    assert "green" == again.state
    assert [{"email": "p0@example.com", "name": "Ann", "rev": 0}] == world.arrived


@pytest.mark.parametrize("status", [403, 404])
def test_many_refusals_in_a_row_halt_the_run_before_all_is_parked(new_world, status):
    """A missing scope, a wrong path: not the records' fault."""
    world = new_world()
    start(world, 60)
    world.network.strike(error(status), system="mail", method="POST", times=999)

    outcome = world.run()

    assert "failed" == outcome.state
    assert 10 == outcome.counts.parked
    assert 50 == outcome.counts.owed


def test_refused_credentials_halt_and_nothing_is_dropped(new_world):
    world = new_world()
    start(world, 40)
    world.network.strike(error(401), system="mail", method="POST", times=999)

    outcome = world.run()
    world.network.strikes_end()

    assert "failed" == outcome.state
    assert "credentials" in outcome.next_step
    assert 40 == outcome.counts.owed
    assert {"green": 40, "unchanged": 40} == {k: v for k, v in told(world.run()).items() if k in ("green", "unchanged")}
    assert 40 == len(world.members.records)


def test_an_answer_that_was_lost_tells_how_the_doubt_was_settled(new_world):
    world = new_world()
    start(world, 1)
    world.network.strike(UNANSWERED, system="mail", method="POST")

    outcome = world.run()

    assert {"green": 1, "created": 1} == told(outcome)
    assert 1 == len(world.members.records)
    assert "looked: it had been done" in [moment.what for moment in world.story(world.leads.records[0]["id"]).moments]


PAGE = answering(200, b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>Please log in</body></html>", {"Content-Type": "text/html"})
"""What a proxy says in the vendor's place: nothing was done."""


@pytest.mark.parametrize("operation", ["create", "update", "delete"])
def test_a_page_in_place_of_an_answer_to_a_write_is_no_yes(new_world, operation):
    """A log-in page comes with status 200: whoever believes it loses the change without anybody noticing."""
    world = new_world(source=leads(tombstones=True), deletes="delete")
    start(world, 3)
    if operation != "create":
        world.run()
        for lead in list(world.leads.records):
            if operation == "update":
                world.leads.change(lead["id"], name="new")
            else:
                world.leads.remove(lead["id"])
    method = {"create": "POST", "update": "PATCH", "delete": "DELETE"}[operation]
    world.network.strike(PAGE, system="mail", method=method, times=2)

    assert {"green": 3, operation + "d": 3} == told(world.run())
    names = [] if operation == "delete" else ["new"] * 3 if operation == "update" else ["P0", "P1", "P2"]
    assert names == sorted(member["name"] for member in world.members.records)
    with world.store() as db:
        assert [(2,)] == db.read("SELECT count(*) FROM call WHERE failure = 'undecodable'")


def test_a_word_in_place_of_a_record_is_a_yes(new_world):
    world = new_world()
    start(world, 1)
    world.run()
    world.leads.change(world.leads.records[0]["id"], name="new")
    world.network.strike(answering(200, b"OK", done=True), system="mail", method="PATCH")

    assert {"green": 1, "updated": 1} == told(world.run())


def test_what_was_created_without_an_answer_counts_as_created(new_world):
    """Although the vendor stored it otherwise than it was sent, so that an update followed."""
    world = new_world(target=members(normalise=lambda record: {**record, "name": record["name"].upper()}))
    world.leads.add(email="a@example.com", name="Ann", rev=0)
    world.network.strike(UNANSWERED, system="mail", method="POST")

    assert {"green": 1, "created": 1} == told(world.run())


@pytest.mark.parametrize("known", [True, False], ids=["an update", "a record that is not decided yet"])
def test_a_record_that_is_edited_all_the_time_does_not_restart_the_age_of_what_is_owed(new_world, known):
    """`unavailable: keep` and the promise of freshness are about the oldest change that has not arrived, not about the latest version."""
    world = new_world(retry={"attempts": 2}, unavailable={"keep": "5h"}, freshness="3h")
    start(world, 1)
    if known:
        world.run()
    else:
        world.leads.add(email="first@example.com", name="First", rev=0)
        world.run()
        world.leads.add(email="second@example.com", name="Second", rev=0)
    edited = world.leads.records[-1]["id"]
    world.network.strike(REFUSED, system="mail", times=10_000)
    ends, since = [], world.clock.now()
    for hour in range(7):
        world.leads.change(edited, rev=hour + 1)
        ends.append(world.run().state)
        world.clock.advance(3600)
    with world.life() as life:
        status = life.tieline.status()[0]

    assert [*["owed"] * 5, "halted", "halted"] == ends
    assert 7 * 3600 == pytest.approx(status.freshness_age, abs=600)
    assert status.kept_too_long
    assert status.watermark == pytest.approx(since, abs=60)
    world.network.strikes_end()
    world.clock.advance(3600)
    assert "green" == world.run().state
    assert 5 + 2 == next(member["rev"] for member in world.members.records if member["email"] == world.leads.records[-1]["email"])


@pytest.mark.parametrize("fault", [UNANSWERED, LOST], ids=lambda fault: fault.name)
def test_after_a_lost_answer_to_a_batch_what_is_left_to_be_written_goes_in_batches(new_world, fault):
    """Each record has to be looked for; a call for each that is still to be written would be as many again."""
    rewrites = lambda record: {**record, "name": f"Dr {record['name']}"}  # noqa: E731 - so that what is found still lacks something
    world = new_world(target=members(batch={"create": 50, "update": 50}, normalise=rewrites))
    start(world, 150)
    world.network.strike(fault, system="mail", method="POST", times=3)

    outcome = world.run()

    assert {"green": 150, "created": 150} == told(outcome)
    assert 150 == len(world.members.records)
    assert 150 == world.calls(method="GET").count(("GET", "search"))
    assert 3 + 3 == len(world.calls(method="POST"))


def test_where_nothing_can_be_searched_one_listing_settles_the_doubts_of_a_batch(new_world):
    world = new_world(target=members(find=(), batch={"create": 50}, page_size=20))
    start(world, 50)
    world.network.strike(UNANSWERED, system="mail", method="POST", times=1)

    assert {"green": 50, "created": 50} == told(world.run())
    assert 50 == len(world.members.records)
    assert 1 + 3 >= world.calls(method="GET").count(("GET", "members"))  # the survey of nothing, and one listing of three pages


@pytest.mark.parametrize("attempts", [1, 2, 6])
def test_one_record_that_a_batch_always_fails_with_is_left_alone_in_the_end(new_world, attempts):
    """Promise 6: whose batch answers 500 whenever it is among them must not keep the others waiting, run after run."""
    world = new_world(
        target=members(batch={"create": 50}),
        retry={"attempts": attempts},
        connector=lambda declared: declared.update(breaker={"failures": 100}),
    )
    start(world, 20)
    world.network.weather = lambda system, request, now: (
        error(500) if system == "mail" and request.method == "POST" and b"p7@" in (request.body or b"") else None
    )

    outcome = world.run()

    assert {"owed": 20, "created": 19, "owed_": 1} == {
        outcome.state: outcome.counts.read, "created": outcome.counts.created, "owed_": outcome.counts.owed
    }  # fmt: skip
    assert "p7@example.com" not in [member["email"] for member in world.members.records]


@pytest.mark.parametrize(
    ("status", "advice"), [(404, "correct the path"), (422, "correct the call"), (403, "permission"), (409, "run again")]
)
def test_what_to_do_about_a_list_that_is_refused_is_not_said_of_a_record(new_world, status, advice):
    """There is no dead letter that could be redriven: the connector is wrong, or the account."""
    world = new_world()
    world.network.strike(error(status), system="crm")
    outcome = world.run()

    assert "failed" == outcome.state
    assert advice in outcome.next_step
    assert "redrive" not in outcome.next_step


@pytest.mark.parametrize("update", ["patch", "put"])
def test_what_the_destination_keeps_is_kept_though_an_answer_was_lost(new_world, update):
    """While no one knows what the destination says, all fields are sent again, but those that were never to be sent."""
    world = new_world(conflict="target", target=members(update=update), retry={"attempts": 2})
    met = world.members.add(email="p0@example.com", name="Their own", rev=0)
    start(world, 1)
    world.run()
    (lead,) = (record["id"] for record in world.leads.records)
    for rev, fails in ((5, True), (6, False), (7, True), (None, False), (8, False)):
        if rev is not None:
            world.leads.change(lead, rev=rev)
        if fails:
            world.network.strike(LOST, system="mail", method="PATCH" if update == "patch" else "PUT", times=2)
        world.run()

    assert {"id": met, "email": "p0@example.com", "name": "Their own", "rev": 8} == world.members.record(met)
    world.leads.change(lead, name="Ours now")
    world.run()
    assert "Ours now" == world.members.record(met)["name"]


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_batch_that_is_refused_and_tells_what_it_took_is_believed(new_world, status):
    """Sent again in halves, what it took would be there twice."""
    bad = lambda operation, record: "no such name" if record.get("name") == "Bad" else None  # noqa: E731
    world = new_world(target=members(batch={"create": 50}, find=(), refuses=bad))
    start(world, 5)
    world.leads.add(email="bad@example.com", name="Bad", rev=0)
    handle = world.mail.handle

    def handle_and_refuse(*asked):
        response = handle(*asked)
        if b'"error":"no such name"' in response.body:
            response.status = status
        return response

    world.mail.handle = handle_and_refuse

    assert {"attention": 6, "created": 5, "parked": 1} == told(world.run())
    assert 5 == len(world.members.records)
    assert ["no such name"] == [letter.why["answer"] for letter in world.letters()]


def test_the_doubt_about_one_record_is_not_taken_for_doubt_about_those_that_were_left_with_it(new_world):
    """The run ends at answers that are lost; a creation that was never sent then is owed, and no more than that."""
    world = new_world(target=members(find=(), lists=False), mail={"idempotency": True, "concurrency": 1}, match=None, retry={"attempts": 1},
                      source=leads(changed_since="version", order="changed"))  # fmt: skip
    known = [world.leads.add(email=f"lead{n}@example.org", name="Lead", rev=1) for n in range(6)]
    world.run()
    for lead in known:
        world.leads.change(lead, rev=2)
    new = world.leads.add(email="new@example.org", name="New", rev=1)
    world.network.strike(LOST, system="mail", method="PATCH", times=6)
    world.run()
    never_sent = world.deliveries(new)[-1].state
    world.clock.advance(100)
    world.network.strike(REFUSED, system="mail", times=1000)
    world.leads.change(new, rev=2)
    world.run()
    world.network.strikes_end()
    world.clock.advance(10_000)
    world.network.strike(UNANSWERED, system="mail", method="POST")
    world.run()
    world.clock.advance(10_000)
    last = world.run()

    assert "owed" == never_sent
    assert ["superseded", "delivered"] == [delivery.state for delivery in world.deliveries(new)]
    assert ("green", []) == (last.state, world.letters())
    assert 1 == len(world.members.where("email", "new@example.org"))


def test_a_creation_in_doubt_that_is_refused_in_the_end_leaves_none_to_the_later_version(new_world):
    """The vendor knows the first one by its key, and says that it was not made; whenever the process died while both were on their way."""
    bad = lambda operation, record: "no such name" if record.get("name") == "Bad" else None  # noqa: E731
    together = 0
    for number in range(1, 30):
        world = new_world(match={}, target=members(refuses=bad), mail={"idempotency": True}, retry={"attempts": 2})
        lead = world.leads.add(email="a@example.com", name="Bad", rev=0)
        world.network.strike(UNANSWERED, system="mail", method="POST", times=9)
        world.run()
        world.leads.change(lead, name="Good")
        world.clock.advance(100)
        with contextlib.suppress(Crash):
            world.run(process=Process(lambda step, what, last=number: step == last))
        world.clock.advance(1000)
        together += ["unknown", "sending"] == [delivery.state for delivery in world.deliveries(lead)]
        world.network.strikes_end()

        assert "green" == world.run().state
        assert ["Good"] == [member["name"] for member in world.members.records]
        (world.folder / "store.db").unlink()
    assert together
