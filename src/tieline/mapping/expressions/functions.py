"""The functions an expression may call. A fixed list: pure, of bounded effort, and none reaches a Python object.

Functions of a text give null for null and absent for absent, as the conversions do. Functions of numbers refuse both.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import wraps
from typing import Any, Final, TypeVar

from tieline.mapping.convert import conversions, times
from tieline.mapping.convert.exact import EXACT
from tieline.mapping.convert.values import MAX_DIGITS, Unfit, kind, nothing, same, text_of
from tieline.mapping.expressions.operators import MAX_TEXT, at_most, less, number
from tieline.mapping.expressions.operators import add as _add
from tieline.model.records import ABSENT

_ROUNDING: Final = decimal.Context(prec=EXACT.prec, Emin=EXACT.Emin, Emax=EXACT.Emax, traps=[decimal.InvalidOperation])
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


_Fn = TypeVar("_Fn", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the expression language: what runs, and how many arguments it takes."""

    call: Callable[..., Any]
    least: int
    most: int
    numeric: bool = False


FUNCTIONS: Final[dict[str, Function]] = {}
"""By the name that an expression uses."""


def _declare(name: str, least: int, most: int, *, through: bool = False, numeric: bool = False) -> Callable[[_Fn], _Fn]:
    """Put a function into the list; with `through`, a first argument that is null or absent is its result."""

    def put(function: _Fn) -> _Fn:
        call = _passing(function) if through else function
        FUNCTIONS[name] = Function(call, least, most, numeric)
        return function

    return put


def _passing(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(value: Any, *others: Any) -> Any:
        return value if nothing(value) else function(value, *others)

    return call


def _text(value: Any, function: str) -> str:
    if isinstance(value, str):
        return value
    raise Unfit(f"wants text and was given {kind(value)}", about=f"{function}()")


def _numeric(value: Any, function: str) -> int | Decimal:
    try:
        return number(value, "")
    except Unfit:
        raise Unfit(f"wants a number and was given {kind(value)}", about=f"{function}()") from None


def _whole(value: Any, function: str, most: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -most <= value <= most:
        return value
    raise Unfit(f"wants a whole number up to {most}", about=f"{function}()")


@_declare("len", 1, 1, numeric=True)
def _len(value: Any) -> int:
    if isinstance(value, (str, list, dict)):
        return len(value)
    raise Unfit(f"wants text, a list or an object and was given {kind(value)}", about="len()")


@_declare("lower", 1, 1, through=True)
def _lower(value: Any) -> str:
    return _text(value, "lower").lower()


@_declare("upper", 1, 1, through=True)
def _upper(value: Any) -> str:
    return _text(value, "upper").upper()


@_declare("strip", 1, 1, through=True)
def _strip(value: Any) -> str:
    return _text(value, "strip").strip()


@_declare("title", 1, 1, through=True)
def _title(value: Any) -> str:
    """Words with a capital first letter; an apostrophe does not begin a word."""
    return _WORD.sub(lambda match: match[0][0].upper() + match[0][1:].lower(), _text(value, "title"))


@_declare("replace", 3, 3, through=True)
def _replace(value: Any, old: Any, new: Any) -> str:
    text: str = value
    if not value.__class__ is old.__class__ is new.__class__ is str:
        text, old, new = _text(value, "replace"), _text(old, "replace"), _text(new, "replace")
    if not old:
        raise Unfit("wants something to look for", about="replace()")
    if len(new) > len(old) and len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
        raise Unfit("is too long", about="the result of replace()")
    return text.replace(old, new)


@_declare("startswith", 2, 2)
def _startswith(value: Any, prefix: Any) -> bool:
    return not nothing(value) and _text(value, "startswith").startswith(_text(prefix, "startswith"))


@_declare("endswith", 2, 2)
def _endswith(value: Any, suffix: Any) -> bool:
    return not nothing(value) and _text(value, "endswith").endswith(_text(suffix, "endswith"))


@_declare("contains", 2, 2)
def _contains(value: Any, entry: Any) -> bool:
    if isinstance(value, list):
        return any(same(entry, other) for other in value)
    return not nothing(value) and _text(entry, "contains") in _text(value, "contains")


@_declare("split", 1, 2, through=True)
def _split(value: Any, separator: Any = None) -> list[str]:
    """Parts of a text, at white space unless stated."""
    if separator is None:
        return _text(value, "split").split()
    if not _text(separator, "split"):
        raise Unfit("wants something to cut at", about="split()")
    return _text(value, "split").split(separator)


@_declare("join", 1, 2, through=True)
def _join(parts: Any, separator: Any = " ") -> str:
    """A list as one text, without what is absent, null or blank: `join([first_name, last_name], " ")`."""
    if not isinstance(parts, list):
        raise Unfit(f"wants a list and was given {kind(parts)}", about="join()")
    texts = [text for part in parts if not nothing(part) and (text := text_of(part)).strip()]
    between = _text(separator, "join")
    if sum(map(len, texts)) + len(between) * len(texts) > MAX_TEXT:
        raise Unfit("is too long", about="the result of join()")
    return between.join(texts)


@_declare("round", 1, 2, numeric=True)
def _round(value: Any, digits: Any = None) -> int | Decimal:
    """As in Python: half goes to the even neighbour; without digits, a whole number."""
    value = _numeric(value, "round")
    places = 0 if digits is None else _whole(digits, "round", 50)
    if isinstance(value, int) and places >= 0:
        return value
    try:
        rounded = Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, _ROUNDING)
    except ArithmeticError:
        raise Unfit("has too many digits", about="the result of round()") from None
    return int(rounded) if digits is None or isinstance(value, int) else rounded


@_declare("abs", 1, 1, numeric=True)
def _abs(value: Any) -> int | Decimal:
    value = _numeric(value, "abs")
    return abs(value) if isinstance(value, int) else EXACT.abs(value)


def _several(values: tuple[Any, ...], function: str) -> list[Any]:
    several = values[0] if len(values) == 1 and isinstance(values[0], list) else list(values)
    if not several:
        raise Unfit("was given an empty list", about=f"{function}()")
    return several


@_declare("min", 1, 50, numeric=True)
def _min(*values: Any) -> Any:
    least, *others = _several(values, "min")
    for value in (least, *others):
        if not at_most(least, value, _MIN):
            least = value
    return least


@_declare("max", 1, 50, numeric=True)
def _max(*values: Any) -> Any:
    most, *others = _several(values, "max")
    for value in (most, *others):
        if less(most, value, _MAX):
            most = value
    return most


_MIN: Final = ("an argument of min()", "an argument of min()")
_MAX: Final = ("an argument of max()", "an argument of max()")


@_declare("sum", 1, 50, numeric=True)
def _sum(*values: Any) -> Any:
    total: Any = 0
    for value in values[0] if len(values) == 1 and isinstance(values[0], list) else values:
        total = _add(total, _numeric(value, "sum"), ("the sum", "an argument of sum()"))
    return total


@_declare("int", 1, 1, through=True)
def _int(value: Any) -> int | None:
    """A whole number: text must be one, a decimal loses what is after the point."""
    if isinstance(value, (Decimal, float)):
        value = _numeric(value, "int")
        if Decimal(value).adjusted() > MAX_DIGITS:
            raise Unfit("has too many digits", about="the result of int()")
        return int(value)
    return conversions.integer(value)


@_declare("coalesce", 1, 50)
def _coalesce(*values: Any) -> Any:
    """The first that is neither absent nor null."""
    for value in values:
        if not nothing(value):
            return value
    return values[-1]


@_declare("first", 1, 1, through=True)
def _first(value: Any) -> Any:
    return _end(value, 0, "first")


@_declare("last", 1, 1, through=True)
def _last(value: Any) -> Any:
    return _end(value, -1, "last")


def _end(value: Any, index: int, function: str) -> Any:
    if not isinstance(value, list):
        raise Unfit(f"wants a list and was given {kind(value)}", about=f"{function}()")
    return value[index] if value else ABSENT


def _truth(value: Any) -> Any:
    return bool(value) if isinstance(value, (list, dict)) else conversions.boolean(value)


_declare("bool", 1, 1, through=True)(_truth)
_declare("number", 1, 1, through=True)(conversions.number)
_declare("text", 1, 1, through=True)(text_of)
_declare("year", 1, 1, through=True)(lambda value: times.parse(value).year)
_declare("month", 1, 1, through=True)(lambda value: times.parse(value).month)
_declare("day", 1, 1, through=True)(lambda value: times.parse(value).day)
