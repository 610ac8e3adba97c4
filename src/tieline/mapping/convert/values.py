"""What a value is: its words, its text, whether two are the same, and the refusal that parks a record.

A value is one of JSON's types, with `Decimal` for every number that has a point. A `float` can only come from code that
built the record itself; it is read by its shortest text, so that 0.1 means one tenth.

No problem text holds a value: problems reach logs, and values may be someone's personal data.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any, Final

from tieline.model.records import ABSENT

MAX_DIGITS: Final = 400
"""Longest number, in digits, that is written out or read from text; anything longer is a mistake or an attack."""

INVISIBLE: Final = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
"""Characters that people can't see and copied text brings along; Unicode calls them default ignorable."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Unfit(Exception):
    """A value that can't become what is asked. `about` is the sentence's subject, the rule's source unless stated."""

    def __init__(self, problem: str, *, about: str = "", lookup: tuple[str, str] | None = None) -> None:
        self.problem, self.about, self.lookup = problem, about, lookup
        super().__init__(f"{about} {problem}" if about else problem)


def kind(value: Any) -> str:
    """Return what a value is, in words for a message."""
    for types, words in _KINDS:
        if isinstance(value, types):
            return words
    return "null" if value is None else "absent" if value is ABSENT else f"a Python {type(value).__name__}"


_KINDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (bool, "true or false"),
    ((int, Decimal, float), "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "an object"),
    (dt.date, "a date"),
)


def nothing(value: Any) -> bool:
    """Return whether a value is null or absent."""
    return value is None or value is ABSENT


def exact(value: Any) -> int | Decimal:
    """Return a number with all its digits; `true` and `false` are none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        if value.is_finite():
            return value
        raise Unfit("is not a finite number")
    raise Unfit(f"is {kind(value)}, not a number")


def text_of(value: Any) -> str:
    """Return a value as text: digits in full, `true` and `false`, dates in ISO form; a list or an object has none."""
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        if value.bit_length() > MAX_DIGITS * 10 // 3:
            raise Unfit(f"has more than {MAX_DIGITS} digits")
        return str(value)
    if isinstance(value, (Decimal, float)):
        number = Decimal(exact(value))
        return format(number, "f") if abs(number.adjusted()) < MAX_DIGITS else str(number)
    if isinstance(value, dt.date):
        return value.isoformat()
    raise Unfit(f"is {kind(value)}, not text")


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same: 1 and 1.0 are, 1 and true are not, absent is the same as absent alone."""
    if one is other:
        return True
    first, second = one.__class__, other.__class__
    if first is second:
        if first is dict:
            return len(one) == len(other) and all(key in other and same(one[key], other[key]) for key in one)
        if first is list:
            return len(one) == len(other) and all(map(same, one, other))
        return bool(one == other)
    if first is bool or second is bool:
        return False
    if first is float and second in (int, Decimal):
        return bool(Decimal(repr(one)) == other)
    if second is float and first in (int, Decimal):
        return bool(one == Decimal(repr(other)))
    return bool(one == other)


def settled(value: Any) -> Any:
    """Return what code or YAML gave as a value that JSON can hold, or raise `Unfit`.

    A list or an object is copied: what a rule or a function keeps must not change with the record that it went into.
    """
    if value is None or value is ABSENT or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        if not value.isascii() and _SURROGATE.search(value):
            raise Unfit("holds half of a character (a surrogate), which no file and no request can hold")
        return value
    if isinstance(value, (Decimal, float)):
        return exact(value)
    if isinstance(value, (list, tuple)):
        return [settled(entry) for entry in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise Unfit("is an object with a key that is not text")
        return {key: settled(entry) for key, entry in value.items()}
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise Unfit("is a time without an offset")
        return value.isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        raise Unfit("is a set, which has no order; a list is needed")
    raise Unfit(f"is {kind(value)}, which JSON can't hold")
