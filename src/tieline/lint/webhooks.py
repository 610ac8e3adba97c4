"""Judgements over webhooks: can an event be told from a forged one, and does each say which record it is about?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tieline.config.loading.folder import Project
from tieline.config.loading.yaml_source import Key
from tieline.config.models.connections import Connection
from tieline.config.models.connectors import Connector, Resource
from tieline.config.models.webhooks import BODY, SIGNED, TIMESTAMP, HmacSignature, Verify, Webhooks
from tieline.config.suggestions import listed, meant
from tieline.lint.findings import Findings

Keys = tuple[Key, ...]
_GAP: Final = re.compile(r"\{([^{}]*)\}")
KINDS: Final = ("changed", "deleted", "merged", "listed")
_AT: Final = ("webhooks",)


def lint_webhooks(found: Findings, connector: Connector, header: Callable[[Keys, str | None], None]) -> None:
    """Find what is wrong with the events that a connector declares; `header` judges a header's name."""
    declared = {name: resource for name, resource in connector.resources.items() if resource.webhook is not None}
    if connector.webhooks is None:
        for name in declared:
            hint = "declare `webhooks` beside `resources`: how an event is verified, and where its type is"
            found.error(("resources", name, "webhook"), "this connector doesn't say how its events are known: `webhooks` is missing", hint)
        return
    webhooks = connector.webhooks
    _verify(found, (*_AT, "verify"), webhooks.verify, header)
    if webhooks.type.header is None and not webhooks.type.body and webhooks.type.const is None:
        hint = "such as `type: {body: type}` or `type: {header: X-Event-Type}`"
        found.error((*_AT, "type"), "where does an event say what it is? one of `header` and `body` is needed", hint)
    if webhooks.event_id is not None and (webhooks.event_id.header is None) == (webhooks.event_id.body is None):
        found.error((*_AT, "event_id"), "what the vendor calls an event is in a header or in the body: one of `header` and `body`")
    for key, part in (("type", webhooks.type), ("event_id", webhooks.event_id)):
        if part is not None:
            header((*_AT, key, "header"), part.header)
    _handshakes(found, webhooks, declared, header)
    if not declared:
        hint = "such as `webhook: {changed: [contact.updated], deleted: [contact.deleted], id: data.id}` in a resource"
        found.warning(_AT, "no resource says which events concern it: none is made use of", hint)
    claimed: dict[str, Keys] = {}
    for name, resource in declared.items():
        _resource(found, ("resources", name, "webhook"), resource, claimed)


def _handshakes(found: Findings, webhooks: Webhooks, declared: Mapping[str, Resource], header: Callable[[Keys, str | None], None]) -> None:
    """Judge what is answered without a proof: nothing that could be an event may be among it."""
    if not 200 <= webhooks.answer.status <= 299:
        found.error((*_AT, "answer", "status"), "would tell the vendor that it failed, and to send it again", "a status from 200 to 299")
    for number, one in enumerate(webhooks.challenges):
        at: Keys = (*_AT, "challenges", number)
        if sum(part is not None for part in (one.query, one.body, one.header)) != 1:
            found.error(
                at, "where is the challenge? one of `query`, `body` and `header`", "such as `query: validationToken`, or `body: challenge`"
            )
        if one.when and one.body is None:
            found.error((*at, "when"), "is about the body, and goes with `body`")
        header((*at, "header"), one.header)
    parts = [webhooks.type.body] if isinstance(webhooks.type.body, str) else list(webhooks.type.body or ())
    acted_on = {part.partition(".")[0].partition("[")[0] for part in (*parts, webhooks.events) if part}
    for number, ping in enumerate(webhooks.pings):
        only = (*_AT, "pings", number, "only")
        if not ping.only:
            found.error(only, "names no field: any empty request would be a ping", "such as `only: [webhook_id]`")
        if both := sorted(acted_on.intersection(ping.only)):
            found.error(only, f"`{both[0]}` is where events are: without a proof they are refused", "take it out")


def _verify(found: Findings, at: Keys, verify: Verify, header: Callable[[Keys, str | None], None]) -> None:
    given = [name for name in Verify.model_fields if getattr(verify, name) is not None]
    if len(given) != 1:
        words = listed([f"`{name}`" for name in Verify.model_fields])
        message = f"one way is enough, and there are {len(given)}" if given else "how does an event prove that it comes from the vendor?"
        found.error(at, message, f"one of {words}, such as `verify: {{standard: {{}}}}`; `path: {{}}` where the vendor proves nothing")
    if verify.token is not None:
        header((*at, "token", "header"), verify.token.header)
        if sum(getattr(verify.token, name) is not None for name in ("header", "query", "body")) != 1:
            hint = "such as `token: {header: X-Token}`, `token: {query: token}` or `token: {body: clientState}`"
            found.error((*at, "token"), "where is the secret? one of `header`, `query` and `body`", hint)
    if verify.standard is not None:
        header((*at, "standard", "prefix"), verify.standard.prefix)
    if verify.ecdsa is not None:
        header((*at, "ecdsa", "header"), verify.ecdsa.header)
        header((*at, "ecdsa", "timestamp", "header"), verify.ecdsa.timestamp.header)
        if verify.ecdsa.timestamp.header is None or verify.ecdsa.timestamp.part is not None:
            found.error((*at, "ecdsa", "timestamp"), "the time is in a header of its own", "such as `timestamp: {header: X-Timestamp}`")
    if verify.hmac is not None:
        _hmac(found, (*at, "hmac"), verify.hmac, header)


def _hmac(found: Findings, at: Keys, hmac: HmacSignature, header: Callable[[Keys, str | None], None]) -> None:
    header((*at, "header"), hmac.header)
    names = _GAP.findall(hmac.signed)
    for name in names:
        if name not in SIGNED:
            words = listed([f"`{{{one}}}`" for one in SIGNED], "and")
            found.error((*at, "signed"), f"`{{{name}}}` is not known here", meant(name, SIGNED) or f"{words} are")
    if BODY not in names:
        found.error(
            (*at, "signed"), "does not hold `{body}`: whoever has seen one event could forge any other", "such as `{timestamp}.{body}`"
        )
    if TIMESTAMP in names and hmac.timestamp is None:
        hint = "such as `timestamp: {header: X-Timestamp}`, or `timestamp: {part: t}`"
        found.error((*at, "timestamp"), "is missing: where is the time that is signed along?", hint)
    if hmac.timestamp is not None:
        header((*at, "timestamp", "header"), hmac.timestamp.header)
        if TIMESTAMP not in names:
            hint = "write it into `signed`, such as `{timestamp}.{body}`, or take `timestamp` out"
            found.error((*at, "timestamp"), "is not signed along, and so proves nothing", hint)
        if (hmac.timestamp.header is None) == (hmac.timestamp.part is None):
            found.error(
                (*at, "timestamp"), "the time is in a header of its own or in a part of the signature's: one of `header` and `part`"
            )
    if "tolerance" in hmac.model_fields_set and hmac.timestamp is None:
        found.error((*at, "tolerance"), "needs `timestamp`: how far may which time be from now?")


def _resource(found: Findings, at: Keys, resource: Resource, claimed: dict[str, Keys]) -> None:
    declared = resource.webhook
    assert declared is not None
    kinds = {kind: getattr(declared, kind) for kind in KINDS}
    if not any(kinds.values()):
        found.error(at, "names no event", "such as `changed: [contact.updated]`, `deleted: [contact.deleted]`")
    if resource.get is None:
        if not declared.deleted and not declared.merged:
            hint = "declare `get` for the resource, or which events say that a record was `deleted`"
            if declared.listed and not declared.changed:
                return
            found.error(at, "is of no use: without `get` no one can ask for the record that an event is about", hint)
        elif declared.changed:
            hint = "declare `get` for the resource, or take `changed` out"
            found.warning((*at, "changed"), "without `get` no one can ask for such a record: the next list shows it", hint)
    if not declared.id and (declared.changed or declared.deleted or declared.merged):
        found.error((*at, "id"), "is blank: where is the record's id in the event?", "such as `id: data.id`")
    if declared.into is not None and not declared.merged:
        found.error((*at, "into"), "needs `merged`: which events say that a record was merged?")
    if declared.merged and declared.into is None and resource.get is None:
        hint = "say where the other record's id is, or declare `get`, which answers with the other record"
        found.error((*at, "into"), "is missing: into which record was it merged?", hint)
    for kind, types in kinds.items():
        for number, type_ in enumerate(types):
            where = (*at, kind, number)
            if not type_.strip() or "*" in type_[:-1]:
                found.error(where, "is a type as the vendor spells it; a `*` can stand at its end alone", "such as `contact.*`")
            elif type_ in claimed:
                other = ".".join(str(key) for key in claimed[type_][1:-1] if key != "webhook")
                found.error(where, f"`{type_}` stands under `{other}` already: one event means one thing", "take it out of one of them")
            else:
                claimed[type_] = where


def lint_webhook_secret(project: Project, found: Findings, connection: Connection, connector: Connector) -> None:
    """Find whether a connection has the secret that its connector's events are verified with, where an integration could use them."""
    if connector.webhooks is None and connection.webhook_secret is not None:
        hint = "declare `webhooks` in the connector, or take it out"
        found.error(("webhook_secret",), f"connector `{connector.connector}` declares no webhooks", hint)
    elif connector.webhooks is not None and not connection.webhook_secrets and _useful(project, connection, connector):
        message = f"is missing: `tieline receive` takes no webhooks for it, though connector `{connector.connector}` declares some"
        found.warning(("webhook_secret",), message, 'such as `webhook_secret: "${env:NAME}"`')


def _useful(project: Project, connection: Connection, connector: Connector) -> bool:
    """Whether events could come about records that an integration reads from a connection."""
    for one in project.integrations.values():
        for place in (one.source, one.target) if one.two_way else (one.source,):
            name, _, resource = place.partition(".")
            declared = connector.resources.get(resource)
            if project.connections.get(name) is connection and declared is not None and declared.webhook is not None:
                return True
    return False


def tell_of_deletions(connection: Connection, resource: Resource) -> bool:
    """Whether webhooks come that tell of records of a resource that were deleted."""
    return resource.webhook is not None and bool(resource.webhook.deleted) and bool(connection.webhook_secrets)


def secrets_of(connection: Connection) -> Iterator[tuple[Keys, str]]:
    """Yield the references to the secrets of a connection, and where they stand."""
    if isinstance(connection.webhook_secret, str):
        yield ("webhook_secret",), connection.webhook_secret
        return
    for number, text in enumerate(connection.webhook_secrets):
        yield ("webhook_secret", number), text
