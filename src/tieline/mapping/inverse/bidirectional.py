"""One mapping, both directions: the rules of the way back, and which fields of both sides hang together.

The way back is made of declared rules, so that it is compiled like any other mapping and can be shown to people. Two laws hold,
and `mapping.inverse.round_trip` tries them:

* there and back: what the right says, in the form in which the forward rules write it, is what comes forward again after it went back;
* back and there: going back changes nothing on the left that the mapping does not write.

A rule for which they can't hold is refused, with the reason; see `docs/mapping.md` for the way back of each kind of rule.
Each kind's inverse is made in `mapping.inverse.rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tieline.config.models.connectors import Field
from tieline.config.models.integrations import Rule
from tieline.mapping.compiler import CompiledMapping, compile_mapping
from tieline.mapping.inverse.rules import Inverses, OneWay
from tieline.mapping.rules import Functions, Plan, overlap, plan_rules
from tieline.model.paths import Parts, format_path, parse_path

Rules = Mapping[str, str | Rule]
Fields = Mapping[str, Field]

WAY_OUT: Final = "give the way back with `back: ...`, or write `only: forward`"
_OURS: Final = frozenset(("only", "back", "conflict"))
_NONE: Final[Fields] = {}


@dataclass(frozen=True, slots=True)
class Strand:
    """Fields of both sides that hang together: what one side says of them follows from what the other says.

    Rules that run both ways make one strand when they share a field of either side. A rule that runs one way only is a strand of
    its own: nothing comes back by it. Constants and what is written `only: create` are in no strand, for they are never compared.
    """

    name: str
    """The right addresses, joined by a comma."""
    left: tuple[str, ...]
    """Addresses of the left that are read or written."""
    right: tuple[str, ...]
    """Addresses of the right that are read or written."""
    forward: bool
    """Whether it runs from left to right."""
    back: bool
    """Whether it runs from right to left."""
    conflict: str | None
    """The policy that its rules declare; the integration's when None."""


@dataclass(frozen=True, slots=True)
class BothWays:
    """A mapping that runs both ways."""

    forward: CompiledMapping
    """From a record of the left to fields of the right."""
    back: CompiledMapping
    """From a record of the right to fields of the left."""
    strands: tuple[Strand, ...]
    rules_back: Rules
    """The declared rules that `back` is made of, by field of the left."""


@dataclass(slots=True, eq=False)
class _Way:
    """One rule and where it runs."""

    target: str
    rule: Rule
    forward: Plan | None = None
    back: dict[str, str | Rule] = field(default_factory=dict)
    returns: bool = False
    """Whether what the right says gets back, by this rule's `back` or by that of the rule that it makes a pair with."""
    left: list[Parts] = field(default_factory=list)
    right: list[Parts] = field(default_factory=list)

    @property
    def both(self) -> bool:
        return self.forward is not None and self.returns

    @property
    def compared(self) -> bool:
        return "const" not in self.rule.model_fields_set and self.rule.only != "create"


def compile_both_ways(
    rules: Rules, *, functions: Functions | None = None, left_fields: Fields = _NONE, right_fields: Fields = _NONE
) -> BothWays:
    """Compile the rules of a two-way integration; raise `ValueError` with everything that is wrong with them.

    What the sides declare of their fields decides what the way back converts to.
    """
    examined = Examined(rules, functions or {}, left_fields, right_fields)
    if wrong := examined.wrong:
        raise ValueError("; ".join(f"{target}: {message}{hint and f' ({hint})'}" for target, message, hint in wrong))
    back = examined.rules_back
    return BothWays(
        CompiledMapping([way.forward for way in examined.ways if way.forward is not None]),
        compile_mapping(back, functions=functions),
        tuple(map(_strand, examined.strands)),
        back,
    )


def backwards(
    rules: Rules, functions: Functions | None = None, *, left_fields: Fields = _NONE, right_fields: Fields = _NONE
) -> tuple[dict[str, str | Rule], list[tuple[str, str]]]:
    """Return the rules of the way back, by field of the left; and (target, reason) of those that can't run backwards."""
    examined = Examined(rules, functions or {}, left_fields, right_fields)
    return examined.rules_back, examined.refused


class Examined:
    """The rules of a two-way integration, each with its way back, and what is wrong with them."""

    def __init__(self, rules: Rules, functions: Functions, left_fields: Fields = _NONE, right_fields: Fields = _NONE) -> None:
        self._functions = functions
        self._inverses = Inverses(functions, left_fields, right_fields)
        self.ways = [_Way(target, _as_rule(declared)) for target, declared in rules.items()]
        self.refused: list[tuple[str, str]] = []
        """(target, reason) of those that can't run backwards."""
        self._amiss: list[tuple[str, str]] = []
        self._forward(left_fields)
        broken = {target for target, _ in self._amiss}
        self._pairs = self._inverses.pairs({way.target: way.rule for way in self.ways if way.rule.only is None})
        for way in self.ways:
            if way.target not in broken:
                self._back(way)
        self.rules_back = {left: rule for way in self.ways for left, rule in way.back.items()}
        """The rules of the way back, by field of the left."""
        self.owners = {left: way.target for way in reversed(self.ways) for left in way.back}
        """The rule that each of them is the way back of."""
        self._read_back()
        self.strands = _strands(self.ways)
        for strand in self.strands:
            policies = {way.rule.conflict: way.target for way in strand if way.rule.conflict is not None}
            if len(policies) > 1:
                one, other = list(policies.values())[:2]
                self._amiss.append((other, f"hangs together with `{one}`, so both need the same `conflict`"))

    @property
    def wrong(self) -> list[tuple[str, str, str]]:
        """What is wrong, as (target, message, what to do)."""
        return [(target, message, "") for target, message in self._amiss] + [(target, reason, WAY_OUT) for target, reason in self.refused]

    def _forward(self, left_fields: Fields) -> None:
        for way in self.ways:
            self._amiss.extend((way.target, message) for message in _two_way_problems(way.rule))
        declared = {way.target: _plain(way.rule, left_fields) for way in self.ways if way.rule.only != "back" or _has_head(way.rule)}
        plans, wrong = plan_rules(declared, self._functions)
        self._amiss.extend(wrong)
        by_target = {plan.target: plan for plan in plans}
        for way in self.ways:
            plan = by_target.get(way.target)
            if plan is not None:
                way.left = [parts for parts in plan.addresses if parts]
            way.forward = plan if way.rule.only != "back" else None
            try:
                way.right = [parse_path(way.target)]
            except ValueError as error:
                if way.rule.only == "back":  # otherwise the rule's plan has said so
                    self._amiss.append((way.target, str(error)))

    def _back(self, way: _Way) -> None:
        """Find the way back of a rule."""
        rule = way.rule
        if not way.compared or rule.only == "forward":
            return
        if rule.back is not None:
            self._declared(way)
            return
        if way.target in self._pairs:
            way.back, way.returns = self._pairs[way.target], True
            return
        try:
            way.back = self._inverses.of(way.target, _plain(rule, {}))
        except OneWay as one_way:
            self.refused.append((way.target, str(one_way)))
        else:
            way.returns = True

    def _declared(self, way: _Way) -> None:
        back = way.rule.back
        assert back is not None
        if isinstance(back, str | Rule):
            if len(way.left) != 1 or (way.forward is not None and way.forward.reads_all):
                message = "does not read just one field: say which field of `from` gets what, as `back: {FIELD: ...}`"
                self._amiss.append((way.target, message))
                return
            way.back = {format_path(way.left[0]): back}
        else:
            way.back = dict(back)
        way.returns = True

    def _read_back(self) -> None:
        """Judge the rules of the way back, and note which fields they tie together. What is wrong is told of the rule they come from."""
        taken: dict[Parts, str] = {}
        for way in self.ways:
            for left, rule in way.back.items():
                inner = rule.model_fields_set & _OURS if isinstance(rule, Rule) else set()
                if inner:
                    self._amiss.append((way.target, f"`{min(inner)}` has no place in a rule of the way back"))
                if (other := _taken(left, taken)) is not None:
                    reason = f"`{left}` gets its value back by the rule of `{other}` already, and two could say different things"
                    self.refused.append((way.target, reason))
                elif (parts := _parts(left)) is not None:
                    taken[parts] = way.target
        plans, wrong = plan_rules(self.rules_back, self._functions)
        doubled = {target for target, _ in self.refused}
        for left, message in wrong:
            if self.owners[left] not in doubled:
                self._amiss.append((self.owners[left], f"the way back to `{left}`: {message}"))
        by_left = {plan.target: plan for plan in plans}
        for way in self.ways:
            for left in way.back:
                if (plan := by_left.get(left)) is not None:
                    way.left = [*dict.fromkeys([*way.left, parse_path(left)])]
                    way.right = [*dict.fromkeys([*way.right, *(parts for parts in plan.addresses if parts)])]


def _as_rule(declared: str | Rule) -> Rule:
    return Rule.model_construct({"source"}, source=declared) if isinstance(declared, str) else declared


def _plain(rule: Rule, left_fields: Fields) -> Rule:
    """Return a rule without what says where it runs, and with the declared zone of the field that it makes a time of."""
    keys = {key: getattr(rule, key) for key in rule.model_fields_set - _OURS}
    if rule.convert in ("date", "datetime") and rule.zone is None and isinstance(rule.source, str):
        known = left_fields.get(rule.source)
        if known is not None and known.zone is not None:
            keys["zone"] = known.zone
    return Rule.model_construct(set(keys), **keys)


def _has_head(rule: Rule) -> bool:
    return bool(rule.model_fields_set & {"source", "const", "expr", "call"}) or not isinstance(rule.back, dict)


def _two_way_problems(rule: Rule) -> Iterable[str]:
    """Yield what is wrong with where a rule runs."""
    one_way = rule.only is not None or "const" in rule.model_fields_set
    if rule.back is not None and rule.only in ("create", "forward"):
        yield f"`back` has no place beside `only: {rule.only}`"
    if rule.back is not None and "const" in rule.model_fields_set:
        yield "`const` is always the same, and has no way `back`"
    if rule.only == "back" and "const" in rule.model_fields_set:
        yield "`const` has no way back"
    if rule.conflict is not None and one_way:
        yield "`conflict` decides nothing here: the rule runs one way only"


def _parts(address: str) -> Parts | None:
    try:
        return parse_path(address)
    except ValueError:
        return None


def _taken(left: str, taken: Mapping[Parts, str]) -> str | None:
    parts = _parts(left)
    return None if parts is None else next((target for other, target in taken.items() if overlap(parts, other)), None)


# Which fields hang together


def _strands(ways: Sequence[_Way]) -> list[list[_Way]]:
    """Return the rules that are compared, those together that hang together, in the order of the declaration."""
    strands: list[list[_Way]] = []
    for way in ways:
        if not way.compared:
            continue
        tied = [strand for strand in strands if way.both and strand[0].both and any(_tied(way, other) for other in strand)]
        if tied:
            tied[0].extend([*(other for strand in tied[1:] for other in strand), way])
            strands = [strand for strand in strands if not any(strand is other for other in tied[1:])]
        else:
            strands.append([way])
    return strands


def _tied(way: _Way, other: _Way) -> bool:
    return any(overlap(one, two) for ours, theirs in ((way.left, other.left), (way.right, other.right)) for one in ours for two in theirs)


def _strand(ways: list[_Way]) -> Strand:
    left = tuple(dict.fromkeys(format_path(parts) for way in ways for parts in way.left))
    right = tuple(dict.fromkeys(format_path(parts) for way in ways for parts in way.right))
    conflict = next((way.rule.conflict for way in ways if way.rule.conflict is not None), None)
    return Strand(", ".join(right), left, right, ways[0].forward is not None, ways[0].returns, conflict)
