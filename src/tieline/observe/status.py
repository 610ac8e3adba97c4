"""How each integration is doing: last run, rates, what is owed and set aside, freshness against its promise."""

from __future__ import annotations

from typing import Any

import msgspec

from tieline.spec.integrations import Integration
from tieline.store import journal, links, outbox, runs
from tieline.store.database import Database


class IntegrationStatus(msgspec.Struct):
    """One integration. Times are seconds since 1970 (UTC) or ages in seconds."""

    integration: str
    state: str
    """never run; running; green; attention; owed; failed; stopped; late: the promise of freshness is not kept."""
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
    owed: int
    parked: int
    held: int
    delivered: int
    """Deliveries that arrived, over all kept history."""
    success_rate: float | None
    """Delivered as a share of delivered, parked, held and discarded, over all kept history."""
    calls: dict[str, Any]
    watermark: float | None
    """Up to when everything is settled."""
    freshness_age: float | None
    """Age of the watermark."""
    freshness_promise: float | None
    balance: dict[str, int]
    """Accepted changes by what became of them."""

    @property
    def needs_someone(self) -> bool:
        """Whether a person must act."""
        return self.state in ("attention", "failed", "late")


def status_of(db: Database, name: str, spec: Integration, *, owner: str | None, now: float) -> IntegrationStatus:
    """Return how an integration is doing."""
    known = runs.state_of(db, name)
    if known is None:
        return IntegrationStatus(
            name,
            "never run",
            spec.purpose,
            owner,
            None,
            None,
            None,
            None,
            {},
            None,
            0,
            0,
            0,
            0,
            0,
            None,
            {},
            None,
            None,
            spec.freshness,
            {},
        )
    latest = runs.latest(db, known.id)
    run = latest[0] if latest else None
    balance = outbox.balance(db, known.id)
    owed = balance.get("owed", 0) + balance.get("sending", 0) + balance.get("unknown", 0)
    dead, held, delivered = balance.get("dead", 0), balance.get("held", 0), balance.get("delivered", 0)
    judged = delivered + dead + held + balance.get("discarded", 0)
    oldest = outbox.oldest_owed(db, known.id)
    watermark = min([moment for moment in (known.complete_at, oldest) if moment is not None], default=None)
    age = now - watermark if watermark is not None else None
    running = known.holder if known.holder and known.lease_until > now else None
    state = "running" if running else run.state if run else "never run"
    if run and state == "running" and not running:
        state = "stopped"  # its process is gone; the next run says so in the history
    late = age is not None and spec.freshness is not None and age > spec.freshness
    if state in ("green", "owed") and late:
        state = "late"
    verdicts = links.count(db, known.id)
    return IntegrationStatus(
        integration=name, state=state, purpose=spec.purpose, owner=owner, running=running,
        last_run=run.id if run else None, last_run_at=run.started_at if run else None,
        last_run_seconds=run.ended_at - run.started_at if run and run.ended_at else None,
        counts=run.counts if run else {}, error=run.error if run else None,
        linked=verdicts.get("linked", 0), owed=owed, parked=dead, held=held, delivered=delivered,
        success_rate=delivered / judged if judged else None, calls=journal.call_figures(db, run.id) if run else {},
        watermark=watermark, freshness_age=age, freshness_promise=spec.freshness, balance=balance,
    )  # fmt: skip
