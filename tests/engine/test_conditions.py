"""Writes on condition that no one was at the record since it was read: what someone edits between our read and our write is not lost."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.world import NAME, World, leads, members, told
from tieline.model.errors import StoreError
from tieline.testing import UNANSWERED, Crash, Exchange, Process, SimulatedDatabase

TWO_WAY: dict[str, Any] = {"direction": "two-way", "conflict": None, "unmatched": "create"}


def world(swift_path: Path, *, how: Any = "header", tells: Any = "record", **integration: Any) -> World:
    """Return two systems that keep versions, with one linked pair, Ann."""
    changed = {"changed_since": "time", "versions": how, "tombstones": True, "tells": tells}
    made = World(swift_path, leads(**changed), members(**changed), **{**TWO_WAY, **integration})
    made.leads.add(email="ann@example.com", name="Ann", rev=1)
    made.members.add(email="ann@example.com", name="Ann", rev=1)
    made.run()
    made.clock.advance(60.0)
    made.run()
    made.clock.advance(60.0)
    return made


def before_the_first_write(world: World, what: Any, *, times: int = 1) -> None:
    """Let someone do something just before a write arrives at the email platform."""
    left = [times]

    def passing(exchange: Exchange) -> None:
        if left[0] and exchange.system == "mail" and exchange.request.method in ("PATCH", "DELETE"):
            left[0] -= 1
            what()

    world.network.passing = passing


@pytest.mark.parametrize("how", ["header", "body"])
@pytest.mark.parametrize("tells", ["record", "nothing"])
def test_an_edit_of_another_field_while_we_write_goes_over_in_the_same_run(how: str, tells: str, swift_path: Path) -> None:
    """The write is refused, both are read again, and each side gets what the other has new: no one waits, and nothing is lost."""
    w = world(swift_path, how=how, tells=tells)
    w.leads.change(1001, rev=2)
    before_the_first_write(w, lambda: w.members.change(1001, name="Anna"))
    outcome = w.run()

    assert [("Anna", 2)] == [(r["name"], r["rev"]) for r in w.members.records] == [(r["name"], r["rev"]) for r in w.leads.records]
    assert {"green": 4, "updated": 2, "unchanged": 1, "superseded": 1} == told(outcome)
    assert 1 == w.members.stale
    assert ["rev"] == [field for written in w.members.written for field in written.sent], "the name that they wrote was never written over"


def test_an_edit_of_the_same_field_while_we_write_is_a_conflict_that_is_told(swift_path: Path) -> None:
    """The policy decides, and what lost is in the record's story with the reason why it was decided twice."""
    w = world(swift_path, map={"email": "email", "rev": {"from": "rev", "conflict": "left"}})
    w.leads.change(1001, rev=2)
    before_the_first_write(w, lambda: w.members.change(1001, rev=7))
    outcome = w.run()

    assert {"green": 4, "updated": 1, "unchanged": 2, "superseded": 1} == told(outcome)
    story = [(moment.what, moment.text) for moment in w.story(1001).moments]
    assert any(what == "changed there while we were about to write" for what, _ in story), story
    assert any(what == "conflict decided" and '"rev":7' in text.replace(" ", "") for what, text in story), story
    assert [2] == [record["rev"] for record in w.members.records]
    assert {"delivered": 1, "superseded": 1} == w.balance()


def test_whoever_is_faster_each_time_is_waited_for_by_the_next_run(swift_path: Path) -> None:
    """A record that is stale three times stays owed, and visibly so; no attempt is spent, and nothing is parked."""
    w = world(swift_path)
    w.leads.change(1001, rev=2)
    numbers = iter(range(9))
    before_the_first_write(w, lambda: w.members.change(1001, name=f"Ann {next(numbers)}"), times=3)
    first = w.run()
    w.clock.advance(60.0)
    second = w.run()

    assert 3 == w.members.stale
    assert "owed" == first.state
    assert "changed there while we were about to write" in (first.error or "")
    assert first.counts.balances
    assert "green" == second.state
    assert [("Ann 2", 2)] == [(r["name"], r["rev"]) for r in w.members.records] == [(r["name"], r["rev"]) for r in w.leads.records]
    assert {1} == {delivery.attempts for delivery in w.deliveries(1001) if delivery.state == "delivered"}


@pytest.mark.parametrize(
    ("edited", "here", "there"), [("keep", ["Anna"], ["Anna"]), ("hold", [], ["Anna"]), ("delete", [], [])], ids=lambda value: str(value)
)
def test_what_somebody_edits_while_it_is_to_be_deleted_is_an_edit_against_a_deletion(
    edited: str, here: list[str], there: list[str], swift_path: Path
) -> None:
    """The deletion is refused by its condition, and the policy for edits against deletions decides."""
    w = world(swift_path, deletes={"left": "delete", "right": "delete", "edited": edited})
    w.leads.remove(1001)
    before_the_first_write(w, lambda: w.members.change(1001, name="Anna"))
    outcomes = [w.run() for _ in range(3)]

    assert 1 == w.members.stale
    assert (here, there) == ([r["name"] for r in w.leads.records], [r["name"] for r in w.members.records])
    assert all(outcome.counts.balances for outcome in outcomes)
    assert (["deleted"] if edited == "hold" else []) == [letter.why["kind"] for letter in w.letters()]


def test_a_record_of_which_the_version_is_not_known_is_read_before_it_is_written(swift_path: Path) -> None:
    """Our own write has made another version, and its answer said nothing: one call tells whether that is all that has happened."""
    w = world(swift_path, tells="nothing")
    w.leads.change(1001, rev=2)
    w.run()
    w.leads.change(1001, rev=3)
    w.members.list_lag = 3600.0  # the list shows neither our write nor what is edited now
    w.members.change(1001, name="Anna")
    w.network.exchanges.clear()
    outcome = w.run()

    assert [("GET", "members"), ("GET", "1001"), ("PATCH", "1001")] == w.calls()
    assert [("Anna", 3)] == [(r["name"], r["rev"]) for r in w.members.records] == [(r["name"], r["rev"]) for r in w.leads.records]
    assert {"green": 2, "updated": 2} == told(outcome)


def test_what_the_answer_to_our_write_shows_is_known_and_not_read_again(swift_path: Path) -> None:
    """A write on condition of the version before can only have made what it wrote: its own version is the next condition."""
    w = world(swift_path)
    w.leads.change(1001, rev=2)
    w.run()
    w.leads.change(1001, rev=3)
    w.members.list_lag = 3600.0
    w.network.exchanges.clear()
    w.run()

    assert [("GET", "members"), ("PATCH", "1001")] == w.calls()
    assert 0 == w.members.stale


def test_a_field_that_is_not_mapped_costs_no_second_call(swift_path: Path) -> None:
    """Its version is another one, and what is known of the record still holds: the list says so."""
    w = world(swift_path)
    w.members.change(1001, nickname="Annie")
    w.clock.advance(60.0)
    w.run()
    w.leads.change(1001, rev=2)
    w.clock.advance(60.0)
    w.network.exchanges.clear()
    w.run()

    assert [("GET", "members"), ("PATCH", "1001")] == w.calls()
    assert 0 == w.members.stale


def test_a_value_that_only_one_may_have_is_no_edit_and_is_parked(swift_path: Path) -> None:
    """A 409 may mean something else: the record has the version that was asked for, so someone has to act."""
    w = world(swift_path, match={"rev": "rev"})
    w.members.unique = "email"
    w.members.add(email="bob@example.com", rev=77)
    w.leads.change(1001, email="bob@example.com")
    outcome = w.run()

    assert "attention" == outcome.state
    assert ["stale"] == [letter.why["kind"] for letter in w.letters()]
    assert 0 == w.members.stale


def test_an_answer_that_was_lost_is_no_edit_of_somebody_else(swift_path: Path) -> None:
    """Sent again, the write meets the version that it has made itself: it had been done, and is not written twice."""
    w = world(swift_path)
    w.leads.change(1001, rev=2)
    w.network.strike(UNANSWERED, method="PATCH")
    outcome = w.run()

    assert 1 == w.members.stale
    assert {"green": 2, "updated": 1, "unchanged": 1} == told(outcome)
    assert 1 == len(w.members.written)


@pytest.mark.parametrize("how", ["a process dies", "the disk is full"])
def test_whatever_ends_a_run_that_decides_again(how: str, swift_path: Path) -> None:
    """The refused write stays owed until the pair is decided again: neither side's edit is lost, and none is written twice."""
    for number in range(1, 300):
        w = world(swift_path / str(number))
        w.leads.change(1001, rev=2)
        before_the_first_write(w, lambda members=w.members: members.change(1001, name="Anna"))
        commits = itertools.count(1)
        process = Process(lambda step, what, last=number: how == "a process dies" and step == last)
        if how == "the disk is full":
            w.database = lambda db, commits=commits, last=number: full(db, commits, last)
        with contextlib.suppress(Crash, StoreError):
            w.run(process=process)
        last, w.database = next(commits), lambda db: None
        for _ in range(3):
            w.clock.advance(61.0)
            outcome = w.run()

        where = f"ended at {number}, {process.steps[-1]}"
        assert [("Anna", 2)] == [(r["name"], r["rev"]) for r in w.members.records] == [(r["name"], r["rev"]) for r in w.leads.records], (
            where
        )
        assert ("green", 0) == (outcome.state, outcome.counts.written), where
        assert {"rev": 1, "name": 1} == Counter(field for side in (w.leads, w.members) for one in side.written for field in one.sent), where
        assert {"delivered", "superseded"} >= {*w.balance(), *w.balance(f"{NAME}/back")}, where
        if not process.dead and last <= number:
            break
    assert number > 10


def full(db: SimulatedDatabase, commits: Iterator[int], last: int) -> None:
    """Let one commit of all fail."""
    db.fails = lambda: StoreError("the disk is full") if next(commits) == last else None
