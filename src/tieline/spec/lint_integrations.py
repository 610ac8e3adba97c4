"""Judgements over an integration: are the questions answered, and can the two systems do what is asked of them?"""

from __future__ import annotations

from typing import Final

from tieline.model.errors import Complaint
from tieline.spec.connectors import Connector, Resource
from tieline.spec.fields import Fields, covers
from tieline.spec.findings import Findings
from tieline.spec.integrations import Archive, Integration
from tieline.spec.lint_connectors import gaps
from tieline.spec.reader import Project
from tieline.spec.words import nearest

_QUESTIONS: Final = (
    ("purpose", "what is this for?", "purpose: When ... in ..., ... has it within ..."),
    ("direction", "which way do changes go?", "direction: one-way"),
    ("freshness", "how fast must a change arrive?", "freshness: 5m"),
    ("unavailable", "what if a system is down: how long are changes kept for it?", "unavailable: {keep: 7d}"),
)
ASKED: Final = tuple(key for key, _, _ in _QUESTIONS)
"""What every integration must answer; optional in the declaration, because a person who is still writing may leave it open."""
_WITH_MATCH: Final = (
    ("unmatched", "what becomes of a record without a counterpart?", "unmatched: create` (or hold, ignore)`"),
    ("conflict", "which values win when a counterpart has others?", "conflict: source` (or target, fill_empty, hold)`"),
)


def lint_integration(project: Project, found: Findings, integration: Integration) -> list[Complaint]:
    """Return what is wrong with an integration, its rules aside."""
    _questions(project, found, integration)
    source = resource_of(project, found, "from", integration.source)
    target = resource_of(project, found, "to", integration.target)
    if integration.source == integration.target:
        found.error(("to",), "is the same resource as `from`")
    if source is not None:
        _source(found, integration, source[1])
    if target is not None:
        _target(found, integration, target[1])
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


def _questions(project: Project, found: Findings, integration: Integration) -> None:
    for key, question, line in (*_QUESTIONS, *(_WITH_MATCH if integration.match else ())):
        value = getattr(integration, key)
        if value is None or (isinstance(value, str) and not value.strip()):
            found.error((key,), question, f"add `{line}`".replace("``", ""))
    if "match" not in integration.model_fields_set:
        hint = "add `match: {their_field: our_field}`, or `match: {}` if the destination can't have any of them yet"
        found.error(("match",), "how is a record found that the destination has already?", hint)
    owned = (integration.owner or "").strip() or (project.file.owner or "").strip() or ("project", "") in project.broken
    if not owned:
        hint = "add `owner: team@example.com`, here or in tieline.yaml"
        found.error(("owner",), "who must see it when this needs a person?", hint)


def _source(found: Findings, integration: Integration, source: Resource) -> None:
    if integration.deletes != "ignore" and source.list is not None and source.list.tombstone is None:
        hint = "declare `list.tombstone` in the connector if it does, or write `deletes: ignore`"
        found.error(("deletes",), f"the list of `{integration.source}` never says that a record was deleted", hint)
    if source.list is None:
        found.error(("from",), f"`{integration.source}` can't be read: the connector declares no `list` for it")
    fields = Fields(source)
    for target, address in integration.match.items():
        if problem := fields.problem(address):
            found.error(("match", target), f"in `{integration.source}` {problem[0]}", problem[1])


def _target(found: Findings, integration: Integration, target: Resource) -> None:
    to = integration.target
    batch = target.batch
    creates = any((target.create, target.upsert, batch.create, batch.upsert))
    updates = any((target.update, target.upsert, batch.update, batch.upsert))
    if not creates and not updates:
        found.error(("to",), f"`{to}` can't be written: the connector declares no `create`, `update` or `upsert` for it")
    elif not creates and integration.unmatched in ("create", None):
        hint = "declare `create` in the connector, or write `unmatched: hold` or `ignore`"
        found.error(("unmatched",) if integration.unmatched else ("to",), f"no record can be created in `{to}`", hint)
    elif not updates:
        hint = "declare `update` or `upsert` in the connector, if the vendor has one"
        found.warning(("to",), f"changes to a record that is in `{to}` already can't be sent", hint)
    fields = Fields(target)
    _match(found, integration, target, fields)
    _deletes(found, integration, target, fields, updates=updates)
    by = target.upsert.by if target.upsert is not None and target.create is None else None
    if by is not None and not covers(integration.map, by):
        found.error(("map",), f"a record of `{to}` is known by `{by}`, and no rule gives it", f"add `{by}: ...`")
    if target.upsert is not None:
        for name in gaps(target.upsert.path):
            if fields.at(name) is not None and not covers(integration.map, name):
                found.error(("map",), f"the address of an upsert needs `{name}`, and no rule gives it", f"add `{name}: ...`")


def _match(found: Findings, integration: Integration, target: Resource, fields: Fields) -> None:
    if not integration.match:
        return
    for address in integration.match:
        if problem := fields.problem(address):
            found.error(("match", address), f"in `{integration.target}` {problem[0]}", problem[1])
        elif integration.unmatched == "create" and not covers(integration.map, address):
            message = f"`{address}` is matched and not mapped: a record created without it is not found again"
            found.warning(("match", address), message, f"add `{address}: {integration.match[address]}` to `map`")
    if target.list is None and not set(target.find) & set(integration.match):
        hint = "declare `find` for one of these fields, or `list`, in the connector"
        found.error(("match",), f"nothing can be looked for in `{integration.target}`", hint)


def _deletes(found: Findings, integration: Integration, target: Resource, fields: Fields, *, updates: bool) -> None:
    to = integration.target
    if integration.deletes == "delete" and target.delete is None and target.batch.delete is None:
        hint = "declare `delete` in the connector, or write `deletes: ignore` or `deletes: {archive: {FIELD: VALUE}}`"
        found.error(("deletes",), f"nothing can be deleted in `{to}`", hint)
    if isinstance(integration.deletes, Archive):
        if not updates:
            found.error(("deletes",), f"nothing can be archived in `{to}`: it takes no updates", "write `deletes: ignore`")
        if not integration.deletes.archive:
            found.error(("deletes", "archive"), "no field is set", "such as `{archived: true}`")
        for address in integration.deletes.archive:
            keys = ("deletes", "archive", address)
            if problem := fields.problem(address):
                found.error(keys, f"in `{to}` {problem[0]}", problem[1])
            elif (known := fields.at(address)) is not None and known[1].read_only:
                found.error(keys, f"the vendor sets `{known[0]}`: it can't be written")


def _lost_answers(found: Findings, integration: Integration, connector: Connector, target: Resource) -> None:
    """Warn when an answer that got lost can't be made up for."""
    if not (target.create or target.batch.create) or integration.unmatched in ("hold", "ignore"):
        return
    findable = bool(integration.match) and (target.list is not None or bool(set(target.find) & set(integration.match)))
    if connector.idempotency or target.upsert or target.batch.upsert or findable or integration.unknown == "resend":
        return
    hint = "add `match`, or declare `idempotency`, `find` or `upsert` in the connector"
    found.warning(("to",), "when an answer is lost nobody can tell whether the record was made: it will be held", hint)
