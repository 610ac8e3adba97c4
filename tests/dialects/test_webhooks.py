"""Webhooks are known by their signatures: those of independent signers and of the vendors' own pages are taken, any other is refused."""

import base64
import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from standardwebhooks import Webhook

from tieline.config.models.connectors import Resource
from tieline.config.models.webhooks import Verify, Webhooks
from tieline.dialects.webhooks import Event, Incoming, Reader, Unusable, Unverified, verifier
from tieline.model.errors import TielineError
from tieline.model.records import encode_json

NOW = 1_700_000_000.0
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STRIPE = {"hmac": {"header": "Stripe-Signature", "part": "v1", "signed": "{timestamp}.{body}", "timestamp": {"part": "t"}}}
SHOPIFY = {"hmac": {"header": "X-Shopify-Hmac-Sha256", "encoding": "base64"}}
GITHUB = {"hmac": {"header": "X-Hub-Signature-256", "prefix": "sha256="}}
SLACK = {
    "hmac": {
        "header": "X-Slack-Signature", "prefix": "v0=", "signed": "v0:{timestamp}:{body}", "timestamp": {"header": "X-Slack-Request-Timestamp"},
    }
}  # fmt: skip
HUBSPOT = {
    "hmac": {
        "header": "X-HubSpot-Signature-v3", "encoding": "base64", "signed": "{method}{url}{body}{timestamp}",
        "timestamp": {"header": "X-HubSpot-Request-Timestamp"},
    }
}  # fmt: skip


def incoming(body: bytes, headers: Mapping[str, str] | None = None, **more: Any) -> Incoming:
    """Return a request as the receiver hands it on."""
    return Incoming(CIMultiDict(headers or {}), body, **more)


def is_taken(verify: Mapping[str, Any], secrets: list[str], request: Incoming, now: float = NOW) -> bool:
    """Whether a request is verified."""
    check = verifier(Verify.model_validate(verify), secrets)
    try:
        check(request, now)
    except Unverified:
        return False
    return True


def stripe(secret: str, body: bytes, at: int = int(NOW)) -> str:
    """Sign as Stripe's page says: `{t}.{body}`, in hex."""
    return f"t={at},v1={hmac.new(secret.encode(), str(at).encode() + b'.' + body, hashlib.sha256).hexdigest()},v0=ab"


class TestSignatures:
    """By what an event is known."""

    def test_what_the_standard_library_signs_is_taken(self) -> None:
        """standardwebhooks.com's own package signs; so do those who send through Svix, under other names."""
        body = '{"type": "contact.deleted", "data": {"id": "7"}}'
        signature = Webhook(STANDARD).sign("msg_1", dt.datetime.fromtimestamp(NOW, dt.UTC), body)
        for prefix in ("webhook", "svix"):
            headers = {f"{prefix}-id": "msg_1", f"{prefix}-timestamp": f"{NOW:.0f}", f"{prefix}-signature": f"v1a,xx {signature}"}
            request = incoming(body.encode(), headers)

            assert is_taken({"standard": {"prefix": prefix}}, [STANDARD], request)
            assert is_taken({"standard": {"prefix": prefix}}, ["b3RoZXI=", STANDARD.removeprefix("whsec_")], request)
            assert not is_taken({"standard": {"prefix": prefix}}, ["b3RoZXI="], request)
            assert not is_taken({"standard": {"prefix": prefix}}, [STANDARD], request, NOW + 301)
            assert not is_taken({"standard": {"prefix": prefix}}, [STANDARD], request, NOW - 301)

    def test_the_examples_of_the_vendors_pages_are_taken(self) -> None:
        """GitHub's and Slack's pages give a secret, a request and its signature; Standard Webhooks' tests do."""
        github = {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
        slack = {
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            "X-Slack-Request-Timestamp": "1531420618",
        }
        form = (
            b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA"
            b"&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
            b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
        )
        standard = {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }

        assert is_taken(GITHUB, ["It's a Secret to Everybody"], incoming(b"Hello, World!", github))
        assert is_taken(SLACK, ["8f742231b10e8888abcd99yyyzzz85a5"], incoming(form, slack), 1531420618)
        assert is_taken({"standard": {}}, [STANDARD], incoming(b'{"test": 2432232314}', standard), 1614265330)

    def test_the_formulas_of_the_vendors_pages_hold(self) -> None:
        """Stripe signs a time along, Shopify writes base64, HubSpot signs method and address, in milliseconds."""
        body, secret = b'{"id": 7}', "shared"
        shopify = base64.b64encode(hmac.new(b"shared", body, hashlib.sha256).digest()).decode()
        url, at = "https://hooks.example.com/hooks/crm?a=%20b", f"{NOW * 1000:.0f}"
        text = b"POST" + url.encode() + body + at.encode()
        hubspot = {
            "X-HubSpot-Signature-v3": base64.b64encode(hmac.new(b"shared", text, hashlib.sha256).digest()).decode(),
            "X-HubSpot-Request-Timestamp": at,
        }

        assert is_taken(STRIPE, ["old", secret], incoming(body, {"Stripe-Signature": stripe(secret, body)}))
        assert not is_taken(STRIPE, [secret], incoming(body, {"Stripe-Signature": stripe(secret, body)}), NOW + 301)
        assert is_taken(SHOPIFY, [secret], incoming(body, {"X-Shopify-Hmac-Sha256": shopify}))
        assert is_taken(HUBSPOT, [secret], incoming(body, hubspot, url=url))
        assert not is_taken(HUBSPOT, [secret], incoming(body, hubspot, url=url + "c"))
        assert is_taken({"token": {"header": "X-Gitlab-Token"}}, [secret], incoming(body, {"x-gitlab-token": "shared"}))
        assert is_taken(
            {"basic": {}}, ["user:pä:ss"], incoming(body, {"Authorization": "Basic " + base64.b64encode("user:pä:ss".encode()).decode()})
        )
        assert is_taken({"path": {}}, ["s" * 16], incoming(body, secret="s" * 16))

    @pytest.mark.parametrize(
        "junk", ["", "sha256=", "v1,", "v1,===", "t=,v1=", "t=x,v1=ä", "t=1700000000", "\udcff", "Basic \udcff", "Basic", "v1,ä v1,b"]
    )
    def test_whatever_is_no_signature_is_refused_and_breaks_nothing(self, junk: str) -> None:
        for verify in (
            STRIPE,
            SHOPIFY,
            GITHUB,
            SLACK,
            HUBSPOT,
            {"standard": {}},
            {"token": {"header": "X-Token"}},
            {"basic": {}},
            {"path": {}},
        ):
            secrets = ["c2VjcmV0OnNlY3JldDpzZWNyZXQ=" if "standard" in verify else "secret:secret:secret"]
            names = [
                "Stripe-Signature", "X-Shopify-Hmac-Sha256", "X-Hub-Signature-256", "X-Slack-Signature", "X-HubSpot-Signature-v3", "X-Token",
                "webhook-id", "webhook-signature", "Authorization",
            ]  # fmt: skip
            times = dict.fromkeys(("X-Slack-Request-Timestamp", "X-HubSpot-Request-Timestamp", "webhook-timestamp"), f"{NOW:.0f}")

            assert not is_taken(verify, secrets, incoming(b"{}", {**dict.fromkeys(names, junk), **times}, secret=junk))
            assert not is_taken(verify, secrets, incoming(b"{}"))

    @given(st.data())
    def test_any_changed_byte_is_refused(self, data: st.DataObject) -> None:
        """In the body, in the signature, or in the time that is signed along."""
        kind = data.draw(st.sampled_from(["stripe", "standard", "shopify", "github"]))
        body = data.draw(st.binary(max_size=60).filter(lambda one: one.isascii()))
        if kind == "stripe":
            verify, secrets, headers = STRIPE, ["shared"], {"Stripe-Signature": stripe("shared", body).removesuffix(",v0=ab")}
        elif kind == "shopify":
            digest = hmac.new(b"shared", body, hashlib.sha256).digest()
            verify, secrets, headers = SHOPIFY, ["shared"], {"X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode()}
        elif kind == "github":
            headers = {"X-Hub-Signature-256": "sha256=" + hmac.new(b"shared", body, hashlib.sha256).hexdigest()}
            verify, secrets = GITHUB, ["shared"]
        else:
            signed = Webhook(STANDARD).sign("msg_1", dt.datetime.fromtimestamp(NOW, dt.UTC), body.decode())
            headers = {"webhook-id": "msg_1", "webhook-timestamp": f"{NOW:.0f}", "webhook-signature": signed}
            verify, secrets = {"standard": {}}, [STANDARD]
        assert is_taken(verify, secrets, incoming(body, headers))

        where = data.draw(st.sampled_from(["body", *headers]))
        text = body.decode() if where == "body" else headers[where]
        at = data.draw(st.integers(0, len(text)))
        char = data.draw(st.sampled_from("0aZ=+/.x"))
        changed = text[:at] + char + text[at + data.draw(st.integers(0, 1)) :]
        if changed.lower() == text.lower():
            return
        other = incoming(changed.encode(), headers) if where == "body" else incoming(body, {**headers, where: changed})

        assert not is_taken(verify, secrets, other)

    def test_secrets_that_can_not_be_used_are_told_of_at_once(self) -> None:
        for verify, secret, why in (
            ({"standard": {}}, "whsec_no base64!", "not base64"),
            ({"path": {}}, "tiny-4711", "at least 16"),
            ({"basic": {}}, "no-colon-4711", "user:password"),
        ):
            with pytest.raises(TielineError, match=why) as raised:
                verifier(Verify.model_validate(verify), [secret])

            assert secret not in str(raised.value)


def reader(webhooks: Mapping[str, Any], **resources: Mapping[str, Any]) -> Reader:
    """Return a reader for resources with these declarations."""
    declared = Webhooks.model_validate({"verify": {"standard": {}}, **webhooks})
    return Reader(declared, {name: Resource.model_validate({"fields": {}, "webhook": one}) for name, one in resources.items()})


class TestContent:
    """What is in an event."""

    def test_a_list_of_events_is_taken_apart(self) -> None:
        """As HubSpot sends them; the most exact type says what an event means."""
        read = reader(
            {"type": {"body": "subscriptionType"}, "event_id": {"body": "eventId"}},
            contacts={"changed": ["contact.*"], "deleted": ["contact.deletion"], "id": "objectId"},
        )
        events = [
            {"subscriptionType": type_, "eventId": 100 + number, "objectId": 7}
            for number, type_ in enumerate(("contact.creation", "contact.deletion", "deal.creation"))
        ]
        events.append({"subscriptionType": "contact.creation", "eventId": 9, "objectId": None})
        content = read.read(incoming(encode_json(events)))

        assert [("100", "contacts", "7", "changed"), ("101", "contacts", "7", "deleted")] == [
            (one.name, one.resource, one.id, one.kind) for one in content.events
        ]
        assert {"deal.creation": 1} == content.ignored
        assert 1 == len(content.unusable)

    def test_a_type_can_be_put_together(self) -> None:
        """GitHub says in a header what it is about, and in the body what happened to it."""
        read = reader(
            {"type": {"header": "X-GitHub-Event", "body": "action"}, "event_id": {"header": "X-GitHub-Delivery"}},
            issues={
                "changed": ["issues.*"],
                "deleted": ["issues.deleted"],
                "merged": ["issues.transferred"],
                "id": "issue.id",
                "into": "changes.new.id",
            },
        )
        headers = {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "d1"}

        def one(action: str, **more: Any) -> Event:
            return read.read(incoming(encode_json({"action": action, "issue": {"id": 5}, **more}), headers)).events[0]

        assert ("d1", "5", "deleted", None) == (one("deleted").name, one("deleted").id, one("deleted").kind, one("deleted").into)
        assert ("merged", "8") == (one("transferred", changes={"new": {"id": 8}}).kind, one("transferred", changes={"new": {"id": 8}}).into)
        assert {"ping": 1} == read.read(incoming(b'{"zen": "x"}', {"X-GitHub-Event": "ping"})).ignored

    @pytest.mark.parametrize("body", [b"", b"not json", b"\xff", b"7", b"[1]", b'{"data": 3}', b'{"other": []}', b"[" * 100_000])
    def test_what_is_no_event_is_refused_with_a_reason(self, body: bytes) -> None:
        with pytest.raises(Unusable):
            reader({"type": {"body": "type"}, "events": "data"}, things={"deleted": ["x"], "id": "id"}).read(incoming(body))


def test_a_time_of_signing_may_be_a_date_and_a_key_base64() -> None:
    """Zendesk signs `2023-11-14T22:13:20Z`; Airtable's key is base64; Paddle has semicolons."""
    at, body = "2023-11-14T22:13:20Z", b"{}"
    zendesk = {"hmac": {"header": "X-S", "encoding": "base64", "signed": "{timestamp}{body}", "timestamp": {"header": "X-T"}}}
    mac = hmac.new(b"key", at.encode() + body, hashlib.sha256)
    headers = {"X-S": base64.b64encode(mac.digest()).decode(), "X-T": at}
    airtable = {"hmac": {"header": "X-S", "prefix": "hmac-sha256=", "key": "base64"}}
    paddle = {"hmac": {"header": "X-S", "part": "h1", "signed": "{timestamp}:{body}", "timestamp": {"part": "ts"}}}
    parts = f"ts={int(NOW)};h1={hmac.new(b'key', f'{int(NOW)}:{{}}'.encode(), hashlib.sha256).hexdigest()}"

    assert is_taken(zendesk, ["key"], incoming(body, headers))
    assert not is_taken(zendesk, ["key"], incoming(body, headers), NOW + 301)
    assert not is_taken(zendesk, ["key"], incoming(body, {**headers, "X-T": "2023-11-14T22:13:20"}))
    assert is_taken(airtable, ["a2V5"], incoming(body, {"X-S": f"hmac-sha256={hmac.new(b'key', body, hashlib.sha256).hexdigest()}"}))
    assert is_taken(paddle, ["key"], incoming(body, {"X-S": parts}))
    with pytest.raises(TielineError, match="is not base64"):
        is_taken(airtable, ["no base64!"], incoming(body))
