"""Addresses inside a record: `company.name`, `emails[0].value`, `"dotted.key".x`, `custom_fields[id=7].value`, `labels[].name`.

A key is written bare, unless it holds one of `. [ ] "`, a control character or white space at an end; then it stands in
double quotes, as in JSON. An index counts from 0, or from the end with a minus when reading.

`[id=7]` is the first entry of a list whose `id` is 7, as a number or as text; in quotes, `[key="a b"]`, it can be any text. Writing makes
the entry where there is none, and leaves the others alone. `[]` is all entries: reading gives the list of what each has, without those
that have none; writing makes a list of objects of a list of values.

What is inside null is null: a contact whose company was emptied has no company name any more, and says so. What is
inside text or a number, or past the end of a list, is absent.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, TypeAlias

from tieline.model.records import ABSENT, Record, Values


@dataclass(frozen=True, slots=True)
class Entry:
    """The first entry of a list whose `key` has a value, told apart by what it is as text."""

    key: str
    value: str | int | bool

    def fits(self, entry: Any) -> bool:
        """Whether this is the entry."""
        if entry.__class__ is not dict:
            return False
        value = entry.get(self.key, ABSENT)
        return isinstance(value, str | int | Decimal) and _text(value) == _text(self.value)

    def __str__(self) -> str:
        """As it is written."""
        value = self.value
        plain = not isinstance(value, str) or (_BARE_VALUE.fullmatch(value) is not None and _scalar(value) is None)
        return f"[{self.key}={_text(value) if plain else _quote(str(value))}]"


@dataclass(frozen=True, slots=True)
class Each:
    """All entries of a list."""


EACH: Final = Each()


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(text: str) -> int | bool | None:
    """Return the number, or true or false, that a bare value is."""
    return int(text) if _WHOLE.fullmatch(text) else {"true": True, "false": False}.get(text)


Part: TypeAlias = str | int | Entry | Each
Parts: TypeAlias = tuple[Part, ...]
"""A parsed address: keys, indices, entries by a key of theirs, all entries."""

MAX_INDEX: Final = 9_999
"""Largest index that is written, because a list is filled up to it."""

_INNER: Final = r'[^."\[\]\x00-\x1f\x7f\ud800-\udfff]'
_EDGE: Final = r'[^\s."\[\]\x00-\x1f\x7f\ud800-\udfff]'
_BARE: Final = re.compile(f"{_EDGE}(?:{_INNER}*{_EDGE})?")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_INDEX: Final = re.compile(r"\[(0|-?[1-9][0-9]{0,5})\]")
_ENTRY: Final = re.compile(
    rf'\[({_BARE.pattern.replace("[^", "[^=")})=(?:({_QUOTED.pattern})|([^"\[\]\x00-\x1f\x7f\ud800-\udfff]+))\]', re.DOTALL
)
_BARE_VALUE: Final = re.compile(
    r'[^\s"\[\]\x00-\x1f\x7f\ud800-\udfff](?:[^"\[\]\x00-\x1f\x7f\ud800-\udfff]*[^\s"\[\]\x00-\x1f\x7f\ud800-\udfff])?'
)
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")


@lru_cache(maxsize=4096)
def parse_path(address: str) -> Parts:
    """Return the keys and indices of an address; of the empty address, which is the whole record, none."""
    parts: list[Part] = []
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
            if not parts:
                raise _bad(address, at, "a record has keys, not numbers")
            if address.startswith("[]", at):
                parts.append(EACH)
                at += 2
                continue
            index = _INDEX.match(address, at)
            entry = _ENTRY.match(address, at) if index is None else None
            if index is not None:
                parts.append(int(index[1]))
                at = index.end()
            elif entry is not None:
                parts.append(_entry(entry, address, at))
                at = entry.end()
            else:
                raise _bad(address, at, "expected a whole number, such as `[0]`, an entry, such as `[id=7]`, or `[]` for all of them")
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


def _entry(match: re.Match[str], address: str, at: int) -> Entry:
    key, quoted, bare = match[1], match[2], match[3]
    if quoted is not None:
        return Entry(key, _quoted(address, match.start(2))[0])
    bare = bare.strip()
    if not bare:
        raise _bad(address, at, "an entry has a value, such as `[id=7]`")
    scalar = _scalar(bare)
    return Entry(key, bare if scalar is None else scalar)


def _bad(address: str, at: int, problem: str) -> ValueError:
    return ValueError(f"`{address}` is not an address: {problem}, at character {at + 1}")


def format_path(parts: Parts) -> str:
    """Return the one way of writing an address; `parse_path` gives the parts back."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif isinstance(part, Entry):
            text += str(part)
        elif isinstance(part, Each):
            text += "[]"
        else:
            name = part if _BARE.fullmatch(part) else _quote(part)
            text += f".{name}" if text else name
    return text


def _quote(key: str) -> str:
    lone = any("\ud800" <= char <= "\udfff" for char in key)
    return json.dumps(key, ensure_ascii=lone)


def step(value: Any, part: Part) -> Any:
    """Return what is under one part of an address; under `[]` the list itself, whose entries `walk` goes through."""
    if value is None:
        return None
    if isinstance(part, str):
        return value.get(part, ABSENT) if isinstance(value, dict) else ABSENT
    if isinstance(part, Entry):
        return next((entry for entry in value if part.fits(entry)), ABSENT) if isinstance(value, list) else ABSENT
    if isinstance(part, Each):
        return value if isinstance(value, list) else ABSENT
    if isinstance(value, list) and -len(value) <= part < len(value):
        return value[part]
    return ABSENT


def get(record: Record, address: str) -> Any:
    """Return the value at an address, `ABSENT` when there is none."""
    return walk(record, parse_path(address))


def walk(value: Any, parts: Parts) -> Any:
    """Return what is at an address inside a value, `ABSENT` when there is nothing."""
    for number, part in enumerate(parts):
        if part is EACH:
            return _each(value, parts[number + 1 :])
        value = step(value, part)
    return value


def _each(value: Any, rest: Parts) -> Any:
    """Return what each entry of a list has; lists in lists make one list where `[]` comes twice."""
    if not isinstance(value, list):
        return None if value is None else ABSENT
    if not rest:
        return value
    found: list[Any] = []
    for entry in value:
        inner = walk(entry, rest)
        if EACH in rest:
            found += inner if isinstance(inner, list) else ()
        elif inner is not ABSENT:
            found.append(inner)
    return found


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
    if EACH in parts:
        at = parts.index(EACH)
        _put(record, parts[:at], _spread(value, parts[at + 1 :], address), address, made)
        return
    if isinstance(parts[-1], Entry):
        raise ValueError(f"`{address}` can't be written: say which part of the entry, such as `{address}.value`")
    node: Any = record
    for part, following in pairwise(parts):
        child = _child(node, part, address)
        if child is ABSENT or (child is None and (made is None or isinstance(part, int))):
            child = {part.key: part.value} if isinstance(part, Entry) else {} if isinstance(following, str) else []
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


def _spread(values: Any, rest: Parts, address: str) -> Any:
    """Return the list of entries that have these values."""
    if values is None or not rest:
        return values
    if not isinstance(values, list):
        raise ValueError(f"`{address}` can't be written: a list of values belongs there")
    entries = []
    for value in values:
        entry: Record = {}
        _put(entry, rest, value, address, None)
        entries.append(entry)
    return entries


def _child(node: Any, part: Part, address: str) -> Any:
    if isinstance(part, str) and isinstance(node, dict):
        return node.get(part, ABSENT)
    if isinstance(part, Entry) and isinstance(node, list):
        return step(node, part)
    if isinstance(part, int) and isinstance(node, list):
        if not 0 <= part <= MAX_INDEX:
            raise ValueError(f"`{address}` can't be written: an index goes from 0 to {MAX_INDEX}")
        return node[part] if part < len(node) else ABSENT
    raise ValueError(f"`{address}` can't be written: there is something else on the way")


def _set(node: Any, part: Part, value: Any) -> None:
    if isinstance(part, Entry):
        node.append(value)
        return
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
