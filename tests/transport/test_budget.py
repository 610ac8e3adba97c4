"""Calls at the vendor's pace: what share of it is used, how few are refused, who waits for whom, and what outlives a process."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from tieline.config.models.limits import LimitHeaders, RateLimit
from tieline.model.errors import RateLimited
from tieline.testing import ManualClock
from tieline.testing.vendor import Headers
from tieline.transport.limits.budget import Budget
from tieline.transport.limits.priority import PRIORITY
from transport.vendors import FixedWindow, LeakyBucket, SlowStore, Trial


def limit(requests: int, per: float, **more: Any) -> RateLimit:
    """Declare a limit; `per` in seconds."""
    return RateLimit(requests=requests, per=float(per), **more)


@pytest.mark.parametrize(
    ("vendor", "declared", "allowed"),
    [
        (FixedWindow(50, 1), limit(50, 1), 3000),
        (FixedWindow(100, 10), limit(100, 10), 600),
        (FixedWindow(600, 60), limit(600, 60), 600),
        (FixedWindow(5, 1), limit(5, 1), 300),
        (LeakyBucket(50, 5), limit(50, 1, burst=5), 3000),
        (LeakyBucket(400, 20), limit(400, 1), 24_000),
    ],
    ids=["50/s", "100/10s", "600/min", "5/s", "leaky 50/s", "leaky 400/s"],
)
@pytest.mark.parametrize("processes", [1, 3])
def test_a_declared_limit_is_used_and_kept(vendor: Any, declared: RateLimit, allowed: int, processes: int) -> None:
    """Promise 5: at least 97 % of it over a minute, with under 1 % refused; here none is, however the vendor counts."""
    trial = Trial(
        type(vendor)(*(getattr(vendor, name) for name in ("requests", "per" if hasattr(vendor, "per") else "burst"))),
        declared,
        processes=processes,
    ).run(60.0)

    assert trial.accepted >= 0.97 * allowed
    assert trial.share_refused < 0.01
    if processes > 1:
        assert min(trial.by_process.values()) > 0.6 * max(trial.by_process.values())


@pytest.mark.parametrize(
    ("vendor", "allowed"),
    [(FixedWindow(50, 1), 3000), (FixedWindow(100, 10), 600), (FixedWindow(300, 60), 300)],
    ids=["50/s", "100/10s", "300/min"],
)
def test_a_limit_that_answers_tell_of_is_used_and_kept(vendor: FixedWindow, allowed: int) -> None:
    """Nothing is declared, and the first answer says it all."""
    trial = Trial(vendor, tells=True).run(60.0)

    assert trial.accepted >= 0.97 * allowed
    assert trial.share_refused < 0.01


@pytest.mark.parametrize("vendor", [LeakyBucket(50, 5), FixedWindow(50, 1)], ids=["leaky", "fixed"])
def test_a_limit_that_nobody_tells_of_is_found(vendor: Any) -> None:
    """From 429s alone, each of which costs the second that it orders to wait."""
    trial = Trial(vendor).run(60.0)

    assert trial.accepted >= 0.85 * 3000
    assert trial.share_refused < 0.01


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_restart_knows_the_pace_that_was_learned(seed: int) -> None:
    """Each minute is another process; once the pace is known, promise 5 holds for a limit that no one declared as well."""
    trial = Trial(LeakyBucket(50, 5), seed=seed).run(60.0)
    for _ in range(3):
        accepted, refused = trial.accepted, trial.refused
        trial.run(60.0)

        assert trial.accepted - accepted >= 0.97 * 3000
        assert trial.refused - refused <= 2


def test_a_connection_without_a_limit_leaves_the_store_alone() -> None:
    """It looks once a second whether someone else was told to wait, and writes nothing."""

    class Everything(LeakyBucket):
        def takes(self, now: float) -> bool:
            return True

    trial = Trial(Everything(1, 1)).run(10.0)

    assert trial.accepted > 10_000
    assert 0 == trial.store.changes
    assert trial.store.peeks <= 11


def test_a_limited_connection_asks_the_store_a_few_times_a_second() -> None:
    trial = Trial(LeakyBucket(400, 20), limit(400, 1)).run(10.0)

    assert trial.store.changes <= 60


class Two:
    """Budgets of two processes over one store."""

    def __init__(self, *limits: RateLimit, **more: Any) -> None:
        self.clock = ManualClock()
        self.store = SlowStore(self.clock, 0.004)
        self.limits, self.more = limits, more
        self.first, self.second = self.another(), self.another()

    def another(self) -> Budget:
        """Start a process."""
        return Budget(self.limits, self.clock, name="vendor", shared=self.store, **self.more)

    def run(self, work: Any) -> Any:
        """Run in virtual time."""
        return self.clock.run(work)


@pytest.mark.parametrize("limits", [(), (limit(10, 1),)], ids=["undeclared", "declared"])
def test_a_pause_is_obeyed_by_all_processes_and_after_a_restart(limits: tuple[RateLimit, ...]) -> None:
    """To the second: neither hurried nor forgotten."""
    two = Two(*limits)

    async def work() -> list[float]:
        clock = two.clock
        await two.first.take()
        await two.first.throttled(30.0, lesson=False)
        await clock.sleep(1.0)  # the other looks once a second
        times = []
        for budget in (two.second, two.first, two.another()):
            await budget.take()
            times.append(clock.monotonic())
        return times

    times = two.run(work())

    assert all(30.0 <= at < 31.5 for at in times), times


def test_a_pause_that_another_process_was_told_holds_what_was_granted_before() -> None:
    """Whoever learns of it, asking for one priority, does not spend on another what was granted before it was told."""
    two = Two(limit(50, 1))

    async def work() -> float:
        clock = two.clock
        PRIORITY.set("backfill")
        for _ in range(30):
            await two.second.take()
        await two.first.take()
        await two.first.throttled(30.0, lesson=False)
        PRIORITY.set("live")
        asking = asyncio.create_task(two.second.take())
        await clock.sleep(0.02)  # it has asked, and was told
        PRIORITY.set("backfill")
        await two.second.take()
        at = clock.monotonic()
        await asking
        return at

    assert 30.0 <= two.run(work()) < 32.0


def test_a_wait_goes_on_where_a_restart_found_it() -> None:
    two = Two()

    async def work() -> float:
        await two.first.take()
        await two.first.throttled(600.0)
        await two.clock.sleep(200.0)
        two.clock.set_back(7200.0)
        await two.another().take()
        return two.clock.monotonic()

    # The store was last touched 200 s ago, and what was left then is left now: longer than told, and never shorter.
    assert 600.0 <= two.run(work()) < 801.0


def test_a_wait_of_hours_is_told_and_not_held_through() -> None:
    """The run ends and says until when; the next process knows it without a call."""
    two = Two()

    async def work() -> RateLimited:
        await two.first.take()
        await two.first.throttled(7200.0, "told to wait (429)")
        with pytest.raises(RateLimited) as told:
            await two.another().take()
        return told.value

    error = two.run(work())

    assert error.retry_after == pytest.approx(7200.0, abs=0.1)
    assert "vendor waits until 2026-05-28 22:26:40 UTC: told to wait (429)" == str(error)


def test_a_used_up_day_ends_the_run_and_the_other_priorities_go_on() -> None:
    two = Two(limit(100, 86_400, reserve=20))

    async def work() -> tuple[int, int, int]:
        got = []
        for priority in ("backfill", "live", "interactive"):
            PRIORITY.set(priority)  # type: ignore[arg-type]
            taken = 0
            with contextlib.suppress(RateLimited):
                while taken < 1000:
                    await two.another().take()
                    taken += 1
            got.append(taken)
        return got[0], got[1], got[2]

    assert (80, 10, 10) == two.run(work())


def test_a_store_that_fails_loses_nothing_and_hurries_nothing() -> None:
    """Locked or full: this process goes on at its pace, and its pause is written once the store is well again."""
    two = Two(limit(10, 1))

    async def work() -> tuple[float, float]:
        clock = two.clock
        await two.first.take()
        two.store.fails = True
        for _ in range(50):
            await two.first.take()
        paced = clock.monotonic()
        await two.first.throttled(20.0)
        ends = clock.monotonic() + 20.0
        two.store.fails = False
        await clock.sleep(1.1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                await two.first.take()
        await two.second.take()
        return paced, clock.monotonic() - ends

    paced, after = two.run(work())

    assert 4.9 <= paced < 7.5
    assert 0.0 <= after < 1.0


def test_a_call_can_take_more_than_one() -> None:
    """Points: 100 a second, 20 a call."""
    two = Two(limit(100, 1))

    async def work() -> float:
        for _ in range(51):
            await two.first.take(20)
        return two.clock.monotonic()

    assert 10.0 <= two.run(work()) <= 10.6


def test_a_vendor_that_wants_to_be_left_alone_is() -> None:
    """Kinto's Backoff, on an answer that is good."""
    two = Two(headers=[LimitHeaders(backoff="Backoff")])

    async def work() -> float | None:
        await two.first.take()
        return two.first.answered(Headers({"Backoff": "10"}))

    assert 10.0 == two.run(work())


def test_what_a_person_waits_for_is_not_behind_a_backfill() -> None:
    """In one process and at two calls a second, with fifty of a backfill in line."""
    two = Two(limit(2, 1))

    async def work() -> float:
        clock = two.clock

        async def fill() -> None:
            PRIORITY.set("backfill")
            await two.first.take()

        filling = [asyncio.create_task(fill()) for _ in range(50)]
        await clock.sleep(3.0)
        PRIORITY.set("interactive")
        started = clock.monotonic()
        for _ in range(5):
            await two.first.take()
        took = clock.monotonic() - started
        for task in filling:
            task.cancel()
        return took

    assert two.run(work()) < 5.0
