"""What an integration's connections may still call: what it waits for, how much of each limit is used, and what would help.

Figures of calls come from the journal of calls, figures of limits from what is kept of each connection (`transport.limits.rate_budget`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tieline.store import calls, runs
from tieline.store.database import Database
from tieline.transport.limits.priority import Priority
from tieline.transport.limits.rate_budget import Allowance, Closed, count_in_words, touch, used_of
from tieline.transport.limits.windows import rules_of

if TYPE_CHECKING:
    from tieline.config.models.connectors import Resource
    from tieline.config.models.limits import RateLimit

_RUNS = 5
_MUCH_WAITING = 0.5
_LONG_SECONDS = 30.0
_MANY_REFUSED = 0.01
_FEW = 3
_MANY_LOOKUPS = 0.3


class WaitingFor(msgspec.Struct):
    """A connection from which nothing leaves for now. Times are seconds since 1970 (UTC)."""

    connection: str
    until: float
    why: str


class LimitUse(msgspec.Struct):
    """One limit of a connection."""

    connection: str
    limit: str
    """As people say it: `10 requests a second`."""
    used: float
    """A window that is counted: requests used of it. Otherwise: requests of the last run."""
    share: float | None
    """The same as a share of what is allowed, over the time of the last run for a short window."""
    learned: bool = False
    """Found from 429s, not declared."""
    by_all: bool = False
    """What is used is that of everybody who uses the connection; otherwise of this integration's last run."""


class Side(msgspec.Struct):
    """One side of an integration."""

    connection: str
    limits: Sequence[RateLimit]
    resource: Resource
    is_target: bool
    allowance: Allowance | None


def waits_of(sides: Sequence[Side], now: float, priority: Priority, *, owed: bool) -> list[WaitingFor]:
    """Return what calls of this priority wait for; with `owed`, of whatever priority the last run was."""
    found: list[WaitingFor] = []
    for side in sides:
        if (kept := side.allowance) is None:
            continue
        touch(kept, now)
        waits: list[Closed | None] = [kept.pause, kept.waits.get(priority), *(kept.waits.values() if owed else ())]
        closed = max((wait for wait in waits if wait is not None and wait.until > now), key=lambda wait: wait.until, default=None)
        if closed is not None and side.connection not in {wait.connection for wait in found}:
            found.append(WaitingFor(side.connection, closed.until, closed.why))
    return found


def use_of(sides: Sequence[Side], now: float, calls: dict[str, calls.Waits], run_seconds: float | None) -> list[LimitUse]:
    """Return how much of each limit is used; `calls` are the last run's."""
    found: list[LimitUse] = []
    for side in {side.connection: side for side in sides}.values():
        kept = side.allowance or Allowance()
        made = calls[side.connection].calls if side.connection in calls else 0
        counted = {rule.per: rule for rule in rules_of(side.limits).counted}
        for limit in side.limits:
            if limit.per in counted:
                used: float = used_of(kept, counted[limit.per], now)
                share: float | None = used / limit.requests
            else:
                used = made
                share = min(1.0, made / (limit.requests * max(run_seconds, limit.per) / limit.per)) if run_seconds is not None else None
            found.append(LimitUse(side.connection, count_in_words(limit.requests, limit.per), used, share, by_all=limit.per in counted))
        if kept.pace is not None:
            rate = kept.pace.rate
            share = min(1.0, made / (rate * max(run_seconds, 1.0))) if run_seconds is not None else None
            words = count_in_words(round(rate, 1), 1.0) if rate >= 1 else count_in_words(round(rate * 60), 60.0)
            found.append(LimitUse(side.connection, words, made, share, learned=True))
    return found


def notes_of(sides: Sequence[Side]) -> list[str]:
    """Return what people should know of what vendors have told."""
    return [
        f"{side.connection}: {note}"
        for side in {s.connection: s for s in sides}.values()
        if side.allowance
        for note in side.allowance.notes
    ]


def advice(db: Database, integration: int, sides: Sequence[Side]) -> list[str]:
    """Return what would help where limits are hit again and again, with the figures that say so; nothing where they are not."""
    recent = [run for run in runs.latest(db, integration, _RUNS) if run.ended_at is not None]
    if not recent:
        return []
    seconds = sum(run.ended_at - run.started_at for run in recent if run.ended_at is not None)
    figures = calls.waits(db, [run.id for run in recent])
    found = []
    for connection in dict.fromkeys(side.connection for side in sides):
        made = figures.get(connection)
        if made is None:
            continue
        own = [side for side in sides if side.connection == connection]
        waiting = made.waited / (made.waited + made.seconds) if made.waited + made.seconds else 0.0
        refused = made.throttled >= max(_FEW, _MANY_REFUSED * made.calls)
        if not refused and not (waiting >= _MUCH_WAITING and seconds >= _LONG_SECONDS):
            continue
        said = f"in the last {len(recent)} runs" if len(recent) > 1 else "in the last run"
        what = [f"{waiting:.0%} of the time of its {made.calls:,} calls was waiting for limits"] if waiting >= _MUCH_WAITING else []
        what += [f"{made.throttled:,} of {made.calls:,} calls were answered with `too many requests`"] if refused else []
        ways = _ways(own, made, refused=refused, starts=[run.started_at for run in recent])
        found.append(f"{connection}: {said} {' and '.join(what)}. What helps: {'; '.join(ways)}")
    return found


def _ways(sides: Sequence[Side], made: calls.Waits, *, refused: bool, starts: Sequence[float]) -> list[str]:
    ways = []
    if refused and not sides[0].limits:
        ways.append("declare the vendor's `limits`, so that none is refused")
    for side in sides:
        resource = side.resource
        if side.is_target:
            single = [
                name for name in ("create", "update") if getattr(resource, name) is not None and getattr(resource.batch, name) is None
            ]
            if resource.upsert is not None:
                single = ["upsert"] if resource.batch.upsert is None else []
            if single:
                ways.append(
                    f"`batch: {single[0]}` in the connector, if the vendor takes many records in one call; they are written one by one now"
                )
            if len(sides) == 1 and made.reads >= _MANY_LOOKUPS * made.calls and resource.upsert is None:
                ways.append(
                    f"an `upsert` by the field of `match`, if the vendor has one: {made.reads:,} of the calls only looked something up"
                )
                if resource.find and all(find.cache is None for find in resource.find.values()):
                    ways.append("`cache` under `find` in the connector, so that what was looked up lately is not asked again")
        elif resource.list is not None and resource.list.changed_since is None:
            ways.append("`changed_since` in the connector, if the vendor has it; each run reads everything now")
    if len(starts) > 1:
        gap = (max(starts) - min(starts)) / (len(starts) - 1)
        ways.append(f"a longer interval: it was run every {_words(gap)}")
    return [*ways, "a higher limit from the vendor, then under `limits` of the connection"]


def _words(seconds: float) -> str:
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
