"""The fields of a resource, guessed from a page of its records, and put into the connector's file.

    fields:
      id: { type: string, read_only: true }
      email: { type: string, format: email, personal: true }
      created_at: { type: datetime, read_only: true }

A guess is a beginning: what a page doesn't show (what is required, what may be null, how long a text may be) is for the person who has
the vendor's documentation. What is written in a file already is never changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from tieline.config.loading.yaml_source import Source, parse
from tieline.model.paths import flatten
from tieline.model.records import Record
from tieline.model.times import parse_moment

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_OFFSET: Final = re.compile(r"(Z|[+-]\d\d:?\d\d)$", re.IGNORECASE)
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_WORDS: Final = re.compile(r"[a-z0-9]+|[A-Z][a-z0-9]*")
_PERSONAL: Final = frozenset(
    ["email", "mail", "phone", "mobile", "fax", "birthday", "birthdate", "firstname", "lastname", "surname", "street"]
)
_PERSONAL_PAIRS: Final = frozenset((("first", "name"), ("last", "name"), ("full", "name"), ("family", "name"), ("given", "name")))
_STAMPS: Final = frozenset(("created", "updated", "modified", "changed"))


def guess(records: Iterable[Record], id: str = "id") -> dict[str, dict[str, Any]]:
    """Return the fields that records show, by address, each as it is declared; in the order in which they were met."""
    seen: dict[str, list[Any]] = {}
    for record in records:
        for address, value in flatten(record).items():
            seen.setdefault(address, []).append(value)
    # `owner: null` in one record and `owner.name` in another are one object, and its parts say more.
    around = {address for address in seen for other in seen if other.startswith(f"{address}.")}
    return {address: _field(address, values, id) for address, values in seen.items() if address not in around}


def _field(address: str, values: list[Any], id: str) -> dict[str, Any]:
    told = [value for value in values if value is not None]
    kinds = {_kind(value) for value in told}
    kind = (
        kinds.pop() if len(kinds) == 1 else "number" if kinds == {"integer", "number"} else "string" if kinds and kinds <= _TEXTS else "any"
    )
    field: dict[str, Any] = {"type": "string" if kind == "email" else "datetime" if kind == "local" else kind}
    words = tuple(word.lower() for word in _WORDS.findall(address.rpartition(".")[2]))
    if kind == "email":
        field["format"] = "email"
    if address == id or (kind in ("datetime", "local") and _STAMPS.intersection(words)):
        field["read_only"] = True
    if kind == "email" or (kind == "string" and (_PERSONAL.intersection(words) or words in _PERSONAL_PAIRS)):
        field["personal"] = True
    return field


_TEXTS: Final = {"string", "email", "date", "datetime", "local"}


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float() | Decimal():
            return "number"
        case list():
            return "array"
        case dict():
            return "object"
        case str():
            return _text(value)
    return "any"


def _text(value: str) -> str:
    if _DATE.fullmatch(value):
        return "date"
    if _EMAIL.fullmatch(value):
        return "email"
    if _DATE.match(value) and value[10:11] in ("T", " "):
        try:
            parse_moment(value if _OFFSET.search(value) else f"{value}Z")
        except ValueError:
            return "string"
        return "datetime" if _OFFSET.search(value) else "local"
    return "string"


def without_zone(records: Iterable[Record], fields: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the times among `fields` that come without an offset: a person has to say their `zone`."""
    times = [address for address, field in fields.items() if field["type"] == "datetime"]
    found = {address: None for record in records for address, value in flatten(record).items() if _kind(value) == "local"}
    return [address for address in times if address in found]


def as_yaml(fields: Mapping[str, Mapping[str, Any]], indent: str = "") -> str:
    """Return fields as they are written below `fields:`, a line each."""
    return "".join(f"{indent}{_key(address)}: {_inline(field)}\n" for address, field in fields.items())


def _inline(field: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{key}: {str(value).lower() if isinstance(value, bool) else value}" for key, value in field.items()) + " }"


def _key(address: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][\w.\[\]-]*", address, re.ASCII) and address not in ("true", "false", "null", "y", "n")
    return address if plain else json.dumps(address, ensure_ascii=False)


def with_fields(text: str, resource: str, fields: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return a connector's text with the fields of a resource that declares none; None where they can't be put in safely.

    That is so for a resource that is written between braces, or has fields already. Nothing else of the text changes.
    """
    source, _ = parse(text, "")
    declared = _resource(source, resource)
    if source is None or not declared or declared.get("fields"):
        return None
    lines = text.splitlines(keepends=True)
    if "fields" in declared:
        at = source.line("resources", resource, "fields") - 1
        found = re.fullmatch(r"(\s+)fields:\s*(\{\s*\}|null|~)?\s*", lines[at])
        if found is None:
            return None
        indent, replaced = found[1], 1
    else:
        at = min(source.line("resources", resource, key) for key in declared) - 1
        indent, replaced = re.match(r"\s*", lines[at])[0], 0  # type: ignore[index]  # it matches always
    block = f"{indent}fields:\n" + as_yaml(fields, indent + "  ")
    new = "".join([*lines[:at], block, *lines[at + replaced :]])
    read, complaints = parse(new, "")
    after = _resource(read, resource)
    if read is None or complaints or after is None or after.pop("fields", None) != fields:
        return None
    declared.pop("fields", None)
    return new if read.value == source.value else None


def _resource(source: Source | None, name: str) -> dict[str, Any] | None:
    resources = source.value.get("resources") if source is not None and isinstance(source.value, dict) else None
    found = resources.get(name) if isinstance(resources, dict) else None
    return found if isinstance(found, dict) else None
