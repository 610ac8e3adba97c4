"""What several processes may call together: a state machine, and what each part of the decision promises."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tieline.config.models.limits import RateLimit
from tieline.transport.limits.headers import Told
from tieline.transport.limits.priority import PRIORITIES, WEIGHTS
from tieline.transport.limits.rate_budget import Allowance, Closed, Want, count_in_words, grant, pause, touch, used_of
from tieline.transport.limits.windows import LATE_SECONDS, rules_of

NOW = 1_780_000_000.0


def limit(requests: int, per: float, **more: Any) -> RateLimit:
    """Declare a limit; `per` in seconds."""
    return RateLimit(requests=requests, per=float(per), **more)


def restarted(state: Allowance) -> Allowance:
    """Return what is known after a restart: what was written."""
    return msgspec.json.decode(msgspec.json.encode(state), type=Allowance)


class SeveralProcesses(RuleBasedStateMachine):
    """Processes ask, call when they are told to, die with what they were granted, and restart; the vendor pauses them; clocks go back."""

    @initialize(
        limits=st.lists(
            st.tuples(st.integers(1, 60), st.sampled_from([1.0, 10.0, 60.0, 7200.0]), st.sampled_from([None, None, 1, 5])),
            min_size=1,
            max_size=3,
            unique_by=lambda one: one[1],
        )
    )
    def begin(self, limits: list[tuple[int, float, int | None]]) -> None:
        """Declare the limits."""
        self.limits = [limit(n, per, burst=min(burst, n) if burst else None) for n, per, burst in limits]
        self.rules, self.state = rules_of(self.limits), Allowance()
        self.time = self.wall = NOW
        self.calls: list[float] = []
        self.pauses: list[tuple[float, float]] = []
        """(told at, until), in true time."""
        self.denied: dict[str, float] = {}

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.1, 0.3, 1.0, 7.0, 100.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        """All clocks go on."""
        self.time += seconds
        self.wall += seconds

    @rule(
        priority=st.sampled_from(PRIORITIES),
        most=st.integers(1, 50),
        lead=st.sampled_from([0.0, 0.0, 0.03]),
        late=st.sampled_from([0.0, 0.0, 0.5]),
        keeps=st.booleans(),
    )
    def somebody_asks(self, priority: Any, most: int, lead: float, late: float, keeps: bool) -> None:
        """It calls at the moments that it is given, or a little late; or dies and never calls."""
        given = grant(self.state, self.rules, self.wall, Want(priority, most=most, lead_seconds=lead))
        assert len(given.moments) <= most
        for number, moment in enumerate(given.moments):
            assert moment >= self.wall
            if keeps:
                self.calls.append(moment - self.wall + self.time + late * LATE_SECONDS * (number % 2))
        if not given.moments:
            assert given.until > self.wall, "a denial says until when"

    @rule(seconds=st.sampled_from([0.5, 3.0, 50.0, 5000.0]))
    def the_vendor_says_wait(self, seconds: float) -> None:
        """Retry-After."""
        pause(self.state, self.wall, seconds, "told to wait", accepted=None)
        self.pauses.append((self.time, self.time + seconds))

    @rule()
    def all_restart(self) -> None:
        """Only what was written is left."""
        self.state = restarted(self.state)

    @precondition(lambda self: self.state.seen_at > 0)
    @rule(seconds=st.sampled_from([3.0, 600.0, 90_000.0]))
    def the_clock_is_set_back(self, seconds: float) -> None:
        """By someone careless; true time goes on, and the store is touched before it is asked."""
        self.state.seen_at = self.wall
        self.wall -= seconds
        touch(self.state, self.wall)

    @invariant()
    def no_window_overflows(self) -> None:
        """By the vendor's count, in every window that begins with a call; a burst and the calls that left late come on top."""
        calls = sorted(self.calls)
        for declared in self.limits:
            interval = declared.per / declared.requests
            on_top = (declared.burst or 1) - 1 + 2 * LATE_SECONDS / interval if declared.per <= 3600 else 0.0
            for first, at in enumerate(calls):
                within = sum(1 for other in calls[first:] if other < at + declared.per - 1e-6)
                assert within <= declared.requests + on_top + 1e-6, f"{within} calls in a window of {declared.per:g} s from {at - NOW:.3f}"

    @invariant()
    def no_pause_is_cut_short(self) -> None:
        """Whatever restarts and clocks did: what was granted after a pause was told leaves after its end."""
        if self.pauses:
            _, until = max(self.pauses, key=lambda one: one[1])
            if self.time < until - 1e-3:
                given = grant(restarted(self.state), self.rules, self.wall, Want("interactive"))
                assert not given.moments


SeveralProcesses.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSeveralProcesses = SeveralProcesses.TestCase


def test_all_three_priorities_get_their_part_and_none_starves() -> None:
    """Each wants all there is, for a minute, at 50 a second, and asks a little ahead of time, as lanes do."""
    rules, state, got = rules_of([limit(50, 1)]), Allowance(), dict.fromkeys(PRIORITIES, 0)
    now, ready = NOW, dict.fromkeys(PRIORITIES, NOW)
    while now < NOW + 60:
        for priority in PRIORITIES:
            if ready[priority] <= now:
                given = grant(state, rules, now, Want(priority, most=50))
                got[priority] += len(given.moments)
                ready[priority] = given.moments[-1] if given.moments else given.until
        now = min(ready.values())

    whole = sum(got.values())
    assert 0.97 * 3000 <= whole <= 3050
    for priority in PRIORITIES:
        assert got[priority] / whole == pytest.approx(WEIGHTS[priority] / sum(WEIGHTS.values()), rel=0.25)


def test_what_the_urgent_do_not_use_the_others_may() -> None:
    """One interactive call a second takes nothing from a backfill but that one."""
    rules, state = rules_of([limit(50, 1)]), Allowance()
    now, ready, got, urgent = NOW, NOW, 0, NOW
    slowest = 0.0
    while now < NOW + 60:
        if urgent <= now:
            given = grant(state, rules, now, Want("interactive"))
            slowest = max(slowest, (given.moments[0] if given.moments else given.until) - now)
            urgent += 1.0
        if ready <= now:
            given = grant(state, rules, now, Want("backfill", most=50))
            got += len(given.moments)
            ready = given.moments[-1] if given.moments else given.until
        now = min(ready, urgent)

    assert got >= 0.97 * 3000 - 60
    assert slowest <= 0.5


def test_a_reserve_is_left_for_who_waits() -> None:
    """Of 1,000 a day, 10 % kept: backfill has 900, live 950, a person all."""
    rules, state = rules_of([limit(1000, 86_400, reserve="10%")]), Allowance()

    got = {}
    for priority in ("backfill", "live", "interactive"):
        got[priority] = 0
        while (given := grant(state, rules, NOW, Want(priority, most=40))).moments:
            got[priority] += len(given.moments)

    assert {"backfill": 900, "live": 50, "interactive": 50} == got
    assert 1000 == used_of(state, rules.counted[0], NOW)
    refused = grant(state, rules, NOW + 5, Want("backfill"))
    assert NOW + 86_400 <= refused.until <= NOW + 86_400 * 1.01
    assert refused.why == "1,000 requests a day are used up, but for 100 that are kept for more urgent calls"
    assert grant(state, rules, refused.until + 864, Want("backfill")).moments


def test_a_day_is_any_day() -> None:
    """The vendor's begins when it likes: what was taken this morning counts until tomorrow morning."""
    rules, state = rules_of([limit(100, 86_400)]), Allowance()
    for hour, taken in ((0, 50), (13, 10), (20, 40)):
        given = grant(state, rules, NOW + hour * 3600, Want("live", most=99))
        given_back = len(given.moments) - taken
        grant(state, rules, NOW + hour * 3600 + 1, Want("live", least=1, most=1, unused=given_back + 1))

    assert 0 == given_back
    assert not grant(state, rules, NOW + 23 * 3600, Want("live")).moments
    assert 49 <= len(grant(state, rules, NOW + 24.3 * 3600, Want("live", most=99)).moments) <= 50


def test_many_processes_of_a_low_priority_count_as_one() -> None:
    """Five fill up, one is live: it has four fifths all the same, as long as it wants them."""
    rules, state = rules_of([limit(50, 1)]), Allowance()
    got, now = {"live": 0, "backfill": 0}, NOW
    ready: dict[tuple[Any, int], float] = {("live", 0): NOW, **{("backfill", number): NOW for number in range(5)}}
    while now < NOW + 60:
        for (priority, number), at in ready.items():
            if at <= now:
                given = grant(state, rules, now, Want(priority, most=50))
                got[priority] += len(given.moments)
                ready[priority, number] = max(now + 0.01, given.moments[-1] - 0.1 if given.moments else given.until)
        now = min(ready.values())

    assert got["live"] / sum(got.values()) == pytest.approx(0.8, abs=0.08)


def test_what_was_not_used_is_given_back() -> None:
    rules, state = rules_of([limit(1000, 86_400)]), Allowance()
    grant(state, rules, NOW, Want("live", most=40))
    grant(state, rules, NOW + 1, Want("live", unused=30))

    assert 11 == used_of(state, rules.counted[0], NOW + 2)


def test_a_call_that_cost_more_than_it_was_said_to_is_paid_for() -> None:
    """Points: the vendor tells the real cost afterwards."""
    rules, state = rules_of([limit(100, 10), limit(1000, 86_400)]), Allowance()
    grant(state, rules, NOW, Want("live"))
    following = grant(state, rules, NOW, Want("live", extra=49))

    assert following.moments[0] >= NOW + 5.0
    assert 51 == used_of(state, rules.counted[0], NOW)


def test_what_the_vendor_counts_wins_over_our_own_count() -> None:
    """Someone else uses the account too, or the vendor's day began again."""
    rules, state = rules_of([limit(1000, 86_400)]), Allowance()
    grant(state, rules, NOW, Want("live", most=900))
    told = Told("X-RateLimit", limit=1000, remaining=1000, reset=80_000)

    assert 100 == len(grant(restarted(state), rules, NOW + 1, Want("live", most=500)).moments)
    assert 500 == len(grant(state, rules, NOW + 1, Want("live", most=500, heard=[told])).moments)
    assert 500 == used_of(state, rules.counted[0], NOW + 1)
    gone = grant(state, rules, NOW + 2, Want("live", heard=[msgspec.structs.replace(told, remaining=0)]))
    assert (NOW + 2 + 80_000, True) == (gone.until, bool(gone.why))


def test_calls_that_the_vendor_has_not_counted_yet_are_counted_here() -> None:
    """Thirty were sent when an answer said 50: at most 20 are left."""
    state = Allowance()
    told = Told("X-RateLimit", limit=5000, remaining=50, reset=1800)

    assert 20 == len(grant(state, rules_of([]), NOW, Want("live", most=100, heard=[told], outstanding=30)).moments)
    assert not grant(state, rules_of([]), NOW + 1, Want("live", most=100)).moments


def test_an_absurd_wait_is_capped_and_noted() -> None:
    """What a person must know is kept beside the budget."""
    state = Allowance()
    pause(state, NOW, 1e12, "told to wait")
    grant(state, rules_of([]), NOW, Want("live", heard=[Told("X-RateLimit", remaining=0, reset=86_400, capped=True)]))

    assert Closed(NOW + 31 * 86_400, "told to wait") == state.pause
    assert ["told to wait for 11,574,074 days; one call asks again after 31"] == list(state.notes)[:1]
    assert "`X-RateLimit` tells of a reset more than a day away; after a day one call asks again" in state.notes


@pytest.mark.parametrize(
    ("requests", "per", "words"),
    [
        (100_000, 86_400, "100,000 requests a day"),
        (10, 1, "10 requests a second"),
        (5, 3600, "5 requests an hour"),
        (100, 10, "100 requests in 10 seconds"),
        (9, 0.5, "9 requests in 0.5 s"),
    ],
)
def test_a_limit_in_words(requests: int, per: float, words: str) -> None:
    assert words == count_in_words(requests, per)
