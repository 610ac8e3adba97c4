"""Judgements over an integration's rules: do their fields exist, does each make sense, and do the examples come out as expected?

What a rule does with a value is the mapping's to say; it is asked, so that a check and a run can't differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tieline.mapping import compile_check, compile_mapping, compile_when, get, nest, problems
from tieline.model.errors import Complaint, MappingError, SpecError
from tieline.model.records import ABSENT, encode_json
from tieline.spec.connectors import Resource
from tieline.spec.fields import Fields, covers, with_declared_zones
from tieline.spec.findings import Findings
from tieline.spec.functions import FILE, PREFIX
from tieline.spec.integrations import Example, Integration, Rule
from tieline.spec.lint_integrations import resource_of
from tieline.spec.reader import Project
from tieline.spec.source import Key
from tieline.spec.words import found as shown
from tieline.spec.words import nearest

Functions = Mapping[str, Callable[..., Any]]


def lint_rules(project: Project, found: Findings, integration: Integration) -> list[Complaint]:
    """Return what is wrong with the rules, the condition and the examples of an integration."""
    judge = _Judge(project, found, integration)
    judge.functions()
    judge.rules()
    judge.when()
    judge.required()
    if not any(complaint.severity == "error" for complaint in found.complaints):
        judge.values()
    if not any(complaint.severity == "error" for complaint in found.complaints):
        for index, example in enumerate(integration.tests):
            judge.example(("tests", index), example)
    return found.complaints


class _Judge:
    def __init__(self, project: Project, found: Findings, integration: Integration) -> None:
        self._project, self._found, self._integration = project, found, integration
        self._functions: Functions = {}
        source = resource_of(project, None, "from", integration.source)
        target = resource_of(project, None, "to", integration.target)
        self._source = Fields(source[1]) if source else None
        self._resource: Resource | None = target[1] if target else None
        self._target = Fields(target[1]) if target else None
        self._rules = with_declared_zones(integration.map, source[1]) if source else dict(integration.map)

    def functions(self) -> None:
        """Run the project's functions, if a rule calls one."""
        calls = {target: rule.call for target, rule in self._integration.map.items() if isinstance(rule, Rule) and rule.call}
        if not calls:
            return
        try:
            self._functions = dict(self._project.functions)
        except SpecError as error:
            self._found.complaints.extend(error.complaints)
            return
        for target, call in calls.items():
            if call not in self._functions:
                known = [name for name in self._functions if name.startswith(PREFIX)]
                hint = nearest(call if call.startswith(PREFIX) else PREFIX + call, known)
                self._found.error(("map", target, "call"), f"{FILE} has no function `{call.removeprefix(PREFIX)}`", hint)

    def rules(self) -> None:
        """Judge each rule: where it writes, what it reads, and whether it makes sense."""
        wrong: dict[str, list[str]] = {}
        for target, problem in problems(self._rules, self._functions):
            wrong.setdefault(target, []).append(problem)
        for target, rule in self._integration.map.items():
            self._written(target)
            if isinstance(rule, Rule) and rule.lookup is not None:
                self._looked_up(target, rule.lookup)
            for problem in wrong.get(target, ()):
                if not problem.startswith("there is no function"):  # said already, with the nearest name
                    self._found.error(("map", target), problem)
            if target not in wrong:
                for address in compile_mapping({"field": rule}, functions=self._functions).reads:
                    self._read(("map", target), address)

    def _written(self, target: str) -> None:
        if self._target is None:
            return
        if problem := self._target.problem(target):
            self._found.error(("map", target), f"in `{self._integration.target}` {problem[0]}", problem[1])
        elif (known := self._target.at(target)) is not None and known[1].read_only:
            self._found.error(("map", target), f"the vendor sets `{known[0]}`: it can't be written", "take the rule out")

    def _read(self, keys: tuple[Key, ...], address: str) -> None:
        if self._source is not None and (problem := self._source.problem(address)):
            self._found.error(keys, f"in `{self._integration.source}` {problem[0]}", problem[1])

    def _looked_up(self, target: str, name: str) -> None:
        keys = ("map", target, "lookup")
        other = self._project.integrations.get(name)
        if other is None:
            if ("integration", name) not in self._project.broken:
                self._found.error(keys, f"there is no integration `{name}`", nearest(name, self._project.integrations))
            return
        for key, ours, theirs in (
            ("from", self._integration.source, other.source),
            ("to", self._integration.target, other.target),
        ):
            here, there = ours.partition(".")[0], theirs.partition(".")[0]
            if here != there and here in self._project.connections:
                message = f"`{name}` links records {key} `{there}`, and this rule needs them {key} `{here}`"
                self._found.error(keys, message, "look up an integration between the same two connections")

    def when(self) -> None:
        """Judge the condition."""
        if self._integration.when is None:
            return
        try:
            reads = compile_when(self._integration.when).reads
        except ValueError as error:
            self._found.error(("when",), str(error))
            return
        for address in reads:
            self._read(("when",), address)

    def required(self) -> None:
        """Complain of fields without which no record can be created."""
        if not self._integration.map:
            self._found.error(("map",), "no field is mapped", "such as `email: email`")
        elif self._resource is not None and self._target is not None and self._integration.unmatched in ("create", None):
            for address, field in self._resource.fields.items():
                if field.required and not covers(self._integration.map, address):
                    message = f"`{self._integration.target}` requires `{address}`, and no rule gives it"
                    self._found.error(("map",), message, f"add `{address}: ...`")

    def values(self) -> None:
        """Judge the values that are written into the file: will the other system take them?"""
        for target, rule in self._integration.map.items():
            if isinstance(rule, Rule) and not (rule.convert or rule.expr or rule.call or rule.lookup or rule.join or rule.split):
                for keys, value in _outcomes(rule):
                    for problem in self._refused({target: value}, create=False):
                        hint = self._accepted(target, value)
                        self._found.error(("map", target, *keys), f"{shown(value)} would be refused: {problem}", hint)

    def _accepted(self, target: str, value: Any) -> str:
        known = self._target.at(target) if self._target is not None else None
        words = known[1].enum if known is not None else None
        return nearest(str(value), map(str, words)) if words else ""

    def _refused(self, values: Mapping[str, Any], *, create: bool) -> list[str]:
        """Return why the other system would refuse a record."""
        if self._resource is None:
            return []
        check = compile_check(self._resource.fields, tuple(values))
        return [f"`{problem.address}` {problem.text}" for problem in check(dict(values), create)]

    def example(self, at: tuple[Key, ...], example: Example) -> None:
        """Run an example, and say where what came out differs."""
        if (example.expect is None) == (example.parked is None):
            self._found.error(at, "what must come out? one of `expect` and `parked`")
            return
        rules = {target: rule for target, rule in self._rules.items() if not _asks_store(rule)}
        try:
            values = compile_mapping(rules, functions=self._functions)(example.given)
        except MappingError as error:
            reasons = [str(error)]
            values = {}
        else:
            reasons = self._refused(values, create=example.parked is not None)
        if example.parked is not None:
            self._parked(at, example.parked, reasons)
        elif reasons:
            self._found.error((*at, "expect"), f"the record would be parked: {'; '.join(reasons)}")
        else:
            self._compare((*at, "expect"), example.expect or {}, values)

    def _parked(self, at: tuple[Key, ...], expected: str, reasons: list[str]) -> None:
        if not reasons:
            self._found.error((*at, "parked"), f"expected the record to be parked with {shown(expected)}, but it goes through")
        elif not any(expected in reason for reason in reasons):
            self._found.error((*at, "parked"), f"expected {shown(expected)}, but it is parked with: {'; '.join(reasons)}")

    def _compare(self, at: tuple[Key, ...], expected: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        record = nest(dict(values))
        for address, value in expected.items():
            keys = (*at, address)
            try:
                actual = get(record, address)
            except ValueError as error:
                self._found.error(keys, str(error))
                continue
            rule = self._integration.map.get(address)
            if rule is not None and _asks_store(rule):
                self._found.warning(keys, "comes from another integration's links, so an example can't show it", "take it out")
            elif actual is ABSENT:
                hint = "" if rule is not None else nearest(address, self._integration.map)
                self._found.error(keys, f"expected {literal(value)}, but the field is not written", hint)
            elif not _same(value, actual):
                self._found.error(keys, f"expected {literal(value)}, but it becomes {literal(actual)}")


def _asks_store(rule: str | Rule) -> bool:
    return isinstance(rule, Rule) and rule.lookup is not None


def _outcomes(rule: Rule) -> list[tuple[tuple[Key, ...], Any]]:
    """Return the values that a rule can give and that stand in the file."""
    outcomes: list[tuple[tuple[Key, ...], Any]] = [
        ((name,), getattr(rule, name)) for name in ("const", "otherwise", "default") if name in rule.model_fields_set
    ]
    return outcomes + [(("values", key), value) for key, value in (rule.values or {}).items()]


def _same(expected: Any, actual: Any) -> bool:
    """Say whether two values are the same: 1 is 1.0, and not true."""
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(_same(value, actual[key]) for key, value in expected.items())
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        return len(expected) == len(actual) and all(map(_same, expected, actual))
    return bool(expected == actual)


def literal(value: Any) -> str:
    """Return a value as it would be written in a file."""
    text = encode_json(value).decode()
    return text if len(text) <= 200 else f"{text[:197]}..."
