"""What a vendor sends by itself: is it from the vendor, and which records is it about?

A request is verified before anything follows from it. Signatures are compared as text, in the same time whatever they are, so that one that is
no base64 or no hex is refused like any other that does not fit. What is read of an event is its type and the record's id: the record itself is
asked for later, so what an event says of it needs no trust.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from tieline.config.models.connectors import Resource
from tieline.config.models.webhooks import EcdsaSignature, HmacSignature, PartOf, StandardSignature, TokenHeader, Verify, Webhooks
from tieline.dialects.ids import id_reader, text_id
from tieline.dialects.public_keys import is_signed, public_key
from tieline.model.errors import TielineError
from tieline.model.paths import get
from tieline.model.records import ABSENT, decode_json, encode_json
from tieline.model.times import parse_moment

_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_MILLISECONDS_FROM: Final = 100_000_000_000
"""A time of signing from here on is in milliseconds: in seconds it would be the year 5138."""
_LONGEST: Final = 512
_MOST_FIELDS: Final = 10_000
_FORM_KEY: Final = re.compile(r"[^\[\]]+(?:\[[^\[\]]+\]){0,20}(?:\[\])?")
_LEAST_PATH_SECRET: Final = 16


class Incoming(NamedTuple):
    """A request as it came."""

    headers: Mapping[str, str]
    """By name, whatever its case."""
    body: bytes
    url: str = ""
    """The address, as the vendor knows it."""
    method: str = "POST"
    secret: str | None = None
    """What follows the connection in the address."""
    query: Mapping[str, str] = {}
    """The parameters of the address."""


class Unverified(TielineError):
    """It does not prove that it comes from the vendor. What is wrong with it is for the log; whoever sent it learns nothing."""


class Unusable(TielineError):
    """It comes from the vendor, and is not what the connector says that its events look like."""


class Event(NamedTuple):
    """A record that an event is about."""

    name: str | None
    """What the vendor calls the event; None where it says nothing."""
    digest: str
    """A hash of its content."""
    resource: str
    id: str
    kind: Literal["changed", "deleted", "merged"]
    into: str | None
    type: str


class Content(NamedTuple):
    """What a request says."""

    events: list[Event]
    ignored: Counter[str]
    """Types that no resource declares, and how often each came."""
    unusable: list[str]
    """What is wrong with events that have no type or no id."""
    listed: Counter[str]
    """Types that say that something has changed, and how often each came."""


# -- verifying

Verifier = Callable[[Incoming, float], None]
"""Takes a request and the time in seconds since 1970; raises `Unverified`."""


def verifier(verify: Verify, secrets: Sequence[str]) -> Verifier:
    """Return what verifies requests with any of these secrets. Raises `TielineError` for one that can't be used."""
    if verify.hmac is not None:
        return _Hmac(verify.hmac, secrets)
    if verify.ecdsa is not None:
        return _Ecdsa(verify.ecdsa, secrets)
    if verify.standard is not None:
        return _Standard(verify.standard, secrets)
    if verify.token is not None:
        if verify.token.query is not None:
            _long_enough(secrets)
        token = verify.token
        return lambda incoming, now: _check_token(token, incoming, secrets)
    if verify.basic is not None:
        return _Basic(secrets)
    _long_enough(secrets)
    return lambda incoming, now: _check(incoming.secret or "", secrets, "the end of the address")


def _long_enough(secrets: Sequence[str]) -> None:
    if any(len(secret) < _LEAST_PATH_SECRET for secret in secrets):
        raise TielineError(
            f"a secret that is all of the proof must have at least {_LEAST_PATH_SECRET} characters: a shorter one could be guessed",
            next_step="make one by chance, such as with `openssl rand -hex 24`, and give the vendor the new address",
        )


def _check_token(token: TokenHeader, incoming: Incoming, secrets: Sequence[str]) -> None:
    if token.header is not None:
        given, where = [_header(incoming, token.header)], token.header
    elif token.query is not None:
        given, where = [incoming.query.get(token.query, "")], token.query
    else:
        where = token.body or ""
        try:
            found = _at(said_in(incoming), where)
        except Unusable:
            raise Unverified("the body holds no token that can be read") from None
        given = [one if isinstance(one, str) else "" for one in (found if isinstance(found, list) else [found])]
        if not given:
            raise Unverified(f"there is no `{where}`")
    for one in given:
        _check(_after(token.prefix, one, where), secrets, f"`{where}`")


class _Hmac:
    def __init__(self, declared: HmacSignature, secrets: Sequence[str]) -> None:
        self._declared, self._keys = declared, [_key(secret, declared.key) for secret in secrets]
        # At odd places stand the names of the gaps.
        self._pieces = re.split(r"\{([^{}]*)\}", declared.signed)

    def __call__(self, incoming: Incoming, now: float) -> None:
        declared = self._declared
        given = _header(incoming, declared.header)
        parts = [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in re.split("[,;]", given))]
        timestamp = ""
        if declared.timestamp is not None:
            if declared.timestamp.header is not None:
                timestamp = _header(incoming, declared.timestamp.header)
            else:
                timestamp = next((value for name, value in parts if name == declared.timestamp.part), "")
            _check_time(timestamp, now, declared.tolerance)
        signatures = [given] if declared.part is None else [value for name, value in parts if name == declared.part]
        signatures = [_after(declared.prefix, signature, declared.header) for signature in signatures]
        if declared.encoding == "hex":
            signatures = [signature.lower() for signature in signatures]
        known = {"body": incoming.body, "timestamp": _bytes(timestamp), "method": _bytes(incoming.method), "url": _bytes(incoming.url)}
        signed = b"".join(known[piece] if number % 2 else piece.encode() for number, piece in enumerate(self._pieces))
        _check_any(signatures, [self._sign(key, signed) for key in self._keys], f"`{declared.header}`")

    def _sign(self, key: bytes, signed: bytes) -> str:
        digest = hmac.new(key, signed, self._declared.digest).digest()
        return digest.hex() if self._declared.encoding == "hex" else base64.b64encode(digest).decode()


class _Ecdsa:
    def __init__(self, declared: EcdsaSignature, keys: Sequence[str]) -> None:
        self._declared = declared
        try:
            self._keys = [public_key(key) for key in keys]
        except ValueError as error:
            raise TielineError(
                f"the vendor's public key can't be used: {error}", next_step="copy it whole, as the vendor shows it"
            ) from None

    def __call__(self, incoming: Incoming, now: float) -> None:
        declared = self._declared
        given, timestamp = _header(incoming, declared.header), _header(incoming, declared.timestamp.header or "")
        _check_time(timestamp, now, declared.tolerance)
        try:
            signature = base64.b64decode(_bytes(given), validate=True)
        except binascii.Error:
            raise Unverified(f"`{declared.header}` is not base64") from None
        if not any(is_signed(key, _bytes(timestamp) + incoming.body, signature) for key in self._keys):
            raise Unverified(f"`{declared.header}` does not fit")


class _Standard:
    """See github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md."""

    def __init__(self, declared: StandardSignature, secrets: Sequence[str]) -> None:
        self._prefix, self._tolerance = declared.prefix, declared.tolerance
        try:
            self._keys = [base64.b64decode(secret.removeprefix("whsec_"), validate=True) for secret in secrets]
        except binascii.Error:
            raise TielineError("the secret is not base64, which the vendor's is", next_step="copy it whole, `whsec_` included") from None

    def __call__(self, incoming: Incoming, now: float) -> None:
        id, timestamp, given = (_header(incoming, f"{self._prefix}-{name}") for name in ("id", "timestamp", "signature"))
        _check_time(timestamp, now, self._tolerance)
        signatures = [value for version, _, value in (one.partition(",") for one in given.split(" ")) if version == "v1"]
        signed = b".".join((_bytes(id), _bytes(timestamp), incoming.body))
        expected = [base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode() for key in self._keys]
        _check_any(signatures, expected, f"`{self._prefix}-signature`")


class _Basic:
    def __init__(self, secrets: Sequence[str]) -> None:
        if any(":" not in secret for secret in secrets):
            raise TielineError(
                "the secret is not `user:password`, as the vendor sends it", next_step="set it to both, with a colon between"
            )
        self._expected = [base64.b64encode(secret.encode()).decode() for secret in secrets]

    def __call__(self, incoming: Incoming, now: float) -> None:
        scheme, _, credentials = _header(incoming, "Authorization").partition(" ")
        _check(credentials if scheme.lower() == "basic" else "", self._expected, "`Authorization`")


def _header(incoming: Incoming, name: str) -> str:
    value = incoming.headers.get(name)
    if value is None:
        raise Unverified(f"there is no header `{name}`")
    return value


def _after(prefix: str, text: str, header: str) -> str:
    if not text.startswith(prefix):
        raise Unverified(f"`{header}` does not begin with `{prefix.strip()}`")
    return text.removeprefix(prefix)


def _check(given: str, expected: Sequence[str], where: str) -> None:
    _check_any([given], expected, where)


def _check_any(given: Sequence[str], expected: Sequence[str], where: str) -> None:
    # All are compared, whichever fits, so that the time it takes tells nothing.
    fits = [hmac.compare_digest(_bytes(one), _bytes(other)) for one in given for other in expected]
    if not any(fits):
        raise Unverified(f"{where} does not fit")


def _key(secret: str, spelled: str) -> bytes:
    try:
        if spelled == "base64":
            return base64.b64decode(secret, validate=True)
        return bytes.fromhex(secret) if spelled == "hex" else secret.encode()
    except ValueError:  # binascii's among them
        raise TielineError(f"the secret is not {spelled}, which the vendor's is", next_step="copy it whole") from None


def _check_time(text: str, now: float, tolerance: float) -> None:
    if _NUMBER.fullmatch(text):
        at = float(text) / (1000 if int(text) >= _MILLISECONDS_FROM else 1)
    else:
        try:
            moment = parse_moment(text)
        except ValueError:
            raise Unverified("the time of signing is missing, or is no time") from None
        if moment.tzinfo is None:
            raise Unverified("the time of signing has no offset")
        at = moment.timestamp()
    if abs(now - at) > tolerance:
        raise Unverified(f"it was signed {abs(now - at):.0f} s {'ago' if now > at else 'from now'}, and {tolerance:g} s are tolerated")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# -- reading

_Kind = Literal["changed", "deleted", "merged", "listed"]


class Reader:
    """Reads the events of a connector."""

    def __init__(self, webhooks: Webhooks, resources: Mapping[str, Resource]) -> None:
        self._webhooks = webhooks
        self._types: dict[str, tuple[str, _Kind]] = {}
        self._beginnings: list[tuple[str, tuple[str, _Kind]]] = []
        self._declared = {name: resource.webhook for name, resource in resources.items() if resource.webhook is not None}
        for name, declared in self._declared.items():
            for kind, types in (
                ("changed", declared.changed),
                ("deleted", declared.deleted),
                ("merged", declared.merged),
                ("listed", declared.listed),
            ):
                for type_ in types:
                    if type_.endswith("*"):
                        self._beginnings.append((type_[:-1], (name, kind)))  # type: ignore[arg-type]  # one of the four
                    else:
                        self._types[type_] = (name, kind)  # type: ignore[assignment]  # one of the four
        self._read_id = {name: id_reader(resources[name]) for name in self._declared}
        self._beginnings.sort(key=lambda one: -len(one[0]))  # the longest is the most exact
        standard = webhooks.verify.standard
        self._name_in: PartOf | None = webhooks.event_id
        if self._name_in is None and standard is not None:
            self._name_in = PartOf(header=f"{standard.prefix}-id")

    def read(self, incoming: Incoming) -> Content:
        """Return what a verified request says. Raises `Unusable` when it is not what the connector declares."""
        # A vendor that says all in headers sends no body (Google).
        only_headers = self._webhooks.type.body is None and not self._webhooks.events and not incoming.body
        body = {} if only_headers else said_in(incoming)
        at = self._webhooks.events
        found = _at(body, at) if at else body
        entries: list[Any] = found if isinstance(found, list) else [found]
        if not all(isinstance(entry, dict) for entry in entries):
            what = (
                f"what stands at `{at}` is neither an event nor a list of them" if at else "the body is neither an event nor a list of them"
            )
            raise Unusable(what, next_step="correct `webhooks: events` in the connector")
        content = Content([], Counter(), [], Counter())
        for number, entry in enumerate(entries):
            self._take(incoming, entry, number if len(entries) > 1 else None, content)
        return content

    def _take(self, incoming: Incoming, entry: dict[str, Any], number: int | None, content: Content) -> None:
        type_ = self._type(incoming, entry)
        if type_ is None:
            content.unusable.append("an event without a type: correct `webhooks: type` in the connector")
            return
        meant = self._types.get(type_) or next((meant for start, meant in self._beginnings if type_.startswith(start)), None)
        if meant is None:
            content.ignored[type_] += 1
            return
        resource, kind = meant
        if kind == "listed":
            content.listed[type_] += 1
            return
        declared = self._declared[resource]
        read_id = self._read_id[resource]
        said = _at(entry, declared.id)
        ids = [read_id(one) for one in (said if isinstance(said, list) else [said])]
        if not ids or any(id is None or len(id) > _LONGEST for id in ids):
            content.unusable.append(f"an event `{type_}` without a usable id at `{declared.id}`: correct `resources.{resource}.webhook.id`")
            return
        into = read_id(_at(entry, declared.into)) if declared.into is not None else None
        digest = hashlib.sha256(encode_json([type_, entry])).hexdigest()
        name = self._name(incoming, entry, number)
        for id in ids:
            assert id is not None
            one = digest if len(ids) == 1 else hashlib.sha256(f"{digest} {id}".encode()).hexdigest()
            content.events.append(Event(name, one, resource, id, kind, into, type_))

    def _type(self, incoming: Incoming, entry: dict[str, Any]) -> str | None:
        said = self._webhooks.type
        parts = [_said(incoming, said.header) if said.header is not None else None]
        parts.append(said.const)
        addresses = (said.body,) if isinstance(said.body, str) else said.body or ()
        parts += [text_id(_at(entry, address)) for address in addresses]
        return ".".join(part for part in parts if part)[:_LONGEST] or None

    def _name(self, incoming: Incoming, entry: dict[str, Any], number: int | None) -> str | None:
        if self._name_in is None:
            return None
        if self._name_in.header is not None:
            name = _said(incoming, self._name_in.header)
            name = f"{name}/{number}" if name and number is not None else name
        else:
            name = text_id(_at(entry, self._name_in.body or ""))
        if name and len(name) > _LONGEST:
            name = hashlib.sha256(_bytes(name)).hexdigest()
        return name or None


def _said(incoming: Incoming, header: str) -> str | None:
    """Return what a header says; bytes in it that are no text are spelled out, so that it can be kept."""
    value = incoming.headers.get(header)
    return value.encode("utf-8", "backslashreplace").decode() if value is not None else None


def said_in(incoming: Incoming) -> Any:
    """Return what a body says: JSON, or a form, whose `data[id]` is `data.id`. Raises `Unusable`."""
    kind = incoming.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _form(incoming.body)
    try:
        return decode_json(incoming.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unusable("the body is not JSON", next_step="have the vendor send JSON") from None


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Unusable("the form can't be read", next_step="have the vendor send JSON") from None
    record: dict[str, Any] = {}
    for key, value in pairs:
        name, *inner = [key] if not _FORM_KEY.fullmatch(key) else re.findall(r"[^\[\]]+|(?<=\[)(?=\])", key)
        node: Any = record
        for here, following in pairwise([name, *inner]):
            there = node.setdefault(here, [] if following == "" else {}) if isinstance(node, dict) else None
            if not isinstance(there, dict | list):
                raise Unusable(f"the form has `{name}` as a value and in parts", next_step="have the vendor send JSON")
            node = there
        if isinstance(node, list):
            node.append(value)
        else:
            node[[name, *inner][-1]] = value
    return record


def _at(value: Any, address: str) -> Any:
    if not isinstance(value, dict):
        return ABSENT
    return get(value, address)
