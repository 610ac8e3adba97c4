"""Promises broken on purpose, one at a time, to see that the simulation notices."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from engine.simulation import Simulation
from tieline.dialects.dialect import Receipt, Since
from tieline.dialects.rest import batch_results
from tieline.dialects.rest.listing import ListReader
from tieline.dialects.rest.since import SinceTracker
from tieline.dialects.rest.windows import Windows
from tieline.engine.core.allowances import KeptAllowances
from tieline.engine.core.failures import Reaction
from tieline.engine.core.ledger import Ledger
from tieline.engine.decide.pipeline import Pipeline
from tieline.engine.deliver import sender as delivering
from tieline.engine.deliver.queue import Line
from tieline.engine.deliver.sender import Sender
from tieline.engine.deliver.uncertain import Doubts
from tieline.engine.intake.absence import Absence
from tieline.model.errors import Passing
from tieline.model.paths import get
from tieline.model.records import ABSENT
from tieline.store import links, outbox, runs
from tieline.store.delivery import Delivery
from tieline.transport.limits.budget import Budget
from tieline.transport.limits.rate_budget import Allowance
from tieline.transport.recording import CallRecord

Mutation = Callable[[pytest.MonkeyPatch], None]
Where = Callable[[Simulation], bool]


def in_worlds(where: Where) -> Callable[[Mutation], Mutation]:
    """Say in which worlds a mutation can be noticed, if those are few: the others need not be lived through."""

    def put(mutation: Mutation) -> Mutation:
        mutation.where = where  # type: ignore[attr-defined]
        return mutation

    return put


def doubts_are_not_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may have been done is sent again without a look."""

    async def blindly(self: Sender, delivery: Delivery) -> bool:
        return True

    monkeypatch.setattr(Sender, "_settle_doubt", blindly)


def a_lost_answer_counts_as_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may not have been done is taken as done."""

    async def gladly(self: Sender, delivery: Delivery) -> bool:
        delivery.target_id = delivery.target_id or f"guessed-{delivery.id}"
        self._confirm([(delivery, delivery.target_id, delivery.call)])
        return False

    monkeypatch.setattr(Sender, "_settle_doubt", gladly)


def what_a_crash_left_is_not_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was on its way when a process died is sent again as if it had never left."""

    def owed(connection: sqlite3.Connection, integration: int, first: int, **_: object) -> None:
        connection.execute(
            "UPDATE delivery SET state = 'owed' WHERE integration = ? AND state = 'sending' AND id >= ?", (integration, first)
        )

    monkeypatch.setattr(outbox, "doubt_sending", owed)


def what_a_crash_left_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was on its way when a process died stays as it is."""
    monkeypatch.setattr(outbox, "doubt_sending", lambda connection, integration, first, **_: None)


def the_cursor_is_committed_before_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the two passes over the page's records."""
    take = Pipeline.take

    async def early(self: Pipeline, *arguments: Any, cursor: str | None = None, **more: Any) -> None:
        if cursor is not None:
            ledger = self._ledger
            await ledger.commit(lambda connection: runs.move_cursor(connection, ledger.integration, cursor))
        await take(self, *arguments, cursor=cursor, **more)

    monkeypatch.setattr(Pipeline, "take", early)


def the_cursor_is_the_largest_time_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor passes what changed on an earlier page while the list was read."""

    def hasty(self: SinceTracker, *, last_page: bool) -> Since | None:
        return Since(self._seen, self._seen) if last_page and self._seen is not None else None

    monkeypatch.setattr(SinceTracker, "safe", hasty)


def a_list_that_moved_counts_as_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second reading of a list whose pages are counted is skipped: what slipped to a page that was read is lost."""
    monkeypatch.setattr(ListReader, "_is_whole", lambda self, walk, before: True)


def a_list_ends_at_the_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the vendor shows is taken for all there is: a short list counts as whole."""
    monkeypatch.setattr(Windows, "split", lambda self, window, places: [])


def an_unsettled_list_moves_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark is given before it is known whether the list held still."""
    page = ListReader._page

    def hasty(self: ListReader, *arguments: Any) -> Any:
        found = page(self, *arguments)
        found[0].since = self._mark()
        return found

    monkeypatch.setattr(ListReader, "_page", hasty)


@in_worlds(lambda simulation: simulation.source.conditional is not None and simulation.source.list_lag > 0)
def a_304_is_believed_though_the_list_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor's mark is younger than what its list showed when it was given."""
    mark = ListReader._mark

    def trusting(self: ListReader, last_page: bool = True) -> Any:
        since = mark(self, last_page)
        return msgspec.structs.replace(since, tag_holds=True) if since is not None and since.tag is not None else since

    monkeypatch.setattr(ListReader, "_mark", trusting)


def a_records_deliveries_overtake_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for an earlier version of the same record."""

    def put(self: Line, deliveries: Sequence[Delivery], now: float) -> tuple[list[Delivery], list[Delivery]]:
        for delivery in deliveries:
            self._ready[delivery.operation].appendleft(delivery)
        self.open += len(deliveries)
        return [], []

    monkeypatch.setattr(Line, "put", put)


def nothing_is_claimed_before_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was owed stays owed while it is on its way: after a crash it is not doubted."""

    def unclaimed(connection: sqlite3.Connection, deliveries: Sequence[Delivery]) -> set[int]:
        return {delivery.id for delivery in deliveries}

    monkeypatch.setattr(outbox, "claim", unclaimed)


def a_delivery_is_confirmed_without_its_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delivery and link are two commits: a crash between them forgets the counterpart."""
    commit = Sender._commit_confirmed

    async def in_two(self: Sender, batch: list[tuple[Delivery, str, int | None]]) -> None:
        ledger, now = self._ledger, self._ledger.clock.now()
        settled = [(delivery.id, call, delivery.attempts) for delivery, _, call in batch]
        await ledger.commit(lambda connection: outbox.confirm(connection, settled, run=ledger.run, now=now))
        await commit(self, batch)

    monkeypatch.setattr(Sender, "_commit_confirmed", in_two)


def links_are_committed_before_their_deliveries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is two commits: after a crash between them its records count as seen."""
    from tieline.engine.decide import pipeline

    unit = pipeline._Page.unit

    def early(self: Any, ledger: Ledger, now: float, cursor: str | None) -> Callable[[sqlite3.Connection], None]:
        if self.links:
            ledger.db.write(lambda connection: links.put(connection, ledger.integration, ledger.run, self.links))
        return unit(self, ledger, now, cursor)

    monkeypatch.setattr(pipeline._Page, "unit", early)


def a_superseded_delivery_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is written whatever has become of the delivery meanwhile."""

    def set_state(connection: sqlite3.Connection, delivery: Delivery, *, now: float, run: int) -> None:
        connection.execute("UPDATE delivery SET state = ?, reason = ? WHERE id = ?", (delivery.state, delivery.reason, delivery.id))

    monkeypatch.setattr(outbox, "set_state", set_state)


def a_wait_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor's Retry-After is taken as advice."""
    throttled = Budget.throttled
    monkeypatch.setattr(Budget, "throttled", lambda self, seconds, *rest, **how: throttled(self, seconds / 2, *rest, **how))


def a_wait_is_forgotten_by_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a Retry-After dies with the process that was told."""

    async def change(self: KeptAllowances, name: str, change: Callable[[Allowance], Any]) -> Any:
        return change(Allowance())

    monkeypatch.setattr(KeptAllowances, "peek", lambda self, name: None)
    monkeypatch.setattr(KeptAllowances, "change", change)


def a_wait_on_a_good_answer_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is asked to leave a vendor alone, politely, goes on."""
    answered = Budget.answered

    def deaf(self: Budget, headers: Any, cost: int = 1) -> None:
        answered(self, headers, cost)

    monkeypatch.setattr(Budget, "answered", deaf)


def what_is_undone_on_its_way_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version is compared with what was agreed, and what is on its way is not thought of."""
    monkeypatch.setattr("tieline.engine.decide.pipeline._AT_REST", ("linked", "noted", "queued", "filtered"))


def failures_give_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passing failure parks the delivery."""

    async def park(self: Sender, deliveries: Sequence[Delivery], error: Any) -> None:
        for delivery in deliveries:
            await self._park(delivery, error)

    monkeypatch.setattr(Sender, "_try_again", park)


def a_drained_run_forgets_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up is lost: whoever waits for room waits for ever."""
    release = Sender._release_puts

    def sometimes(self: Sender) -> None:
        if self._line.open:
            release(self)

    monkeypatch.setattr(Sender, "_release_puts", sometimes)


def calls_after_the_last_commit_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no commit took along is not written when the run ends."""
    monkeypatch.setattr(Ledger, "close_journal", lambda self: None)


def a_request_that_was_given_up_leaves_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have arrived all the same."""
    observe = Ledger.observe

    def only_answers(self: Ledger, record: CallRecord) -> int:
        return observe(self, record) if record.failure != "cancelled" else 0

    monkeypatch.setattr(Ledger, "observe", only_answers)


@in_worlds(lambda simulation: simulation.renames > 0 and bool(simulation.target.find or simulation.target.lists))
def what_is_not_found_by_its_key_was_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search by the match key is believed, whatever someone may have renamed since."""

    async def nothing(self: Doubts, delivery: Delivery, *, alone: bool) -> Sequence[Any]:
        return []

    monkeypatch.setattr(Doubts, "under_another_key", nothing)


@in_worlds(lambda simulation: simulation.renames > 0 and simulation.target.unique is None)
def any_error_says_that_nothing_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway's word counts as the vendor's: what it answers after the work is sent again without a look."""
    monkeypatch.setattr("tieline.transport.caller.says_not_done", lambda response, error, errors: response is not None)


@in_worlds(lambda simulation: simulation.absent)
def one_absence_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one list does not show is gone: no one asks for it, and no second list has to agree."""

    async def judge(self: Absence, ids: Sequence[str], told: str) -> list[str]:
        return [*ids]

    async def nobody(system: object, resource: str, ids: Sequence[str], **_: object) -> dict[str, None]:
        return dict.fromkeys(ids)

    monkeypatch.setattr(Absence, "judge", judge)
    monkeypatch.setattr("tieline.engine.decide.missing.ask_for", nobody)


@in_worlds(lambda simulation: simulation.deaf)
def a_get_that_shows_nothing_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for by its id and is not there is gone, though nothing that is asked for so ever is."""

    async def works(self: Absence, ids: object) -> bool:
        return True

    monkeypatch.setattr(Absence, "_is_proven", works)


@in_worlds(lambda simulation: bool(simulation.source.late_deletes) and simulation.deletes != "ignore")
def a_hint_that_get_does_not_confirm_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that a feed tells of and `get` does not show yet is not asked for again."""

    async def dropped(self: Absence, ids: object, told: object = None) -> None:
        return None

    monkeypatch.setattr(Absence, "still_there", dropped)


def what_has_left_counts_as_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a crash nothing that was sent at once is in doubt."""
    may_leave = outbox.may_leave
    monkeypatch.setattr(outbox, "may_leave", lambda connection, integration, run, upto: may_leave(connection, integration, run, 0))


@in_worlds(lambda simulation: simulation.target.says_no != "status" and simulation.picky > 0 and not simulation.moves)
def a_200_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an answer of 2xx says is not looked at."""
    monkeypatch.setattr("tieline.dialects.rest.wire.conditions", lambda declared: ())


@in_worlds(lambda simulation: "update" in simulation.target.batch and simulation.target.results != "none")
def what_is_left_out_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch's answer that says nothing of a record means that all is well."""
    receipt = batch_results._receipt

    def gladly(result: Any, declared: Any, item: Any, how: Any, untold: str) -> Receipt:
        if result is ABSENT and item.id is not None:
            return Receipt(item.id, None, how.call)
        return receipt(result, declared, item, how, untold)

    monkeypatch.setattr(batch_results, "_receipt", gladly)


@in_worlds(lambda simulation: "create" in simulation.target.batch and simulation.target.results == "position")
def results_are_counted_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results by position are given to the first records, though fewer came, and whatever id comes twice."""

    def counted(answer: Any, declared: Any, items: Any, how: Any) -> list[Receipt]:
        found = get(answer, "results")
        return [
            batch_results._receipt(found[place] if place < len(found) else ABSENT, declared, item, how, "")
            for place, item in enumerate(items)
        ]

    monkeypatch.setattr("tieline.dialects.rest.batches.read_results", counted)


@in_worlds(lambda simulation: not simulation.moves)
def a_lock_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes by itself is parked at once."""
    reaction_to = delivering.reaction_to
    monkeypatch.setattr(delivering, "reaction_to", lambda error: Reaction.PARK if isinstance(error, Passing) else reaction_to(error))


@in_worlds(lambda simulation: simulation.moves)
def a_value_that_moves_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused because another record has its value still is parked at once."""
    monkeypatch.setattr(Sender, "_may_be_freed", lambda self, one, error: False)


MUTATIONS: list[Mutation] = [
    value
    for value in list(globals().values())
    if callable(value)
    and getattr(value, "__module__", "") == __name__
    and asyncio.iscoroutinefunction(value) is False
    and value is not in_worlds
]
