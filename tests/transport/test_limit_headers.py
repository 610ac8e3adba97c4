"""What answers tell of limits, in everybody's way of saying it."""

from __future__ import annotations

import email.utils
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.config.models.limits import LimitHeaders
from tieline.testing.vendor import Headers
from tieline.transport.limits.headers import MOST_RESET_SECONDS, NOTHING, Heard, Told, read_limits, reset_wait

NOW = 1_780_000_000.0


def heard(headers: dict[str, str], *declared: dict[str, Any], now: float = NOW) -> Heard:
    """Read headers."""
    return read_limits(Headers(headers), [LimitHeaders.model_validate(own) for own in declared], now)


def test_the_draft_s_structured_fields_name_each_limit() -> None:
    """draft-ietf-httpapi-ratelimit-headers-10, section 5."""
    said = heard({"RateLimit-Policy": '"burst";q=100;w=60,"daily";q=1000;w=86400', "RateLimit": '"burst";r=50;t=30, "daily";r=999'})

    assert (Told("burst", 100, 60, 50, 30), Told("daily", 1000, 86400, 999)) == said.limits


def test_a_policy_alone_tells_a_pace() -> None:
    assert (Told("default", 100, 10),) == heard({"RateLimit-Policy": '"default";q=100;w=10'}).limits


def test_a_limit_of_something_else_than_requests_is_left_alone() -> None:
    """A quota of bytes, or of calls at once, is not what is counted here."""
    assert () == heard({"RateLimit-Policy": '"b";q=65535;qu="content-bytes";w=10', "RateLimit": '"b";r=4;t=9'}).limits


def test_a_name_may_hold_what_separates_fields() -> None:
    [told] = heard({"RateLimit": '"a, \\"b\\"; c";r=0;t=7'}).limits

    assert (0, 7) == (told.remaining, told.reset)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"RateLimit": "limit=100, remaining=50, reset=5", "RateLimit-Policy": "100;w=10"}, Told("RateLimit", 100, 10, 50, 5)),
        ({"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "0", "RateLimit-Reset": "12"}, Told("RateLimit", 100, 60, 0, 12)),
        (
            {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": "60"},
            Told("X-RateLimit", 5000, None, 4999, 60),
        ),
        ({"X-Rate-Limit-Remaining": "3"}, Told("X-Rate-Limit", None, None, 3)),
    ],
)
def test_older_and_usual_headers_are_known(headers: dict[str, str], told: Told) -> None:
    """Drafts 03 to 07, and the habit from which they came."""
    assert (told,) == heard(headers).limits


@pytest.mark.parametrize(
    "reset",
    ["30", "30.0", f"{NOW + 30:.0f}", f"{(NOW + 30) * 1000:.0f}", email.utils.formatdate(NOW + 30, usegmt=True), "2026-05-28T20:27:10Z"],
)
def test_a_reset_is_seconds_or_a_time(reset: str) -> None:
    [told] = heard({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}).limits

    assert 30 == told.reset
    assert 30 == reset_wait(heard({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}))


def test_a_time_is_compared_with_the_vendor_s_own_clock() -> None:
    """Ours may be wrong by an hour, and the wait is right all the same."""
    there = NOW - 3600
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{there + 30:.0f}", "Date": email.utils.formatdate(there, usegmt=True)}

    assert 30 == heard(headers).limits[0].reset


def test_an_absurd_reset_is_capped_and_said_to_be() -> None:
    """A header is a hint: what it says of the year 2096 holds no one up."""
    [told] = heard({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4000000000"}).limits

    assert (MOST_RESET_SECONDS, True) == (told.reset, told.capped)


def test_a_vendor_s_own_headers_are_declared() -> None:
    said = heard(
        {"X-HubSpot-RateLimit-Max": "100", "X-HubSpot-RateLimit-Remaining": "7", "X-Shop-Calls": "32/40", "X-Cost": "12", "Backoff": "10"},
        {"limit": "X-HubSpot-RateLimit-Max", "remaining": "X-HubSpot-RateLimit-Remaining", "per": "10s"},
        {"used": "X-Shop-Calls", "per": "20s"},
        {"cost": "X-Cost", "backoff": "Backoff"},
    )

    assert Told("X-HubSpot-RateLimit-Remaining", 100, 10, 7, 10) == said.limits[0]
    assert Told("X-Shop-Calls", 40, 20, 8, 20) == said.limits[1]
    assert (12, 10) == (said.cost, said.backoff)


def test_headers_that_tell_nothing_cost_nothing() -> None:
    assert NOTHING is heard({"Content-Type": "application/json"}, {"backoff": "Backoff"})


_NAMES = ["RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "X-RateLimit-Limit"]
_NAMES += ["X-RateLimit-Remaining", "X-RateLimit-Reset", "Date", "Own", "Backoff"]
_TEXTS = st.one_of(
    st.text(alphabet='";=,rqtwlimt 0123456789.-+eE/x:', max_size=40), st.text(max_size=20), st.floats().map(str), st.integers().map(str)
)


@given(st.dictionaries(st.sampled_from(_NAMES), _TEXTS))
def test_no_header_makes_a_call_fail_or_wait_for_ever(headers: dict[str, str]) -> None:
    said = heard(headers, {"limit": "Own", "remaining": "Own", "reset": "Own", "backoff": "Backoff", "used": "Own", "cost": "Own"})

    for told in said.limits:
        assert told.reset is None or 0 <= told.reset <= MOST_RESET_SECONDS
        assert told.remaining is None or 0 <= told.remaining < float("inf")
