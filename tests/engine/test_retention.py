"""What is kept: by age, by size, in bounded steps, and never silently."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from engine.world import leads
from tieline.store import calls, retention
from tieline.store.calls import Body, Call
from tieline.store.database import Database
from tieline.store.retention import Retention
from tieline.testing import error

DAY = 86_400.0


def make(id: int, at: float, *, failed: bool = False, said: int = 0) -> Call:
    call = Call(id, at, "mail", 1, 1, "POST", "https://mail.example.test/v1/members", 422 if failed else 200, 0.01, 0.0, 10, 10, 1)
    if failed:
        call.failure, call.records = "rejected", (f"r{id}",)
        call.body = Body({}, "x" * said, {}, "")
    return call


@pytest.fixture
def db(swift_path: Path):
    with Database(swift_path / "store.db", threaded=False) as db:
        yield db


def fill(db: Database, count: int, *, at: float = 0.0, step: float = 0.001, said: int = 100) -> None:
    for start in range(0, count, 5000):
        made = [make(n + 1, at + n * step, failed=n % 10 == 0, said=said) for n in range(start, min(count, start + 5000))]
        db.write(lambda connection, made=made: calls.record(connection, made))


def numbers(db: Database) -> dict[str, int]:
    return {table: db.read(f"SELECT count(*) FROM {table}")[0][0] for table in ("call", "call_record", "call_body")}  # noqa: S608 - our names


def prune(db: Database, keep: Retention, *, now: float, added: int = 0) -> retention.Dropped | None:
    return retention.prune(db, keep, now=now, integration=1, run=1, added=added)


def test_calls_go_when_they_are_old_and_what_was_said_before(db):
    fill(db, 100, at=0.0, step=DAY)  # a call a day, every tenth failed
    dropped = prune(db, Retention(calls_seconds=30 * DAY, bodies_seconds=7 * DAY), now=100 * DAY)
    sums = calls.tally(db)

    assert dropped is None
    assert {"call": 30, "call_record": 3, "call_body": 0} == numbers(db)
    assert 0 == sums["body bytes"]
    assert sums["call bytes"] == db.read(f"SELECT ({calls.BYTES_OF_CALLS}) + ({calls.BYTES_OF_RECORDS})")[0][0]


def test_the_oldest_go_when_they_take_too_much_room_and_it_is_said(db):
    """Bodies go before lines; what is dropped is counted, and an event says so."""
    fill(db, 20_000, said=1000)
    first = prune(db, Retention(calls_bytes=5 * 2**20), now=1000.0)
    between = numbers(db)
    second = prune(db, Retention(calls_bytes=2 * 2**20), now=1001.0)
    sums = calls.tally(db)
    kinds = [row[0] for row in db.read("SELECT kind FROM event")]

    assert first is not None
    assert second is not None
    assert (0, 20_000) == (first.calls, between["call"])
    assert 0 < between["call_body"] < 2000
    assert 0 < second.calls
    assert sums["call bytes"] + sums["body bytes"] <= 2 * 2**20
    assert (second.calls, second.until) == (sums["calls dropped"], sums["calls dropped until"])
    assert ["calls dropped", "calls dropped"] == kinds
    assert db.read("SELECT min(at) FROM call")[0][0] > second.until


def test_a_run_drops_a_bounded_number_and_the_next_goes_on(db, monkeypatch):
    """A store that was left alone for years must not hold up the run that first looks at it."""
    fill(db, 120_000, said=10)
    deleted: list[int] = []
    write = Database.write

    def counted(self, unit):
        before = self._writer.total_changes
        result = write(self, unit)
        deleted.append(self._writer.total_changes - before)
        return result

    monkeypatch.setattr(Database, "write", counted)
    tracemalloc.start()
    prune(db, Retention(), now=1000 * DAY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    once = numbers(db)["call"]
    prune(db, Retention(), now=1000 * DAY + 1)
    twice = numbers(db)["call"]
    prune(db, Retention(), now=1000 * DAY + 2, added=120_000)

    assert 120_000 > once > twice > 0
    assert max(deleted) < 3 * 5_000  # a step: lines, their records, what was said
    assert peak < 2 * 2**20
    assert 0 == numbers(db)["call"]


def test_history_goes_with_its_runs_and_what_is_open_stays(new_world):
    world = new_world(
        source=leads(changed_since="version", order="changed"), match=None, file={"retention": {"history": "10d", "calls": "1d"}}
    )
    for number in range(3):
        world.leads.add(email=f"p{number}@example.org", name="P", rev=1)
    world.network.strike(error(422), system="mail", method="POST")
    world.run()
    world.clock.advance(11 * DAY)
    world.leads.add(email="new@example.org", name="N", rev=1)
    world.run()
    with world.store() as db:
        states = dict(db.read("SELECT state, count(*) FROM delivery GROUP BY state"))
        runs = db.read("SELECT count(*) FROM run")[0][0]

    assert {"dead": 1, "delivered": 1} == states
    assert 1 == runs
    assert {2} == {call.run for call in world.journal()}
