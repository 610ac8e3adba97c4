"""The circuit breaker against a model of it: whatever fails, answers, gives up, waits or restarts, in whatever order."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tieline.config.models.limits import BreakerPolicy
from tieline.model.errors import CircuitOpen
from tieline.testing import ManualClock
from tieline.testing.clock import VirtualLoop
from tieline.transport.breaker import Breaker, Outage

_JUDGED = 20
_EXACTLY = 1e-6
"""So exactly, in seconds, is a time since 1970 to be had."""
PICK = st.integers(0, 1000)


class Call:
    """A call that waits for room, or is under way."""

    def __init__(self) -> None:
        self.probe: Any = None
        self.entered = False
        self.task: asyncio.Task[None]


class Calls(RuleBasedStateMachine):
    """Calls of one process after the other to a system that is up or down."""

    @initialize(
        failures=st.sampled_from([1, 2, 3, 25]),
        first=st.sampled_from([1.0, 3.0]),
        longest=st.sampled_from([1.0, 20.0]),
        most=st.sampled_from([1, 2, 5]),
        seed=PICK,
    )
    def begin(self, failures: int, first: float, longest: float, most: int, seed: int) -> None:
        """Declare the breaker, and start a process."""
        self.policy, self.most = BreakerPolicy(failures=failures, first=first, longest=longest), most
        self.clock = ManualClock(seed=seed)
        self.runner = asyncio.Runner(loop_factory=lambda: VirtualLoop(self.clock))
        self.kept: Outage | None = None
        """What is durable."""
        self.believed: Outage | None = None
        """What a process makes of it: written while the clock was ahead, it begins no later than now, and a rest that is longer than any is none."""
        self.down = False
        self.down_since = self.rest_until = self.seems_due = 0.0
        self.vain = 0
        """Probes of this outage that failed."""
        self._start()

    def _start(self) -> None:
        self.calls: list[Call] = []
        self.broken: list[AssertionError] = []
        self.patient: list[asyncio.Task[bool]] = []
        self.prober: Call | None = None
        """The call that probes this outage."""
        self.in_a_row = 0
        self.latest: list[bool] = []
        self.room = 1 if self.down else self.most
        self.breaker = Breaker("mail", self.policy, self.most, self.clock, known=self.kept, save=self._keep)

    def _keep(self, outage: Outage | None) -> None:
        self.kept = self.believed = outage

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "runner"):
            self.runner.close()

    # -- what happens

    @rule(number=st.integers(1, 5), asks=st.booleans())
    def call(self, number: int, asks: bool) -> None:
        """Make calls at once; some by someone who `asks` whether the system is back, and does not wait for the end of the rest."""
        self._live(*(self._one(asks) for _ in range(number)))

    async def _one(self, asks: bool) -> None:
        call, breaker = Call(), self.breaker
        call.task = asyncio.ensure_future(self._try(call, breaker, asks))
        self.calls.append(call)

    async def _try(self, call: Call, breaker: Breaker, asks: bool) -> None:
        try:
            await self._enter(call, breaker, asks)
        except AssertionError as error:
            self.broken.append(error)

    async def _enter(self, call: Call, breaker: Breaker, asks: bool) -> None:
        turned_away: float | None = None
        try:
            probe = await breaker.enter(at_once=asks)
        except CircuitOpen as told:
            turned_away = told.wait_seconds
        if turned_away is not None:
            assert self.down, "turned away, and the system is not down"
            rest = self.rest_until - self.clock.monotonic()
            assert self.prober is not None or (rest > -_EXACTLY and not asks), "turned away, though it was time for a probe"
            assert abs(turned_away - (0.0 if self.prober is not None else rest)) < _EXACTLY
            self.calls.remove(call)
            return
        if self.down:
            assert self.prober is None, "a second probe"
            assert asks or self.clock.monotonic() > self.rest_until - _EXACTLY, "sent before the rest was over"
            assert probe
            self.prober = call
        else:
            assert not probe
            assert self._under_way < self.room, "more at once than there is room for"
        call.entered, call.probe = True, probe

    @precondition(lambda self: self._entered)
    @rule(pick=PICK)
    def answer(self, pick: int) -> None:
        """A call is answered, in time or late."""
        self._take(pick)
        if self.down:
            self.down, self.prober, self.room, self.latest = False, None, 1, []
        else:
            self.room = min(self.most, self.room + 1)
        self.in_a_row = 0
        self._note(failed=False)
        self.breaker.answered()
        self._live()

    @precondition(lambda self: self._entered)
    @rule(pick=PICK)
    def fail(self, pick: int) -> None:
        """A call fails, in time or late."""
        call = self._take(pick)
        self.in_a_row += 1
        self._note(failed=True)
        half = len(self.latest) == _JUDGED and sum(self.latest) * 2 >= _JUDGED
        before = self.clock.now()
        if opens := self.down and call is self.prober:
            self.vain += 1
        elif opens := not self.down and (self.in_a_row >= self.policy.failures or half):
            self.down, self.down_since, self.vain = True, before, 0
        self.breaker.failed("503", probe=call.probe)
        if opens:
            self.prober, self.room = None, 1
            assert self.kept is not None
            full = min(self.policy.longest, self.policy.first * 2**self.vain)
            rest = self.kept.until - before
            assert full * 0.5 - _EXACTLY < rest < full + _EXACTLY, "a rest of another length"
            self.rest_until = self.seems_due = self.clock.monotonic() + rest
        self._live()

    @precondition(lambda self: self._entered)
    @rule(pick=PICK)
    def give_up(self, pick: int) -> None:
        """Whoever made a call does not wait for its answer."""
        call = self._take(pick)
        if call is self.prober:
            self.prober = None
        self.breaker.given_up(probe=call.probe)
        self._live()

    @precondition(lambda self: any(not call.entered for call in self.calls))
    @rule(pick=PICK, answered=st.booleans())
    def leave_the_line(self, pick: int, answered: bool) -> None:
        """Whoever waits for room gives up, perhaps in the very moment in which it would have been their turn."""
        waiting = [call for call in self.calls if not call.entered]
        call = waiting[pick % len(waiting)]
        if answered and self._entered:
            live, self._live = self._live, lambda *work: None  # type: ignore[method-assign, assignment]
            self.answer(pick)
            self._live = live  # type: ignore[method-assign]
        call.task.cancel()
        self.calls.remove(call)
        self._live()

    @precondition(lambda self: len(self.patient) < 2)
    @rule()
    def wait_patiently(self) -> None:
        """Someone waits until a call may be tried."""

        async def waiting() -> bool:
            await self.breaker.until_it_may_pass()
            return self._may_pass

        async def begin() -> None:
            self.patient.append(asyncio.ensure_future(waiting()))

        self._live(begin())

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 5.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        """Nothing happens for a while."""
        self._live(self.clock.sleep(seconds))

    @precondition(lambda self: self.down)
    @rule()
    def the_rest_ends(self) -> None:
        """It is time for a probe."""
        self._live(self.clock.sleep(max(0.0, self.rest_until - self.clock.monotonic()) + 2 * _EXACTLY))

    @precondition(lambda self: not self.down)
    @rule(outcomes=st.lists(st.booleans(), min_size=10, max_size=25))
    def one_after_the_other(self, outcomes: list[bool]) -> None:
        """Calls are made one after the other, as long as there is room beside those that are under way."""
        for failed in outcomes:
            if self.down or self._under_way >= self.room:
                return
            self.call(1, asks=False)
            (self.fail if failed else self.answer)(self._under_way - 1)

    @precondition(lambda self: self.down and self.prober is None)
    @rule()
    def probe(self) -> None:
        """The rest ends, and a probe leaves."""
        self.the_rest_ends()
        self.call(1, asks=False)
        assert self.prober is not None, "it is time for a probe, and none leaves"

    @precondition(lambda self: not self.down and self.room > self._under_way)
    @rule()
    def it_goes_down_under_load(self) -> None:
        """All that there is room for is sent at once, and fails: all but the last few, whose answers come late."""
        self.call(self.room - self._under_way, asks=False)
        while not self.down and self._under_way > 2:
            self.fail(0)

    @precondition(lambda self: self.down or self.room > max(2, self._under_way))
    @rule(fails=st.booleans())
    def a_late_answer_overtakes_the_probe(self, fails: bool) -> None:
        """The system has answered a call from before, while a probe is on its way; perhaps it `fails` at once again."""
        if not self.down:
            self.it_goes_down_under_load()
        if self.down and self.prober is None:
            self.probe()
        probe = self.prober
        for happens in (self.answer, self.fail)[: 1 + fails]:
            late = [number for number, call in enumerate(self._entered) if call is not probe]
            if probe is not None and late:
                happens(late[0])

    @rule(lives=st.integers(0, 3), seconds=st.sampled_from([0.0, 0.7, 15.0]), set_back=st.sampled_from([0.0, 0.0, 4.0, 7200.0]))
    def restart(self, lives: int, seconds: float, set_back: float) -> None:
        """Now and then the process is killed, and another one starts after a while, perhaps by a clock that was set back meanwhile."""
        if lives:
            return

        async def killed() -> None:
            tasks = [*(call.task for call in self.calls), *self.patient]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.runner.run(killed())
        self.clock.advance(seconds)
        self.clock.set_back(set_back)
        if self.down:
            assert self.kept is not None, "the outage is forgotten"
            # By a clock that was set back the rest seems longer; longer than any is, it can't be one, and nobody waits for it.
            now, today = self.clock.monotonic(), self.clock.now()
            self.seems_due += set_back
            can_be = self.kept.until <= today + self.policy.longest
            self.rest_until = max(now, self.seems_due) if can_be else now
            self.down_since = min(self.kept.since, today)
            self.believed = Outage(self.down_since, self.kept.until if can_be else today, self.kept.rests, self.kept.why)
        self._start()
        assert self.down == (self.breaker.outage is not None)

    # -- what must be so

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """Whoever may go has gone: no wake-up is lost."""
        if not hasattr(self, "runner"):
            return
        if waiting := [call for call in self.calls if not call.entered]:
            assert not self.down, "someone waits for room at a system that is down"
            assert self._under_way >= self.room, f"{len(waiting)} wait, though there is room"
        still = [task for task in self.patient if not task.done()]
        assert all(task.result() for task in self.patient if task.done()), "someone was told too early that a call may pass"
        assert not still or not self._may_pass, "no one was told that a call may pass"
        self.patient = still

    @invariant()
    def what_is_known_is_kept(self) -> None:
        """The durable state says what the breaker knows, at any moment."""
        if not hasattr(self, "runner"):
            return
        assert self.down == (self.breaker.outage is not None)
        assert self.believed == self.breaker.outage
        if self.believed is not None:
            assert self.believed.since == self.down_since
            assert self.believed.rests == self.vain

    # -- details

    @property
    def _entered(self) -> list[Call]:
        return [call for call in self.calls if call.entered]

    @property
    def _under_way(self) -> int:
        return len(self._entered)

    @property
    def _may_pass(self) -> bool:
        return not self.down or (self.prober is None and self.clock.monotonic() > self.rest_until - _EXACTLY)

    def _take(self, pick: int) -> Call:
        entered = self._entered
        call = entered[pick % len(entered)]
        self.calls.remove(call)
        return call

    def _note(self, *, failed: bool) -> None:
        self.latest = [*self.latest, failed][-_JUDGED:]

    def _live(self, *work: Any) -> None:
        """Do something, and let everybody go on who can without time passing."""

        async def living() -> None:
            for one in work:
                await one
            for _ in range(10):
                await asyncio.sleep(0)

        self.runner.run(living())
        for error in self.broken:
            raise error


Calls.TestCase.settings = settings(max_examples=250, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck))
TestCalls = Calls.TestCase
