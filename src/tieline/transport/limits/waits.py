"""How long a header asks to wait: every unit and size, always within bounds, never an exception.

| the header's text                        | read as                                              |
| ---------------------------------------- | ---------------------------------------------------- |
| `30`, `0.5`                              | seconds                                              |
| `30` where the name ends in `ms`         | milliseconds                                         |
| `1780000030`, `1780000030000`            | seconds, or milliseconds, since 1970                 |
| `Wed, 21 Oct 2026 07:28:00 GMT`          | a date (RFC 9110, 5.6.7), or one as RFC 3339 has it  |
| `1m30s`, `250ms`, `2h`                   | a duration                                           |
| `Infinity`, `1e308`, 400 digits          | the longest wait that is believed                    |
| `NaN`, and what is none of these         | nothing                                              |

A point of time is the vendor's, and so compared with the answer's own `Date` where there is one: our clock may be hours off.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import re
from typing import Final

from tieline.model.clock import MOST_WAIT_SECONDS

_EPOCH_FROM: Final = 1e9
_EPOCH_MS_FROM: Final = 1e11
_MOST_TEXT: Final = 200
"""Characters of a header that are looked at: a number of 400 digits says no more than one of 200."""
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART: Final = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)\s*(ms|s|m|h|d)", re.ASCII | re.IGNORECASE)


def wait_told(text: str, now: float, date: str = "", *, milliseconds: bool = False) -> float | None:
    """Return the seconds from now that a header's text asks for, from 0 to `MOST_WAIT_SECONDS`; None when it can't be read."""
    text = text[:_MOST_TEXT].strip()
    value = _number(text)
    if value is None:
        wait = _duration(text)
        if wait is None and (until := moment_told(text)) is not None:
            wait = until - _said_at(date, now)
    elif value < _EPOCH_FROM or math.isinf(value):
        wait = value / 1000.0 if milliseconds else value
    else:
        wait = (value / 1000.0 if value >= _EPOCH_MS_FROM else value) - _said_at(date, now)
    return None if wait is None else min(max(0.0, wait), MOST_WAIT_SECONDS)


def in_milliseconds(name: str) -> bool:
    """Whether a header's name says that it counts milliseconds: `retry-after-ms`, `X-Rate-Limit-Time-Reset-Ms`."""
    return name.casefold().endswith(("-ms", "_ms"))


def moment_told(text: str) -> float | None:
    """Return a date, in the form of a header or of RFC 3339, in seconds since 1970; None when it is none."""
    if not text or len(text) > _MOST_TEXT:
        return None
    moment = None
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        try:
            moment = dt.datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            return None
    try:
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _said_at(date: str, now: float) -> float:
    there = moment_told(date)
    return now if there is None else there


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _duration(text: str) -> float | None:
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        return None
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in parts)
