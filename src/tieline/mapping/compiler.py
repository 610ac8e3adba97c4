"""A mapping, compiled into one Python function over a record.

The function is straight-line code in one `try`. When something in it raises, the rules are run one by one to find the
guilty one, so that a record which is well pays nothing for it. A record, its links and the functions of the project are
all that goes in; the same goes in, the same comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from tieline.mapping.paths import Parts, format_path, step
from tieline.mapping.rules import Functions, Plan, plan_rules
from tieline.mapping.source import Source
from tieline.mapping.values import Unfit, exact, kind, nothing, settled, text_of
from tieline.model.errors import MappingError
from tieline.model.records import ABSENT, Record, Values
from tieline.spec.integrations import Rule

Links: TypeAlias = Mapping[tuple[str, str], str | int]
"""Ids of linked records, by the integration and the id on its source side."""

_NO_LINKS: Final[dict[tuple[str, str], str | int]] = {}
_MOST_TEXT: Final = 300
_DIRECT: Final = {"lower": "v.lower()", "upper": "v.upper()", "trim": "v.strip()", "string": "v"}


@dataclass(frozen=True, slots=True)
class Lookup:
    """A link that a rule needs: of which integration, and of which record."""

    integration: str
    wants: Callable[[Record], str | None]
    """The id, as text, whose link is needed; None when there is none, or when the rule fails before."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one rule did, for people. `value` and `result` may be `ABSENT`."""

    target: str
    source: str
    value: Any
    result: Any
    problem: str | None = None


class CompiledMapping:
    """Records in, fields of the destination out."""

    def __init__(self, plans: list[Plan]) -> None:
        self._plans = plans
        read = {format_path(parts) for plan in plans for parts in plan.addresses if parts}
        self.reads: tuple[str, ...] = tuple(sorted(read))
        self.reads_all = any(plan.reads_all for plan in plans)
        self.writes: tuple[str, ...] = tuple(plan.address for plan in plans)
        looked_up = [plan for plan in plans if plan.rule.lookup is not None]
        self.lookups: tuple[Lookup, ...] = tuple(Lookup(plan.rule.lookup or "", _wants(plan)) for plan in looked_up)
        self._run = _whole(plans, self._explain)
        self._single: list[Callable[[Record, Links], Any]] | None = None

    def __call__(self, record: Record, links: Links = _NO_LINKS) -> Values:
        """Return the destination's fields by address, absent ones left out. Raises `MappingError`."""
        values: Values = self._run(record, links)
        return values

    def trace(self, record: Record, links: Links = _NO_LINKS) -> list[Step]:
        """Run the rules one by one and return what each did; nothing is raised."""
        steps = []
        for plan, run in zip(self._plans, self._alone(), strict=True):
            value = _input(plan, record)
            source = ", ".join(map(format_path, plan.addresses)) or ("the whole record" if plan.reads_all else "")
            try:
                steps.append(Step(plan.target, source, value, run(record, links)))
            except Exception as error:  # noqa: BLE001 - whatever it was, it is what the trace is for
                steps.append(Step(plan.target, source, value, ABSENT, _sentence(plan, error)))
        return steps

    def _explain(self, record: Record, links: Links, error: Exception) -> MappingError:
        """Return the error of the first rule that fails by itself."""
        for plan, run in zip(self._plans, self._alone(), strict=True):
            try:
                run(record, links)
            except Exception as cause:  # noqa: BLE001 - a project's function may raise anything
                source = ", ".join(map(format_path, plan.addresses))
                lookup = cause.lookup if isinstance(cause, (Unfit, MappingError)) else None
                problem = _sentence(plan, cause)
                return MappingError(plan.target, problem, source=source, value=_input(plan, record), lookup=lookup)
        return MappingError("", f"failed once, and not when tried again: {type(error).__name__}: {error}"[:_MOST_TEXT])

    def _alone(self) -> list[Callable[[Record, Links], Any]]:
        if self._single is None:
            self._single = [_alone(plan) for plan in self._plans]
        return self._single


def compile_mapping(rules: Mapping[str, str | Rule], *, functions: Functions | None = None) -> CompiledMapping:
    """Compile the rules of an integration; raise `ValueError` with everything that is wrong with them."""
    plans, wrong = plan_rules(rules, functions or {})
    if wrong:
        raise ValueError("; ".join(f"{target}: {message}" for target, message in wrong))
    return CompiledMapping(plans)


def problems(rules: Mapping[str, str | Rule], functions: Functions | None = None) -> list[tuple[str, str]]:
    """Return all that is wrong with the rules, as (target, message)."""
    return plan_rules(rules, functions or {})[1]


# Functions: all rules together, one alone, and the id that a lookup wants


def _whole(plans: list[Plan], explain: Callable[..., MappingError]) -> Callable[[Record, Links], Values]:
    source = Source()
    source.names |= {"explain": explain, "Exception": Exception}
    with source.block("def mapping(record, links):"):
        with source.block("try:"):
            source.line("record_get = record.get")
            source.line("out = {}")
            for plan in plans:
                target = ascii(plan.address)
                key = _copied(plan)
                if key is not None:
                    source.line(f"if {key} in record: out[{target}] = record[{key}]")
                elif plan.const is not ABSENT:
                    source.line(f"out[{target}] = {source.literal(plan.const)}")
                else:
                    _emit(source, plan)
                    source.line(f"if v is not ABSENT: out[{target}] = v")
            source.line("return out")
        with source.block("except Exception as error:"):
            source.line("raise explain(record, links, error) from None")
    return source.function("mapping")


def _alone(plan: Plan) -> Callable[[Record, Links], Any]:
    source = Source()
    with source.block("def rule(record, links):"):
        source.line("record_get = record.get")
        if plan.const is not ABSENT:
            source.line(f"v = {source.literal(plan.const)}")
        else:
            _emit(source, plan)
        source.line("return v")
    return source.function("rule")


def _wants(plan: Plan) -> Callable[[Record], str | None]:
    source = Source()
    source.names["Exception"] = Exception
    with source.block("def wants(record):"):
        with source.block("try:"):
            source.line("record_get = record.get")
            _emit(source, plan, until_lookup=True)
            source.line(f"return None if v is None or v is ABSENT else {source.bind(identity)}(v)")
        with source.block("except Exception:"):
            source.line("return None")  # mapping the record says what is wrong with it
    return source.function("wants")


# Steps


def _copied(plan: Plan) -> str | None:
    """Return the key, as a literal, when a rule does nothing but copy a top-level field."""
    if plan.rule.model_fields_set == {"source"} and len(plan.sources) == 1 and len(plan.sources[0]) == 1:
        return ascii(plan.sources[0][0])
    return None


def _emit(source: Source, plan: Plan, *, until_lookup: bool = False) -> None:
    """Write the statements that leave a rule's result in `v`."""
    rule, there = plan.rule, "if v is not None and v is not ABSENT:"
    if plan.sources:
        _emit_source(source, plan)
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
            elif rule.missing == "null":
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
        texts = [text for value in values if not nothing(value) and (text := text_of(value)).strip()]
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


# For people


def _sentence(plan: Plan, error: Exception) -> str:
    """Return what went wrong, as a sentence about the rule's source."""
    if isinstance(error, Unfit):
        return f"{error.about or plan.subject} {error.problem}"
    if isinstance(error, MappingError):
        return error.problem
    if isinstance(error, RecursionError):
        return f"{plan.subject} is nested too deeply"
    words = f"{type(error).__name__}: {error}"
    if plan.rule.call is not None:
        words = f"`{plan.rule.call}` failed: {words}"
    return words[:_MOST_TEXT]


def _input(plan: Plan, record: Record) -> Any:
    """Return what a rule works on: the field's value, or several by address."""
    if plan.reads_all:
        return record
    values = {}
    for parts in plan.addresses:
        value = _value(record, parts)
        if len(plan.addresses) == 1:
            return value
        if value is not ABSENT:
            values[format_path(parts)] = value
    return values if plan.addresses else ABSENT


def _value(record: Record, parts: Parts) -> Any:
    value: Any = record
    for part in parts:
        value = step(value, part)
    return value
