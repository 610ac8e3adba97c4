"""The steps of a rule, as statements of the function that the mapping is compiled into.

Each works on the variable `v` and keeps the laws of `rules`: what is absent, null or blank passes it by.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from tieline.config.models.integrations import Rule
from tieline.mapping.convert.values import Unfit, exact, kind, nothing, settled, text_of
from tieline.mapping.expressions.source import Source
from tieline.mapping.rules import Plan
from tieline.model.records import ABSENT

_DIRECT: Final = {"lower": "v.lower()", "upper": "v.upper()", "trim": "v.strip()", "string": "v"}


def copied(plan: Plan) -> str | None:
    """Return the key, as a literal, when a rule does nothing but copy a top-level field."""
    if plan.rule.model_fields_set == {"source"} and len(plan.sources) == 1 and len(plan.sources[0]) == 1:
        return ascii(plan.sources[0][0])
    return None


def emit(source: Source, plan: Plan, *, until_lookup: bool = False) -> None:
    """Write the statements that leave a rule's result in `v`."""
    rule, there = plan.rule, "if v is not None and v is not ABSENT:"
    if plan.sources:
        _emit_source(source, plan)
    elif plan.entries is not None:
        source.line("v = ABSENT")
    blank = f"v.__class__ is {source.bind(str)} and not v.strip()"
    if rule.default_blank and plan.sources:
        # The default is in the destination's words already: no step may see, or refuse, the blank it stands for.
        source.line(f"skip = {blank}")
        source.line("if skip: v = None")
    if rule.split is not None:
        source.line(f"{there} v = {source.bind(_splitter(rule.split, rule.take))}(v)")
    if plan.expression is not None:
        with source.block(there if plan.sources else "if True:"):
            source.line(f"v = {plan.expression.emit(source)}")
    if plan.function is not None:
        _emit_call(source, plan)
    if plan.table is not None:
        if "null" in (rule.values or {}):
            there = "if v is not ABSENT and not skip:" if rule.default_blank and plan.sources else "if v is not ABSENT:"
        source.line(f"{there} v = {source.bind(plan.table)}(v)")
    if rule.lookup is not None:
        if until_lookup:
            return
        _emit_lookup(source, rule)
    if plan.convert is not None:
        with source.block("if v is not None and v is not ABSENT:"):
            _emit_conversion(source, plan)
    if plan.default is not ABSENT:
        test = f"v is None or v is ABSENT or ({blank})" if rule.default_blank else "v is None or v is ABSENT"
        source.line(f"if {test}: v = {source.literal(plan.default)}")
    if plan.entries is not None:
        source.line(f"v = {source.bind(plan.entries)}(v)")


def _emit_source(source: Source, plan: Plan) -> None:
    if len(plan.sources) == 1 and not isinstance(plan.rule.source, tuple):
        source.read(plan.sources[0], "v", root="record")
    else:
        names = []
        for parts in plan.sources:
            names.append(source.fresh("s"))
            source.read(parts, names[-1], root="record")
        combine = _listed if plan.rule.join is None else _joiner(plan.rule.join)
        source.line(f"v = {source.bind(combine)}({', '.join(names)})")


def _emit_call(source: Source, plan: Plan) -> None:
    function, ready = source.bind(plan.function), source.bind(settled)
    if isinstance(plan.rule.source, tuple) and plan.rule.join is None:
        source.line(f"v = {ready}({function}(*v))")
    elif plan.sources:
        source.line(f"if v is not None and v is not ABSENT: v = {ready}({function}(v))")
    else:
        source.line(f"v = {ready}({function}(record))")


def _emit_lookup(source: Source, rule: Rule) -> None:
    integration = ascii(rule.lookup)
    with source.block("if v is not None and v is not ABSENT:"):
        source.line(f"i = {source.bind(identity)}(v)")
        source.line("if i is None: v = None")
        with source.block("else:"):
            source.line(f"v = links.get(({integration}, i), ABSENT)")
            if rule.missing == "hold":
                source.line(f"if v is ABSENT: {source.bind(_unlinked)}({integration}, i)")
            elif rule.missing == "empty":
                source.line("if v is ABSENT: v = None")


def _emit_conversion(source: Source, plan: Plan) -> None:
    """A conversion; the cheapest ones are written out for the case that needs no thought."""
    convert = source.bind(plan.convert)
    direct = _DIRECT.get(plan.rule.convert or "")
    if direct is None:
        source.line(f"v = {convert}(v)")
    else:
        source.line(f"v = {direct} if v.__class__ is {source.bind(str)} else {convert}(v)")


def _listed(*values: Any) -> list[Any]:
    return [None if value is ABSENT else value for value in values]


def _joiner(separator: str) -> Callable[..., Any]:
    def join(*values: Any) -> Any:
        texts = []
        for value in values:
            if not nothing(value):
                text = value if value.__class__ is str else text_of(value)
                if text and not text.isspace():
                    texts.append(text)
        if texts:
            return separator.join(texts)
        # Nothing to join: blank if something was blank, null if something was null, absent if nothing was there.
        return "" if not all(map(nothing, values)) else None if None in values else ABSENT

    return join


def _splitter(separator: str, take: str | int) -> Callable[[Any], Any]:
    cut = None if separator.isspace() else separator  # any run of white space parts words, however long

    def split(value: Any) -> Any:
        if isinstance(value, list):
            raise Unfit("is a list, not text")
        text = text_of(value)
        if not text.strip():
            return [] if take == "all" else text
        if take == "rest":
            parts = text.split(cut, 1)
            return parts[1].strip() if len(parts) > 1 else None
        parts = [part.strip() for part in text.split(cut)]
        if isinstance(take, int):
            return parts[take] if -len(parts) <= take < len(parts) else None
        return [part for part in parts if part] if take == "all" else parts[0] if take == "first" else parts[-1]

    return split


def identity(value: Any) -> str | None:
    """Return an id as text, None for blank text; a whole number is written without a point."""
    if isinstance(value, str):
        return value if value.strip() else None
    try:
        number = exact(value)
    except Unfit:
        raise Unfit(f"is {kind(value)}, not an id") from None
    if isinstance(number, Decimal) and (number.adjusted() > 100 or number != number.to_integral_value()):
        raise Unfit("is a number with a fraction, not an id")
    return str(int(number))


def _unlinked(integration: str, record_id: str) -> None:
    lookup = (integration, record_id)
    raise Unfit(f"has no link yet in `{integration}`", about=f"record {record_id[:100]}", lookup=lookup)
