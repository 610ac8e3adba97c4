"""A pace found from 429s, for vendors that declare nothing, or less than they enforce: pure functions over one small value.

Until the first 429 there is none. What was accepted before it is the first guess, and doubles each half second until a 429 shows where the
limit is (TCP's slow start). Where a limit is declared it begins with that, and the first 429 in a minute teaches nothing yet. From then on
each further 429 takes something off: half when the pace had hardly begun, a fiftieth when it had held for long, because it is then just above
the limit. Below the highest pace that is not known to fail it grows again; above, it looks after half a minute, for limits change:
soon again and a larger step when that went well, less often when it was in vain. Calls that were under way together are one lesson.
"""

from __future__ import annotations

from typing import Final

import msgspec

_LEAST: Final = 0.1
_FIRST_LEAST: Final = 0.5
_LONG_WAIT_SECONDS: Final = 5.0
_QUIET_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 30.0
_NEXT_LOOK_SECONDS: Final = 8.0
_LOOK_STEP: Final = 0.05
_MOST_LOOK_DOUBLINGS: Final = 3
_MOST_REST_DOUBLINGS: Final = 4
_DOUBLING_SECONDS: Final = 0.5
_ROOM: Final = 1.3
_STEP: Final = 0.15
_LOOKING_STEP: Final = 0.5
_BELOW: Final = 0.97


class Pace(msgspec.Struct):
    """Requests a second that a vendor was seen to take. Times are seconds since 1970."""

    rate: float
    resume_at: float
    """When calls went, or go, on after the last lesson."""
    changed_at: float
    """When the rate was last changed."""
    found: bool = False
    """A second lesson has shown where the limit is."""
    ceiling: float = 0.0
    """The lowest rate that is known to fail."""
    taken: float = 0.0
    """Calls since `resume_at`."""
    looks: int = 0
    """Steps above the known limit since the last lesson."""
    in_vain: int = 0
    """Lessons in a row that the first such step has brought about."""


def lesson(pace: Pace | None, now: float, resume_at: float, *, sent_at: float, accepted: int, declared: float | None = None) -> Pace:
    """Learn from a 429: nothing leaves before `resume_at`.

    `sent_at` is when the call left; `accepted` calls were taken by this process in the second before now, or in as long as the pause is. `declared` is the rate, in
    requests a second, that the connector believes in.
    """
    wait = max(0.0, resume_at - now)
    if pace is None and declared is not None:  # once is an accident: someone else called too, or the network brought some together
        return Pace(rate=declared, resume_at=resume_at, changed_at=resume_at, found=True, ceiling=declared)
    if pace is None:
        return Pace(rate=max(_FIRST_LEAST, accepted / max(1.0, wait)), resume_at=resume_at, changed_at=resume_at)
    if sent_at < pace.resume_at:  # under way together with the last one
        pace.resume_at = max(pace.resume_at, resume_at)
        pace.changed_at = max(pace.changed_at, resume_at)
        return pace
    held = now - pace.resume_at
    rate = pace.rate * (0.5 if held < 1.0 else 0.9 if held < 3.0 else 0.96 if held < _QUIET_SECONDS else 0.98)
    ceiling = pace.rate
    if not pace.found:  # half of it went well; more was accepted than this process saw, if others call too
        seen = 0.95 * accepted / max(1.0, wait)
        rate = max(pace.rate / 2.0, min(rate, seen))
        if seen >= 0.85 * rate:
            ceiling = min(ceiling, _ROOM * rate)
    if wait >= _LONG_WAIT_SECONDS:  # a window that was full before its end: what it took is what it takes
        rate = min(rate, pace.taken / (now - pace.resume_at + wait))
    in_vain = pace.in_vain + (pace.looks == 1) if pace.looks < 2 else 0
    return Pace(rate=max(_LEAST, rate), resume_at=resume_at, changed_at=resume_at, found=True, ceiling=ceiling, in_vain=in_vain)


def grow(pace: Pace, now: float) -> None:
    """Let a pace that has gone well grow; a step at a time."""
    since = now - pace.changed_at
    if not pace.found:
        if since >= _DOUBLING_SECONDS:
            pace.rate, pace.changed_at = pace.rate * 2.0, now
    elif since >= 1.0 and pace.rate < _BELOW * pace.ceiling * 0.995:
        step = _LOOKING_STEP if pace.looks > 1 else _STEP
        pace.rate, pace.changed_at = pace.rate + step * (_BELOW * pace.ceiling - pace.rate), now
    elif since >= (_NEXT_LOOK_SECONDS if pace.looks else _LOOK_SECONDS * 2 ** min(pace.in_vain, _MOST_REST_DOUBLINGS)):
        more = _LOOK_STEP * 2 ** min(pace.looks, _MOST_LOOK_DOUBLINGS)
        pace.ceiling, pace.changed_at, pace.looks = max(pace.ceiling, pace.rate) * (1.0 + more), now - 1.0, pace.looks + 1
