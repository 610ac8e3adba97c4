"""A mapping, compiled into one Python function over a record.

The function is straight-line code in one `try`. When something in it raises, the rules are run one by one to find the
guilty one, so that a record which is well pays nothing for it. A record, its links and the functions of the project are
all that goes in; the same goes in, the same comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tieline.config.models.integrations import Rule
from tieline.mapping.convert.values import Unfit
from tieline.mapping.expressions.source import Source
from tieline.mapping.rules import Functions, Plan, plan_rules
from tieline.mapping.steps import copied, emit, identity
from tieline.model.errors import MappingError
from tieline.model.paths import Parts, format_path, walk
from tieline.model.records import ABSENT, Record, Values

Links: TypeAlias = Mapping[tuple[str, str], str | int]
"""Ids of linked records, by the integration and the id on its source side.

A look-up that runs backwards asks for `NAME/back`, and the id on the destination's side: see `mapping.inverse.rules`.
"""

_NO_LINKS: Final[dict[tuple[str, str], str | int]] = {}
_MOST_TEXT: Final = 300


@dataclass(frozen=True, slots=True)
class Lookup:
    """A link that a rule needs: of which integration, and of which record."""

    integration: str
    wants: Callable[[Record], str | None]
    """The id, as text, whose link is needed; None when there is none, or when the rule fails before."""
    target: str
    """The destination's field that it is for, by address."""
    missing: str = "hold"
    """What follows without the link, as the rule says: see `config.models.integrations.Rule`."""


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
        self.sources: dict[str, tuple[str, ...]] = {plan.address: tuple(map(format_path, plan.addresses)) for plan in plans}
        """By address written: the addresses of the record that its rule reads; the empty one is the whole record."""
        self.lists: dict[str, tuple[Any, ...]] = {plan.address: plan.rule.remove for plan in plans if plan.entries is not None}
        """Lists of which it says what is in them, whatever else is: by address written, the entries that are not to be there."""
        looked_up = [plan for plan in plans if plan.rule.lookup is not None]
        self.lookups: tuple[Lookup, ...] = tuple(
            Lookup(plan.rule.lookup or "", _wants(plan), plan.address, plan.rule.missing) for plan in looked_up
        )
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
                value = _input(plan, record)
                return MappingError(
                    plan.target, _sentence(plan, cause), source=source, value=None if value is ABSENT else value, lookup=lookup
                )
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
                key = copied(plan)
                if key is not None:
                    source.line(f"if {key} in record: out[{target}] = record[{key}]")
                elif plan.const is not ABSENT:
                    source.line(f"out[{target}] = {source.literal(plan.const)}")
                else:
                    emit(source, plan)
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
            emit(source, plan)
        source.line("return v")
    return source.function("rule")


def _wants(plan: Plan) -> Callable[[Record], str | None]:
    source = Source()
    source.names["Exception"] = Exception
    with source.block("def wants(record):"):
        with source.block("try:"):
            source.line("record_get = record.get")
            emit(source, plan, until_lookup=True)
            source.line(f"return None if v is None or v is ABSENT else {source.bind(identity)}(v)")
        with source.block("except Exception:"):
            source.line("return None")  # mapping the record says what is wrong with it
    return source.function("wants")


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
    return walk(record, parts)
