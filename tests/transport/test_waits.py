"""Waits in every unit and size: always within bounds, never an exception."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tieline.config.models.limits import LimitHeaders
from tieline.model.clock import MOST_WAIT_SECONDS
from tieline.testing.vendor import Headers
from tieline.transport.classify import retry_after_seconds
from tieline.transport.limits.headers import read_limits, reset_wait
from tieline.transport.limits.rate_budget import Allowance, Closed, Left, Want, grant, moment_in_words, pause, touch
from tieline.transport.limits.waits import wait_told
from tieline.transport.limits.windows import NO_RULES

NOW = 1_780_000_000.0
MADE = st.sampled_from(
    ["Infinity", "-Infinity", "NaN", "1e308", "9" * 400, "-5", "0", "1e-300", '"";q=;w=0', "limit=,remaining=", "xlimit=1, remaining=2",
     '"a";q=1e308;w=1e308', '"a";r=9;t=' + "9" * 400, "1m30s", "api-usage=18/5000", f"api-usage={'9' * 400}/{'9' * 400}", "99/0", "²", "١٢"]
)  # fmt: skip
TEXTS = MADE | st.text(max_size=40) | st.text(alphabet='0123456789.,;=/"-+eInfaN wqrt', max_size=60) | st.floats().map(str)
NAMES = ("Retry-After", "Retry-After-Ms", "Date", "RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
         "X-RateLimit-Remaining", "X-RateLimit-Limit", "X-RateLimit-Reset", "X-Limit", "X-Left", "X-Used", "X-Reset-Ms", "X-Cost", "X-Back")  # fmt: skip
OWN = [LimitHeaders(limit="X-Limit", remaining="X-Left", used="X-Used", reset="X-Reset-Ms", cost="X-Cost", backoff="X-Back")]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30), ("0.5", 0.5), ("1780000030", 30), ("1780000030000", 30), ("1m30s", 90), ("250ms", 0.25), ("2h", 7200), ("-5", 0),
        ("Thu, 28 May 2026 20:27:10 GMT", 30), ("2026-05-28T20:27:10Z", 30), ("Infinity", MOST_WAIT_SECONDS), ("1e308", MOST_WAIT_SECONDS),
        ("9" * 400, MOST_WAIT_SECONDS), ("99999999", MOST_WAIT_SECONDS), ("NaN", None), ("soon", None), ("", None),
    ],
)  # fmt: skip
def test_a_wait_is_read_in_every_unit(text: str, seconds: float | None) -> None:
    assert seconds == wait_told(text, NOW)


def test_a_name_says_that_it_counts_milliseconds() -> None:
    """BigCommerce."""
    headers = {"X-Left": "0", "X-Reset-Ms": "12000", "X-Limit": "150"}

    assert 12 == reset_wait(read_limits(Headers(headers), OWN, NOW))
    assert 1.5 == retry_after_seconds(Headers({"retry-after-ms": "1500"}), NOW)


def test_what_is_used_of_a_named_limit_is_read() -> None:
    """Salesforce's `Sforce-Limit-Info`."""
    [told] = read_limits(
        Headers({"Info": "api-usage=18/5000; per-app-api-usage=17/250"}), [LimitHeaders(used="Info", per=86_400.0)], NOW
    ).limits

    assert (5000, 4982) == (told.limit, told.remaining)


@given(st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=8))
@example({"RateLimit-Policy": '"";w=5'})
@example({"X-Cost": "1e308", "X-RateLimit-Remaining": "0", "X-RateLimit-Limit": "1e-300", "X-RateLimit-Reset": "1e308"})
def test_no_header_ends_a_run_or_asks_for_more_than_is_believed(headers: dict[str, str]) -> None:
    asked = Headers(headers)
    wait = retry_after_seconds(asked, NOW)
    heard = read_limits(asked, OWN, NOW)
    state = Allowance()
    if wait is not None:
        pause(state, NOW, wait, "told")
    given_out = grant(state, NO_RULES, NOW, Want("live", heard=list(heard.limits), extra=(heard.cost or 1.0) - 1.0))
    again = grant(state, NO_RULES, NOW, Want("live"))

    for seconds in (wait, heard.backoff, *(told.reset for told in heard.limits)):
        assert seconds is None or 0 <= seconds <= MOST_WAIT_SECONDS
    for until in (given_out.until, again.until, *given_out.moments):
        assert math.isfinite(until)
        assert until <= NOW + MOST_WAIT_SECONDS
        moment_in_words(until)


@pytest.mark.parametrize("until", [1e300, NOW + 1e9])
def test_an_absurd_time_that_is_kept_already_heals(until: float) -> None:
    """A clock that was ahead, or an earlier version, may have left one."""
    state = Allowance(
        pause=Closed(until, "told"), waits={"live": Closed(until, "told")}, next={"1": until}, told={"x": Left(0, NOW, 5, 1.0, until)}
    )

    touch(state, NOW)

    assert state.pause is not None
    times = (state.pause.until, state.waits["live"].until, state.next["1"], state.told["x"].reset_at or 0.0)
    assert all(at <= NOW + MOST_WAIT_SECONDS for at in times)
