"""What a connection may still call: one value that all its processes share, and the pure decision over it.

`grant` gives a few calls, each with the moment from which it may leave, over all limits at once: declared windows (`transport.limits.windows`),
what answers told (`transport.limits.headers`), the learned pace (`transport.limits.learned_rate`), a pause. Whoever holds the value alone while deciding
(`transport.limits.budget`: a short transaction of the store) so keeps the limits together with everybody else.

All times are seconds since 1970, because processes share no other clock. One that was set back is noticed by its going back: every time in
the value then moves with it, so that what was left of a wait is still left. One that was set forward can't be noticed.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from tieline.model.clock import MOST_WAIT_SECONDS
from tieline.transport.limits.headers import Told
from tieline.transport.limits.learned_rate import Pace, grow, lesson
from tieline.transport.limits.priority import WEIGHTS, Priority
from tieline.transport.limits.windows import LATE_SECONDS, NO_RULES, Counted, Paced, Rules, paced_at

GRANT_SECONDS: Final = 0.25
"""So much of a pace is given out at once."""
_SHARED_GRANT_SECONDS: Final = 0.05
_ACTIVE_SECONDS: Final = 2.0
_GRACE_SECONDS: Final = 0.05
_SHORT_SECONDS: Final = 10.0
_FORGIVEN_SECONDS: Final = 60.0
_REMEMBERED_SECONDS: Final = 3600.0
_SET_BACK_SECONDS: Final = 1.0


class Closed(msgspec.Struct, frozen=True):
    """Until when nothing may leave, and why."""

    until: float
    why: str


class Left(msgspec.Struct):
    """What answers told of a limit, less what was given out since."""

    remaining: float
    told_at: float
    limit: float | None = None
    per: float | None = None
    """Its length: told, or the longest reset seen."""
    reset_at: float | None = None
    strict: bool = False
    """A 429 came in spite of it: its pace is kept from the first call of a window on."""


class Allowance(msgspec.Struct, omit_defaults=True):
    """A connection's budget, as kept."""

    seen_at: float = 0.0
    """When it was last changed."""
    next: dict[str, float] = {}
    """By paced window: when the next call's turn comes (GCRA's theoretical arrival time)."""
    counts: dict[str, list[tuple[float, float]]] = {}
    """By counted window: (start of a bucket, calls in it)."""
    told: dict[str, Left] = {}
    """By the vendor's name of a limit."""
    pace: Pace | None = None
    """Learned from 429s."""
    pause: Closed | None = None
    """What the vendor asked for."""
    passes: dict[str, float] = {}
    """By priority: calls taken, over the weight. The least goes first."""
    asked: dict[str, float] = {}
    """By priority: when someone last wanted calls."""
    waits: dict[str, Closed] = {}
    """By priority: what it is waiting for, other than its turn."""
    notes: dict[str, float] = {}
    """What people should know, and when it was so."""

    @property
    def limited(self) -> bool:
        """Whether anything is known that limits calls, declared limits aside."""
        return bool(self.pause or self.pace or self.told)

    def waiting(self, now: float) -> Closed | None:
        """Return what calls wait for: the pause, or the longest wait of a priority that was turned away."""
        waits = [closed for closed in (self.pause, *self.waits.values()) if closed is not None and closed.until > now]
        return max(waits, key=lambda closed: closed.until, default=None)


class Grant(msgspec.Struct):
    """Some calls, by the moments from which they may leave; or none, until when, and why not."""

    moments: list[float] = []
    until: float = 0.0
    why: str | None = None
    """None: it is just not its turn."""
    valid_seconds: float = LATE_SECONDS
    """A call that has not left so long after its moment has lost its turn: the pace is others' by then."""


class Want(msgspec.Struct):
    """What someone asks for, and what has become of what it was given before."""

    priority: Priority
    least: int = 1
    """Calls (or points) without which nothing can be done."""
    most: int = 1
    """As many as are of use at once."""
    lead_seconds: float = 0.0
    """How long the answer will be under way: nothing is given for before."""
    unused: int = 0
    """Given before, and gone by."""
    extra: float = 0.0
    """What calls took beyond what they were said to cost; negative: less."""
    heard: list[Told] = []
    """What answers told since."""
    outstanding: int = 0
    """Given or sent, and not answered."""


def grant(state: Allowance, rules: Rules, now: float, want: Want) -> Grant:
    """Give out calls, and note that in `state`."""
    touch(state, now)
    settle(state, rules, now, want)
    priority, start = want.priority, now + want.lead_seconds
    state.asked[priority] = now
    _join(state, priority, now)
    room, closed = _room(state, rules, now, priority, want.least)
    if closed is not None:
        state.waits[priority] = closed
        return Grant(until=closed.until, why=closed.why)
    state.waits.pop(priority, None)
    paces = _paces(state, rules, now)
    turns = [state.next.get(pace.key, 0.0) for pace in paces]
    free = max((pace.moment(turn, 0.0) for pace, turn in zip(paces, turns, strict=True)), default=0.0)
    first = max(start, free)
    rivals = [other for other in state.passes if other != priority and now - state.asked.get(other, 0.0) < _ACTIVE_SECONDS]
    ahead = min((state.passes[other] for other in rivals), default=None)
    most = min(float(max(want.most, want.least)), room)
    if ahead is not None and free > now:
        # Others want them too. Whose turn it is asks ahead of time; who has not by then does not want it.
        if state.passes[priority] > ahead and free > now + _GRACE_SECONDS:
            return Grant(until=free - _GRACE_SECONDS)
        most = min(most, max(want.least, int((ahead - state.passes[priority] + 1.0) * WEIGHTS[priority])))
    upper = any(WEIGHTS[other] > WEIGHTS[priority] for other in rivals)
    horizon = first + (_SHARED_GRANT_SECONDS if upper else GRANT_SECONDS)
    moments: list[float] = []
    at = start
    while len(moments) < most:
        at = max([at, *(pace.moment(turn, at) for pace, turn in zip(paces, turns, strict=True))])
        if at > horizon and len(moments) >= want.least:
            break
        turns = [pace.following(turn, at) for pace, turn in zip(paces, turns, strict=True)]
        moments.append(at)
    for pace, turn in zip(paces, turns, strict=True):
        state.next[pace.key] = turn
    state.passes[priority] += len(moments) / WEIGHTS[priority]
    _count(state, rules, now, len(moments))
    return Grant(moments, valid_seconds=LATE_SECONDS if paces else 2 * GRANT_SECONDS)


def settle(state: Allowance, rules: Rules, now: float, want: Want) -> None:
    """Note what became of what was given before, without giving more."""
    correction = want.extra - want.unused
    if correction:
        _count(state, rules, now, correction)
        if want.extra:
            for pace in _paces(state, rules, now):
                state.next[pace.key] = max(state.next.get(pace.key, 0.0), now) + pace.interval * want.extra
    for told in want.heard:  # after the correction: what the vendor counts knows nothing of what was not used
        _hear(state, told, now, want.outstanding)


def pause(
    state: Allowance, now: float, seconds: float, why: str, *, accepted: int | None = None, sent_at: float = 0.0, rules: Rules = NO_RULES
) -> None:
    """Let nothing leave for some seconds; with `accepted`, the calls taken before it, learn a pace from it (`pace.lesson`).

    A pause is obeyed as told, up to 31 days: past that it is taken for a mistake, and `notes` says so.
    """
    touch(state, now)
    if seconds >= MOST_WAIT_SECONDS:
        state.notes[f"told to wait for {seconds / 86_400.0:,.0f} days; one call asks again after 31"] = now
        seconds = MOST_WAIT_SECONDS
    until = now + seconds
    if state.pause is None or state.pause.until < until:
        state.pause = Closed(until, why)
    if accepted is not None and not _grow_strict(state):
        declared = 1.0 / max(rule.interval for rule in rules.paced) if rules.paced else None
        state.pace = lesson(state.pace, now, state.pause.until, sent_at=sent_at, accepted=accepted, declared=declared)


def touch(state: Allowance, now: float) -> None:
    """Notice a clock that was set back, and drop what is over."""
    back = state.seen_at - now
    if back > _SET_BACK_SECONDS:
        _shift(state, -back)
    state.seen_at = now if back > _SET_BACK_SECONDS else max(now, state.seen_at)
    _heal(state, now)
    if state.pause is not None and state.pause.until <= now:
        state.pause = None
    state.waits = {priority: closed for priority, closed in state.waits.items() if closed.until > now}
    state.notes = {note: at for note, at in state.notes.items() if at > now - 86_400.0}
    for name, left in list(state.told.items()):
        ends_at = left.reset_at or left.told_at + (left.per or 60.0)
        if ends_at > now or (left.strict and left.told_at + _REMEMBERED_SECONDS > now):
            continue
        if left.limit and left.per and left.reset_at and left.told_at + max(_REMEMBERED_SECONDS, 2 * left.per) > now:
            left.remaining, left.reset_at = left.limit, now + left.per  # the next window, until an answer tells of it
        else:
            del state.told[name]


def used_of(state: Allowance, rule: Counted, now: float) -> float:
    """Return how much of a counted window is used, by the vendor's own count where that was told."""
    left = _own_count(state, rule, now)
    if left is not None:
        return rule.requests - max(0.0, left.remaining)
    return sum(number for at, number in state.counts.get(rule.key, ()) if at + rule.bucket_seconds + rule.per > now)


def count_in_words(requests: float, per: float) -> str:
    """Return `100,000 requests a day`."""
    for name, seconds in (("day", 86_400.0), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0)):
        if per >= seconds and per % seconds == 0:
            number = int(per / seconds)
            return f"{requests:,.0f} requests " + (f"a{'n' if name == 'hour' else ''} {name}" if number == 1 else f"in {number} {name}s")
    return f"{requests:,.0f} requests in {per:g} s"


def moment_in_words(at: float) -> str:
    """Return a time as people read it, in UTC."""
    return dt.datetime.fromtimestamp(min(max(at, 0.0), 253_402_300_799.0), dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


# -- details


def _heal(state: Allowance, now: float) -> None:
    """Believe no time that is further away than any wait: an earlier version, or a clock that was ahead, may have left one."""
    latest = now + MOST_WAIT_SECONDS
    if state.pause is not None and state.pause.until > latest:
        state.pause = Closed(latest, state.pause.why)
    for priority, closed in state.waits.items():
        if closed.until > latest:
            state.waits[priority] = Closed(latest, closed.why)
    for key, turn in state.next.items():
        if turn > latest:
            state.next[key] = now
    for left in state.told.values():
        if left.reset_at is not None and left.reset_at > latest:
            left.reset_at = latest


def _grow_strict(state: Allowance) -> bool:
    """Take the vendor's own figures to heart, where there are some that were taken lightly; then there is no pace to be guessed."""
    lightly = [left for left in state.told.values() if left.limit and left.per and left.per <= _SHORT_SECONDS and not left.strict]
    for left in lightly:
        left.strict = True
    return bool(lightly)


def _join(state: Allowance, priority: Priority, now: float) -> None:
    """Someone who comes, or comes back, has no claim from the time when it wanted nothing."""
    active = [
        state.passes[other]
        for other, at in state.asked.items()
        if other != priority and now - at < _ACTIVE_SECONDS and other in state.passes
    ]
    state.passes[priority] = max(state.passes.get(priority, 0.0), min(active, default=0.0))
    if not active:
        state.passes = {priority: 0.0}


def _paces(state: Allowance, rules: Rules, now: float) -> list[Paced]:
    paces = list(rules.paced)
    if state.pace is not None:
        grow(state.pace, now)
        declared = min((rule.interval for rule in rules.paced), default=None)
        if declared is not None and state.pace.rate * declared > 0.999 and now - state.pace.resume_at > _FORGIVEN_SECONDS:
            state.pace = None  # it is as much as declared: what was learned is over
        else:
            paces.append(Paced("learned", 1.0 / state.pace.rate, late=LATE_SECONDS))
    for name, left in state.told.items():
        # A limit of seconds is approached with care once half of it is gone: its reset, told in whole seconds, is too coarse to wait for.
        short = left.strict or left.reset_at is None or ((left.per or 0.0) <= _SHORT_SECONDS and left.remaining < (left.limit or 0.0) / 2)
        if left.per and left.limit and short:
            paces.append(paced_at(f"told {name}", left.limit, left.per))
    return paces


def _room(state: Allowance, rules: Rules, now: float, priority: Priority, least: int) -> tuple[float, Closed | None]:
    if state.pause is not None:
        return 0.0, state.pause
    room, closed = float("inf"), None
    for rule in rules.counted:
        kept = rule.kept(priority)
        free = rule.requests - kept - used_of(state, rule, now)
        room = min(room, free)
        # A call that costs more than there ever is must not wait for ever.
        if free < least and used_of(state, rule, now) > 0:
            until = _free_at(state, rule, now, least - free)
            if closed is None or closed.until < until:
                words = count_in_words(rule.requests, rule.per)
                closed = Closed(until, f"{words} are used up" + (f", but for {kept:,} that are kept for more urgent calls" if kept else ""))
    for name, left in state.told.items():
        if left.reset_at is None or (left.per or 0.0) <= _SHORT_SECONDS or _is_paced(left, rules):
            continue
        room = min(room, left.remaining)
        if left.remaining < least and (closed is None or closed.until < left.reset_at):
            closed = Closed(left.reset_at, f"the vendor says that no more calls are left for now (`{name}`)")
    return max(room, float(least)), closed


def _is_paced(left: Left, rules: Rules) -> bool:
    """Whether a told limit is a short declared one: its pace keeps it already."""
    return any(left.limit == rule.requests and rule.per < 60.0 for rule in rules.paced)


def _own_count(state: Allowance, rule: Counted, now: float) -> Left | None:
    for left in state.told.values():
        if left.limit == rule.requests and left.reset_at is not None and left.reset_at > now and (left.per or 0.0) <= rule.per * 1.01:
            return left
    return None


def _free_at(state: Allowance, rule: Counted, now: float, missing: float) -> float:
    left = _own_count(state, rule, now)
    if left is not None and left.reset_at is not None:
        return left.reset_at
    until = now
    for at, number in state.counts.get(rule.key, ()):
        until = at + rule.bucket_seconds + rule.per
        missing -= number
        if missing <= 0:
            break
    return max(now, until)


def _count(state: Allowance, rules: Rules, now: float, number: float) -> None:
    for rule in rules.counted:
        buckets = [(at, n) for at, n in state.counts.get(rule.key, ()) if at + rule.bucket_seconds + rule.per > now]
        start = now - now % rule.bucket_seconds
        if buckets and buckets[-1][0] >= start:
            buckets[-1] = (buckets[-1][0], max(0.0, buckets[-1][1] + number))
        elif number > 0:
            buckets.append((start, number))
        state.counts[rule.key] = buckets
    for left in state.told.values():
        left.remaining -= number
    if state.pace is not None and number > 0:
        state.pace.taken += number


def _hear(state: Allowance, told: Told, now: float, outstanding: int) -> None:
    old = state.told.get(told.name)
    if told.capped:
        state.notes[f"`{told.name}` tells of a reset more than a day away; after a day one call asks again"] = now
    if told.remaining is None:
        if told.limit and told.per:  # a policy without a count: its pace is kept
            state.told[told.name] = Left(0.0, now, told.limit, told.per)
        return
    per = told.per or max(old.per or 0.0 if old is not None else 0.0, told.reset or 0.0) or None
    reset_at = now + told.reset if told.reset is not None else now + per if per is not None else None
    remaining = told.remaining
    if (per or 0.0) > _SHORT_SECONDS:
        same = old is not None and old.reset_at is not None and reset_at is not None and abs(old.reset_at - reset_at) < 1.5
        if same and old is not None and told.remaining - outstanding < old.remaining + 0.1 * (told.limit or 0.0):
            remaining = min(old.remaining, told.remaining)  # what was given out since is not in the vendor's count yet
        else:
            remaining = told.remaining - outstanding
    state.told[told.name] = Left(remaining, now, told.limit, per, reset_at, strict=old is not None and old.strict)


def _shift(state: Allowance, by: float) -> None:
    state.next = {key: at + by for key, at in state.next.items()}
    state.counts = {key: [(at + by, number) for at, number in buckets] for key, buckets in state.counts.items()}
    for left in state.told.values():
        left.told_at += by
        left.reset_at = left.reset_at + by if left.reset_at is not None else None
    if state.pace is not None:
        state.pace.resume_at += by
        state.pace.changed_at += by
    if state.pause is not None:
        state.pause = Closed(state.pause.until + by, state.pause.why)
    state.asked = {priority: at + by for priority, at in state.asked.items()}
    state.waits = {priority: Closed(closed.until + by, closed.why) for priority, closed in state.waits.items()}
    state.notes = {note: at + by for note, at in state.notes.items()}
