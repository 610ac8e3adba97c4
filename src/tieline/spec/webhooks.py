"""What a connector says about the events that a vendor sends by itself: how they prove where they come from, and what is in them."""

from __future__ import annotations

from typing import Final, Literal

from tieline.spec.base import Declared, Length, Path

BODY, TIMESTAMP, METHOD, URL = "body", "timestamp", "method", "url"
SIGNED: Final = (BODY, TIMESTAMP, METHOD, URL)
"""What may stand in `signed`."""


class TimeFrom(Declared):
    """Where a request says when it was signed, in seconds or milliseconds since 1970."""

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
    """The header is a list, `t=1700000000,v1=5257a8...`, and the signature is the part of this name. One of several is enough."""
    signed: str = "{body}"
    """What is hashed: `{body}` as it was sent, `{timestamp}`, `{method}`, and `{url}`, the address as the vendor knows it."""
    timestamp: TimeFrom | None = None
    """Where the time is that is signed along, so that what was recorded can't be sent again later."""
    tolerance: Length = 300.0
    """How far that time may be from now."""


class StandardSignature(Declared):
    """As standardwebhooks.com has it; also Svix, and those who send through it. The secret is base64, `whsec_` before it or not."""

    prefix: str = "webhook"
    """How its three headers begin: `webhook-id`, `webhook-timestamp`, `webhook-signature`; `svix` with some."""
    tolerance: Length = 300.0
    """How far the time of signing may be from now."""


class TokenHeader(Declared):
    """The secret itself in a header, as GitLab does."""

    header: str
    """Header that holds it."""
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


class Webhooks(Declared):
    """The events that the vendor sends by itself; `tieline receive` takes them."""

    verify: Verify
    """How an event proves that it comes from the vendor."""
    events: Path = ""
    """Where the events are in the body; empty when the body is one, or a list of them."""
    event_id: PartOf | None = None
    """What the vendor calls an event, so that one that is sent again counts once; `standard` has it in a header. Without it, an event is known
    by its content."""
    type: PartOf
    """What kind of event it is. With both `header` and `body` it is `HEADER.BODY`, as GitHub's `issues.deleted`."""


class ResourceWebhook(Declared):
    """The events about a resource's records: types as the vendor spells them, with a `*` at the end for all that begin so."""

    changed: tuple[str, ...] = ()
    """Types that say that a record was made or changed."""
    deleted: tuple[str, ...] = ()
    """Types that say that a record was deleted."""
    merged: tuple[str, ...] = ()
    """Types that say that a record was merged into another."""
    id: Path
    """Where the record's id is in the event."""
    into: Path | None = None
    """Where the id of the record is into which one was merged."""
