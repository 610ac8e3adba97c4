"""The way back of each kind of rule, as rules again.

Most conversions have a normal form: an E.164 number, lower case, an ISO code. What the right says in that form is written on the left
as it stands, for the rule makes the same of it. What the left declares of its field decides between text and numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from tieline.config.models.connectors import Field
from tieline.config.models.integrations import Rule
from tieline.mapping.compiler import CompiledMapping
from tieline.mapping.convert.values import Unfit, same, settled, text_of
from tieline.mapping.rules import NUMBER, Functions, Plan, plan_rules
from tieline.model import strftime
from tieline.model.errors import MappingError
from tieline.model.paths import format_path, nest, parse_path
from tieline.model.records import encode_json

BACK: Final = "/back"
"""What is added to an integration's name where its links are looked up backwards: from an id of its `to` side to one of its `from` side."""

_NUMBERS: Final = ("integer", "number")


def other_way(integration: str) -> str:
    """Return how the other side of an integration's links is named: `NAME/back` for `NAME`, and `NAME` for `NAME/back`."""
    return integration.removesuffix(BACK) if integration.endswith(BACK) else f"{integration}{BACK}"


class OneWay(Exception):
    """A rule that can't be run backwards; says why, as a sentence about the rule."""


class Inverses:
    """Finds the way back of rules, knowing what both sides declare of their fields."""

    def __init__(self, functions: Functions, left_fields: Mapping[str, Field], right_fields: Mapping[str, Field]) -> None:
        self._functions, self._left, self._right = functions, _by_address(left_fields), _by_address(right_fields)

    def pairs(self, rules: Mapping[str, Rule]) -> dict[str, dict[str, str | Rule]]:
        """Return, by target, the ways back of two rules that take the first part and the rest of the same field: it is joined again."""
        parts: dict[tuple[str, str], dict[str, str]] = {}
        for target, rule in rules.items():
            if isinstance(rule.source, str) and rule.split and rule.model_fields_set <= {"source", "split", "take", "conflict"}:
                place = "first" if rule.take in ("first", 0) and rule.take is not False else rule.take
                if place in ("first", "rest"):
                    parts.setdefault((rule.source, rule.split), {}).setdefault(str(place), target)
        found: dict[str, dict[str, str | Rule]] = {}
        for (left, separator), targets in parts.items():
            if len(targets) == 2 and not _loose(separator):
                found[targets["first"]] = {left: _rule(source=(targets["first"], targets["rest"]), join=separator)}
                found[targets["rest"]] = {}
        return found

    def of(self, target: str, rule: Rule) -> dict[str, str | Rule]:
        """Return the rules that give the left its fields back. Raises `OneWay`."""
        plans, _ = plan_rules({target: rule}, self._functions)
        if not plans:
            raise OneWay("is wrong")
        back = self._inverted(plans[0], target)
        if "default" in rule.model_fields_set:
            self._keeps_default(plans[0], back)
        return back

    def _inverted(self, plan: Plan, target: str) -> dict[str, str | Rule]:
        rule = plan.rule
        if rule.expr is not None:
            raise OneWay("an expression can't be run backwards")
        if rule.call is not None:
            raise OneWay("a function can't be run backwards")
        if "otherwise" in rule.model_fields_set:
            raise OneWay("`otherwise` makes many values one, and no one could tell which it was")
        if rule.join is not None:
            return self._parted(target, rule)
        left = rule.source
        assert isinstance(left, str)
        if not left:
            raise OneWay("it reads the whole record, which can't be written back")
        if rule.split is not None:
            return {left: self._joined(target, rule)}
        if rule.values is not None:
            return {left: self._looked_back(target, plan, left)}
        if rule.lookup is not None:
            return {left: self._linked_back(target, rule, left)}
        return {left: self._converted(target, rule, left)}

    # Several fields and one

    def _parted(self, target: str, rule: Rule) -> dict[str, str | Rule]:
        """Two fields that were joined, cut again where they meet first."""
        separator, sources = rule.join or "", rule.source
        assert isinstance(sources, tuple)
        if len(sources) > 2:
            raise OneWay(f"{len(sources)} fields that are joined can't be told apart again; two can")
        if rule.values is not None or rule.lookup is not None or rule.convert not in (None, "string"):
            raise OneWay("what is joined and then converted can't be taken apart again")
        if not separator:
            raise OneWay("fields that are joined without a text between them can't be told apart again")
        if _loose(separator):
            raise OneWay("text is cut at any white space, and only a single space is joined as it was cut")
        first, rest = sources
        return {
            first: self._typed(_rule(source=target, split=separator, take="first"), first),
            rest: self._typed(_rule(source=target, split=separator, take="rest"), rest),
        }

    def _joined(self, target: str, rule: Rule) -> Rule:
        """A list that was cut from a text, joined again."""
        if rule.take != "all":
            raise OneWay(f"takes one part (`take: {rule.take}`), and the others are not there to be joined again")
        if rule.values is not None or rule.lookup is not None or rule.convert is not None:
            raise OneWay("what is cut and then converted can't be joined again")
        assert rule.split is not None
        if _loose(rule.split):
            raise OneWay("text is cut at any white space, and only a single space is joined as it was cut")
        return _rule(source=target, expr=f"join(value, {rule.split!r})")

    # Tables and links

    def _looked_back(self, target: str, plan: Plan, left: str) -> Rule:
        """The table, read from the other side; what `as` makes of its values is in the table already."""
        rule = plan.rule
        if rule.lookup is not None:
            raise OneWay("`values` and `lookup` in one rule can't be run backwards")
        table: dict[str, Any] = {}
        known: dict[Any, str] = {}
        for key, declared in (rule.values or {}).items():
            result = settled(declared)
            if plan.convert is not None and result is not None:
                try:
                    result = plan.convert(result)
                except Unfit as unfit:
                    raise OneWay(f"`values` gives `{key}` a value that {unfit.problem}") from None
            if result is None and "null" not in (rule.values or {}):
                raise OneWay(f"`values` makes `{key}` null, as null itself is: no one could tell which it was")
            text = _as_key(result)
            alike = Decimal(text).normalize() if NUMBER.fullmatch(text) else text
            if alike in known:
                raise OneWay(f"`values` gives `{known[alike]}` and `{key}` the same value {_shown(result)}: no one could tell which it was")
            known[alike] = key
            table[text] = self._key_of_left(key, left)
        return _rule(source=target, values=table)

    def _key_of_left(self, key: str, left: str) -> Any:
        """Return what a key of a table stands for on the left, where only its text is known."""
        kind = _kind(self._left, left)
        if key == "null":
            return None
        if kind in _NUMBERS and NUMBER.fullmatch(key):
            return int(key) if kind == "integer" and "." not in key else Decimal(key)
        return {"true": True, "false": False}.get(key, key) if kind != "string" else key

    def _linked_back(self, target: str, rule: Rule, left: str) -> Rule:
        if rule.convert not in (None, "string", "integer"):
            raise OneWay(f"an id that is looked up and then made `{rule.convert}` can't be looked up backwards")
        if "default" in rule.model_fields_set:
            raise OneWay("the `default` of a look-up is no one's id, and can't be looked up backwards")
        missing = {"missing": rule.missing} if "missing" in rule.model_fields_set else {}
        back = _rule(source=target, lookup=f"{rule.lookup}{BACK}", **missing)
        kind = _kind(self._left, left)
        return _with(back, convert=kind) if kind in ("string", "integer") else back

    # Conversions

    def _converted(self, target: str, rule: Rule, left: str) -> str | Rule:
        match rule.convert:
            case "boolean":
                return self._unworded(target, rule, left)
            case "date":
                return self._dated(target, rule, left)
            case "datetime":
                return self._timed(target, rule, left)
            case "string":
                kind = _kind(self._left, left)
                return _rule(source=target, convert=kind) if kind in (*_NUMBERS, "boolean") else target
            case "integer" | "number" | "money":
                kind = _kind(self._left, left)
                return _rule(source=target, convert=kind) if kind in ("string", "integer") and kind != rule.convert else target
            case _:
                return target  # a copy; or it has the normal form, and the left takes it as it stands

    def _unworded(self, target: str, rule: Rule, left: str) -> str | Rule:
        """The destination's words for true and false, read again."""
        kind = _kind(self._left, left)
        if kind == "string":
            raise OneWay(f"`{left}` is text, and no one says which words it has for true and false")
        given = rule.model_fields_set
        words = [settled(rule.true) if "true" in given else True, settled(rule.false) if "false" in given else False]
        if None in words:
            raise OneWay("one of `true` and `false` is written as null, as null itself is")
        yes, no = map(_as_key, words)
        if yes == no:
            raise OneWay("true and false are written in the same way")
        if kind in _NUMBERS:
            return _rule(source=target, values={yes: 1, no: 0})
        return target if words == [True, False] and words[0] is True else _rule(source=target, values={yes: True, no: False})

    def _dated(self, target: str, rule: Rule, left: str) -> str | Rule:
        if rule.to_zone is not None or rule.format == "unix" or rule.format == "unix_ms" or _kind(self._left, left) == "datetime":
            raise OneWay("a time becomes a date, and its time of day is lost")
        if rule.format is not None and strftime.holds(rule.format)[1]:
            raise OneWay(f"a time (`{rule.format}`) becomes a date, and its time of day is lost")
        for name, written in (("format", rule.format), ("to_format", rule.to_format)):
            if not strftime.holds(written)[0]:
                raise OneWay(f"`{name}: {written}` has no place for the whole date")
        if rule.format is None and rule.to_format is None:
            return target
        return _rule(source=target, convert="date", **_formats(rule))

    def _timed(self, target: str, rule: Rule, left: str) -> str | Rule:
        """The instant is the same; the zone and the format that were read are written, and the other way round."""
        if _kind(self._left, left) == "date":
            raise OneWay(f"`{left}` is a date, and has no place for the time of day")
        for name, written in (("format", rule.format), ("to_format", rule.to_format)):
            whole, timed, _ = strftime.holds(written)
            if not whole or not timed:
                raise OneWay(f"`{name}: {written}` has no place for the {'time of day' if whole else 'whole date'}")
        known_left, known_right = self._left.get(_spelled(left)), self._right.get(_spelled(target))
        home = rule.zone or (known_left.zone if known_left is not None else None)
        if not strftime.holds(rule.format)[2] and home is None:
            raise OneWay(f"`format: {rule.format}` has no offset, so the rule needs a `zone`")
        keys: dict[str, Any] = _formats(rule)
        if not strftime.holds(rule.to_format)[2]:
            keys["zone"] = rule.to_zone or "UTC"
        elif known_right is not None and known_right.zone is not None and rule.to_format is None:
            keys["zone"] = known_right.zone
        if home is not None and rule.format not in ("unix", "unix_ms"):
            keys["to_zone"] = home
        return _rule(source=target, convert="datetime", **keys) if keys else target

    def _typed(self, rule: Rule, left: str) -> Rule:
        kind = _kind(self._left, left)
        return _with(rule, convert=kind) if kind in _NUMBERS else rule

    def _keeps_default(self, plan: Plan, back: Mapping[str, str | Rule]) -> None:
        """A default is a value as any other on its way back: the rule must make the same of it again."""
        if plan.default is None:
            return
        plans, wrong = plan_rules(back, self._functions)
        again = None
        if not wrong:
            with contextlib.suppress(MappingError):
                returned = CompiledMapping(plans)(nest({plan.address: plan.default}))
                again = CompiledMapping([plan])(nest(returned)).get(plan.address)
        if not same(again, plan.default):
            raise OneWay(f"its `default` {_shown(plan.default)} would go back as a value that the rule does not turn into the same again")


# Small things


def _rule(**keys: Any) -> Rule:
    return Rule.model_construct(set(keys), **keys)


def _with(rule: Rule, **keys: Any) -> Rule:
    return _rule(**{key: getattr(rule, key) for key in rule.model_fields_set}, **keys)


def _formats(rule: Rule) -> dict[str, Any]:
    """Return the formats, swapped; each must be one that can be read and written."""
    keys: dict[str, Any] = {}
    for key, name, written in (("format", "to_format", rule.to_format), ("to_format", "format", rule.format)):
        if written is not None:
            try:
                strftime.check_format(written, reading=key == "format")
            except ValueError as error:
                raise OneWay(f"what `{name}: {written}` says can be written in one direction only: {error}") from None
            keys[key] = written
    return keys


def _loose(separator: str) -> bool:
    """Return whether a text of white space is cut elsewhere than where it would be joined."""
    return separator.isspace() and separator != " "


def _as_key(value: Any) -> str:
    """Return the key under which a table of values finds a value."""
    if value is None:
        return "null"
    try:
        return text_of(value)
    except Unfit:
        raise OneWay(f"`values` gives {_shown(value)}, which a table of values can't look up") from None


def _by_address(fields: Mapping[str, Field]) -> dict[str, Field]:
    return {_spelled(address): declared for address, declared in fields.items()}


def _spelled(address: str) -> str:
    try:
        return format_path(parse_path(address))
    except ValueError:
        return address


def _kind(fields: Mapping[str, Field], address: str) -> str | None:
    """Return the declared type of a field; None when nothing is said of it."""
    known = fields.get(_spelled(address))
    return None if known is None or known.type == "any" else known.type


def _shown(value: Any) -> str:
    text = encode_json(value).decode()
    return f"`{text}`" if len(text) <= 80 else f"`{text[:77]}...`"
