"""What is written down of a call: a line always, and what was said when it failed or was drawn for the sample.

Everything is masked here, before it leaves the caller: secrets by their values in every spelling and by telling names, personal data by
the fields that the connector marks, wherever the project does not want it kept. Texts are cut, never in the middle of a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from tieline.model.paths import parse_path
from tieline.model.records import decode_json, encode_json
from tieline.transport.ports import HttpRequest, HttpResponse

HIDDEN: Final = "•••"
"""Stands for personal data; `***` is for secrets."""
_HEADERS: Final = frozenset(
    {
        "content-type", "content-length", "retry-after", "location", "link", "etag", "last-modified", "if-match", "if-none-match",
        "if-modified-since", "date", "server", "via", "allow", "deprecation", "sunset", "warning", "backoff", "x-cache", "cf-ray",
    }
)  # fmt: skip
_HEADER_PARTS: Final = ("ratelimit", "rate-limit", "request-id", "requestid", "correlation", "trace", "idempotency", "quota")
_SHORTEST_HIDDEN: Final = 4
_MOST_HIDDEN_VALUES: Final = 500


class Purpose(msgspec.Struct, frozen=True):
    """What a call is for."""

    operation: str
    """list, get, find, create, update, upsert, delete or ping."""
    resource: str = ""
    page: int | None = None
    private: tuple[str, ...] = ()
    """Values that are personal data, as they stand in the URL."""


UNKNOWN: Final = Purpose("")


class Said(msgspec.Struct):
    """What was said: the headers that matter, and the bodies as text; masked and cut."""

    request_headers: dict[str, str]
    request: str
    answer_headers: dict[str, str]
    answer: str


class CallRecord(msgspec.Struct):
    """One request and what came of it, as handed to the observer. Times in seconds, sizes in bytes; nothing in it is secret."""

    at: float
    connection: str
    method: str
    url: str
    status: int | None
    seconds: float
    waited: float
    sent: int
    received: int
    attempt: int
    purpose: Purpose = UNKNOWN
    failure: str | None = None
    answer: str | None = None
    said: Said | None = None
    told_url: str | None = None
    """The URL without personal data, where that is another: for whoever is told of a failure."""


class Keeping(msgspec.Struct, frozen=True):
    """What the project keeps of the calls of one connection."""

    excerpt: Callable[[str, int], str]
    """Masks a text and cuts it at so many characters."""
    sample: float = 0.0
    """Share of the calls that went well of which it is kept what was said."""
    personal: str = "failures"
    """Where personal data is kept: `failures`, `always` or `never`."""
    most: int = 16 * 1024
    """Characters of a body."""
    fields: Mapping[str, frozenset[tuple[str, ...]]] = {}
    """By resource: the addresses of personal fields, as names from the outside in."""

    def hides(self, *, failed: bool) -> bool:
        """Whether personal data is left out."""
        return self.personal == "never" or (self.personal == "failures" and not failed)

    def url(self, url: str, purpose: Purpose, *, failed: bool) -> str:
        """Return a URL that is masked already, without the personal data that was searched for."""
        return without_private(url, purpose) if purpose.private and self.hides(failed=failed) else url

    def said(self, request: HttpRequest, response: HttpResponse | None, resource: str, *, failed: bool) -> Said:
        """Return what was said in a call."""
        request_text, answer_text = _text(request.body), _text(response.body if response else None)
        if self.hides(failed=failed) and (fields := self.fields.get(resource)):
            values: set[str] = set()
            request_text = hide(request_text, fields, values)
            answer_text = hide(answer_text, fields, values)
            request_text, answer_text = (_without(text[: 2 * self.most + 8192], values) for text in (request_text, answer_text))
        return Said(
            self._headers(request.headers), self.excerpt(request_text, self.most),
            self._headers(response.headers if response else {}), self.excerpt(answer_text, self.most),
        )  # fmt: skip

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {name: self.excerpt(value, 500) for name, value in headers.items() if _matters(name.lower())}


def without_private(url: str, purpose: Purpose) -> str:
    """Return a URL without the personal data that was asked for."""
    for value in purpose.private:
        url = url.replace(value, HIDDEN)
    return url


def private_fields(addresses: Mapping[str, bool]) -> frozenset[tuple[str, ...]]:
    """Return the names on the way to each address that is marked as personal."""
    marked = [parse_path(address) for address, personal in addresses.items() if personal]
    return frozenset(tuple(part.casefold() for part in parts if isinstance(part, str)) for parts in marked)


def hide(text: str, fields: frozenset[tuple[str, ...]], values: set[str]) -> str:
    """Return a body without the values of these fields, wherever in it a record stands; gather the values that were hidden.

    A body in which fields can't be told apart is left out as a whole.
    """
    if not text.strip():
        return text
    if text.lstrip()[:1] in "{[":
        try:
            return encode_json(_walk(decode_json(text.encode()), (), fields, values)).decode()
        except (msgspec.DecodeError, RecursionError):
            pass
    elif "=" in text and "<" not in text and "\n" not in text:
        last = {parts[-1] for parts in fields}
        pairs = parse_qsl(text, keep_blank_values=True)
        values.update(value for name, value in pairs if name.casefold() in last and len(value) >= _SHORTEST_HIDDEN)
        return urlencode([(name, HIDDEN if name.casefold() in last else value) for name, value in pairs]).replace(quote(HIDDEN), HIDDEN)
    return f"({len(text)} characters, left out: personal data can't be told from the rest)"


def _walk(value: Any, trail: tuple[str, ...], fields: frozenset[tuple[str, ...]], values: set[str]) -> Any:
    if isinstance(value, list):
        return [_walk(entry, trail, fields, values) for entry in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, entry in value.items():
        here = (*trail, name.casefold())
        if any(here[-len(parts) :] == parts for parts in fields):
            _gather(entry, values)
            found[name] = None if entry is None else HIDDEN
        else:
            found[name] = _walk(entry, here, fields, values)
    return found


def _gather(value: Any, values: set[str]) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            _gather(entry, values)
    elif isinstance(value, str) and len(value) >= _SHORTEST_HIDDEN and len(values) < _MOST_HIDDEN_VALUES:
        values.add(value)


def _without(text: str, values: set[str]) -> str:
    """Take hidden values out of what a vendor says about them."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def _text(body: bytes | None) -> str:
    return body.decode("utf-8", "replace") if body else ""


def _matters(name: str) -> bool:
    return name in _HEADERS or any(part in name for part in _HEADER_PARTS)
