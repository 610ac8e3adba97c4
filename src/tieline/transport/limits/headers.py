"""What an answer's headers say about limits, whoever's way of saying it: a pure function of headers, declaration and clock.

| headers                                                     | source                                                              |
| ----------------------------------------------------------- | ------------------------------------------------------------------- |
| `RateLimit-Policy: "d";q=100;w=60`, `RateLimit: "d";r=50;t=30` | draft-ietf-httpapi-ratelimit-headers, 08 and later               |
| `RateLimit: limit=100, remaining=50, reset=30`              | the same, 07                                                        |
| `RateLimit-Limit: 100, 100;w=60`, `-Remaining`, `-Reset`    | the same, up to 06                                                  |
| `X-RateLimit-Limit`, `-Remaining`, `-Reset`; `X-Rate-Limit-…` | a habit of many; reset in seconds, or as a time                   |
| whatever `limit_headers` declares                           | the connector                                                       |

What can't be read says nothing: a header never makes a call fail. Waits are read in one place (`transport.limits.waits`), and how long a header may
make us wait is bounded (`MOST_RESET_SECONDS`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from tieline.model.clock import MOST_WAIT_SECONDS
from tieline.transport.limits.waits import in_milliseconds, wait_told

if TYPE_CHECKING:
    from tieline.config.models.limits import LimitHeaders

MOST_RESET_SECONDS: Final = 86_400.0
"""The longest wait that is taken from a header other than Retry-After; past it one call asks again."""
_MOST_COUNT: Final = 1e12
"""No limit takes more, and none has more left."""
_MOST_COST: Final = 10_000.0
"""No call takes more of a limit: a header that says so is not believed."""
_LEAST_WINDOW: Final = 0.001
_PAIR: Final = re.compile(r"([^=/;,\s]+)=(\d+)/(\d+)", re.ASCII)
_ITEM: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^";,=\s]+))\s*((?:;[^,;"]*(?:"[^"]*"[^,;"]*)?)*)\s*(?:,|$)')
_FAMILIES: Final = ("RateLimit", "X-RateLimit", "X-Rate-Limit")


class Told(msgspec.Struct, frozen=True):
    """What an answer said of one limit. Times in seconds from now; None where it said nothing."""

    name: str
    """Which of the vendor's limits: its own name for it, or that of the header."""
    limit: float | None = None
    """What a window takes."""
    per: float | None = None
    """Length of the window."""
    remaining: float | None = None
    """What is left of it."""
    reset: float | None = None
    """Until more is to be had."""
    capped: bool = False
    """The reset was further away than is believed."""


class Heard(msgspec.Struct, frozen=True):
    """All that an answer said."""

    limits: tuple[Told, ...] = ()
    backoff: float | None = None
    """Seconds for which the vendor wants to be left alone, though this answer was good."""
    cost: float | None = None
    """What the call really took."""


NOTHING: Final = Heard()


def read_limits(headers: Mapping[str, str], declared: Sequence[LimitHeaders], now: float) -> Heard:
    """Return what the headers say. `now` is seconds since 1970, for resets given as a time; the vendor's own `Date` is better."""
    limits: list[Told] = []
    backoff = cost = None
    for own in declared:
        heard = _declared(headers, own, now)
        if heard is not None:
            limits.append(heard)
        backoff = _larger(backoff, _wait(headers, own.backoff, now))
        cost = _larger(cost, _within(_number(headers.get(own.cost, "")), 0.0, _MOST_COST) if own.cost else None)
    fields = headers.get("RateLimit")
    if fields is not None:
        limits += _structured(fields, headers.get("RateLimit-Policy") or "")
    else:
        policy = headers.get("RateLimit-Policy")
        if policy is not None and headers.get("RateLimit-Remaining") is None:
            limits += _structured("", policy)
    for family in _FAMILIES:
        remaining = headers.get(f"{family}-Remaining")
        if remaining is not None:
            limits.append(_triple(headers, family, remaining, now))
    if not limits and backoff is None and cost is None:
        return NOTHING
    return Heard(tuple(limits), backoff, cost)


def reset_wait(heard: Heard) -> float | None:
    """Return how long a throttled caller should wait by the headers, or None: the longest reset of a limit that is used up."""
    waits = [told.reset for told in heard.limits if told.reset is not None and told.remaining is not None and told.remaining < 1]
    return max(waits, default=None)


# -- each way of saying it


def _declared(headers: Mapping[str, str], own: LimitHeaders, now: float) -> Told | None:
    limit, remaining = (_number(headers.get(name, "")) if name else None for name in (own.limit, own.remaining))
    limit = _limit(limit)
    if own.used:
        text = headers.get(own.used, "")
        pair = _PAIR.search(text)  # `api-usage=18/5000`, of several in one header the first
        used, _, whole = (f"{pair[2]}/{pair[3]}" if pair is not None else text).partition("/")
        limit = _limit(_number(whole)) if whole else limit
        taken = _number(used)
        if taken is not None and limit is not None:
            remaining = max(0.0, limit - taken)
    reset, capped = _capped(_wait(headers, own.reset, now))
    if limit is None and remaining is None and reset is None:
        return None
    name = own.remaining or own.used or own.limit or own.reset or ""
    return Told(name, limit, own.per, remaining, reset if reset is not None else own.per, capped)


def _triple(headers: Mapping[str, str], family: str, remaining: str, now: float) -> Told:
    quota = headers.get(f"{family}-Limit", "")
    limit, per = _limit(_number(quota.partition(",")[0].partition(";")[0])), None
    if window := re.search(r";\s*w=(\d+)", quota, re.ASCII):
        per = _window(_number(window[1]))
    reset, capped = _capped(_wait(headers, f"{family}-Reset", now))
    return Told(family, limit, per, _number(remaining.partition(",")[0].partition(";")[0]), reset, capped)


def _structured(fields: str, policy: str) -> list[Told]:
    if "limit=" in fields and "remaining=" in fields:  # draft 07: one dictionary
        said = dict(part.strip().partition("=")[::2] for part in fields.split(","))
        reset, capped = _capped(_number(said.get("reset", "")))
        windows = [_window(_number(w)) for w in re.findall(r";\s*w=(\d+)", policy, re.ASCII)]
        limit, remaining = _limit(_number(said.get("limit", ""))), _number(said.get("remaining", ""))
        return [Told("RateLimit", limit, windows[0] if len(windows) == 1 else None, remaining, reset, capped)]
    policies = {name: given for name, given in _items(policy) if given.get("qu", '"requests"').strip('"') == "requests"}
    counted = {name: given for name, given in _items(policy) if name not in policies}
    found = []
    left = {name: given for name, given in _items(fields) if name not in counted}
    for name in {**policies, **left}:
        quota, state = policies.get(name, {}), left.get(name, {})
        limit, per = _limit(_number(quota.get("q", ""))), _window(_number(quota.get("w", "")))
        if limit is None and name in policies:
            limit = _limit(_number(name))  # draft 07: `100;w=60`
        reset, capped = _capped(_number(state.get("t", "")))
        found.append(Told(name, limit, per, _number(state.get("r", "")), reset, capped))
    return found


def _items(text: str) -> list[tuple[str, dict[str, str]]]:
    found, at = [], 0
    while match := _ITEM.match(text, at):
        at = match.end()
        parts = [part.strip().partition("=") for part in match[3].split(";") if part.strip()]
        found.append((match[1] if match[1] is not None else match[2], {key.strip(): value.strip() for key, _, value in parts}))
        if at >= len(text):
            break
    return found


# -- values


def _number(text: str) -> float | None:
    """Return a count, never more than any limit has; None for what is none, is not finite or is below 0."""
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return min(value, _MOST_COUNT) if math.isfinite(value) and value >= 0 else None


def _limit(value: float | None) -> float | None:
    """Return what a window takes: nothing less than one call, because no pace follows from that; 0 says that nothing may be called."""
    return value if value is None or value == 0 or value >= 1 else None


def _window(value: float | None) -> float | None:
    return _within(value, _LEAST_WINDOW, MOST_WAIT_SECONDS)


def _within(value: float | None, least: float, most: float) -> float | None:
    return value if value is not None and least <= value <= most else None


def _wait(headers: Mapping[str, str], name: str | None, now: float) -> float | None:
    """Return a header's wait in seconds, in whatever way it is given; of several, the first."""
    text = (headers.get(name) or "").strip() if name else ""
    if not text or not name:
        return None
    date, exact = headers.get("Date") or "", in_milliseconds(name)
    wait = wait_told(text, now, date, milliseconds=exact)
    return wait if wait is not None else wait_told(text.partition(",")[0].partition(";")[0], now, date, milliseconds=exact)


def _capped(wait: float | None) -> tuple[float | None, bool]:
    if wait is None or wait <= MOST_RESET_SECONDS:
        return wait, False
    return MOST_RESET_SECONDS, True


def _larger(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)
