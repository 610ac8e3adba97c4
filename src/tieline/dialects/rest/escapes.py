"""How a value is written inside the quotes of a query language, so that no record can change the question: `{value|odata}`.

Each escape is what the language's own documentation says about text in quotes; percent-encoding and JSON come on top, where they are due.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from tieline.config.models.escapes import ESCAPES
from tieline.model.errors import Rejected

Escape: TypeAlias = Callable[[str], str]

_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def escape(name: str, declared: Mapping[str, Mapping[str, str]]) -> Escape:
    """Return an escape by name: one that the connector declares, or one of a known language. Raises `KeyError` for another."""
    if name in declared:
        return _replacing(declared[name])
    return _KNOWN[name]


def _replacing(table: Mapping[str, str]) -> Escape:
    """Return what replaces each text of a table in one pass, the longest first; what was put in is not looked at again."""
    found = re.compile("|".join(re.escape(text) for text in sorted(table, key=len, reverse=True)))
    return lambda value: found.sub(lambda match: table[match[0]], value)


def _json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _number(value: str) -> str:
    if not _NUMBER.fullmatch(value):
        raise Rejected(f"{value[:80]!r} is no number, and the call takes one", next_step="correct the field's value, then redrive it")
    return value


_LINES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BACKSLASH: Final = {"\\": "\\\\", "'": "\\'", '"': '\\"'}
_LUCENE: Final = {char: f"\\{char}" for char in '\\+-!(){}[]^"~*?:/&|'}

_KNOWN: Final[dict[str, Escape]] = {
    "odata": _replacing({"'": "''"}),
    "sql": _replacing({"'": "''"}),
    "soql": _replacing({**_BACKSLASH, **_LINES, "\b": "\\b", "\f": "\\f"}),
    "jql": _replacing({**_BACKSLASH, **_LINES}),
    "nql": _replacing(_BACKSLASH),
    "formula": _replacing({**_BACKSLASH, **_LINES}),
    "lucene": _replacing(_LUCENE),
    "json": _json,
    "graphql": _json,
    "number": _number,
}
assert set(_KNOWN) == set(ESCAPES)


def as_text(value: Any) -> str | None:
    """Return a plain value as text; None for one that has no text: null, a list, an object."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (list, dict)):
        return None
    return format(value, "f") if hasattr(value, "as_tuple") else str(value)
