"""Whether a vendor that took one value could have stored it as another.

Vendors trim, round, cut, fold and respell what they accept. What comes back so is our own write and no edit of theirs.
The question is asked only where a field is seen for the first time after we wrote it, so it may be generous: taking an edit
for a rewriting delays that edit by one change, taking a rewriting for an edit sends a mutilated value home.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import html
import re
import unicodedata
from collections.abc import Sequence
from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

from tieline.model.records import Values
from tieline.model.times import parse_moment
from tieline.sync.decide import same

SHORTEST_CUT: Final = 8
"""Fewest characters that are taken for text cut at the end. Below it stand codes and short names, where a shorter value is another
value; a free text field that holds fewer is hardly found."""

FEWEST_DIGITS: Final = 6
"""Fewest digits of a phone number; below it stand house numbers, sizes and versions, where punctuation means something."""

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,60}(\.[0-9]{1,60})?")
_DRESSED: Final = re.compile(r"/Date\((-?[0-9]{1,16})(?:[+-][0-9]{4})?\)/")
_FIRST_STAMP: Final = 100_000_000
"""Smaller numbers are no seconds since 1970, but counts and codes."""
_BREAK: Final = re.compile(r"<br ?/?>")
_DAYS: Final = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%b %d, %Y",
    "%d %b %Y",
    "%B %d, %Y",
    "%d %B %Y",
)
_LONGEST_DAY: Final = 20
_DIGITS_OF_A_DAY: Final = range(5, 9)
_PHONE: Final = re.compile(r"\+?[0-9\s()./-]+")
_CONTEXT: Final = Context(prec=400)
_HALVES: Final = (ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_HALF_DOWN)
_PRECISIONS: Final = tuple(dt.timedelta(**{unit: 1}) for unit in ("milliseconds", "seconds", "minutes"))
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def is_rewriting(sent: Any, seen: Any) -> bool:
    """Return whether `seen` says what was `sent`, in a spelling that a vendor could have given it."""
    if same(sent, seen):
        return True
    if _is_empty(sent) or _is_empty(seen):
        return _is_empty(sent) and _is_empty(seen)
    if isinstance(sent, list) and isinstance(seen, list):
        return _lists(sent, seen)
    if isinstance(sent, dict) and isinstance(seen, dict):
        shared = sent.keys() & seen.keys()
        return bool(shared) and all(is_rewriting(sent[key], seen[key]) for key in shared)
    if isinstance(seen, dict):
        return _is_in(sent, seen)
    if _moments(sent, seen):
        return True
    numbers = _number(sent), _number(seen)
    if numbers[0] is not None and numbers[1] is not None:
        return _rounds(numbers[0], numbers[1])
    if isinstance(sent, str) and isinstance(seen, str):
        return _texts(sent, seen) or _phones(sent, seen) or _times(sent, seen) or _days(sent, seen) or _escaped(sent, seen)
    return False


def _is_in(sent: Any, seen: dict[str, Any]) -> bool:
    """Return whether a value was made into an object that holds it: a tag that got an id, a reference that is shown whole."""
    if isinstance(sent, str):
        return any(isinstance(value, str) and _folded(value) == _folded(sent) for value in seen.values())
    return _number(sent) is not None and any(same(sent, value) for value in seen.values())


def _moments(sent: Any, seen: Any) -> bool:
    """Return whether a time was turned into seconds or milliseconds since 1970, or the other way round."""
    for text, other in ((sent, seen), (seen, sent)):
        number = _since_1970(other)
        if number is None or not isinstance(text, str) or ":" not in text:
            continue
        with contextlib.suppress(ValueError, OverflowError):
            seconds = Decimal((parse_moment(text) - _EPOCH) // dt.timedelta(milliseconds=1)).scaleb(-3)
            return any(abs(seconds - unit) < 1 for unit in (number, number.scaleb(-3)))
    return False


def _since_1970(value: Any) -> Decimal | None:
    if isinstance(value, str) and (dressed := _DRESSED.fullmatch(value)):
        value = dressed[1]
    number = _number(value)
    return number if number is not None and number > _FIRST_STAMP else None


def _days(sent: str, seen: str) -> bool:
    """Return whether a day is written in another way; which of two numbers is the month is not known, so either will do."""
    if not all(len(text) <= _LONGEST_DAY and sum(map(str.isdigit, text)) in _DIGITS_OF_A_DAY for text in (sent, seen)):
        return False
    return not _dates(sent).isdisjoint(_dates(seen))


def _dates(text: str) -> set[dt.date]:
    found = set()
    for form in _DAYS:
        with contextlib.suppress(ValueError):
            found.add(dt.datetime.strptime(text.strip(), form).date())  # noqa: DTZ007 - a day has no zone
    return found


def _escaped(sent: str, seen: str) -> bool:
    return ("&" in seen or "<" in seen) and _texts(sent, html.unescape(_BREAK.sub(" ", seen)))


def answered(written: Values, before: Values, shown: Values) -> tuple[Values, list[str]]:
    """Return what an answer to a write shows otherwise than it was written, and which of these fields it did not take at all.

    `before` is what the record said until then. What it says still, and what was written could not have become, is no spelling of it.
    """
    differs = {address: shown[address] for address, value in written.items() if address in shown and not same(shown[address], value)}
    untaken = [a for a, value in differs.items() if is_rewriting(before.get(a), value) and not is_rewriting(written[a], value)]
    return differs, untaken


def shown_late(writes: Sequence[tuple[Values, Values]], now: Values) -> list[str]:
    """Return the fields by which what a record says `now` is seen to be from before one of these writes.

    `writes` are (what the fields said before, what was written), oldest first. The last write of a field counts; what it says can be
    from before any of them. A field that is absent is one without a value.
    """
    last = {address: value for _, written in writes for address, value in written.items()}
    late: dict[str, None] = {}
    for before, written in writes:
        for address in written:
            was, wanted, says = before.get(address), last[address], now.get(address)
            if same(wanted, says) or (_is_empty(wanted) and _is_empty(says)):
                continue
            if same(was, says) or (is_rewriting(was, says) and not is_rewriting(wanted, says)):
                late[address] = None
    return [*late]


def as_learned(sent: Any, seen: Any, now: Any) -> bool:
    """Return whether `now` says what was `seen` after a write of what was `sent`. What a vendor adds to what it is sent may change."""
    if same(seen, now):
        return True
    if isinstance(sent, dict) and isinstance(seen, dict) and isinstance(now, dict):
        return all(key in now and as_learned(value, seen[key], now[key]) for key, value in sent.items() if key in seen)
    if isinstance(sent, list) and isinstance(seen, list) and isinstance(now, list):
        return len(sent) == len(seen) == len(now) and all(map(as_learned, sent, seen, now))
    return False


def _is_empty(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _lists(sent: list[Any], seen: list[Any]) -> bool:
    if len(sent) == len(seen) and all(map(is_rewriting, sent, seen)):
        return True
    # As sets: sorted, and told once what was told twice. Equal entries go first, because comparing any with any is slow.
    missing = [entry for entry in sent if entry not in seen]
    strange = [entry for entry in seen if entry not in sent]
    return all(any(is_rewriting(entry, other) for other in seen) for entry in missing) and all(
        any(is_rewriting(other, entry) for other in sent) for entry in strange
    )


def _number(value: Any) -> Decimal | None:
    if isinstance(value, str):
        value = value.strip()
        return Decimal(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() and abs(number.adjusted()) < _CONTEXT.prec // 2 else None


def _rounds(sent: Decimal, seen: Decimal) -> bool:
    if sent == seen:
        return True
    exponent = seen.normalize(_CONTEXT).as_tuple().exponent  # 5.0 may be a whole number, told as vendors tell floats
    assert isinstance(exponent, int)  # finite
    digits = Decimal((0, (1,), max(min(exponent, 0), -_CONTEXT.prec // 2)))
    return any(seen == sent.quantize(digits, rounding, _CONTEXT) for rounding in _HALVES)


def _texts(sent: str, seen: str) -> bool:
    sent, seen = _folded(sent), _folded(seen)
    return sent.replace(" ", "") == seen.replace(" ", "") or (len(seen) >= SHORTEST_CUT and sent.startswith(seen))


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def _phones(sent: str, seen: str) -> bool:
    digits = _digits(sent)
    return len(digits) >= FEWEST_DIGITS and digits == _digits(seen)


def _digits(text: str) -> str:
    return "".join(re.findall("[0-9]", text)).removeprefix("00") if _PHONE.fullmatch(text.strip()) else ""


def _times(sent: str, seen: str) -> bool:
    with contextlib.suppress(ValueError, OverflowError):
        before, after = parse_moment(sent), parse_moment(seen)
        if ":" not in seen:
            return after.date() in (before.date(), before.astimezone(dt.UTC).date())
        since = before - _EPOCH
        return before == after or any(after - _EPOCH in (since // unit * unit, (since + unit / 2) // unit * unit) for unit in _PRECISIONS)
    return False
