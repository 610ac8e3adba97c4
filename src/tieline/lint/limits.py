"""Judgements over limits, wherever they are declared: can each be kept, and does each say something?"""

from __future__ import annotations

from collections.abc import Sequence

from tieline.config.loading.yaml_source import Key
from tieline.config.models.limits import LimitHeaders, RateLimit
from tieline.lint.findings import Findings
from tieline.model.clock import COUNTED_FROM_SECONDS


def lint_limits(found: Findings, limits: Sequence[RateLimit]) -> None:
    """Complain of limits of a connector or a connection."""
    for number, limit in enumerate(limits):
        at: tuple[Key, ...] = ("limits", number)
        if limit.per <= 0:
            found.error((*at, "per"), "a window has a length", "such as `per: 1s`")
        if limit.burst is not None and limit.burst > limit.requests:
            found.error((*at, "burst"), f"{limit.burst} is more than the window takes, {limit.requests}")
        if limit.reserve is None:
            continue
        if limit.per <= COUNTED_FROM_SECONDS:
            hint = "take it out; who waits goes first there in any case"
            found.error((*at, "reserve"), "is for windows longer than an hour: shorter ones are full again soon", hint)
        elif limit.reserved >= limit.requests:
            found.error((*at, "reserve"), f"leaves nothing of {limit.requests} requests", "such as `reserve: 10%`")
        elif limit.reserved == 0 or (isinstance(limit.reserve, str) and float(limit.reserve.strip().rstrip("%")) == 0):
            found.error((*at, "reserve"), "keeps nothing back", "such as `reserve: 10%`, or take it out")


def lint_costs(found: Findings, at: tuple[Key, ...], cost: int, limits: Sequence[RateLimit]) -> None:
    """Complain of a call that takes more than a window ever has."""
    least = min((limit.requests for limit in limits), default=cost)
    if cost > least:
        found.error((*at, "cost"), f"{cost} is more than a window takes, {least}: it could never be called", "correct it, or the limit")


def lint_limit_headers(found: Findings, declared: Sequence[LimitHeaders]) -> None:
    """Complain of headers that can't tell anything."""
    for number, headers in enumerate(declared):
        at: tuple[Key, ...] = ("limit_headers", number)
        for name in ("limit", "remaining", "used", "reset", "cost", "backoff"):
            value = getattr(headers, name)
            if value is not None and not value.strip():
                found.error((*at, name), "names no header")
        if (headers.limit or headers.reset or headers.per is not None) and not (headers.remaining or headers.used):
            found.error(at, "`limit`, `reset` and `per` belong to `remaining` or `used`", "name the header that tells what is left")
        elif not any((headers.remaining, headers.used, headers.cost, headers.backoff)):
            found.error(at, "names no header", "name `remaining`, `used`, `cost` or `backoff`")
        elif (headers.remaining or headers.used) and not headers.reset and headers.per is None:
            found.error(at, "doesn't say when more is to be had", "name the header under `reset`, or give the window's length: `per: 10s`")
