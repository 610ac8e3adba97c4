"""An answer's bytes as JSON. One entry of a list that can't be read is told apart from the others; what is left out is never silent.

`decode` knows a habit of vendors that is no JSON and means something all the same: a byte order mark. Half a character (a cut emoji, as
JavaScript writes it) is no text that could be sent on: its record is set aside, and no other. `entries_apart` is for a list
that can't be decoded as a whole: it cuts it into its entries, so that the bad one alone is set aside.
"""

from __future__ import annotations

import codecs
import json
import re
from decimal import Decimal
from typing import Any

import msgspec

from tieline.model.paths import parse_path
from tieline.model.records import decode_json

_MOST_SHOWN = 2000
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)
FAILURES = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class Unreadable(msgspec.Struct, frozen=True):
    """An entry of a list that is no record: what it says, cut, and what is wrong with it."""

    text: str
    problem: str


def decode(body: bytes) -> Any:
    """Return what JSON says. Raises one of `FAILURES`."""
    try:
        return decode_json(body)
    except FAILURES:
        if body.startswith(codecs.BOM_UTF8):
            return decode(body[len(codecs.BOM_UTF8) :])
        raise


def decode_leniently(body: bytes) -> Any:
    """Return the same of an answer to a write: there it is the id that counts, and half a character elsewhere is no reason to doubt it."""
    try:
        return decode(body)
    except FAILURES:
        if b"\\u" in body and (answer := _without_half_characters(body)) is not None:
            return answer
        raise


def entries_apart(body: bytes, address: str) -> tuple[Any, list[Any]] | None:
    """Return an answer without the entries of its list at `address`, and the entries: each decoded, or `Unreadable`.

    None when the list can't be found or does not end, or when what is around it can't be decoded either.
    """
    parts = parse_path(address)
    cut = _cut(body, [str(part) for part in parts]) if all(isinstance(part, str) for part in parts) else None
    if cut is None:
        return None
    start, end, spans = cut
    try:
        answer = decode(body[:start] + b"[]" + body[end:])
    except FAILURES:
        return None
    entries: list[Any] = []
    for first, last in spans:
        try:
            entries.append(decode(body[first:last]))
        except FAILURES as error:
            entries.append(unreadable(body[first:last], f"it can't be decoded ({error})"))
    return answer, entries


def unreadable(value: Any, problem: str) -> Unreadable:
    """Return an entry that is set aside."""
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value, enc_hook=str)
    return Unreadable(raw[:_MOST_SHOWN].decode("utf-8", "replace").strip(), problem)


def _cut(body: bytes, wanted: list[str]) -> tuple[int, int, list[tuple[int, int]]] | None:
    """Return where the list at `wanted` starts and ends, and where each of its entries does."""
    open_: list[bool] = []  # whether each open bracket is an object's
    keys: list[str | None] = []
    text: bytes | None = None
    start = depth = first = 0
    spans: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(body):
        what, at = token[0], token.start()
        if what[:1] == b'"':
            text = what
            continue
        if depth and len(open_) == depth and what in (b",", b"]"):
            if body[first:at].strip():
                spans.append((first, at))
            first = token.end()
            if what == b"]":
                return start, token.end(), spans
        if what in (b"{", b"["):
            if open_ and open_[-1]:
                keys[-1] = _key(text)
            if not depth and what == b"[" and all(open_) and keys == wanted:
                start, depth, first = at, len(open_) + 1, token.end()
            open_.append(what == b"{")
            keys.append(None)
        elif what in (b"}", b"]"):
            if not open_:
                return None
            open_.pop()
            keys.pop()
        text = None
    return None


def _key(text: bytes | None) -> str | None:
    try:
        return str(json.loads(text)) if text is not None else None
    except ValueError:
        return None


def has_half_characters(body: bytes) -> bool:
    """Whether halves of characters are all that is wrong with it."""
    return b"\\u" in body and _without_half_characters(body) is not None


def _without_half_characters(body: bytes) -> Any:
    """Return the JSON with halves of characters (a cut emoji, as JavaScript writes it) shown as `�`; None when that is not what is wrong."""
    try:
        return _whole(json.loads(body, parse_float=Decimal, parse_constant=_no_number))
    except (ValueError, RecursionError):
        return None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(key): _whole(entry) for key, entry in value.items()}
    return [_whole(entry) for entry in value] if isinstance(value, list) else value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")
