"""What the operators of an expression do: arithmetic that keeps every digit, and results of bounded size.

Each takes its operands and their texts, so that a problem can name the field: "`score` is absent". The forms in
`LENIENT` are for conditions over changes, where a field that is not there decides `no` instead of stopping the record.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from tieline.mapping.convert.exact import DIVIDE, EXACT
from tieline.mapping.convert.values import Unfit, exact, kind, nothing, same
from tieline.model.records import ABSENT

Names: TypeAlias = tuple[str, ...]

MAX_TEXT: Final = 1_000_000
"""Longest text an expression makes, in characters; as many entries for a list."""
_MAX_BITS: Final = 4096


_NUMBERS: Final = {int: True, Decimal: True}
_ORDERED: Final = {int: 1, Decimal: 1, str: 2}


def number(value: Any, name: str) -> int | Decimal:
    """Return an operand as a number, or say which one is none."""
    if nothing(value):
        raise Unfit(f"is {kind(value)}", about=name)
    try:
        return exact(value)
    except Unfit as unfit:
        raise Unfit(unfit.problem, about=name) from None


def _exactly(operation: Callable[[Any, Any], Decimal], one: Any, other: Any) -> Decimal:
    try:
        return operation(one, other)
    except ArithmeticError:
        raise Unfit("has too many digits", about="the result") from None


def bounded(value: int) -> int:
    """Return a whole number, unless it is absurdly large."""
    if value.bit_length() > _MAX_BITS:
        raise Unfit("has too many digits", about="the result")
    return value


def _numbers(one: Any, other: Any, names: Names) -> tuple[int | Decimal, int | Decimal]:
    return number(one, names[0]), number(other, names[1])


def add(one: Any, other: Any, names: Names) -> Any:
    """Add numbers, or put texts or lists together."""
    first, second = one.__class__, other.__class__
    if first is second and first in (str, list):
        if len(one) + len(other) > MAX_TEXT:
            raise Unfit("is too long", about="the result")
        return one + other
    if first not in _NUMBERS or second not in _NUMBERS:
        if not nothing(one) and not nothing(other) and (str in (first, second) or list in (first, second)):
            raise Unfit(f"is {kind(one)} and {names[1]} is {kind(other)}; use text() or number()", about=names[0])
        one, other = _numbers(one, other, names)
    if one.__class__ is int and other.__class__ is int:
        return bounded(one + other)
    return _exactly(EXACT.add, one, other)


def subtract(one: Any, other: Any, names: Names) -> Any:
    """Subtract numbers."""
    if one.__class__ not in _NUMBERS or other.__class__ not in _NUMBERS:
        one, other = _numbers(one, other, names)
    if isinstance(one, int) and isinstance(other, int):
        return bounded(one - other)
    return _exactly(EXACT.subtract, one, other)


def multiply(one: Any, other: Any, names: Names) -> Any:
    """Multiply numbers; text is not repeated."""
    if one.__class__ not in _NUMBERS or other.__class__ not in _NUMBERS:
        one, other = _numbers(one, other, names)
    if isinstance(one, int) and isinstance(other, int):
        if one.bit_length() + other.bit_length() > _MAX_BITS + 1:
            raise Unfit("has too many digits", about="the result")
        return one * other
    return _exactly(EXACT.multiply, one, other)


def divide(one: Any, other: Any, names: Names) -> Any:
    """Divide numbers, to 28 significant digits; whole numbers too give a decimal."""
    one, other = _numbers(one, other, names)
    if other == 0:
        raise Unfit("is zero", about=names[1])
    return _exactly(DIVIDE.divide, Decimal(one), Decimal(other))


def floor_divide(one: Any, other: Any, names: Names) -> Any:
    """Divide and round down, decimals like whole numbers."""
    return _floor(one, other, names)[0]


def modulo(one: Any, other: Any, names: Names) -> Any:
    """Return what is left when dividing and rounding down; it has the divisor's sign."""
    return _floor(one, other, names)[1]


def _floor(one: Any, other: Any, names: Names) -> tuple[Any, Any]:
    one, other = _numbers(one, other, names)
    if other == 0:
        raise Unfit("is zero", about=names[1])
    if isinstance(one, int) and isinstance(other, int):
        return divmod(one, other)
    # Python's Decimal rounds towards zero here, its int rounds down; a field must not change meaning with its type.
    quotient = _exactly(EXACT.divide_int, one, other)
    rest = _exactly(EXACT.subtract, one, _exactly(EXACT.multiply, quotient, other))
    if rest and (rest < 0) != (other < 0):
        quotient, rest = _exactly(EXACT.subtract, quotient, 1), _exactly(EXACT.add, rest, other)
    return quotient, rest


def negate(value: Any, names: Names) -> Any:
    """Return the number with the other sign."""
    value = number(value, names[0])
    return -value if isinstance(value, int) else EXACT.minus(value)


def _order(one: Any, other: Any, names: Names) -> tuple[Any, Any]:
    """Return two operands that can be put in order."""
    if one.__class__ is str and other.__class__ is str:
        return one, other
    for value, name in ((one, names[0]), (other, names[1])):
        if nothing(value):
            raise Unfit(f"is {kind(value)}", about=name)
    if isinstance(one, str) or isinstance(other, str):
        raise Unfit(f"is {kind(one)} and {names[1]} is {kind(other)}: neither is smaller", about=names[0])
    return _numbers(one, other, names)


def less(one: Any, other: Any, names: Names) -> bool:
    """Return whether one number or text comes before the other."""
    order = _ORDERED.get(one.__class__)
    if order is None or order != _ORDERED.get(other.__class__):
        one, other = _order(one, other, names)
    return bool(one < other)


def at_most(one: Any, other: Any, names: Names) -> bool:
    """Return whether one number or text comes before the other or is equal."""
    order = _ORDERED.get(one.__class__)
    if order is None or order != _ORDERED.get(other.__class__):
        one, other = _order(one, other, names)
    return bool(one <= other)


def greater(one: Any, other: Any, names: Names) -> bool:
    """Return whether one number or text comes after the other."""
    order = _ORDERED.get(one.__class__)
    if order is None or order != _ORDERED.get(other.__class__):
        one, other = _order(one, other, names)
    return bool(one > other)


def at_least(one: Any, other: Any, names: Names) -> bool:
    """Return whether one number or text comes after the other or is equal."""
    order = _ORDERED.get(one.__class__)
    if order is None or order != _ORDERED.get(other.__class__):
        one, other = _order(one, other, names)
    return bool(one >= other)


def within(one: Any, other: Any, names: Names) -> bool:
    """Return whether a text holds another, a list an entry, or an object a key."""
    if isinstance(other, (list, tuple)):
        return any(same(one, entry) for entry in other)
    if isinstance(other, dict):
        return isinstance(one, str) and one in other
    if isinstance(other, str) and isinstance(one, str):
        return one in other
    for value, name in ((other, names[1]), (one, names[0])):
        if nothing(value):
            raise Unfit(f"is {kind(value)}", about=name)
    raise Unfit(f"is {kind(other)}, which can't hold {kind(one)}", about=names[1])


def part(value: Any, start: int | None, stop: int | None, stride: int | None, names: Names) -> Any:
    """Return a slice of a text or a list."""
    if isinstance(value, (str, list)):
        return value[start:stop:stride]
    raise Unfit(f"is {kind(value)}" + ("" if nothing(value) else ", not text or a list"), about=names[0])


def entries(*values: Any) -> list[Any]:
    """Return a list; what is absent becomes null, so that the others keep their places."""
    return [None if value is ABSENT else value for value in values]


def members(keys: tuple[str, ...], *values: Any) -> dict[str, Any]:
    """Return an object without what is absent."""
    return {key: value for key, value in zip(keys, values, strict=True) if value is not ABSENT}


def lenient(operation: Callable[..., Any], result: Any) -> Callable[..., Any]:
    """Return an operation that has a fixed result when an operand is null or absent."""

    def tolerant(*operands: Any) -> Any:
        return result if any(map(nothing, operands)) else operation(*operands)

    return tolerant


def _lenient_order(operation: Callable[..., bool]) -> Callable[..., bool]:
    def tolerant(one: Any, other: Any, names: Names) -> bool:
        if one is None or other is None or one is ABSENT or other is ABSENT:
            return False
        return operation(one, other, names)

    return tolerant


def _lenient_within(one: Any, other: Any, names: Names) -> bool:
    if nothing(other) or (nothing(one) and isinstance(other, str)):
        return False
    return within(one, other, names)


_ARITHMETIC: Final = (add, subtract, multiply, divide, floor_divide, modulo, negate, part)
_COMPARISONS: Final = (less, at_most, greater, at_least)
LENIENT: Final[dict[Callable[..., Any], Callable[..., Any]]] = {
    **{operation: lenient(operation, None) for operation in _ARITHMETIC},
    **{operation: _lenient_order(operation) for operation in _COMPARISONS},
    within: _lenient_within,
}
"""The same for conditions: arithmetic with what is not there gives null, and comparing with it is false."""
