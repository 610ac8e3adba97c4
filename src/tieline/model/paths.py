"""Addresses inside a record: `company.name`, `emails[0].value`, `"dotted.key".x`.

A key is written bare, unless it holds one of `. [ ] "`, a control character or white space at an end; then it stands in
double quotes, as in JSON. An index counts from 0, or from the end with a minus when reading.

What is inside null is null: a contact whose company was emptied has no company name any more, and says so. What is
inside text or a number, or past the end of a list, is absent.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, TypeAlias

from tieline.model.records import ABSENT, Record, Values

Parts: TypeAlias = tuple[str | int, ...]
"""A parsed address: keys and indices."""

MAX_INDEX: Final = 9_999
"""Largest index that is written, because a list is filled up to it."""

_INNER: Final = r'[^."\[\]\x00-\x1f\x7f\ud800-\udfff]'
_EDGE: Final = r'[^\s."\[\]\x00-\x1f\x7f\ud800-\udfff]'
_BARE: Final = re.compile(f"{_EDGE}(?:{_INNER}*{_EDGE})?")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_INDEX: Final = re.compile(r"\[(0|-?[1-9][0-9]{0,5})\]")


@lru_cache(maxsize=4096)
def parse_path(address: str) -> Parts:
    """Return the keys and indices of an address; of the empty address, which is the whole record, none."""
    parts: list[str | int] = []
    at, end = 0, len(address)
    while at < end:
        if address[at] == "[":
            if address.startswith('["', at):
                key, at = _quoted(address, at + 1)
                if not address.startswith("]", at):
                    raise _bad(address, at, "expected `]`")
                parts.append(key)
                at += 1
                continue
            index = _INDEX.match(address, at)
            if index is None:
                raise _bad(address, at, "expected a whole number, such as `[0]`")
            if not parts:
                raise _bad(address, at, "a record has keys, not numbers")
            parts.append(int(index[1]))
            at = index.end()
            continue
        if parts:
            if address[at] != ".":
                raise _bad(address, at, "expected `.` or `[`")
            at += 1
        if address.startswith('"', at):
            key, at = _quoted(address, at)
        else:
            bare = _BARE.match(address, at)
            if bare is None:
                raise _bad(address, at, "expected a field's name")
            key, at = bare[0], bare.end()
        parts.append(key)
    return tuple(parts)


def _quoted(address: str, at: int) -> tuple[str, int]:
    match = _QUOTED.match(address, at)
    try:
        if match is not None:
            return str(json.loads(match[0], strict=False)), match.end()
    except ValueError:
        pass
    raise _bad(address, at, "the quoted name has no end, or an escape that JSON does not know")


def _bad(address: str, at: int, problem: str) -> ValueError:
    return ValueError(f"`{address}` is not an address: {problem}, at character {at + 1}")


def format_path(parts: Parts) -> str:
    """Return the one way of writing an address; `parse_path` gives the parts back."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) else _quote(part)
            text += f".{name}" if text else name
    return text


def _quote(key: str) -> str:
    lone = any("\ud800" <= char <= "\udfff" for char in key)
    return json.dumps(key, ensure_ascii=lone)


def step(value: Any, part: str | int) -> Any:
    """Return what is under one key or index of a value."""
    if value is None:
        return None
    if isinstance(part, str):
        return value.get(part, ABSENT) if isinstance(value, dict) else ABSENT
    if isinstance(value, list) and -len(value) <= part < len(value):
        return value[part]
    return ABSENT


def get(record: Record, address: str) -> Any:
    """Return the value at an address, `ABSENT` when there is none."""
    value: Any = record
    for part in parse_path(address):
        value = step(value, part)
    return value


def put(record: Record, address: str, value: Any) -> None:
    """Set the value at an address; objects and lists on the way are made, gaps in a list are null."""
    _put(record, parse_path(address), value, address, None)


def nest(values: Values) -> Record:
    """Return the record that flat fields describe; values are taken over, not copied, and never changed.

    Two fields of which one lies inside the other raise `ValueError`.
    """
    record: Record = {}
    made: set[int] = {id(record)}
    for address, value in values.items():
        parts: tuple[Any, ...] = parse_path(address)
        node: Any = record
        if len(parts) == 2 and parts[1].__class__ is str:
            node = record.get(parts[0], ABSENT)
            if node is ABSENT:
                node = record[parts[0]] = {}
                made.add(id(node))
            elif id(node) not in made:
                raise _twice(address)
        elif len(parts) != 1:
            _put(record, parts, value, address, made)
            continue
        key = parts[-1]
        if key in node:
            raise _twice(address)
        node[key] = value
    return record


def _twice(address: str) -> ValueError:
    return ValueError(f"`{address}` is written twice, as a whole and in parts")


def _put(record: Record, parts: Parts, value: Any, address: str, made: set[int] | None) -> None:
    """Set a value. With `made`, only containers in it may be changed, and nothing that is there already."""
    if not parts:
        raise ValueError("an empty address can't be written")
    node: Any = record
    for part, following in pairwise(parts):
        child = _child(node, part, address)
        if child is ABSENT or (child is None and (made is None or isinstance(part, int))):
            child = [] if isinstance(following, int) else {}
            if made is not None:
                made.add(id(child))
            _set(node, part, child)
        elif made is not None and id(child) not in made:
            raise _twice(address)
        node = child
    there = _child(node, parts[-1], address)
    if made is not None and there is not ABSENT and not (there is None and isinstance(parts[-1], int)):
        raise _twice(address)
    _set(node, parts[-1], value)


def _child(node: Any, part: str | int, address: str) -> Any:
    if isinstance(part, str) and isinstance(node, dict):
        return node.get(part, ABSENT)
    if isinstance(part, int) and isinstance(node, list):
        if not 0 <= part <= MAX_INDEX:
            raise ValueError(f"`{address}` can't be written: an index goes from 0 to {MAX_INDEX}")
        return node[part] if part < len(node) else ABSENT
    raise ValueError(f"`{address}` can't be written: there is something else on the way")


def _set(node: Any, part: str | int, value: Any) -> None:
    if isinstance(node, list):
        assert isinstance(part, int)
        node.extend([None] * (part + 1 - len(node)))
    node[part] = value


def flatten(record: Record) -> Values:
    """Return a record's fields by address; a list is one value, and so is an empty object."""
    values: Values = {}

    def walk(node: Record, parts: Parts) -> None:
        for key, value in node.items():
            here = (*parts, key)
            if isinstance(value, dict) and value:
                walk(value, here)
            else:
                values[format_path(here)] = value

    walk(record, ())
    return values
