"""What vendors send to a new address, beside events: each is answered as its vendor's page says, and nothing follows from it."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from multidict import CIMultiDict

from tieline.config.models.connectors import Connector
from tieline.engine.intake.webhooks import Receiving
from tieline.model.clock import SystemClock
from tieline.store import inbox
from tieline.store.database import Database
from tieline.web.receiver import Receiver

SECRET = "s3cret-s3cret-s3cret"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HMAC = {"hmac": {"header": "X-Signature", "encoding": "base64"}}
CONTACTS = {"changed": ["customer.updated", "profile", "Customer.Update"], "deleted": ["customer.deleted"], "id": "id"}


def sign(body: bytes, secret: bytes = SECRET.encode()) -> dict[str, str]:
    return {"X-Signature": base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()}


Asked = tuple[str, str, bytes, Mapping[str, str]]


def answers(
    folder: Path, webhooks: Mapping[str, Any], asked: list[Asked], webhook: Mapping[str, Any] = CONTACTS
) -> tuple[list[tuple[int, str, str]], list[tuple[str, str]], list[Any]]:
    """Return status, type and text of each answer; what was kept; what was told."""
    resource = {"fields": {"id": {"type": "string"}}, "list": {"path": "/c"}, "get": {"path": "/c/{id}"}, "webhook": webhook}
    declared = {
        "connector": "crm",
        "environments": {"production": "http://127.0.0.1:9"},
        "webhooks": webhooks,
        "resources": {"c": resource},
    }
    told: list[Any] = []

    async def work() -> tuple[list[tuple[int, str, str]], list[tuple[str, str]]]:
        db = Database(folder / "store.db")
        receiver = Receiver({"src": Receiving("src", Connector.model_validate(declared), [SECRET], db, SystemClock(), told.append)})
        await receiver.start("127.0.0.1", 0)
        found = []
        try:
            async with aiohttp.ClientSession() as session:
                for method, query, body, headers in asked:
                    url = f"{receiver.address}/hooks/src{query}"
                    async with session.request(method, url, data=body or None, headers=CIMultiDict(headers)) as answer:
                        found.append((answer.status, answer.content_type, await answer.text()))
            return found, [(row[0], row[1]) for row in db.read("SELECT id, kind FROM inbox ORDER BY seq")]
        finally:
            await receiver.stop()
            db.close()

    found, kept = asyncio.run(work())
    return found, kept, told


WOO = {"verify": HMAC, "type": {"header": "X-Topic"}, "event_id": {"header": "X-Id"}, "pings": [{"only": ["webhook_id"]}]}


def test_an_unsigned_ping_is_answered_and_does_nothing(tmp_path: Path) -> None:
    """WooCommerce switches a webhook off that is refused; a ping that holds more, or is an event, is refused all the same."""
    body = b'{"id": 1}'
    woo = {"X-Topic": "customer.updated", "X-Id": "d1"}
    found, kept, _ = answers(
        tmp_path, WOO,
        [
            ("POST", "", b"webhook_id=42", FORM),
            ("POST", "", body, {**woo, **sign(body)}),
            ("POST", "", b"webhook_id=42", {**FORM, **woo, **sign(b"webhook_id=42")}),
            ("POST", "", b"webhook_id=42&id=1", FORM),
            ("POST", "", b"id=1", {**FORM, **woo}),
            ("POST", "", body, woo),
            ("POST", "", b"", FORM),
        ],
    )  # fmt: skip

    assert [200, 200, 200, 401, 401, 401, 401] == [status for status, _, _ in found]
    assert [("1", "changed")] == kept


def test_an_intent_to_receive_is_answered_by_its_signature_alone(tmp_path: Path) -> None:
    """Xero: 200 without a body when it is signed right, 401 when not."""
    body = b'{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"ABCD"}'
    xero = {"verify": HMAC, "events": "events", "type": {"body": ["eventCategory", "eventType"]}}
    found, kept, _ = answers(
        tmp_path, xero, [("POST", "", body, sign(body)), ("POST", "", body, sign(body, b"other")), ("POST", "", body, {})]
    )

    assert [(200, ""), (401, found[1][2]), (401, found[2][2])] == [(status, text) for status, _, text in found]
    assert [] == kept


@pytest.mark.parametrize(
    ("challenge", "asked", "expected"),
    [
        ({"body": "challenge", "when": {"type": "url_verification"}}, ("POST", "", {"type": "url_verification", "challenge": "3eZ"}), "3eZ"),
        ({"query": "validationToken"}, ("POST", "?validationToken=a%3Cb%3E%20c", None), "a<b> c"),
        ({"query": "hub.challenge", "secret": "hub.verify_token"}, ("GET", f"?hub.challenge=12&hub.verify_token={SECRET}", None), "12"),
        ({"body": "challenge", "reply": "json"}, ("POST", "", {"challenge": "x"}), '{"challenge": "x"}'),
    ],
)  # fmt: skip
def test_a_challenge_goes_back_as_it_came(tmp_path: Path, challenge: dict[str, Any], asked: tuple[str, str, Any], expected: str) -> None:
    """Slack, Microsoft Graph, Meta, monday; never as a page that a browser would run."""
    method, query, body = asked
    raw = json.dumps(body).encode() if body else b""
    webhooks = {"verify": HMAC, "type": {"body": "type"}, "challenges": [challenge]}
    found, kept, _ = answers(tmp_path, webhooks, [(method, query, raw, {})])

    assert [(200, "application/json" if "reply" in challenge else "text/plain", expected)] == found
    assert [] == kept


def test_a_challenge_without_its_secret_is_refused_and_an_event_is_none(tmp_path: Path) -> None:
    event = b'{"type": "customer.updated", "id": "7", "challenge": "x"}'
    found, kept, _ = answers(
        tmp_path,
        {"verify": HMAC, "type": {"body": "type"}, "challenges": [{"query": "hub.challenge", "secret": "hub.verify_token"}, {"body": "challenge"}]},
        [("GET", "?hub.challenge=12&hub.verify_token=guess", b"", {}), ("POST", "", event, {}), ("POST", "", event, sign(event))],
    )  # fmt: skip

    assert [401, 401, 200] == [status for status, _, _ in found]
    assert [("7", "changed")] == kept


def test_what_a_person_must_enter_at_the_vendor_is_shown_in_the_log(tmp_path: Path) -> None:
    """Notion sends its token once, before anything can be signed with it."""
    notion = {"verify": HMAC, "type": {"body": "type"}, "challenges": [{"body": "verification_token", "reply": "show"}]}
    found, _, told = answers(tmp_path, notion, [("POST", "", b'{"verification_token": "secret_abc"}', {})])

    assert [(200, "")] == [(status, text) for status, _, text in found]
    assert ["secret_abc"] == [one.shown for one in told]


def test_looks_are_answered_with_200(tmp_path: Path) -> None:
    """Mailchimp and Trello look whether the address is there."""
    found, _, _ = answers(tmp_path, WOO, [("GET", "", b"", {}), ("HEAD", "", b"", {})])

    assert [200, 200] == [status for status, _, _ in found]


def test_a_form_is_read_as_json_is(tmp_path: Path) -> None:
    """Mailchimp proves nothing, so that its address holds the secret."""
    body = urlencode({"type": "profile", "data[id]": "8a25ff1d98", "data[merges][FNAME]": "Ann", "tags[]": "a"}).encode()
    mailchimp = {"verify": {"token": {"query": "token"}}, "type": {"body": "type"}}
    found, kept, _ = answers(
        tmp_path, mailchimp,
        [("POST", f"?token={SECRET}", body, FORM), ("POST", "?token=guess", body, FORM), ("POST", "", body, FORM)],
        {"changed": ["profile"], "id": "data.id"},
    )  # fmt: skip

    assert [200, 401, 401] == [status for status, _, _ in found]
    assert [("8a25ff1d98", "changed")] == kept


def test_events_that_are_nested_two_deep_are_all_read(tmp_path: Path) -> None:
    """QuickBooks: companies, each with entities; type and operation make the type."""
    entities = [{"name": "Customer", "id": "1", "operation": "Update"}, {"name": "Invoice", "id": "2", "operation": "Create"}]
    other = [{"name": "Customer", "id": "3", "operation": "Delete"}]
    body = json.dumps(
        {"eventNotifications": [{"realmId": "r", "dataChangeEvent": {"entities": one}} for one in (entities, other)]}
    ).encode()
    quickbooks = {"verify": HMAC, "events": "eventNotifications[].dataChangeEvent.entities[]", "type": {"body": ["name", "operation"]}}
    found, kept, _ = answers(
        tmp_path, quickbooks, [("POST", "", body, sign(body))], {"changed": ["Customer.Update"], "deleted": ["Customer.Delete"], "id": "id"}
    )

    assert [200] == [status for status, _, _ in found]
    assert [("1", "changed"), ("3", "deleted")] == kept


def test_a_token_in_the_body_must_be_in_each_part(tmp_path: Path) -> None:
    """Microsoft Graph repeats `clientState` in each notification."""
    graph = {"verify": {"token": {"body": "value[].clientState"}}, "events": "value", "type": {"body": "changeType"}}

    def notes(*states: str) -> bytes:
        return json.dumps(
            {"value": [{"clientState": one, "changeType": "updated", "resourceData": {"id": "7"}} for one in states]}
        ).encode()

    asked: list[Asked] = [("POST", "", notes(*states), {}) for states in ((SECRET,), (SECRET, "guess"), ("guess",), ())]
    found, kept, _ = answers(tmp_path, graph, [*asked, ("POST", "", b"{", {})], {"changed": ["updated"], "id": "resourceData.id"})

    assert [200, 401, 401, 401, 401] == [status for status, _, _ in found]
    assert [("7", "changed")] == kept


def test_that_something_has_changed_is_taken_without_an_id(tmp_path: Path) -> None:
    """Google sends headers alone; the next run reads the list."""
    google = {"verify": {"token": {"header": "X-Goog-Channel-Token"}}, "type": {"header": "X-Goog-Resource-State"}}
    token = {"X-Goog-Channel-Token": SECRET}
    found, kept, told = answers(
        tmp_path, google,
        [("POST", "", b"", {**token, "X-Goog-Resource-State": "exists"}), ("POST", "", b"", {"X-Goog-Resource-State": "exists"})],
        {"listed": ["exists"]},
    )  # fmt: skip
    db = Database(tmp_path / "store.db")
    tally = inbox.tallies(db)["src"]
    db.close()

    assert [200, 401] == [status for status, _, _ in found]
    assert (1, 1, []) == (tally.accepted, tally.refused, kept)
    assert ["webhook.refused"] == [one.name for one in told]


def test_what_is_declared_is_what_is_answered(tmp_path: Path) -> None:
    body = b'{"id": 1}'
    declared = {**WOO, "answer": {"status": 202, "body": "thanks"}}
    found, _, _ = answers(tmp_path, declared, [("POST", "", body, {"X-Topic": "customer.updated", **sign(body)})])

    assert [(202, "text/plain", "thanks")] == found
