"""Judgements over an integration's rules: do their fields exist, does each make sense, and do the examples come out as expected?

What a rule does with a value is the mapping's to say; it is asked, so that a check and a run can't differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tieline.config.loading.folder import Project
from tieline.config.loading.functions import FILE, PREFIX
from tieline.config.loading.yaml_source import Key
from tieline.config.models.connectors import Resource
from tieline.config.models.fields import Fields, covers, parse, with_declared_zones
from tieline.config.models.integrations import Example, Integration, Rule
from tieline.config.suggestions import found as shown
from tieline.config.suggestions import listed, nearest
from tieline.lint.findings import Findings
from tieline.lint.integrations import resource_of
from tieline.mapping import (
    BothWays,
    Examined,
    broken_laws,
    compile_both_ways,
    compile_check,
    compile_mapping,
    compile_when,
    get,
    nest,
    problems,
    written,
)
from tieline.model.errors import Complaint, MappingError, SpecError
from tieline.model.paths import Entry, format_path
from tieline.model.records import ABSENT, Record, encode_json

Functions = Mapping[str, Callable[..., Any]]


def lint_rules(project: Project, found: Findings, integration: Integration) -> list[Complaint]:
    """Return what is wrong with the rules, the condition and the examples of an integration."""
    judge = _Judge(project, found, integration)
    judge.functions()
    judge.rules()
    judge.way_back()
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
        self._left: Resource | None = source[1] if source else None
        self._back: dict[str, str | Rule] = {}
        """The rules of the way back, by field of the left, with the rule that each is of."""
        self._owners: dict[str, str] = {}

    def functions(self) -> None:
        """Run the project's functions, if a rule calls one."""
        calls = {(*keys, "call"): rule.call for keys, rule in _each(self._integration.map) if rule.call}
        if not calls:
            return
        try:
            self._functions = dict(self._project.functions)
        except SpecError as error:
            self._found.complaints.extend(error.complaints)
            return
        for keys, call in calls.items():
            if call not in self._functions:
                known = [name for name in self._functions if name.startswith(PREFIX)]
                hint = nearest(call if call.startswith(PREFIX) else PREFIX + call, known)
                self._found.error(keys, f"{FILE} has no function `{call.removeprefix(PREFIX)}`", hint)

    def rules(self) -> None:
        """Judge each rule: where it writes, what it reads, and whether it makes sense."""
        wrong: dict[str, list[tuple[str, str]]] = {}
        for target, problem, hint in self._problems():
            wrong.setdefault(target, []).append((problem, hint))
        for target, rule in self._integration.map.items():
            if isinstance(rule, Rule) and rule.only == "back":
                self._read(self._target, self._integration.target, ("map", target), target)
            else:
                self._written(self._target, self._integration.target, ("map", target), target)
            for problem, hint in wrong.get(target, ()):
                if "there is no function" not in problem:  # said already, with the nearest name
                    self._found.error(("map", target), problem, hint)
            if target not in wrong and not _only_back(rule):
                for address in compile_mapping({"field": rule}, functions=self._functions).reads:
                    self._read(self._source, self._integration.source, ("map", target), address)
        for keys, rule in _each(self._integration.map):
            if rule.lookup is not None:
                self._looked_up((*keys, "lookup"), rule.lookup, back="back" in keys[2:])
            if rule.missing == "later" and not self._integration.two_way:
                self._found.error((*keys, "missing"), "`later` is for two-way integrations", "write `hold`, `empty` or `absent`")

    def _problems(self) -> list[tuple[str, str, str]]:
        """Return what is wrong with the rules, as (target, message, hint), and learn the way back of a two-way integration."""
        if not self._integration.two_way:
            return [(target, problem, "") for target, problem in problems(self._rules, self._functions)]
        left, right = (resource.fields if resource is not None else {} for resource in (self._left, self._resource))
        examined = Examined(self._integration.map, self._functions, left, right)
        amiss = {target for target, _, _ in examined.wrong}
        self._owners = {address: target for address, target in examined.owners.items() if target not in amiss}
        self._back = {address: rule for address, rule in examined.rules_back.items() if address in self._owners}
        return examined.wrong

    def way_back(self) -> None:
        """Judge the way back of a two-way integration: where it writes, and what it reads."""
        for address, rule in self._back.items():
            keys = self._keys_back(address)
            self._written(self._source, self._integration.source, keys, address)
            if len(keys) > 2:
                for read in compile_mapping({"field": rule}, functions=self._functions).reads:
                    self._read(self._target, self._integration.target, keys, read)

    def _keys_back(self, address: str) -> tuple[Key, ...]:
        target = self._owners[address]
        declared = self._integration.map[target]
        back = declared.back if isinstance(declared, Rule) else None
        return ("map", target) if back is None else ("map", target, "back", address) if isinstance(back, dict) else ("map", target, "back")

    def _written(self, fields: Fields | None, place: str, keys: tuple[Key, ...], address: str) -> None:
        if fields is None:
            return
        if problem := fields.problem(address):
            self._found.error(keys, f"in `{place}` {problem[0]}", problem[1])
        elif (known := fields.at(address)) is not None and known[1].read_only:
            hint = "take the rule out" if place == self._integration.target else "write `only: forward`"
            self._found.error(keys, f"the vendor sets `{known[0]}`: it can't be written", hint)
        else:
            self._entry_written(fields, place, keys, address)

    def _entry_written(self, fields: Fields, place: str, keys: tuple[Key, ...], address: str) -> None:
        """A single entry can be written where the vendor keeps the others; all others would be gone."""
        parts = parse(address)
        at = next((number for number, part in enumerate(parts) if isinstance(part, Entry)), None)
        resource = self._left if place == self._integration.source and fields is self._source else self._resource
        if at is None or resource is None or (resource.update is None and resource.upsert is None and not resource.batch.update):
            return
        if resource.merges_updates:
            return  # the other entries are read, and sent back
        name = format_path(parts[:at])
        declared = fields.declared(name)
        if declared is None or declared.entries != "kept":
            message = f"writes one entry of `{name}`: does an update of `{place}` keep the entries that it doesn't send?"
            hint = f"if so, declare `entries: kept` for `{name}` in the connector; if not, map the whole list"
            self._found.error(keys, message, hint)

    def _read(self, fields: Fields | None, place: str, keys: tuple[Key, ...], address: str) -> None:
        if fields is not None and (problem := fields.problem(address)):
            self._found.error(keys, f"in `{place}` {problem[0]}", problem[1])

    def _looked_up(self, keys: tuple[Key, ...], name: str, *, back: bool) -> None:
        ends = (self._integration.source, self._integration.target)
        other = self._project.integrations.get(name)
        if other is None:
            if ("integration", name) not in self._project.broken:
                self._found.error(keys, f"there is no integration `{name}`", nearest(name, self._project.integrations))
            return
        ours_from, ours_to = reversed(ends) if back else ends
        for key, ours, theirs in (("from", ours_from, other.source), ("to", ours_to, other.target)):
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
            self._read(self._source, self._integration.source, ("when",), address)

    def required(self) -> None:
        """Complain of fields without which no record can be created."""
        if not self._integration.map:
            self._found.error(("map",), "no field is mapped", "such as `email: email`")
            return
        sides = [(self._resource, self._integration.target, tuple(self._integration.map), self._integration.unmatched)]
        if self._integration.two_way:
            forward = tuple(target for target, rule in self._integration.map.items() if not _only_back(rule))
            unmatched = self._integration.without_counterpart
            sides = [
                (self._resource, self._integration.target, forward, unmatched.left),
                (self._left, self._integration.source, tuple(self._back), unmatched.right),
            ]
        for resource, place, given, unmatched_there in sides:
            if resource is not None and unmatched_there in ("create", None):
                for address, field in resource.fields.items():
                    if field.required and not covers(given, address):
                        self._found.error(("map",), f"`{place}` requires `{address}`, and no rule gives it", self._giving(address, place))

    def _giving(self, address: str, place: str) -> str:
        if place == self._integration.target:
            return f"add `{address}: ...`"
        return f"add `FIELD: {address}`, or write `unmatched: {{left: ..., right: hold}}`"

    def values(self) -> None:
        """Judge the values that are written into the file: will the other system take them?"""
        for target, rule in self._integration.map.items():
            self._values(self._resource, self._target, ("map", target), target, rule)
        for address, rule in self._back.items():
            self._values(self._left, self._source, self._keys_back(address), address, rule)
            self._unreturned(address, rule)

    def _values(self, resource: Resource | None, fields: Fields | None, at: tuple[Key, ...], target: str, rule: str | Rule) -> None:
        if isinstance(rule, Rule) and not (rule.convert or rule.expr or rule.call or rule.lookup or rule.join or rule.split):
            for keys, value in _outcomes(rule):
                for problem in self._refused(resource, {target: value}, create=False):
                    hint = self._accepted(fields, target, value)
                    self._found.error((*at, *keys), f"{shown(value)} would be refused: {problem}", hint)

    def _unreturned(self, address: str, rule: str | Rule) -> None:
        """Warn of values that the right may have and the table of values does not give: such a record can't go back."""
        if not isinstance(rule, Rule) or rule.values is None or "otherwise" in rule.model_fields_set or not isinstance(rule.source, str):
            return
        known = self._target.at(rule.source) if self._target is not None else None
        left_out = [str(word) for word in (known[1].enum or () if known is not None else ()) if str(word) not in rule.values]
        if left_out:
            words = listed([f"`{word}`" for word in left_out], "and")
            message = f"`{rule.source}` can also be {words}, which the table does not give: such a record can't go back to `{address}`"
            self._found.warning(self._keys_back(address), message)

    def _accepted(self, fields: Fields | None, target: str, value: Any) -> str:
        known = fields.at(target) if fields is not None else None
        words = known[1].enum if known is not None else None
        return nearest(str(value), map(str, words)) if words else ""

    def _refused(self, resource: Resource | None, values: Mapping[str, Any], *, create: bool) -> list[str]:
        """Return why a system would refuse a record."""
        if resource is None:
            return []
        check = compile_check(resource.fields, tuple(values))
        return [f"`{problem.address}` {problem.text}" for problem in check(dict(values), create)]

    def example(self, at: tuple[Key, ...], example: Example) -> None:
        """Run an example, and say where what came out differs."""
        if (example.expect is None) == (example.parked is None):
            self._found.error(at, "what must come out? one of `expect` and `parked`")
            return
        if not self._is_way_back_whole(at, example):
            return
        rules = {target: rule for target, rule in self._rules.items() if not _asks_store(rule)}
        both = self._both_ways(rules) if self._integration.two_way else None
        mapping = both.forward if both is not None else compile_mapping(rules, functions=self._functions)
        try:
            values = mapping(example.given)
        except MappingError as error:
            reasons = [str(error)]
            values = {}
        else:
            reasons = self._refused(self._resource, values, create=example.parked is not None)
        if example.parked is not None:
            self._parked(at, example.parked, reasons)
        elif reasons:
            self._found.error((*at, "expect"), f"the record would be parked: {'; '.join(reasons)}")
        else:
            self._compare((*at, "expect"), example.expect or {}, values, self._integration.map)
            if both is not None:
                known = len(self._found.complaints)
                self._laws((*at, "given"), both, example.given)
                if example.edited is not None and example.becomes is not None and len(self._found.complaints) == known:
                    self._edited(at, both, nest(dict(values)), example.edited, example.becomes)

    def _is_way_back_whole(self, at: tuple[Key, ...], example: Example) -> bool:
        """Complain of an example whose way back can't be tried; return whether it can, or none is asked for."""
        named = [name for name in ("edited", "becomes") if getattr(example, name) is not None]
        if not named:
            return True
        if not self._integration.two_way:
            self._found.error((*at, named[0]), f"`{named[0]}` is for two-way integrations", "take it out")
        elif example.parked is not None:
            self._found.error(
                (*at, named[0]), f"`{named[0]}` goes with `expect`: what is parked is not on the right", "take one of them out"
            )
        elif named == ["edited"]:
            self._found.error((*at, "edited"), "what must the left get? `becomes` is missing", "add `becomes: {FIELD: VALUE}`")
        elif named == ["becomes"]:
            self._found.error((*at, "becomes"), "what does the right say then? `edited` is missing", "add `edited: {FIELD: VALUE}`")
        else:
            return True
        return False

    def _edited(self, at: tuple[Key, ...], both: BothWays, right: Record, edited: Mapping[str, Any], becomes: Mapping[str, Any]) -> None:
        """Run the way back of an example, and say where what came out differs."""
        known = len(self._found.complaints)
        for address in edited:
            self._read(self._target, self._integration.target, (*at, "edited", address), address)
        if len(self._found.complaints) > known:
            return
        try:
            values = both.back(written(right, dict(edited)))
        except MappingError as error:
            self._found.error((*at, "edited"), f"can't go back: {error}")
            return
        if reasons := self._refused(self._left, values, create=False):
            self._found.error((*at, "becomes"), f"the left would refuse it: {'; '.join(reasons)}")
        else:
            self._compare((*at, "becomes"), becomes, values, both.rules_back)

    def _both_ways(self, rules: Mapping[str, str | Rule]) -> BothWays:
        left, right = (resource.fields if resource is not None else {} for resource in (self._left, self._resource))
        return compile_both_ways(rules, functions=self._functions, left_fields=left, right_fields=right)

    def _laws(self, at: tuple[Key, ...], both: BothWays, given: dict[str, Any]) -> None:
        """Try the laws of a mapping that runs both ways on an example."""
        for broken in broken_laws(both, given):
            before, after = ("absent" if value is ABSENT else literal(value) for value in (broken.before, broken.after))
            if broken.problem:
                self._found.error(
                    at, f"there and back, `{broken.address}` {before} {broken.problem}", "correct `back`, or write `only: forward`"
                )
            elif broken.law == "there and back":
                message = f"there and back, and there again, `{broken.address}` {before} becomes {after}"
                self._found.error(at, message, "correct `back`, so that it gives what the rule makes the same of; or write `only: forward`")
            else:
                message = f"the way back changes `{broken.address}`, which no rule gives: {before} becomes {after}"
                self._found.error(at, message, "write the fields one by one")

    def _parked(self, at: tuple[Key, ...], expected: str, reasons: list[str]) -> None:
        if not reasons:
            self._found.error((*at, "parked"), f"expected the record to be parked with {shown(expected)}, but it goes through")
        elif not any(expected in reason for reason in reasons):
            self._found.error((*at, "parked"), f"expected {shown(expected)}, but it is parked with: {'; '.join(reasons)}")

    def _compare(
        self, at: tuple[Key, ...], expected: Mapping[str, Any], values: Mapping[str, Any], rules: Mapping[str, str | Rule]
    ) -> None:
        record = nest(dict(values))
        for address, value in expected.items():
            keys = (*at, address)
            try:
                actual = get(record, address)
            except ValueError as error:
                self._found.error(keys, str(error))
                continue
            rule = rules.get(address, self._back.get(address) if rules is not self._integration.map else None)
            if rule is not None and _asks_store(rule):
                self._found.warning(keys, "comes from another integration's links, so an example can't show it", "take it out")
            elif actual is ABSENT:
                hint = "" if rule is not None else nearest(address, rules)
                self._found.error(keys, f"expected {literal(value)}, but the field is not written", hint)
            elif not _same(value, actual):
                self._found.error(keys, f"expected {literal(value)}, but it becomes {literal(actual)}")


def _asks_store(rule: str | Rule) -> bool:
    if not isinstance(rule, Rule):
        return False
    inner = rule.back.values() if isinstance(rule.back, dict) else (rule.back,)
    return rule.lookup is not None or any(one is not None and _asks_store(one) for one in inner)


def _only_back(rule: str | Rule) -> bool:
    return isinstance(rule, Rule) and rule.only == "back"


def _each(rules: Mapping[str, str | Rule]) -> Iterator[tuple[tuple[Key, ...], Rule]]:
    """Yield every rule that is more than a field's name, those in `back` too, with where it stands."""
    for target, rule in rules.items():
        if isinstance(rule, Rule):
            yield ("map", target), rule
            if isinstance(rule.back, Rule):
                yield ("map", target, "back"), rule.back
            elif isinstance(rule.back, dict):
                for keys, inner in _each(rule.back):
                    yield ("map", target, "back", *keys[1:]), inner


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
