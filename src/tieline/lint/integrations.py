"""Judgements over an integration: are the questions answered, and can the two systems do what is asked of them?

What only a two-way integration is asked, and may say, is judged in `lint_two_way`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tieline.config.loading.folder import Project
from tieline.config.loading.yaml_source import Key
from tieline.config.models.connectors import Connector, Resource
from tieline.config.models.escapes import gaps
from tieline.config.models.fields import Fields, covers
from tieline.config.models.integrations import Archive, Integration, MatchKey, Rule, Setting, TwoWayDeletes
from tieline.config.suggestions import nearest
from tieline.lint.findings import Findings
from tieline.lint.lists import lint_merged
from tieline.lint.webhooks import tell_of_deletions
from tieline.model.errors import Complaint

_PURPOSE: Final = ("purpose", "what is this for?", "purpose: When ... in ..., ... has it within ...")
_DIRECTION: Final = ("direction", "which way do changes go?", "direction: one-way")
_FRESHNESS: Final = ("freshness", "how fast must a change arrive?", "freshness: 5m")
_UNAVAILABLE: Final = ("unavailable", "what if a system is down: how long are changes kept for it?", "unavailable: {keep: 7d}")
_UNMATCHED: Final = ("unmatched", "what becomes of a record without a counterpart?", "unmatched: create` (or hold, ignore)`")
_CONFLICT: Final = ("conflict", "which values win when a counterpart has others?", "conflict: source` (or target, fill_empty, hold)`")
_BOTH_CHANGE: Final = (
    "conflict", "who decides when both sides change a field?", "conflict: hold` (or left, right, newest, fill_empty, union, never)`",
)  # fmt: skip
_UNTIL_SAID: Final = {
    "purpose": "`status` shows none",
    "direction": "they go one way",
    "freshness": "it is never late",
    "unavailable": "they are kept until it is back, however long that takes",
    "conflict": "what differs is held for a person",
}
"""What holds of a one-way integration while a question is open: nothing is lost or overwritten by it, so that a first trial may leave it so."""


def lint_integration(project: Project, found: Findings, integration: Integration) -> list[Complaint]:
    """Return what is wrong with a one-way integration, its rules aside."""
    questions(project, found, integration)
    source = resource_of(project, found, "from", integration.source)
    target = resource_of(project, found, "to", integration.target)
    if integration.source == integration.target:
        found.error(("to",), "is the same resource as `from`")
    if source is not None:
        _source(project, found, integration, source[1])
    if target is not None:
        _target(found, integration, target[1])
        emptied(found, ("to",), integration.map, integration.target, target[1])
        parts_of_objects(found, ("to",), integration.map, integration.target, target[1])
        _lost_answers(found, integration, *target)
    return found.complaints


def resource_of(project: Project, found: Findings | None, key: str, address: str) -> tuple[Connector, Resource] | None:
    """Return the connector and resource of `CONNECTION.RESOURCE`; None when there is none, which is complained of once."""
    connection_name, _, name = address.partition(".")
    connection = project.connections.get(connection_name)
    if connection is None:
        unread = ("connection", "*") in project.broken or ("connection", connection_name) in project.broken
        if found is not None and not unread:
            known = [*project.connections, *(name for kind, name in project.broken if kind == "connection")]
            hint = nearest(connection_name, known) if known else "write it into connections.yaml"
            found.error((key,), f"there is no connection `{connection_name}`", hint)
        return None
    connector = project.connectors.get(connection.connector)
    if connector is None:
        return None  # the connection is complained of, or the connector
    resource = connector.resources.get(name)
    if resource is None:
        if found is not None:
            message = f"connector `{connector.connector}` has no resource `{name}`"
            found.error((key,), message, nearest(name, connector.resources))
        return None
    return connector, resource


def questions(project: Project, found: Findings, integration: Integration) -> None:
    """Complain of questions that are not answered; warn of those with an answer that is safe until another is given."""
    with_match = (_UNMATCHED, _BOTH_CHANGE if integration.two_way else _CONFLICT)
    for key, question, line in (_PURPOSE, _DIRECTION, _FRESHNESS, _UNAVAILABLE, *(with_match if integration.match else ())):
        value = getattr(integration, key)
        if value is None or (isinstance(value, str) and not value.strip()):
            hint = f"add `{line}`".replace("``", "")
            if key in _UNTIL_SAID and not integration.two_way:
                found.warning((key,), question, f"{hint}; until then {_UNTIL_SAID[key]}")
            else:
                found.error((key,), question, hint)
    if "match" not in integration.model_fields_set:
        hint = "add `match: {their_field: our_field}`, or `match: {}` if the destination can't have any of them yet"
        found.error(("match",), "how is a record found that the destination has already?", hint)
    owned = (integration.owner or "").strip() or (project.file.owner or "").strip() or ("project", "") in project.broken
    if not owned:
        hint = "add `owner: team@example.com`, here or in tieline.yaml"
        found.error(("owner",), "who must see it when this needs a person?", hint)


def _source(project: Project, found: Findings, integration: Integration, source: Resource) -> None:
    if integration.deletes != "ignore" and source.list is not None and source.list.tombstone is None and source.deleted is None:
        _by_absence(project, found, integration, source)
    if source.list is None:
        found.error(("from",), f"`{integration.source}` can't be read: the connector declares no `list` for it")
    fields = Fields(source)
    for target, address in integration.matched.items():
        if problem := fields.problem(address):
            found.error(("match", target), f"in `{integration.source}` {problem[0]}", problem[1])


def _by_absence(project: Project, found: Findings, integration: Integration, source: Resource) -> None:
    """Tell when a deletion is found where the list never says that a record was deleted: with each whole read, which some sources rarely have."""
    assert source.list is not None
    hint = "declare `list.tombstone` in the connector if it does, or `deleted` if that is told apart"
    message = f"the list of `{integration.source}` never says that a record was deleted"
    if source.list.changed_since is not None:
        told = tell_of_deletions(project.connections[integration.source.partition(".")[0]], source)
        only = "only webhooks do, and what they miss is found out" if told else "it is found out"
        hint += ", or have `tieline run NAME --full` run now and then"
        found.warning(("deletes",), f"{message}: {only} when all records are read", hint)


def _target(found: Findings, integration: Integration, target: Resource) -> None:
    to = integration.target
    can_create, can_update = creates(target), updates(target)
    if not can_create and not can_update:
        found.error(("to",), f"`{to}` can't be written: the connector declares no `create`, `update` or `upsert` for it")
    elif not can_create and integration.unmatched in ("create", None):
        hint = "declare `create` in the connector, or write `unmatched: hold` or `ignore`"
        found.error(("unmatched",) if integration.unmatched else ("to",), f"no record can be created in `{to}`", hint)
    elif not can_update:
        hint = "declare `update` or `upsert` in the connector, if the vendor has one"
        found.warning(("to",), f"changes to a record that is in `{to}` already can't be sent", hint)
    fields = Fields(target)
    _match(found, integration, target, fields)
    _otherwise(found, integration, target)
    lint_merged(found, integration, target)
    if not isinstance(integration.deletes, TwoWayDeletes):
        deletion(found, ("deletes",), integration.deletes, to, target)
    by = target.upsert.by if target.upsert is not None and target.create is None else None
    if by is not None and not covers(integration.map, by):
        found.error(("map",), f"a record of `{to}` is known by `{by}`, and no rule gives it", f"add `{by}: ...`")
    if integration.unmatched in ("create", None):
        made_by_upsert(found, ("match",), tuple(integration.match), to, target)
    if target.upsert is not None:
        for name in gaps(target.upsert.path):
            if fields.at(name) is not None and not covers(integration.map, name):
                found.error(("map",), f"the address of an upsert needs `{name}`, and no rule gives it", f"add `{name}: ...`")


def _searchable(integration: Integration) -> set[str]:
    """Return the match fields that a vendor can be searched for: their values are spelled there as they are here."""
    return {target for target, by in integration.match.items() if isinstance(by, str) or by.convert is None}


def _is_region(code: str) -> bool:
    import phonenumbers  # 30 ms, and seldom needed

    return code in phonenumbers.SUPPORTED_REGIONS


def _match(found: Findings, integration: Integration, target: Resource, fields: Fields) -> None:
    if not integration.match:
        return
    for address in integration.match:
        if problem := fields.problem(address):
            found.error(("match", address), f"in `{integration.target}` {problem[0]}", problem[1])
        elif integration.unmatched == "create" and not covers(integration.map, address):
            message = f"`{address}` is matched and not mapped: a record created without it is not found again"
            found.warning(("match", address), message, f"add `{address}: {integration.matched[address]}` to `map`")
    for address, by in integration.match.items():
        if isinstance(by, MatchKey) and by.region is not None:
            if by.convert != "phone":
                found.error(("match", address, "region"), "belongs to `as: phone`", "take it out")
            elif not _is_region(by.region):
                found.error(("match", address, "region"), f"`{by.region}` is no country's code", "two letters, such as `AU`")
    if target.list is None and not set(target.find) & _searchable(integration):
        hint = "declare `find` for one of these fields, or `list`, in the connector"
        found.error(("match",), f"nothing can be looked for in `{integration.target}`", hint)


def emptied(found: Findings, at: tuple[Key, ...], writes: Iterable[str], place: str, resource: Resource) -> None:
    """Complain of fields that an update would empty, because it replaces the record, which no one can read first."""
    update = resource.update
    if update is None or update.method != "PUT" or not update.whole or update.replaces is not None or resource.get is not None:
        return
    written = [*writes]
    lost = [
        address
        for address, field in resource.fields.items()
        if not field.read_only and address != resource.id and not covers(written, address)
    ]
    if lost:
        names = ", ".join(f"`{address}`" for address in lost)
        hint = "declare `get`, so that the record is read and sent back whole; or map them; or write `replaces: false` if the vendor keeps them"
        found.error(at, f"an update of `{place}` replaces the record, and would empty what is not mapped: {names}", hint)


def parts_of_objects(found: Findings, at: tuple[Key, ...], writes: Iterable[str], place: str, resource: Resource) -> None:
    """Warn of updates that send a part of an object: some vendors then empty the rest of it, and the connector does not say."""
    update = resource.update
    if update is None or {"replaces", "whole"} & update.model_fields_set:
        return
    written = [*writes]
    for parent in sorted({address.rpartition(".")[0] for address in written if "." in address and "[" not in address}):
        beside = [a for a, field in resource.fields.items() if a.startswith(f"{parent}.") and not field.read_only and a != resource.id]
        if len(beside) < 2:
            continue
        others = [address for address in beside if not covers(written, address)] or beside
        names = ", ".join(f"`{address}`" for address in others[:3]) + (", …" if len(others) > 3 else "")
        hint = (
            "in the connector's `update` write `replaces: true` (the record is read first, and sent back whole), `whole: true` (all mapped fields "
            "are sent), or `replaces: false` if the vendor keeps the rest of an object"
        )
        found.warning(
            at, f"an update of `{place}` sends a part of `{parent}`: a vendor that replaces objects as a whole empties {names}", hint
        )


def made_by_upsert(found: Findings, at: tuple[Key, ...], match: tuple[str, ...], place: str, resource: Resource) -> None:
    """Complain of records that are made by an upsert, of which can't be said before whom it hits."""
    if resource.create is not None or resource.batch.create is not None or not creates(resource) or not match:
        return
    by = resource.upsert.by if resource.upsert is not None else resource.id
    if match == (by,) or by in resource.find or (by == resource.id and resource.get is not None):
        return
    named = ", ".join(f"`{field}`" for field in match)
    message = f"a record of `{place}` is made by an upsert by `{by}`, and looked for by {named}: it could be written over another one"
    way = "`get`" if by == resource.id else f"`find: {{{by}: ...}}`"
    found.error(at, message, f"match by `{by}` alone, or declare {way} or `create` in the connector")


def updates(resource: Resource) -> bool:
    """Say whether changes of a record that is there can be sent."""
    return any((resource.update, resource.upsert, resource.batch.update, resource.batch.upsert))


def creates(resource: Resource) -> bool:
    """Say whether a record can be made."""
    return any((resource.create, resource.upsert, resource.batch.create, resource.batch.upsert))


def _otherwise(found: Findings, integration: Integration, target: Resource) -> None:
    policy = integration.otherwise
    if policy == "ignore":
        return
    if integration.when is None:
        found.error(
            ("otherwise",), "is about records for which `when` does not hold any more, and there is no `when`", "add one, or take it out"
        )
    elif words := sorted(set(_OF_CHANGES.findall(integration.when))):
        message = f"needs a condition over what a record says now, and `{words[0].strip('( .')}` is about its change"
        found.error(("otherwise",), message, "such as `when: new.status == 'active'`")
    if isinstance(policy, Setting):
        deletion(found, ("otherwise",), Archive(archive=policy.set), integration.target, target, key="set")
        mapped = {address for address, rule in integration.map.items() if not (isinstance(rule, Rule) and rule.only == "create")}
        for address in policy.set:
            if address not in mapped:
                hint = "map it too, so that it is written again"
                found.warning(("otherwise", "set", address), "no rule writes it: it stays so when the condition returns", hint)
    else:
        deletion(found, ("otherwise",), policy, integration.target, target)


_OF_CHANGES: Final = re.compile(r"\b(?:old\b|changed\s*\(|became\s*\()")


def deletion(found: Findings, keys: tuple[Key, ...], policy: str | Archive, place: str, resource: Resource, key: str = "archive") -> None:
    """Complain of what a deletion on the other side can't do in a resource."""
    if policy == "delete" and resource.delete is None and resource.batch.delete is None:
        name = keys[-1]
        change = "set" if name == "otherwise" else "archive"
        hint = f"declare `delete` in the connector, or write `{name}: ignore` or `{name}: {{{change}: {{FIELD: VALUE}}}}`"
        found.error(keys, f"nothing can be deleted in `{place}`", hint)
    if isinstance(policy, Archive):
        fields = Fields(resource)
        if not updates(resource):
            found.error(keys, f"nothing can be archived in `{place}`: it takes no updates", f"write `{keys[-1]}: ignore`")
        if not policy.archive:
            found.error((*keys, key), "no field is set", "such as `{archived: true}`")
        for address in policy.archive:
            inner = (*keys, key, address)
            if problem := fields.problem(address):
                found.error(inner, f"in `{place}` {problem[0]}", problem[1])
            elif (known := fields.at(address)) is not None and known[1].read_only:
                found.error(inner, f"the vendor sets `{known[0]}`: it can't be written")


def _lost_answers(found: Findings, integration: Integration, connector: Connector, target: Resource) -> None:
    """Warn when an answer that got lost can't be made up for."""
    if not (target.create or target.batch.create) or integration.unmatched in ("hold", "ignore"):
        return
    findable = bool(integration.match) and (target.list is not None or bool(set(target.find) & _searchable(integration)))
    if connector.idempotency or target.upsert or target.batch.upsert or findable or integration.unknown == "resend":
        return
    hint = "add `match`, or declare `idempotency`, `find` or `upsert` in the connector"
    found.warning(("to",), "when an answer is lost no one can tell whether the record was made: it will be held", hint)
