"""The journal of calls: which records a call was about, what was said, what a crash leaves, and what explain makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.world import NAME, leads, members
from tieline.model import events
from tieline.model.errors import TielineError
from tieline.store import calls
from tieline.store.calls import Search
from tieline.testing import REFUSED, UNANSWERED, Crash, Process, error, throttled
from tieline.testing.faults import answering

BATCH = {"batch": {"create": 10}, "results": "position"}


def fill(world: Any, count: int) -> None:
    for number in range(count):
        world.leads.add(email=f"person{number}@example.org", name=f"Person {number}", rev=1)


def about(world: Any, source_id: object) -> Search:
    return Search(records=((1, str(source_id)),))


def shown(call: calls.Call) -> tuple[str, str | None, int]:
    return call.operation, call.failure, call.attempt


def test_variables_stand_in_headers_as_they_are(new_world):
    """In those of every call and in those of one; an account named by its address would not be found percent-encoded."""

    def speak(declared: dict[str, Any]) -> None:
        declared["variables"] = {"account": "whose list it is"}
        declared["headers"] = {"X-Account": "{account}"}
        declared["resources"]["members"]["create"]["headers"] = {"X-For": "<{account}>"}

    world = new_world(connector=speak, connection={"variables": {"account": "me@example.org"}})
    fill(world, 1)
    world.run()
    asked = [exchange.request for exchange in world.network.exchanges if exchange.system == "mail"]

    assert {"me@example.org"} == {request.headers["X-Account"] for request in asked}
    assert ["<me@example.org>"] == [request.headers["X-For"] for request in asked if request.method == "POST"]


def test_a_variable_with_a_line_break_is_refused(new_world):
    """It would add a header of its own."""
    world = new_world(
        connector=lambda declared: declared.update(variables={"account": "whose"}), connection={"variables": {"account": "a\nb"}}
    )
    with pytest.raises(TielineError, match="the variable `account` holds a line break"):
        world.run()


def test_a_batch_names_every_record_of_it(new_world):
    """The delivery rows hold the call, the call its deliveries: nothing else is stored of a call that went well."""
    world = new_world(target=members(**BATCH))
    fill(world, 10)
    world.run()
    (batch,) = world.journal(Search(connection="mail"))[-1:]
    with world.store() as db:
        (named,) = db.read("SELECT count(*) FROM call_record JOIN call ON call.id = call WHERE operation = 'create'")

    assert ("create", "members", 10, 0) == (batch.operation, batch.resource, len(batch.records), batch.refused)
    assert [str(lead["id"]) for lead in world.leads.records] == [*batch.records]
    assert all(batch.id in [call.id for call in world.journal(about(world, id))] for id in batch.records)
    assert (0,) == named


def test_all_attempts_of_a_record_are_found_in_order(new_world):
    world = new_world(match=None, retry={"attempts": 5})
    fill(world, 1)
    world.network.strike(REFUSED, system="mail", method="POST")
    world.network.strike(throttled(3.0), system="mail", method="POST")
    world.run()
    found = world.journal(about(world, 1001))
    (line,) = [m.text for m in world.story(1001).moments if m.what == "attempt" and "unreachable" in m.text]

    assert [("create", "unreachable", 1), ("create", "rate-limited", 2), ("create", None, 2)] == [shown(call) for call in found]
    refused, sent = [e for e in world.network.exchanges if e.request.method == "POST"][-2:]
    assert 3.0 <= sent.sent_at - (refused.ended_at or 0.0) < 3.1, "the vendor's wait is kept from its answer on"
    assert 3.0 == pytest.approx(found[2].waited, abs=0.01)
    assert "create number 1: unreachable" == line


def test_a_record_that_alone_is_refused_is_found_with_its_batch(new_world):
    """The call went well, but not for this record: the delivery names a later call."""
    target = members(**BATCH, refuses=lambda operation, record: "no" if record["name"] == "Person 3" else None)
    world = new_world(target=target)
    fill(world, 10)
    world.run()
    (call,) = world.journal(Search(failed=True))

    assert (None, 1, 10) == (call.failure, call.refused, len(call.records))
    assert call.id in [found.id for found in world.journal(about(world, 1004))]


def test_a_page_has_its_number_and_a_search_its_record(new_world):
    world = new_world(source=leads(page_size=2), target=members(lists=False))
    fill(world, 3)
    world.run()
    pages = world.journal(Search(connection="crm"))
    searches = [call for call in world.journal(Search(connection="mail")) if call.operation == "find"]

    assert [("list", "leads", 1, ()), ("list", "leads", 2, ())] == [(c.operation, c.resource, c.page, c.records) for c in pages]
    assert [("1001",), ("1002",), ("1003",)] == sorted(call.records for call in searches)


def test_an_answer_that_cannot_be_read_is_a_failure_with_what_it_said(new_world):
    """Status 200 and a log-in page: without the page no one would find out."""
    page = answering(200, b"<html>please log in</html>")
    world = new_world()
    fill(world, 1)
    world.network.strike(page, system="crm")
    world.run()
    (call,) = world.journal(Search(failed=True))

    assert (200, "undecodable") == (call.status, call.failure)
    assert "please log in" in call.body.answer


def test_what_was_said_is_kept_of_failures_and_of_the_sample(new_world):
    none = new_world(match=None)
    fill(none, 2)
    none.network.strike(error(422, text="too short"), system="mail", method="POST")
    none.run()
    kept = [(call.failure, "too short" in call.body.answer, "person" in call.body.request) for call in none.journal() if call.body]

    assert [("rejected", True, True)] == kept


def test_a_sample_of_all_keeps_what_was_said_without_personal_data(new_world):
    def personal(connector: dict[str, Any]) -> None:
        resource = connector["resources"]["members"]
        resource["fields"] = {**resource["fields"], "email": {"type": "string", "personal": True}}

    world = new_world(connector=personal, file={"journal": {"sample": "100%"}})
    fill(world, 2)
    world.run()
    said = [call for call in world.journal(Search(connection="mail")) if call.body]
    text = "".join(f"{call.url} {call.body.request} {call.body.answer}" for call in said)

    assert any(call.operation == "create" for call in said)
    assert "Person 1" in text
    assert "person1" not in text


def test_a_crash_takes_the_line_along_but_not_that_the_write_was_on_its_way(new_world):
    """The call is not in the journal, because no commit came after it; the record's story says that it was in doubt."""
    world = new_world()
    fill(world, 1)
    with pytest.raises(Crash):
        world.run(process=Process(lambda number, what: what.startswith("after POST")))
    lost = [e for e in world.network.exchanges if e.request.method == "POST"]
    world.clock.advance(61)
    world.run()
    (doubt,) = [moment for moment in world.story(1001).moments if moment.what == "in doubt"]
    written = [call.method for call in world.journal() if call.operation == "create"]

    assert 1 == len(lost)
    assert "the process ended while it was on its way" in doubt.text
    assert [] == written
    assert 1 == len(world.members.records)


def test_a_run_that_lost_its_lease_still_says_what_it_called(new_world):
    """It can't commit anything else; but the calls were made, and two runners are just what one must be able to see."""
    world = new_world()
    fill(world, 1)

    def take_over(exchange: Any) -> None:
        if exchange.request.method == "POST":
            with world.store() as db:
                db.write(lambda connection: connection.execute("UPDATE integration SET fence = fence + 1"))

    world.network.passing = take_over
    world.run()

    assert "create" in [call.operation for call in world.journal()]


def test_listeners_are_told_what_goes_wrong_and_not_what_goes_well(new_world):
    world = new_world(match=None, target=members(refuses=lambda operation, record: "no" if record["rev"] == 2 else None))
    fill(world, 30)
    world.leads.add(email="x@example.org", name="X", rev=2)
    world.network.strike(UNANSWERED, system="mail", method="POST", after=2)
    world.network.strike(REFUSED, system="mail", method="POST", after=5)
    told: list[events.Event] = []

    async def work(tieline: Any) -> None:
        tieline.tell = told.append
        await tieline.run(NAME)

    world.within(work)
    names = [event.name for event in told]
    (parked,) = [event for event in told if type(event) is events.DeliveryParked]
    (retried,) = [event for event in told if isinstance(event, events.DeliveryRetried) and event.cause == "unreachable"]

    assert ("run.started", "run.ended") == (names[0], names[-1])
    assert 3 == names.count("call.failed")
    assert ("1031", "rejected") == (parked.record, parked.cause)
    assert retried.wait_seconds > 0
    assert len(names) < 10
