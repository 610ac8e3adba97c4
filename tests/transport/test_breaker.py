"""The circuit breaker: opens, probes with one call, closes without a stampede, and is not forgotten by a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tieline.config.models.limits import BreakerPolicy
from tieline.model.errors import CircuitOpen
from tieline.testing import ManualClock
from tieline.transport.breaker import Breaker, Outage

POLICY = BreakerPolicy(failures=3, first=2.0, longest=20.0)


class Calls:
    """Calls through a breaker to a system that is up or down."""

    def __init__(self, clock: ManualClock, *, most_at_once: int = 8, known: Outage | None = None) -> None:
        self.clock, self.up = clock, True
        self.saved: list[Outage | None] = []
        self.breaker = Breaker("mail", POLICY, most_at_once, clock, known=known, save=self.saved.append)
        self.reached: list[float] = []
        """When calls reached the system."""
        self.under_way = self.most_under_way = 0

    async def call(self, seconds: float = 0.1) -> bool:
        """Make a call; return whether it was answered."""
        probe = await self.breaker.enter()
        self.reached.append(self.clock.elapsed_seconds)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.clock.sleep(seconds)
        finally:
            self.under_way -= 1
        if self.up:
            self.breaker.answered()
        else:
            self.breaker.failed("503", probe=probe)
        return self.up

    async def fail(self, times: int) -> None:
        """Make calls to a system that is down."""
        self.up = False
        for _ in range(times):
            await self.call()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(seed=3)


@pytest.fixture
def live(clock: ManualClock) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Run a coroutine in virtual time."""

    def live(work: Callable[[], Awaitable[Any]]) -> Any:
        async def working() -> Any:
            return await work()

        return clock.run(working())

    return live


def test_it_opens_after_failures_in_a_row_and_lets_nothing_out(clock, live):
    calls = Calls(clock)

    async def story() -> None:
        await calls.fail(3)
        with pytest.raises(CircuitOpen) as told:
            await calls.call()
        assert 0 < told.value.wait_seconds <= 2.0

    live(story)

    assert 3 == len(calls.reached)
    assert calls.breaker.outage is not None


def test_an_answer_in_between_starts_the_count_anew(clock, live):
    calls = Calls(clock)

    async def story() -> None:
        for _ in range(4):
            await calls.fail(2)
            calls.up = True
            await calls.call()

    live(story)

    assert calls.breaker.outage is None


def test_it_opens_when_half_of_the_last_calls_fail_though_never_many_in_a_row(clock, live):
    calls = Calls(clock)

    async def story() -> None:
        for number in range(21):
            calls.up = number % 2 == 1
            await calls.call()
        with pytest.raises(CircuitOpen):
            await calls.call()

    live(story)

    assert 21 == len(calls.reached)


def test_one_call_probes_and_the_rest_doubles_with_each_that_fails(clock, live):
    calls = Calls(clock)

    async def story() -> None:
        await calls.fail(3)
        for _ in range(6):
            await calls.breaker.until_it_may_pass()
            results = await asyncio.gather(*(calls.call() for _ in range(10)), return_exceptions=True)
            assert 9 == sum(isinstance(result, CircuitOpen) for result in results)

    live(story)

    waits = [after - before for before, after in zip(calls.reached[2:], calls.reached[3:], strict=False)]
    assert 3 + 6 == len(calls.reached)
    for wait, full in zip(waits, [2, 4, 8, 16, 20, 20], strict=True):
        assert full * 0.5 <= wait - 0.1 <= full


def test_those_who_wait_go_on_when_the_probe_is_answered_and_room_grows_call_by_call(clock, live):
    calls = Calls(clock)
    under_way: list[int] = []

    async def one() -> None:
        while True:
            try:
                await calls.call()
            except CircuitOpen:
                await calls.breaker.until_it_may_pass()
            else:
                return

    async def watch() -> None:
        while calls.breaker.outage is not None:
            await clock.sleep(0.01)
        for _ in range(8):
            under_way.append(calls.under_way)
            await clock.sleep(0.1)

    async def story() -> None:
        await calls.fail(3)
        calls.up = True
        calls.most_under_way = 0
        await asyncio.gather(watch(), *(one() for _ in range(60)))

    live(story)

    assert 63 == len(calls.reached)
    assert [1, 2, 4, 8, 8] == under_way[:5]
    assert 8 == calls.most_under_way


def test_a_probe_that_its_caller_gives_up_lets_another_one_probe(clock, live):
    calls = Calls(clock)

    async def story() -> bool:
        await calls.fail(3)
        calls.up = True
        await calls.breaker.until_it_may_pass()
        probe = asyncio.ensure_future(calls.call(60))
        await clock.sleep(1)
        waiting = asyncio.ensure_future(calls.breaker.until_it_may_pass())
        await clock.sleep(1)
        assert not waiting.done()
        probe.cancel()
        probed = calls.breaker
        await asyncio.gather(probe, return_exceptions=True)
        probed.given_up(probe=True)
        await waiting
        return await calls.call()

    assert live(story)
    assert calls.breaker.outage is None


def test_a_call_that_was_under_way_when_it_opened_closes_it_with_its_answer(clock, live):
    calls = Calls(clock)

    async def story() -> None:
        slow = asyncio.ensure_future(calls.call(5))
        await calls.fail(3)
        calls.up = True
        await slow

    live(story)

    assert calls.breaker.outage is None
    assert calls.saved[-1] is None


def test_a_restart_neither_hurries_nor_forgets(clock, live):
    calls = Calls(clock)
    live(lambda: calls.fail(3))
    outage = calls.saved[-1]
    assert outage is not None
    clock.advance(0.5)
    later = Calls(clock, known=outage)

    async def story() -> float:
        with pytest.raises(CircuitOpen):
            await later.call()
        await later.breaker.until_it_may_pass()
        return clock.now()

    assert outage.until == pytest.approx(live(story), abs=0.001)


def test_a_clock_that_was_set_back_makes_no_rest_longer_than_the_longest(clock, live):
    known = Outage(since=clock.now(), until=clock.now() + 2.0, rests=0, why="503")
    clock.set_back(86_400)
    calls = Calls(clock, known=known)
    started = clock.elapsed_seconds
    live(calls.breaker.until_it_may_pass)

    assert POLICY.longest >= clock.elapsed_seconds - started


def test_somebody_who_asks_whether_it_is_back_need_not_wait(clock, live):
    calls = Calls(clock)

    async def story() -> bool:
        await calls.fail(3)
        return await calls.breaker.enter(at_once=True)

    assert live(story)


@pytest.mark.parametrize("ends", ["failed", "given up"])
def test_a_probe_of_an_earlier_outage_says_nothing_about_this_one(clock, live, ends):
    """A late answer has closed the breaker while the probe was on its way, and the system went down again: it is probed by one call still."""
    breaker = Breaker("mail", BreakerPolicy(failures=1), 8, clock)

    async def story() -> None:
        for _ in range(3):
            await breaker.enter()
        breaker.failed("503", probe=0)
        first = await breaker.enter(at_once=True)
        breaker.answered()
        breaker.failed("503", probe=0)
        second = await breaker.enter(at_once=True)
        assert first != second
        known = breaker.outage
        if ends == "failed":
            breaker.failed("503", probe=first)
        else:
            breaker.given_up(probe=first)
        assert known == breaker.outage
        with pytest.raises(CircuitOpen, match="a probe is on its way"):
            await breaker.enter(at_once=True)

    live(story)
