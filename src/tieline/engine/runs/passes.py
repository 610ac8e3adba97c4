"""A pass of an integration: what it is asked to do, what passes in one direction and in both share, and how it ended."""

from __future__ import annotations

import datetime as dt
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from tieline.dialects.dialect import System, Waiting
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.destination import Destination
from tieline.engine.core.failures import needs_a_person
from tieline.engine.core.ledger import Counts, Ledger
from tieline.engine.decide.brakes import Braked
from tieline.engine.deliver.retry import waits_as_told, waits_for_lag
from tieline.engine.intake.absence import Absence, lag_of
from tieline.engine.lookup.before_images import look_again
from tieline.engine.runs.redrive import Settlement
from tieline.engine.runs.repair import Mending
from tieline.model.clock import MOST_WAIT_SECONDS, believed
from tieline.model.ends import End, Known
from tieline.model.errors import RemoteError, SafetyStop, TielineError, Unshown
from tieline.store import outbox, runs
from tieline.store import state as shared
from tieline.store.delivery import Delivery
from tieline.store.letters import Chosen
from tieline.store.pairs import Side

PATIENCE_SECONDS: Final = 10.0
"""What a sender gets to end what is under way once a run is to end."""
UNDATED_NEXT: Final = (
    "correct `changed_since` in the connector: `field` (of several, the first that is not null counts), `field_format`, and `zone` for times "
    "without an offset; then run with `--full`"
)
"""What a person does when records don't say when they changed."""
_TOLD_NEXT: Final = "nothing: the first run after that asks for them once more, and decides"
_UNTOLD_NEXT: Final = "let the credentials read these records, or ask the vendor; each run asks again"
_MOST_NAMED: Final = 3
GOES_ON: Final = "nothing was lost; the next run goes on where this one stopped"


def undated_text(number: int) -> str:
    """Return what is wrong when so many records don't say when they changed."""
    return (
        f"{number:,} of the records that were read don't say when they changed: the field of `changed_since` is null, absent or unreadable "
        "in them, or a time without an offset of which no zone is known, and a list of changes may never show them"
    )


class Outcome(msgspec.Struct):
    """How a run ended."""

    integration: str
    run: int
    state: str
    """green; attention (something is parked or held, whatever else is owed); owed (a system could not be reached or not take all; the next
    run goes on); failed; halted; stopped."""
    counts: Counts
    seconds: float
    error: str | None = None
    next_step: str = ""
    open: dict[str, int] = {}
    """Open deliveries by state, over all runs."""
    brakes: Sequence[Braked] = ()
    """Of a plan: the brakes that would hold the run."""
    wrong: Sequence[str] = ()
    """What is wrong with the records that were read, one sentence each, although everything was done: `error` says nothing else then."""
    waiting: list[Waiting] = []
    """Of a run that leaves something owed: its systems from which nothing leaves for now, each with the end of that."""
    next_try_at: float | None = None
    """When the first of what is owed is tried again, in seconds since 1970 (UTC); None when nothing is owed, or it is due already."""
    store_failed: bool = False
    """It failed because the store could not be used."""


class Restoring(msgspec.Struct, frozen=True):
    """Values that lost a conflict, and shall hold after all."""

    events: tuple[int, ...]
    """The journal's events by which they were decided."""
    reason: str


class Wanted(msgspec.Struct, frozen=True):
    """What a run is asked to do."""

    limit: int | None = None
    """Stop after so many records; the cursor stays."""
    only: str | None = None
    """Only the record with this id; the cursor stays."""
    side: Side | None = None
    """Of a two-way integration: the side that `only` is a record of; the left one when None."""
    redrive: tuple[int, ...] | Chosen = ()
    """Decide these dead letters again, and read nothing; `limit` is of them then."""
    pace: float | None = None
    """Of a redrive: so many a second, whatever the connection's limits would allow."""
    settlement: Settlement | None = None
    """Of a redrive: what a person says about them first."""
    send: bool = True
    """Without it the run stops at the outbox: a plan."""
    full: bool = False
    """Read the whole source, whatever was read before."""
    allow_deletes: int | None = None
    """The most deletions of this run, in place of `brakes: {deletes: N}`."""
    allow_clears: int | None = None
    """The most records of a side in which one field may be emptied in this run, in place of `brakes: {clears: N}`; two-way only."""
    moved: bool = False
    """The systems are those that the links are about, though they are declared otherwise now."""
    undo: int | None = None
    """Put back what this run wrote, and read nothing."""
    delete_filled: bool = False
    """Of an undo: delete what the run created even where it has values in fields that tieline does not write."""
    restore: Restoring | None = None
    """Give back what decided conflicts have overwritten, of a two-way integration."""
    remake: bool = False
    """Of a two-way integration: make again what was deleted on one side, whatever `deletes` says."""
    mend: Mending | None = None
    """Send again what a verification found to have gone astray, and read nothing."""


EVERYTHING = Wanted()
"""A whole run."""


UNSEEN_NEXT: Final = "correct the field's name; if the vendor leaves it out where it is empty, declare it `sparse: true` in the connector"


class Way(NamedTuple):
    """One direction of a pass: what is written to one system."""

    job: CompiledIntegration
    target: System
    ledger: Ledger
    sender: Destination


class Pass(ABC):
    """The steps of one run."""

    ways: Sequence[Way]
    """The directions in which it writes; the first one's ledger is the run's."""

    def __init__(
        self, name: str, state: runs.State, wanted: Wanted, *, stopped: Callable[[], str | None], progress: Callable[[], None]
    ) -> None:
        """`stopped` says why the process was asked to end, if it was; `progress` is called when counts have moved."""
        self.name, self.wanted = name, wanted
        self._state, self._stopped, self._progress = state, stopped, progress
        self.complete = self.drained = False
        self.overdue: str | None = None
        """Why it has to end, when it takes too long."""
        self.unseen: Sequence[str] | None = None
        """What is to be told of fields that are read, and that no record has; None when not all was read."""
        self.wrong: Sequence[str] = ()
        """What is wrong with the records that were read, known with the verdict."""
        self.untold: dict[str, str] = {}
        """By id, why the source does not say whether a record is there."""
        self.judges: Sequence[tuple[str, Absence]] = ()
        """Who judges what is gone, each with the place whose records they are."""
        self.unanswered: RemoteError | None = None
        """Why a destination can't be asked in this run."""

    @abstractmethod
    async def go(self) -> None:
        """Do it all."""

    @abstractmethod
    async def close(self) -> None:
        """Stop reading and sending, whatever is still under way: nothing may outlive the run."""

    @property
    @abstractmethod
    def systems(self) -> Sequence[System]:
        """The systems that it speaks to."""

    @property
    def brakes(self) -> Sequence[Braked]:
        """The brakes that would hold this run, of a plan."""
        return ()

    @property
    def counts(self) -> Counts:
        """What became of what was read."""
        return self.ways[0].ledger.counts

    def halt(self, why: TielineError) -> None:
        """Send nothing more."""
        for way in self.ways:
            way.sender.halt(why)

    def end(self, why: str) -> None:
        """End in good order: no new page, no new write; what is under way is waited for."""
        self.overdue = why
        self.halt(SafetyStop(why))

    @property
    def halted(self) -> TielineError | None:
        """Why nothing more is sent, if so."""
        return next((way.sender.halted for way in self.ways if way.sender.halted is not None), None)

    def open_states(self) -> dict[str, int]:
        """Return how many deliveries are in each open state, over all runs."""
        found: dict[str, int] = {}
        for way in self.ways:
            for state, number in outbox.count_states(way.ledger.db, way.ledger.integration).items():
                found[state] = found.get(state, 0) + number
        return found

    def next_try_at(self, now: float) -> float | None:
        """Return when the first of what is owed, or of what can't be believed yet, may be tried again; None when that is past, or nothing is."""
        due = [outbox.next_due(way.ledger.db, way.ledger.integration, now) for way in self.ways]
        due += [waits.until for _, judge in self.judges if (waits := judge.waiting()) is not None and waits.until > now]
        return min((at for at in due if at is not None), default=None)

    def verdict(self) -> tuple[str, str | None, str]:
        """Return how the run ended: state, error, next step."""
        counts, halted = self.counts, self.halted
        if (why := self._stopped()) is not None:
            return "stopped", why, "run again: it goes on where it stopped"
        if self.overdue is not None:
            return "owed", self.overdue, GOES_ON
        if self.wanted.send and not counts.balances:
            return (
                "failed",
                f"the books don't balance: read {counts.read}, accounted for {counts.settled}",
                "please report this as a bug of tieline",
            )
        if isinstance(halted, RemoteError) and needs_a_person(halted):
            return "failed", str(halted), halted.next_step
        if halted is not None:
            ended, next_step = self.with_letters("owed", "nothing was lost; the next run sends what is owed")
            return ended, str(halted), next_step
        open_ = self.open_states()
        if self.wanted.send and (open_.get("owed") or open_.get("unknown")):
            ended, next_step = self.with_letters("owed", "the next run sends what is owed")
            first = next(
                first for way in self.ways for first in outbox.open_of(way.ledger.db, way.ledger.integration, ("owed", "unknown"), limit=1)
            )
            if first.why.get("kind") == Unshown.kind:
                next_step = "; ".join(text for text in (next_step, first.why["next"]) if text)
            # What is owed undecided since earlier runs says what was so then.
            now_known = first.operation == "none" and self.unanswered is not None
            return ended, str(self.unanswered) if now_known else first.why.get("message"), next_step
        ended, next_step = self.with_letters("green", "")
        untold = [f"whether {id} is there can't be told: {why}" for id, why in itertools.islice(self.untold.items(), _MOST_NAMED)]
        if (more := len(self.untold) - len(untold)) > 0:
            untold.append(f"nor of {more} more")
        self.wrong = [*untold, *(self.unseen or ()), *([undated_text(counts.undated)] if counts.undated else [])]
        if self.wrong:
            steps = (
                next_step, _UNTOLD_NEXT if untold else "", UNSEEN_NEXT if self.unseen else "", UNDATED_NEXT if counts.undated else "",
            )  # fmt: skip
            return "attention", "; ".join(self.wrong), "; ".join(text for text in steps if text)
        if self.complete and (told := self._told_and_waiting()):
            ended, next_step = self.with_letters("owed", _TOLD_NEXT)
            return ended, told, next_step
        return ended, None, next_step

    def _told_and_waiting(self) -> str:
        """Return which deletions were told of, and can't be believed yet."""
        said = []
        for place, judge in self.judges:
            if (waits := judge.waiting()) is not None:
                until = dt.datetime.fromtimestamp(waits.until, dt.UTC).isoformat(timespec="seconds")
                some = "one deletion was" if waits.number == 1 else f"{waits.number} deletions were"
                said.append(
                    f"{place}: {some} told of within the lag of its reads, and can't be believed yet: waiting until {until} at the latest"
                )
        return "; ".join(said)

    def with_letters(self, ended: str, next_step: str) -> tuple[str, str]:
        """Return a run's end and next step as they are when a person may have to act: that comes first, and hides nothing."""
        open_ = self.open_states()
        if open_.get("held") or open_.get("dead"):
            return "attention", "; ".join(text for text in (self.letters_next, next_step) if text)
        return ended, next_step

    letters_next = "see `tieline dead-letters`"
    """What a person does about what is held or parked."""

    def waiting(self) -> list[Waiting]:
        """Return until when nothing leaves for the systems, and why."""
        systems = {system.name: system for system in self.systems}.values()
        return [waiting for system in systems if (waiting := system.waiting()) is not None]

    # -- what both kinds do

    async def _drain(self) -> bool:
        """Wait until everything that was handed over is settled or owed; return whether it is."""
        patience = PATIENCE_SECONDS if self._stopped() or self.overdue else None
        return all([await way.sender.drain(patience) for way in self.ways])

    async def _send_owed(
        self, way: Way, meant: set[str] | None = None, *, which: Callable[[Delivery], bool] = lambda delivery: True
    ) -> bool:
        """Hand what is owed from earlier runs to the sender, of these records or of all; return whether anything was, of all."""
        if not self.wanted.send:
            return False
        ledger, after, any_ = way.ledger, 0, False
        now = ledger.clock.now()
        told = way.target.waiting()  # what the vendor has ordered may be longer than any wait of ours
        longest = max(way.job.spec.retry.most, told.until - now if told is not None else 0.0)
        while chunk := outbox.open_of(ledger.db, ledger.integration, ("owed", "unknown"), after=after):
            after = chunk[-1].id
            if meant is not None:
                chunk = [delivery for delivery in chunk if delivery.source_id in meant]
            chunk = [delivery for delivery in chunk if which(delivery)]
            any_ = any_ or (meant is None and bool(chunk))
            chunk = [delivery for delivery in chunk if delivery.operation != "none"]  # those are undecided
            for delivery in chunk:
                delivery.doubt = delivery.state == "unknown"
                if delivery.due_at > now + longest:
                    lag = lag_of(ledger.db, way.target, way.job.target_resource).ours if waits_for_lag(delivery) else 0.0
                    told_alone = MOST_WAIT_SECONDS if waits_as_told(delivery) else 0.0
                    delivery.due_at = believed(delivery.due_at, now, max(longest, lag, told_alone))
            await way.sender.put(await look_again(chunk, way.job, way.target, ledger))
            self._check_stopped()
        return any_

    async def _check_ends(self, ends: Sequence[End], *, linked: bool) -> None:
        """Raise `SafetyStop` when the links are about another system: ids of a sandbox mean other records in production, or none."""
        ledger, name = self.ways[0].ledger, self.name
        known, now = shared.peek(ledger.db, shared.PLACES, name, list[Known]), [Known(end.text, end.mark) for end in ends]
        if known is None and (before := shared.peek(ledger.db, shared.ENDS, name, list[str])) is not None:
            # An earlier version kept words alone. What they don't tell apart is learned now; what they do is compared by them.
            known = [
                Known(end.text, end.mark) if end.before == text else Known(text, other.mark if other.before == text else "")
                for text, end, other in zip(before, ends, ends[::-1], strict=True)
            ]
        if known is not None and [one.mark for one in known] == [one.mark for one in now]:
            if known != now or shared.peek(ledger.db, shared.PLACES, name, list[Known]) is None:
                await ledger.commit(lambda connection: shared.put(connection, shared.PLACES, name, now))
            return
        if known is not None and linked and [one.mark for one in known] == [one.mark for one in now][::-1]:
            raise SafetyStop(
                f"{name}: `from` and `to` were swapped: what is linked would be taken for the other system's, and records written over others",
                next_step="swap them back, and turn the mapping round where that was meant; or give the integration another name: "
                "it then meets again",
            )
        if known is not None and not self.wanted.moved and linked:
            changed = "; ".join(
                f"`{key}` was {old.text}, and is {new.text}"
                for key, old, new in zip(("from", "to"), known, now, strict=True)
                if old.mark != new.mark
            )
            raise SafetyStop(
                f"{name}: what is linked was linked elsewhere: {changed}",
                next_step="another system needs a store of its own (`store` in tieline.yaml) or an integration of another name; "
                f"if it is the same one, which has moved: `tieline run {name} --moved`",
            )
        await ledger.commit(lambda connection: shared.put(connection, shared.PLACES, name, now))

    async def _check_kept(self, way: Way) -> None:
        """Raise `SafetyStop` when a destination has not taken something for too long, and does not take it now either."""
        keep, ledger = way.job.spec.unavailable.keep if way.job.spec.unavailable else None, way.ledger

        def is_too_old() -> bool:
            oldest = outbox.oldest_owed(ledger.db, ledger.integration)
            return keep is not None and oldest is not None and ledger.clock.now() - oldest > keep

        if is_too_old():
            await way.sender.drain()
            if is_too_old():
                raise SafetyStop(
                    f"{way.job.spec.target} has not taken what is owed for longer than `unavailable: keep` allows; nothing was dropped, nothing new is read",
                    next_step="find out with the system's owner why it does not answer, or raise `keep`",
                )

    def _check_stopped(self) -> None:
        if (why := self._stopped()) is not None:
            raise SafetyStop(why, next_step="run again: it goes on where it stopped")
        if self.overdue is not None:
            raise SafetyStop(self.overdue, next_step=GOES_ON)
