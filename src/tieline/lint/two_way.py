"""Judgements over a two-way integration, its rules aside; and over what only such a one may say.

`from` is the left side and `to` the right one; both are judged alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tieline.config.loading.folder import Project
from tieline.config.loading.yaml_source import Key
from tieline.config.models.connectors import Connector, Resource
from tieline.config.models.fields import Fields, covers
from tieline.config.models.integrations import Archive, Integration, Rule, TwoWayDeletes, TwoWayUnmatched
from tieline.config.suggestions import listed
from tieline.lint.findings import Findings
from tieline.lint.integrations import creates, deletion, emptied, made_by_upsert, parts_of_objects, questions, resource_of, updates
from tieline.lint.lists import LISTS
from tieline.lint.webhooks import tell_of_deletions
from tieline.mapping import backwards
from tieline.mapping.rules import Functions
from tieline.model.errors import Complaint

_ONE_WAY_POLICIES: Final = ("source", "target", "fill_empty", "hold")
_TWO_WAY_POLICIES: Final = ("left", "right", "newest", "fill_empty", "union", "never", "hold")
_TWO_WAY: Final = "is for two-way integrations"


def only_two_way(found: Findings, integration: Integration) -> list[Complaint]:
    """Return what a one-way integration says and has no use for."""
    for keys, policy in _policies(integration):
        if len(keys) > 1:
            if policy != "union":
                found.error(keys, f"`{policy}` of a rule {_TWO_WAY}", "take it out; one way a rule can say `union`")
        elif policy not in _ONE_WAY_POLICIES:
            found.error(keys, f"`{policy}` {_TWO_WAY}", f"write {_words(_ONE_WAY_POLICIES)}, or `direction: two-way`")
    for target, rule in integration.map.items():
        if isinstance(rule, Rule):
            if rule.only in ("forward", "back"):
                found.error(("map", target, "only"), f"`{rule.only}` {_TWO_WAY}", "take it out")
            if rule.back is not None:
                found.error(("map", target, "back"), f"`back` {_TWO_WAY}", "take it out")
    if isinstance(integration.deletes, TwoWayDeletes):
        hint = "write `ignore`, `delete` or `{archive: {FIELD: VALUE}}`: what a deletion in the source does"
        found.error(("deletes",), f"a word for each side {_TWO_WAY}", hint)
    if isinstance(integration.unmatched, TwoWayUnmatched):
        found.error(("unmatched",), f"a word for each side {_TWO_WAY}", "write `create`, `hold` or `ignore`")
    if integration.skew is not None:
        found.error(("skew",), f"`skew` {_TWO_WAY} with `conflict: newest`", "take it out")
    for name in ("deletes_share", "clears", "clears_share"):
        if name in integration.brakes.model_fields_set:
            found.error(("brakes", name), f"`{name}` holds in two-way integrations only", "take it out")
    return found.complaints


@dataclass(frozen=True)
class _Side:
    """One side: the key that names its resource, its word, and where its records are."""

    key: Literal["from", "to"]
    word: Literal["left", "right"]
    place: str
    connector: Connector
    resource: Resource
    written: tuple[str, ...]
    """Fields that rules write on this side."""
    unmatched: str
    """What happens to records of the *other* side without a counterpart here."""


def lint_two_way(project: Project, found: Findings, integration: Integration) -> list[Complaint]:
    """Return what is wrong with a two-way integration, its rules aside."""
    questions(project, found, integration)
    _one_way_words(found, integration)
    left = resource_of(project, found, "from", integration.source)
    right = resource_of(project, found, "to", integration.target)
    if integration.source == integration.target:
        found.error(("to",), "is the same resource as `from`")
    _policies_of(found, integration, {integration.source: left and left[1], integration.target: right and right[1]})
    if left is None or right is None:
        return found.complaints
    back, _ = backwards(integration.map, _stubs(integration), left_fields=left[1].fields, right_fields=right[1].fields)
    forward = [target for target, rule in integration.map.items() if not (isinstance(rule, Rule) and rule.only == "back")]
    unmatched = integration.without_counterpart
    sides = (
        _Side("from", "left", integration.source, *left, tuple(back), unmatched.right),
        _Side("to", "right", integration.target, *right, tuple(forward), unmatched.left),
    )
    for side, other in (sides, reversed(sides)):
        _reached(found, integration, side)
        _matched(found, integration, side)
        _deletions(project, found, integration, side, other)
        _lost_answers(found, integration, side)
        emptied(found, (side.key,), side.written, side.place, side.resource)
        parts_of_objects(found, (side.key,), side.written, side.place, side.resource)
    return found.complaints


def _stubs(integration: Integration) -> Functions:
    """Return stand-ins for the functions that rules call: which fields are written does not depend on what they do."""
    rules = [rule for rule in integration.map.values() if isinstance(rule, Rule)]
    for rule in rules[:]:
        inner = rule.back.values() if isinstance(rule.back, dict) else (rule.back,)
        rules.extend(one for one in inner if isinstance(one, Rule))
    return {rule.call: lambda *_: None for rule in rules if rule.call is not None}


def _one_way_words(found: Findings, integration: Integration) -> None:
    if integration.when is not None:
        message = "`when` is for one-way integrations: in a two-way one all records of both sides take part"
        found.error(("when",), message, "take it out, or write `direction: one-way`")
    if integration.start == "now":
        message = "`now` is for one-way integrations: what is there on both sides must meet before changes can be told"
        found.error(("start",), message, "take it out, or write `direction: one-way`")
    for target, rule in integration.map.items():
        for key in ("add", "remove") if isinstance(rule, Rule) else ():
            if getattr(rule, key):
                message = f"`{key}` is for one-way integrations: in a two-way one, people on both sides say what is in a list"
                found.error(("map", target, key), message, "write `conflict: union`, which merges both lists")
    if not isinstance(integration.deletes, TwoWayDeletes) and integration.deletes != "ignore":
        hint = (
            "such as `deletes: {left: delete, right: ignore}`: what a deletion on the left does on the right, and on the right on the left"
        )
        found.error(("deletes",), "must be said for each side of a two-way integration", hint)
    if not integration.match and "match" in integration.model_fields_set:
        message = "a two-way integration needs to know by what a record is found on the other side"
        found.error(("match",), message, "such as `match: {their_field: our_field}`")


def _policies(integration: Integration) -> Iterator[tuple[tuple[Key, ...], str]]:
    """Yield where a policy stands, and which it is."""
    if integration.conflict is not None:
        yield ("conflict",), integration.conflict
    for target, rule in integration.map.items():
        if isinstance(rule, Rule) and rule.conflict is not None:
            yield ("map", target, "conflict"), rule.conflict


def _policies_of(found: Findings, integration: Integration, resources: dict[str, Resource | None]) -> None:
    newest = False
    for keys, policy in _policies(integration):
        if policy not in _TWO_WAY_POLICIES:
            hint = f"`left` is `from`, `right` is `to`; or {_words(_TWO_WAY_POLICIES[2:])}"
            found.error(keys, f"`{policy}` is for one-way integrations", hint)
        if policy == "newest":
            newest = True
            for place, resource in resources.items():
                since = resource.list.changed_since if resource is not None and resource.list is not None else None
                if resource is not None and (since is None or not since.fields):
                    message = f"`{place}` never says when a record changed: the connector declares no `list.changed_since.field`"
                    found.error(keys, message, "declare it, or choose another policy")
        if policy == "union" and len(keys) > 1:
            known = [Fields(resource).at(str(keys[1])) for place, resource in resources.items() if resource and place == integration.target]
            if known and known[0] is not None and known[0][1].type not in LISTS:
                found.error(keys, f"`union` joins lists, and `{known[0][0]}` is none", "choose another policy")
    if newest and integration.skew is None:
        message = "`newest` needs to know which changes count as at the same time, for two clocks never agree"
        found.error(("skew",), message, "add `skew: 5s`")
    if integration.skew is not None and not newest:
        found.error(("skew",), "`skew` decides nothing without `conflict: newest`", "take it out")


def _reached(found: Findings, integration: Integration, side: _Side) -> None:
    """Can this side be read, and written as the rules and `unmatched` ask for?"""
    if side.unmatched == "create":
        match = integration.matched
        made_by_upsert(found, ("match",), tuple(match if side.word == "right" else match.values()), side.place, side.resource)
    if side.resource.list is None:
        found.error((side.key,), f"`{side.place}` can't be read: the connector declares no `list` for it")
    if side.written and not updates(side.resource):
        way = "forward" if side.word == "left" else "back"
        hint = f"declare `update` in the connector, or let no rule write there (`only: {way}`)"
        found.error((side.key,), f"changes can't be sent to `{side.place}`: the connector declares no `update` or `upsert` for it", hint)
    if side.unmatched == "create" and not creates(side.resource):
        other = "right" if side.word == "left" else "left"
        keys = ("unmatched", other) if isinstance(integration.unmatched, TwoWayUnmatched) else ("unmatched",)
        hint = f"declare `create` in the connector, or write `unmatched: {{{other}: hold, {side.word}: ...}}` or `ignore`"
        found.error(keys, f"no record can be created in `{side.place}`", hint)


def _matched(found: Findings, integration: Integration, side: _Side) -> None:
    """Are records of this side found by fields that both have, and that creating one fills?"""
    fields = Fields(side.resource)
    for right, left in integration.matched.items():
        keys, address = ("match", right), left if side.word == "left" else right
        if problem := fields.problem(address):
            found.error(keys, f"in `{side.place}` {problem[0]}", problem[1])
        elif side.unmatched == "create" and not covers(side.written, address):
            message = f"`{address}` is matched, and no rule writes it: a record created in `{side.place}` is not found again"
            found.warning(keys, message, "map it both ways")
        rule = integration.map.get(right)
        if side.word == "right" and isinstance(rule, Rule) and not _plain(rule, left):
            message = f"records are matched by it, so its rule must be plain: copied from `{left}`, with no more than `as`"
            found.error(("map", right), message, "match by another field, or take the steps out")


def _plain(rule: Rule, left: str) -> bool:
    """Say whether a rule makes nothing of a match field but its normal form."""
    steps = (rule.expr, rule.call, rule.values, rule.lookup, rule.join, rule.split)
    return rule.source == left and all(step is None for step in steps)


def _deletions(project: Project, found: Findings, integration: Integration, side: _Side, other: _Side) -> None:
    """Can a deletion on this side be seen, and the other do what it is to lead to?"""
    policies = integration.deletions
    policy: str | Archive = policies.left if side.word == "left" else policies.right
    if policy == "ignore":
        return
    keys = ("deletes", side.word)
    told = tell_of_deletions(project.connections[side.place.partition(".")[0]], side.resource)
    if side.resource.list is not None and side.resource.list.tombstone is None and side.resource.deleted is None and not told:
        message = f"the list of `{side.place}` never says that a record was deleted: it is found out when all records are read"
        found.warning(keys, message, "declare `list.tombstone` in the connector if it does, or `deleted` if that is told apart")
    deletion(found, keys, policy, other.place, other.resource)


def _lost_answers(found: Findings, integration: Integration, side: _Side) -> None:
    """Warn when an answer that got lost can't be made up for."""
    resource = side.resource
    made = side.unmatched == "create" and bool(resource.create or resource.batch.create)
    findable = bool(integration.match) and resource.list is not None
    if made and not (side.connector.idempotency or resource.upsert or resource.batch.upsert or findable or integration.unknown == "resend"):
        hint = "add `match`, or declare `idempotency`, `find` or `upsert` in the connector"
        found.warning((side.key,), "when an answer is lost no one can tell whether the record was made: it will be held", hint)


def _words(policies: tuple[str, ...]) -> str:
    return listed([f"`{policy}`" for policy in policies])
