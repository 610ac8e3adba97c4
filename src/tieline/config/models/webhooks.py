"""What a connector says about the events that a vendor sends by itself: how they prove where they come from, and what is in them."""

from __future__ import annotations

from typing import Any, Final, Literal

from tieline.config.models.base import Declared, Length, Path

BODY, TIMESTAMP, METHOD, URL = "body", "timestamp", "method", "url"
SIGNED: Final = (BODY, TIMESTAMP, METHOD, URL)
"""What may stand in `signed`."""


class TimeFrom(Declared):
    """Where a request says when it was signed: in seconds or milliseconds since 1970, or as a time with an offset (RFC 3339)."""

    header: str | None = None
    """Header that holds the time."""
    part: str | None = None
    """Or: part of the signature's own header, such as `t` in `t=1700000000,v1=5257a8...`."""


class HmacSignature(Declared):
    """A keyed hash of what was sent (RFC 2104): Shopify, GitHub, Stripe, Slack, HubSpot and most others."""

    header: str
    """Header that holds the signature."""
    digest: Literal["sha256", "sha512", "sha1"] = "sha256"
    """The hash."""
    encoding: Literal["hex", "base64"] = "hex"
    """How the signature is written."""
    prefix: str = ""
    """Text before the signature, such as `sha256=`."""
    part: str | None = None
    """The header is a list, `t=1700000000,v1=5257a8...`, with commas or semicolons, and the signature is the part of this name. One of
    several is enough."""
    key: Literal["text", "base64", "hex"] = "text"
    """How the secret spells the key: as it is, or in `base64` (Airtable) or `hex`."""
    signed: str = "{body}"
    """What is hashed: `{body}` as it was sent, `{timestamp}`, `{method}`, and `{url}`, the address as the vendor knows it."""
    timestamp: TimeFrom | None = None
    """Where the time is that is signed along, so that what was recorded can't be sent again later."""
    tolerance: Length = 300.0
    """How far that time may be from now."""


class EcdsaSignature(Declared):
    """A signature by a public key of the curve P-256 with SHA-256, as SendGrid's. The connection's secret is the vendor's public key, in base64."""

    header: str
    """Header that holds the signature, in base64."""
    timestamp: TimeFrom
    """Where the time is that is signed along: `{header: X-Twilio-Email-Event-Webhook-Timestamp}`."""
    tolerance: Length = 300.0
    """How far that time may be from now."""


class StandardSignature(Declared):
    """As standardwebhooks.com has it; also Svix, and those who send through it. The secret is base64, `whsec_` before it or not."""

    prefix: str = "webhook"
    """How its three headers begin: `webhook-id`, `webhook-timestamp`, `webhook-signature`; `svix` with some."""
    tolerance: Length = 300.0
    """How far the time of signing may be from now."""


class TokenHeader(Declared):
    """The secret itself in a header, as GitLab does, in the address's query, or in the body; one of these."""

    header: str | None = None
    """Header that holds it."""
    query: str | None = None
    """Or: query parameter of the address that the vendor is given, `/hooks/CONNECTION?token=SECRET` (Mailchimp). At least 16 characters."""
    body: Path | None = None
    """Or: address in the body, such as `value[].clientState` (Microsoft Graph); each that is there must fit."""
    prefix: str = ""
    """Text before it, such as `Bearer `."""


class BasicHeader(Declared):
    """The secret as user name and password (RFC 7617). In the connection it is one text, `user:password`."""


class PathSecret(Declared):
    """The vendor proves nothing: the secret is the end of the address that it is given, `/hooks/CONNECTION/SECRET`."""


class Verify(Declared):
    """How an event proves that it comes from the vendor; one of these."""

    hmac: HmacSignature | None = None
    """A keyed hash of what was sent."""
    ecdsa: EcdsaSignature | None = None
    """A signature by the vendor's public key, over the time and the body."""
    standard: StandardSignature | None = None
    """As standardwebhooks.com has it."""
    token: TokenHeader | None = None
    """The secret in a header."""
    basic: BasicHeader | None = None
    """User name and password."""
    path: PathSecret | None = None
    """A secret address, for vendors that prove nothing."""


class PartOf(Declared):
    """Where something is said in a request."""

    header: str | None = None
    """Header that says it."""
    body: Path | None = None
    """Address in the event."""


class TypeFrom(Declared):
    """Where an event says what it is."""

    header: str | None = None
    """Header that says it."""
    body: Path | tuple[Path, ...] | None = None
    """Address in the event; several are joined with dots: `[name, operation]` makes QuickBooks' `Customer.Update`."""
    const: str | None = None
    """Or: what all of them are, where the vendor doesn't say (Airtable)."""


class Challenge(Declared):
    """What a vendor sends to a new address, and wants back. Exactly one of `query`, `body` and `header` says where it is."""

    query: str | None = None
    """Query parameter that holds it: `validationToken` (Microsoft Graph), `hub.challenge` (Meta)."""
    body: Path | None = None
    """Or: address in the body: `challenge` (Slack, monday)."""
    header: str | None = None
    """Or: header that holds it, and that goes back under the same name."""
    when: dict[str, Any] = {}
    """With `body`: what the body says then, by address: `{type: url_verification}`."""
    secret: str | None = None
    """Query parameter that holds the connection's secret, without which it is refused: `hub.verify_token` (Meta)."""
    reply: Literal["text", "json", "show"] = "text"
    """What goes back: the challenge as text, or as JSON under its own name; or nothing, and it is shown in the log (Notion's
    `verification_token`, which a person enters there)."""


class Ping(Declared):
    """A request without a proof that means nothing, and wants a 2xx."""

    only: tuple[str, ...]
    """The fields that it has, these and no others: `[webhook_id]` (WooCommerce)."""


class Answer(Declared):
    """What a request is answered with, once what it tells of is kept."""

    status: int = 200
    """A status from 200 to 299."""
    body: str = ""
    """The body, as text."""


class Webhooks(Declared):
    """The events that the vendor sends by itself; `tieline receive` takes them."""

    verify: Verify
    """How an event proves that it comes from the vendor."""
    events: Path = ""
    """Where the events are in the body; empty when the body is one, or a list of them."""
    event_id: PartOf | None = None
    """What the vendor calls an event, so that one that is sent again counts once; `standard` has it in a header. Without it, an event is known
    by its content."""
    type: TypeFrom
    """What kind of event it is. With both `header` and `body` it is `HEADER.BODY`, as GitHub's `issues.deleted`."""
    answer: Answer = Answer.model_construct()
    """What a request is answered with; an empty 200 unless stated."""
    challenges: tuple[Challenge, ...] = ()
    """What the vendor wants back from a new address."""
    pings: tuple[Ping, ...] = ()
    """Requests without a proof that mean nothing."""


class ResourceWebhook(Declared):
    """The events about a resource's records: types as the vendor spells them, with a `*` at the end for all that begin so."""

    changed: tuple[str, ...] = ()
    """Types that say that a record was made or changed."""
    deleted: tuple[str, ...] = ()
    """Types that say that a record was deleted."""
    merged: tuple[str, ...] = ()
    """Types that say that a record was merged into another."""
    listed: tuple[str, ...] = ()
    """Types that say that something has changed, not which record (Google, Airtable): the next run reads the list, as each does."""
    id: Path = ""
    """Where the record's id is in the event; `ids[]` where one event is about several records. Not needed with `listed` alone."""
    into: Path | None = None
    """Where the id of the record is into which one was merged."""
