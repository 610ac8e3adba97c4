"""A declared rule, checked and made ready: what it reads, and the functions that its steps need.

The steps, in order: `from`; `split` or `join`; `expr` or `call`; `values`; `lookup`; `as`; `default`; `add` and `remove`. Three laws hold:

* absent stays absent, and the field is left out;
* null stays null and skips the steps, unless the table of values has a key `null`;
* blank stays blank as text, and is null where no blank can be: for a number, a time, an id, an address.

`default` then takes the place of absent and null, and with `default_blank` of blank; `default: null` makes absent null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from tieline.config.models.integrations import Rule
from tieline.mapping.convert import conversions, countries, money, phones, times
from tieline.mapping.convert.values import Unfit, exact, kind, settled
from tieline.mapping.expressions.expression import Expression
from tieline.model import strftime
from tieline.model.lists import once, within, without
from tieline.model.paths import EACH, MAX_INDEX, Entry, Part, Parts, format_path, parse_path
from tieline.model.records import ABSENT

Functions = Mapping[str, Callable[..., Any]]

_MISS: Final = object()
NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")  # 007 is a code, not a number
_PARTNERS: Final = {
    "otherwise": ("values",),
    "take": ("split",),
    "missing": ("lookup",),
    "default_blank": ("default",),
}
_CONVERSION_KEYS: Final = {
    "region": ("phone",),
    "zone": ("date", "datetime"),
    "to_zone": ("date", "datetime"),
    "format": ("date", "datetime"),
    "to_format": ("date", "datetime"),
    "currency": ("money",),
    "country": ("country",),
    "true": ("boolean",),
    "false": ("boolean",),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One rule, ready to be translated."""

    target: str
    """The destination's field, as it was declared."""
    address: str
    """The same in the one way of writing."""
    rule: Rule
    sources: tuple[Parts, ...]
    expression: Expression | None = None
    function: Callable[..., Any] | None = None
    table: Callable[[Any], Any] | None = None
    convert: Callable[[Any], Any] | None = None
    const: Any = ABSENT
    default: Any = ABSENT
    entries: Callable[[Any], Any] | None = None
    """Makes the entries that a list is to have, where the others in it are left alone."""

    @property
    def addresses(self) -> tuple[Parts, ...]:
        """What the rule reads of the record, in the order of the declaration."""
        named = [parts for root, parts in self.expression.reads if root == "record"] if self.expression else []
        return tuple(dict.fromkeys([*self.sources, *named]))

    @property
    def reads_all(self) -> bool:
        """Whether the rule gets the whole record."""
        return () in self.sources or (self.function is not None and not self.sources)

    @property
    def subject(self) -> str:
        """What a problem is about: the source's field, if it is one."""
        addresses = self.addresses
        return f"`{format_path(addresses[0])}`" if len(addresses) == 1 and addresses[0] else "the value"


def plan_rules(rules: Mapping[str, str | Rule], functions: Functions) -> tuple[list[Plan], list[tuple[str, str]]]:
    """Return the rules, ready, and what is wrong with the others as (target, message)."""
    plans: list[Plan] = []
    wrong: list[tuple[str, str]] = []
    taken: dict[Parts, str] = {}
    for target, declared in rules.items():
        rule = Rule.model_construct({"source"}, source=declared) if isinstance(declared, str) else declared
        messages = [*_target_problems(target, taken), *_key_problems(rule)]
        if not messages:
            try:
                plans.append(_plan(target, rule, functions))
            except (ValueError, Unfit) as error:
                messages.append(str(error))
        wrong.extend((target, message) for message in messages)
    wrong.extend(_gaps(taken))
    return plans, wrong


def _plan(target: str, rule: Rule, functions: Functions) -> Plan:
    given = rule.model_fields_set
    sources = () if rule.source is None else (rule.source,) if isinstance(rule.source, str) else rule.source
    expression = None if rule.expr is None else Expression(rule.expr, value=bool(sources))
    return Plan(
        target=target,
        address=format_path(parse_path(target)),
        rule=rule,
        sources=tuple(map(parse_path, sources)),
        expression=expression,
        function=None if rule.call is None else _function(rule.call, functions),
        table=None if rule.values is None else _table(rule.values, _declared(rule, "otherwise", _MISS)),
        convert=None if rule.convert is None else _converter(rule),
        const=_declared(rule, "const", ABSENT) if "const" in given else ABSENT,
        default=_declared(rule, "default", ABSENT),
        entries=_entries(rule) if rule.merges else None,
    )


def _declared(rule: Rule, key: str, without: Any) -> Any:
    """Return what a key says, null included, or what holds when the key is not there."""
    if key not in rule.model_fields_set:
        return without
    try:
        return settled(getattr(rule, key))
    except Unfit as unfit:
        raise ValueError(f"`{key}` {unfit}") from None


def _function(name: str, functions: Functions) -> Callable[..., Any]:
    if name not in functions:
        there = ", ".join(sorted(functions)) or "none"
        raise ValueError(f"there is no function `{name}` (there is: {there})")
    return functions[name]


# What is wrong with a declaration


def _target_problems(target: str, taken: dict[Parts, str]) -> Iterator[str]:
    try:
        parts = parse_path(target)
    except ValueError as error:
        yield str(error)
        return
    if not parts:
        yield "a rule needs a field of the destination"
        return
    if any(isinstance(part, int) and not 0 <= part <= MAX_INDEX for part in parts):
        yield f"an index that is written goes from 0 to {MAX_INDEX}"
    yield from _entry_problems(target, parts)
    for other, name in taken.items():
        if overlap(other, parts):
            yield f"is written twice: `{name}` is the same field or one inside the other"
        elif (mixed := _mixed(other, parts)) is not None:
            in_object = any(isinstance(part, str) for part in mixed)
            yield (
                f"is in a list, and `{name}` in an object of the same name"
                if in_object
                else f"names entries in another way than `{name}` does: a list is written in one way, by number, by a key, or as a whole"
            )
    taken[parts] = target


def _entry_problems(target: str, parts: Parts) -> Iterator[str]:
    """Yield why entries of a list can't be written so."""
    for part, following in pairwise((*parts, None)):
        if isinstance(part, Entry) and following is None:
            yield f"names an entry and nothing in it: say which part gets the value, such as `{target}.value`"
        elif isinstance(part, Entry) and following == part.key:
            yield f"would change `{part.key}`, by which the entry is known"
    if EACH in parts:
        rest = parts[parts.index(EACH) + 1 :]
        if not rest:
            yield f"is the list itself: write `{target.removesuffix('[]')}`"
        elif not all(isinstance(part, str) for part in rest):
            yield "only fields follow `[]` where it is written, such as `labels[].name`"


def overlap(one: Parts, other: Parts) -> bool:
    """Return whether two addresses are the same, or one lies inside the other; all entries of a list include each."""
    return all(
        first == second or (EACH in (first, second) and not isinstance(first, str) and not isinstance(second, str))
        for first, second in zip(one, other, strict=False)
    )


def _mixed(one: Parts, other: Parts) -> tuple[Part, Part] | None:
    """Return the parts at which two addresses take one thing for an object and a list, or name its entries in two ways."""
    for first, second in zip(one, other, strict=False):
        if first != second:
            return None if first.__class__ is second.__class__ else (first, second)
    return None


def _gaps(taken: dict[Parts, str]) -> Iterator[tuple[str, str]]:
    """A list is written from its start, without gaps."""
    for parts, target in taken.items():
        for depth, part in enumerate(parts):
            if isinstance(part, int) and 0 < part <= MAX_INDEX:
                before = (*parts[:depth], part - 1)
                if not any(other[: depth + 1] == before for other in taken):
                    yield target, f"`{format_path(before)}` comes first and is not written"


def _key_problems(rule: Rule) -> Iterator[str]:
    given = rule.model_fields_set
    names = {"source": "from", "convert": "as"}
    if "const" in given:
        others = [names.get(key, key) for key in Rule.model_fields if key in given and key not in ("const", "only")]
        if others:
            yield f"`const` stands alone; `{others[0]}` has no place beside it"
        return
    several = not isinstance(rule.source, str) and rule.source is not None
    if rule.source is None and rule.expr is None and rule.call is None and not rule.merges:
        yield "needs one of `from`, `const`, `expr`, `call`, `add` and `remove`"
    if both := within(rule.add, rule.remove):
        yield f"adds and removes the same: {both[0]!r}"
    if rule.merges and rule.only == "create":
        yield "entries are added to a list that is there: `only: create` has no place beside it"
    if rule.expr is not None and rule.call is not None:
        yield "`expr` and `call` exclude each other"
    if rule.split is not None and rule.join is not None:
        yield "`split` and `join` exclude each other"
    if rule.split == "":
        yield "`split` needs a text to cut at"
    if several and not rule.source:
        yield "`from` names no field"
    if several and rule.join is None and rule.expr is None and rule.call is None:
        yield "several fields need `join`, `expr` or `call`"
    if rule.join is not None and (not several or len(rule.source or ()) < 2):
        yield "`join` needs several fields in `from`"
    if rule.split is not None and (several or rule.source is None):
        yield "`split` needs one field in `from`"
    if rule.values is not None and not rule.values:
        yield "`values` is empty"
    for key, partners in _PARTNERS.items():
        if key in given and not given.intersection(partners):
            yield f"`{key}` needs `{partners[0]}`"
    for key, conversions_ in _CONVERSION_KEYS.items():
        if key in given and rule.convert not in conversions_:
            yield f"`{key}` needs `as: {conversions_[0]}`"
    if rule.convert == "money" and rule.currency is None:
        yield "`as: money` needs a `currency`"


# The functions of the steps


def _entries(rule: Rule) -> Callable[[Any], Any]:
    """Return what makes a list's entries of a value: null and blank are none."""
    add, remove = list(_declared(rule, "add", ())), rule.remove

    def entries(value: Any) -> Any:
        if value is ABSENT and not add and not remove:
            return ABSENT
        if value is ABSENT or value is None or (isinstance(value, str) and not value.strip()):
            value = []
        if not isinstance(value, list):
            raise Unfit(f"is {kind(value)}, and entries are added to a list", about="" if rule.source is not None else "the value")
        return without(once([*(entry for entry in value if entry is not None), *settled(add)]), remove)

    return entries


def _table(values: dict[str, Any], otherwise: Any) -> Callable[[Any], Any]:
    """Return the lookup in a table of values: text by its letters, a number by its value."""
    known = {}
    numbers: dict[Decimal, Any] = {}
    for key, result in values.items():
        known[key] = settled(result)
        if NUMBER.fullmatch(key):
            if Decimal(key) in numbers:
                raise ValueError(f"`values` has `{key}` twice, as the same number")
            numbers[Decimal(key)] = known[key]
    fresh = settled if any(isinstance(value, (list, dict)) for value in (*known.values(), otherwise)) else None

    def find(value: Any) -> Any:
        if value.__class__ is str:
            found = known.get(value, _MISS)
        elif value is None:
            return known.get("null")
        elif value is True or value is False:
            found = known.get("true" if value else "false", _MISS)
        elif isinstance(value, (list, dict)):
            raise Unfit(f"is {kind(value)}, which a table of values can't hold")
        else:
            found = numbers.get(Decimal(exact(value)), _MISS)
        if found is _MISS:
            if otherwise is _MISS:
                raise Unfit("is not in the table of values")
            found = otherwise
        return found if fresh is None else fresh(found)

    return find


_SIMPLE: Final[dict[str, Callable[[Any], Any]]] = {
    "string": conversions.string,
    "integer": conversions.integer,
    "number": conversions.number,
    "lower": conversions.lower,
    "upper": conversions.upper,
    "trim": conversions.trim,
    "email": conversions.email,
}


def _converter(rule: Rule) -> Callable[[Any], Any]:
    match rule.convert:
        case "phone":
            return phones.converter(rule.region)
        case "money":
            return money.converter(rule.currency or "")
        case "country":
            return countries.converter(rule.country)
        case "date" | "datetime":
            return _time_converter(rule)
        case "boolean":
            return _boolean(rule)
        case other:
            return _SIMPLE[str(other)]


def _time_converter(rule: Rule) -> Callable[[Any], Any]:
    date = rule.convert == "date"
    if rule.format is not None:
        strftime.check_format(rule.format, reading=True)
    if rule.to_format is not None:
        strftime.check_format(rule.to_format, reading=False)
        if date and rule.to_format in ("unix", "unix_ms"):
            raise ValueError("a date is no instant; `as: datetime` has a Unix time")
    return times.converter(
        date=date,
        zone=None if rule.zone is None else times.zone(rule.zone),
        to_zone=None if rule.to_zone is None else times.zone(rule.to_zone),
        format=rule.format,
        to_format=rule.to_format,
    )


def _boolean(rule: Rule) -> Callable[[Any], Any]:
    if not rule.model_fields_set.intersection(("true", "false")):
        return conversions.boolean
    words = {True: _declared(rule, "true", True), False: _declared(rule, "false", False), None: None}
    return lambda value: words[conversions.boolean(value)]
