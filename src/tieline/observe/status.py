"""How each integration is doing: last run, rates, what is owed and set aside, freshness against its promise."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tieline.model.holder import has_ended
from tieline.model.verified import Verified
from tieline.observe.limits import LimitUse, Side, WaitingFor, advice, notes_of, use_of, waits_of
from tieline.store import absent, calls, inbox, links, outbox, runs
from tieline.store import pairs as pair_rows
from tieline.store import state as shared
from tieline.store.database import Database

if TYPE_CHECKING:
    from tieline.config.models.integrations import Integration


class SystemDown(msgspec.Struct):
    """A system that does not answer. Times are seconds since 1970 (UTC)."""

    connection: str
    since: float
    next_try_at: float
    why: str


class WebhooksStatus(msgspec.Struct):
    """The webhooks of a side. Times are seconds since 1970 (UTC); what is counted is of the whole connection, since the beginning."""

    connection: str
    last_at: float | None
    """When the last one came."""
    waiting: int
    """Those about the side's resource that the next run takes up."""
    ignored: int = 0
    """Of a type that no resource declares."""
    unusable: int = 0
    """Verified, and not what the connector says that they look like."""
    refused: int = 0
    """Not verified."""
    refused_at: float | None = None
    """When the last one was refused."""


class PairsStatus(msgspec.Struct):
    """The pairs of a two-way integration."""

    in_sync: int
    """Pairs of which nothing is open."""
    excluded: int
    """Records that have no counterpart, and are to have none; and pairs of which one side was deleted, which the other does not follow."""
    held: int
    """Records and pairs that wait for a person's decision."""
    failing: int
    """Those that were refused, and are parked."""
    staged: int
    """Changes that were read, and wait to be decided."""
    staged_since: float | None
    """When the oldest of them was read."""


class IntegrationStatus(msgspec.Struct):
    """One integration. Times are seconds since 1970 (UTC) or ages in seconds."""

    integration: str
    state: str
    """never run; running; green; attention; owed; waiting: for a limit, and it goes on by itself; failed; stopped; late: the promise of
    freshness is not kept."""
    purpose: str | None
    owner: str | None
    running: str | None
    """Who is running it now."""
    last_run: int | None
    last_run_at: float | None
    last_run_seconds: float | None
    counts: dict[str, int]
    error: str | None
    linked: int
    """Source records that have their counterpart."""
    open: dict[str, int]
    """Open deliveries by state: owed, sending (of a run that has not ended), unknown (the answer was lost), held, dead (parked)."""
    owed: int
    parked: int
    held: int
    delivered: int
    """Deliveries that ever arrived."""
    success_rate: float | None
    """Delivered, as a share of what was delivered and what is parked; what is held no one could send yet."""
    calls: dict[str, Any]
    watermark: float | None
    """Up to when everything is settled."""
    freshness_age: float | None
    """Age of the watermark."""
    freshness_promise: float | None
    notices: list[str] = []
    """What will need someone later: an API version that ends."""
    outages: list[SystemDown] = []
    """Its systems that are down: what is owed waits, and goes when they are back."""

    unseen: list[str] = []
    """Fields that it reads and that no record has, in words."""
    no_file: str = ""
    """Of one that the store knows, and that has no file any more: what can be done about it."""
    wrong: list[str] = []
    """What is wrong in its files, so that it can't be run."""
    next_try_at: float | None = None
    """When the first of what is owed is tried again; None when nothing is owed, or it is due already."""
    waiting: list[WaitingFor] = []
    """Its connections from which nothing leaves for now, each with the end of that."""
    limits: list[LimitUse] = []
    """What its connections may call, and how much of that is used."""
    kept_too_long: bool = False
    """Something has been owed for longer than `unavailable: keep` allows."""
    verified: Verified | None = None
    """What the last `tieline verify` found."""
    pairs: PairsStatus | None = None
    """Of a two-way integration."""
    webhooks: list[WebhooksStatus] = []
    """Those of its sides that take webhooks, or have taken some."""
    advice: list[str] = []
    """What would help, where limits are hit again and again."""

    @property
    def needs_someone(self) -> bool:
        """Whether a person must act."""
        astray = self.verified is not None and self.verified.mended_by is None and self.verified.wrong_for_someone > 0
        return (
            self.state in ("attention", "failed", "halted", "late")
            or self.parked + self.held > 0
            or bool(self.wrong or self.no_file)
            or astray
        )


def status_of(
    db: Database, name: str, spec: Integration | None, *, owner: str | None, now: float, sides: Sequence[Side] = ()
) -> IntegrationStatus:
    """Return how an integration is doing; `sides` are its connections, with their limits. Without `spec`, as the store knows it."""
    purpose, promise = (spec.purpose, spec.freshness) if spec is not None else (None, None)
    known = runs.state_of(db, name)
    if known is None:
        return IntegrationStatus(
            integration=name, state="never run", purpose=purpose, owner=owner, running=None, last_run=None, last_run_at=None,
            last_run_seconds=None, counts={}, error=None, linked=0, open={}, owed=0, parked=0, held=0, delivered=0, success_rate=None,
            calls={}, watermark=None, freshness_age=None, freshness_promise=promise,
            waiting=waits_of(sides, now, "backfill", owed=False), limits=use_of(sides, now, {}, None),
        )  # fmt: skip
    latest = runs.latest(db, known.id)
    run = latest[0] if latest else None
    beside = runs.state_of(db, runs.back(name))
    numbers = [known.id] if beside is None else [known.id, beside.id]
    open_: dict[str, int] = {}
    for number in numbers:
        for state, count in outbox.count_states(db, number).items():
            open_[state] = open_.get(state, 0) + count
    # What a run has on its way is not in the index of open ones; of one whose process was killed it is owed, whoever looks.
    on_their_way = (
        [outbox.on_their_way(db, number, runs.first_delivery(db, run.id)) for number in numbers]
        if run is not None and run.ended_at is None
        else []
    )
    sending, sending_since = sum(number for number, _ in on_their_way), _first(since for _, since in on_their_way)
    if sending:
        open_["sending"] = sending
    owed = open_.get("owed", 0) + open_.get("unknown", 0) + sending
    dead, held, delivered = open_.get("dead", 0), open_.get("held", 0), sum(outbox.delivered(db, number) for number in numbers)
    judged = delivered + dead
    oldest = _first(outbox.oldest_owed(db, number) for number in numbers)
    was_two_way = beside is not None and spec is not None and not spec.two_way
    pairs = _pairs(db, known.id, beside.id, dead, held) if beside is not None and not was_two_way else None
    staged_since = pairs.staged_since if pairs is not None else None
    # Of a run whose clock was ahead nothing is known, until one that is right has read everything: it would be fresh for as long as that.
    complete_at = known.complete_at if known.complete_at is not None and known.complete_at <= now + _SKEW_SECONDS else None
    told_since = _first(absent.told_since(db, number) for number in numbers)
    watermark = (
        _first((complete_at, oldest, sending_since, staged_since, told_since))
        if complete_at is not None or known.complete_at is None
        else None
    )
    age = max(0.0, now - watermark) if watermark is not None else None  # a clock that was set back makes nothing younger than new
    keep = spec.unavailable.keep if spec is not None and spec.unavailable else None
    running = known.holder if known.holder and known.lease_until > now and not has_ended(known.holder) else None
    state = "running" if running else run.state if run else "never run"
    if run and state == "running" and not running:
        state = "stopped"  # its process is gone; the next run says so in the history
    if state in ("green", "owed", "attention"):
        # What a person has settled since that run, or left open, counts as it is now.
        state = (
            "attention"
            if dead or held or (run and run.counts.get("undated"))
            else "owed"
            if owed
            else ("owed" if run and run.error else "green")
            if state == "attention"
            else state
        )
    waiting = waits_of(sides, now, "live" if known.complete_at is not None else "backfill", owed=state == "owed")
    if state == "owed" and waiting:
        state = "waiting"
    late = age is not None and promise is not None and age > promise
    unseen = shared.peek(db, shared.UNSEEN, name, list[str]) or []
    if unseen and not running and state in ("green", "owed") and not owed:
        state = "attention"
    if state in ("green", "owed", "waiting", "stopped") and late:
        state = "late"
    return IntegrationStatus(
        integration=name, state=state, purpose=purpose, owner=owner, running=running,
        last_run=run.id if run else None, last_run_at=run.started_at if run else None,
        last_run_seconds=max(0.0, run.ended_at - run.started_at) if run and run.ended_at else None,
        counts=run.counts if run else {}, error=run.error if run else None,
        linked=links.count_linked(db, known.id) if beside is None or was_two_way else pair_rows.count_linked(db, known.id), pairs=pairs, unseen=unseen, open=open_, owed=owed, parked=dead, held=held, delivered=delivered,
        success_rate=delivered / judged if judged else None, calls=calls.figures(db, run.id) if run else {},
        watermark=watermark, freshness_age=age, freshness_promise=promise,
        waiting=waiting, advice=advice(db, known.id, sides),
        limits=use_of(sides, now, calls.waits(db, [run.id]) if run else {}, (run.ended_at or now) - run.started_at if run else None),
        kept_too_long=keep is not None and oldest is not None and now - oldest > keep, notices=notes_of(sides), next_try_at=_first(outbox.next_due(db, number, now) for number in numbers) if owed else None,
    )  # fmt: skip


def webhooks_of(db: Database, name: str, spec: Integration, taking: Collection[str]) -> list[WebhooksStatus]:
    """Return how the webhooks of an integration's sides are doing; `taking` are the places that take some, as CONNECTION.RESOURCE."""
    outboxes = {spec.source: name, **({spec.target: runs.back(name)} if spec.two_way else {})}
    tallies, found = inbox.tallies(db), []
    for place, outbox_name in outboxes.items():
        if place not in taking:
            continue
        connection, _, resource = place.partition(".")
        known, tally = runs.state_of(db, outbox_name), tallies.get(connection, inbox.Tally())
        waiting = inbox.waiting(db, connection, resource, inbox.position(db, known.id) if known is not None else 0)
        found.append(
            WebhooksStatus(connection, tally.last_at, waiting, tally.ignored, tally.unusable, tally.refused, tally.refused_at)
        )  # fmt: skip
    return found


_SKEW_SECONDS = 60.0
"""Machines that share a store may differ by so much."""


def _first(moments: Iterable[float | None]) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _pairs(db: Database, left: int, right: int, dead: int, held: int) -> PairsStatus:
    """Return how the pairs are doing; `left` and `right` are the outboxes of either side's changes."""
    counts = pair_rows.counts(db, left)
    excluded = sum(number for (verdict, _, _), number in counts.items() if verdict in ("ignored", "alone", "gone"))
    staged, since = pair_rows.waiting(db, left, right)
    return PairsStatus(pair_rows.count_linked(db, left) - pair_rows.count_open(db, left, right), excluded, held, dead, staged, since)
