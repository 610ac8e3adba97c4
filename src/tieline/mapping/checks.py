"""What the destination would refuse, found before it is sent.

One function per resource and mapping, made for records that are well: a field's test is one line of Python. Only a
value that fails it goes to `_judge`, which knows the words.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final

from tieline.config.models.connectors import FORMATTED, Field
from tieline.mapping.convert.values import kind, same
from tieline.mapping.expressions.source import Source
from tieline.model.paths import EACH, Parts, format_path, parse_path, walk
from tieline.model.records import ABSENT, Values

Check = Callable[[Values, bool], "list[Problem]"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that the destination would refuse. The text does not hold the value."""

    address: str
    text: str
    value: Any = None


_FORMATS: Final[dict[str, tuple[re.Pattern[str], str]]] = {
    "email": (re.compile(r"[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+"), "an e-mail address"),
    "phone": (re.compile(r"\+?[0-9 ().\-/]{3,40}(?: ?(?:ext\.?|x) ?[0-9]{1,7})?"), "a phone number"),
    "uri": (re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>\"{}|\\^`]+"), "a URI"),
    "uuid": (re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"), "a UUID"),
    "country": (re.compile(r"[A-Z]{2,3}"), "a country code"),
    "currency": (re.compile(r"[A-Z]{3}"), "a currency code"),
    "language": (re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*"), "a language code"),
}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, Decimal, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list, tuple),
    "date": (str,),
    "datetime": (str,),
}
_PLAIN: Final = frozenset({str, int, bool, dict, list})
"""Classes whose every value JSON can hold; a decimal may be NaN."""
_WANTED: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "date": "a date",
    "datetime": "a time",
}


def compile_check(fields: Mapping[str, Field], writes: Sequence[str]) -> Check:
    """Return the check of what a mapping writes: (values, whether the record is created) to problems."""
    known = {parse_path(address): field for address, field in fields.items()}
    written = {parse_path(address): format_path(parse_path(address)) for address in writes}
    source = Source()
    with source.block("def check(values, creating):"):
        source.line("found = []")
        for parts, address in written.items():
            if parts in known:
                _emit(source, address, known[parts])
            elif EACH in parts:
                name = ascii(address)
                test = f"values.get({name}).__class__ in {source.bind((list, type(None)))}"
                source.line(
                    f"if not ({test}): found.append({source.bind(Problem(address, 'is one value, and each entry needs one: a list'))})"
                )
        for parts, field in known.items():
            if field.required and parts not in written:
                covers = partial(_covered, parts, tuple(written))
                there = f"{source.bind(covers)}(values)" if any(map(partial(_related, parts), written)) else "False"
                source.line(f"if creating and not {there}: found.append({source.bind(_missing(parts, written=False))})")
        source.line("return found")
    return source.function("check")


def _emit(source: Source, address: str, field: Field) -> None:
    name, judge = ascii(address), source.bind(partial(_judge, address, field))
    with source.block(f"if {name} in values:"):
        if field.read_only:
            source.line(f"found += {judge}(values[{name}])")
            return
        source.line(f"x = values[{name}]")
        test = _test(source, field)
        if field.nullable and not field.required:
            test = f"x is None or ({test})"
        source.line(f"if not ({test}): found += {judge}(x)")
    if field.required:
        missing = source.bind(_missing(parse_path(address), written=True))
        source.line(f"elif creating: found.append({missing})")


def _missing(parts: Parts, *, written: bool) -> Problem:
    text = "is required, and the mapping left it out" if written else "is required, and the mapping does not write it"
    return Problem(format_path(parts), text)


def _related(one: Parts, other: Parts) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _covered(parts: Parts, written: tuple[Parts, ...], values: Values) -> bool:
    """Return whether a required field is there as a part of another that is written, or in its own parts."""
    for other in written:
        value = values.get(format_path(other), ABSENT)
        if value is ABSENT or not _related(parts, other):
            continue
        value = walk(value, parts[len(other) :])
        if value is not ABSENT and value is not None:
            return True
    return False


def _test(source: Source, field: Field) -> str:
    """Return the Python expression that is true of a value `x` which is well; when in doubt, it is false."""
    kinds = {kind.__name__: source.bind(kind) for kind in (str, int, bool, dict, list, Decimal)}
    tests = {
        "string": [f"x.__class__ is {kinds['str']}"],
        "date": [f"x.__class__ is {kinds['str']}", f"{source.bind(_is_date)}(x)"],
        "datetime": [f"x.__class__ is {kinds['str']}", f"{source.bind(partial(_is_time, field))}(x)"],
        "integer": [f"x.__class__ is {kinds['int']}"],
        "number": [f"(x.__class__ is {kinds['int']} or (x.__class__ is {kinds['Decimal']} and x.is_finite()))"],
        "boolean": [f"x.__class__ is {kinds['bool']}"],
        "object": [f"x.__class__ is {kinds['dict']}"],
        "array": [f"x.__class__ is {kinds['list']}"],
        "any": [f"x.__class__ in {source.bind(_PLAIN)}"],
    }[field.type]
    if field.type in ("string", "array", "date", "datetime"):
        least = max(field.min_length or 0, 1 if field.required else 0)
        if least:
            tests.append(f"len(x) >= {least}")
        if field.max_length is not None:
            tests.append(f"len(x) <= {field.max_length}")
    if field.type == "string" and field.required:
        tests.append("not x.isspace()")
    if field.type in ("integer", "number"):
        if field.minimum is not None:
            tests.append(f"x >= {source.bind(_bound(field.minimum))}")
        if field.maximum is not None:
            tests.append(f"x <= {source.bind(_bound(field.maximum))}")
        if field.decimals is not None and field.type == "number":
            tests.append(f"(x.__class__ is {kinds['int']} or x.as_tuple().exponent >= {-field.decimals})")
    if field.format is not None:
        if field.type == "string":
            tests.append(f"{source.bind(_FORMATS[field.format][0].fullmatch)}(x)")
        elif field.type == "any":
            return "False"
    if field.enum is not None:
        if field.type != "string":
            return "False"
        tests.append(f"x in {source.bind(frozenset(entry for entry in field.enum if isinstance(entry, str)))}")
    if field.type == "any" and (field.required or _limits(field)):
        return "False"
    return " and ".join(tests)


def _limits(field: Field) -> bool:
    limits = (field.min_length, field.max_length, field.minimum, field.maximum, field.decimals)
    return any(limit is not None for limit in limits)


def _bound(limit: float) -> int | Decimal:
    """Return a declared limit as written: 0.1 is one tenth, not the nearest binary fraction."""
    return int(limit) if limit == int(limit) else Decimal(repr(limit))


def _judge(address: str, field: Field, value: Any) -> list[Problem]:
    """Return what the destination would refuse about a value."""
    return [Problem(address, text, value) for text in _objections(field, value)]


def _objections(field: Field, value: Any) -> Iterator[str]:
    if field.read_only:
        yield "is read-only: the destination sets it itself"
        return
    blank = isinstance(value, str) and not value.strip()
    if field.required and (value is None or blank):
        yield f"is required, and would become {'null' if value is None else 'blank'}"
        return
    if value is None:
        if not field.nullable:
            yield "can't be null"
        return
    if field.type != "any":
        kinds = _TYPES[field.type]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            hint = "; add `as: string`" if field.type == "string" and isinstance(value, (int, Decimal, float)) else ""
            yield f"is {kind(value)}, not {_WANTED[field.type]}{hint}"
            return
    if isinstance(value, str):
        if field.type == "date" and not _is_date(value):
            yield "is not a date (YYYY-MM-DD)"
        if field.type == "datetime" and not _is_time(field, value):
            yield "is not a time with an offset (RFC 3339)" if field.zone is None else "is not a time (RFC 3339)"
        if field.format is not None and field.type in FORMATTED and not blank and not _FORMATS[field.format][0].fullmatch(value):
            yield f"is not {_FORMATS[field.format][1]}"
    if isinstance(value, (Decimal, float)) and not Decimal(value).is_finite():
        yield "is not a finite number"
        return
    yield from _size_objections(field, value)
    if field.enum is not None and not any(same(value, _plain(entry)) for entry in field.enum):
        yield "is not one of the values that are accepted"


def _size_objections(field: Field, value: Any) -> Iterator[str]:
    if isinstance(value, (str, list, tuple)):
        unit = "characters" if isinstance(value, str) else "entries"
        if field.min_length is not None and len(value) < field.min_length:
            yield f"has {len(value)} {unit}, at least {field.min_length} are needed"
        if field.max_length is not None and len(value) > field.max_length:
            yield f"has {len(value)} {unit}, at most {field.max_length} are accepted"
    if isinstance(value, (int, Decimal, float)) and not isinstance(value, bool):
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if field.minimum is not None and number < _bound(field.minimum):
            yield f"is less than {_bound(field.minimum)}"
        if field.maximum is not None and number > _bound(field.maximum):
            yield f"is more than {_bound(field.maximum)}"
        if field.decimals is not None and _decimals(number) > field.decimals:
            yield f"has more than {field.decimals} digits after the point"


def _decimals(number: Decimal) -> int:
    """Return the digits after the point that count: 1.50 has one."""
    digits, exponent = number.as_tuple().digits, number.as_tuple().exponent
    assert isinstance(exponent, int)
    trailing = 0
    for digit in reversed(digits):
        if digit or -exponent <= trailing:
            break
        trailing += 1
    return max(0, -exponent - trailing)


def _plain(value: Any) -> Any:
    return Decimal(repr(value)) if isinstance(value, float) else value


def _is_date(value: str) -> bool:
    try:
        return len(value) == 10 and value[4] == value[7] == "-" and bool(dt.date.fromisoformat(value))
    except ValueError:
        return False


def _is_time(field: Field, value: str) -> bool:
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        return False
    return len(value) > 10 and value[10] in "Tt " and (moment.tzinfo is not None or field.zone is not None)
