"""Which records an integration is about: a system, an account there and a collection, so that another one is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from tieline.model.records import encode_json

_SHOWN = 8
"""Characters of a hash that people are shown."""
_PORTS = {"http": 80, "https": 443}


class End(msgspec.Struct, frozen=True):
    """One end of an integration. Two are the same when their marks are."""

    text: str
    """For people: what was resolved from a reference, and may be secret, is a hash in it."""
    mark: str
    """A hash of everything that says which records are meant, as resolved: environment, host, port, path, variables."""
    before: str = ""
    """The same in the words of an earlier version, whose stores know no mark."""

    def __str__(self) -> str:
        return self.text


NOWHERE = End("", "")


class Known(msgspec.Struct, frozen=True):
    """An end as the store keeps it."""

    text: str
    mark: str


def end_at(
    name: str,
    environment: str,
    url: str,
    path: str,
    variables: Mapping[str, str],
    *,
    hidden: bool,
    secret: frozenset[str],
    before: str,
    ids: str = "",
) -> End:
    """Return an end.

    `name` is `CONNECTOR.RESOURCE`; `url` the system's address and `path` that of the collection below it, both resolved and filled in;
    `hidden` says that the address came from a reference, so that no more than its host is shown; `secret` names the variables that did.
    `ids` is how ids are spelled, where that is not as they are shown: what was linked under another spelling would not be recognised.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or _PORTS.get(parts.scheme, 0)
    whole = parts.path.rstrip("/") + "/" + path.strip("/")
    said = [name, environment, host, port, whole, sorted(variables.items()), *([ids] if ids else [])]
    mark = hashlib.sha256(encode_json(said)).hexdigest()
    at = host if port in _PORTS.values() else f"{host}:{port}"
    shown = f"{at}/…{_hash(whole)}" if hidden else at + whole
    told = "".join(f", {key} {_hash(value) if key in secret else value}" for key, value in sorted(variables.items()))
    return End(f"{name} of `{environment}` at {shown}{told}{f', ids: {ids}' if ids else ''}", mark, before)


def _hash(value: str) -> str:
    return "#" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:_SHOWN]
