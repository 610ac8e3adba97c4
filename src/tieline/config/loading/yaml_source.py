"""A YAML file as plain values, with the line on which each of them stands.

What is written is what is meant: only `true`, `false` and `null` are words, only JSON's spelling of numbers is a number (with every
digit: a point makes it a `Decimal`), everything else is text: `no`, `08`, `12:30`, `1_000`, `+61`, `2026-01-31`. Keys are always text.
Two keys of one name are refused. However hostile the file, the result is a complaint: never a crash, never endless work.

What the values must be is `config.loading.complaints`; which files there are is `config.loading.loader`.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml
from yaml import events as on

from tieline.model.errors import Complaint

if TYPE_CHECKING:
    from yaml import SafeLoader as _Parser
else:
    _Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

LARGEST: Final = 5 * 1024 * 1024
DEEPEST: Final = 64
_REPEATED: Final = 100_000

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_CONTROL: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None, "~": None, "": None}

Key: TypeAlias = str | int
Place: TypeAlias = "tuple[int, dict[Key, Place] | None]"


@dataclass(frozen=True)
class Source:
    """A file that was read: its values and where they stand."""

    name: str
    """The path relative to the project folder, with `/`."""
    value: Any
    """What the file says; None when it is empty or could not be read."""
    place: Place
    derived: Mapping[tuple[Key, ...], tuple[Key, ...]] = field(default_factory=dict)
    """Keys that no one wrote, each with the key from which it was derived: that is what a complaint about it names."""

    def line(self, *keys: Key) -> int:
        """Return the line of the key, or of its nearest parent that is there."""
        line, inside = self.place
        keys = self._written(keys)
        for key in keys:
            if inside is None or key not in inside:
                break
            line, inside = inside[key]
        return line

    def complaint(self, keys: Iterable[Key], message: str, hint: str = "", *, severity: str = "error") -> Complaint:
        """Return a complaint about a key, with its line."""
        keys = self._written(tuple(keys))
        return Complaint(self.name, self.line(*keys), dotted(keys), message, hint, severity)

    def _written(self, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        if self.derived:
            for length in range(len(keys), 0, -1):
                if (origin := self.derived.get(keys[:length])) is not None:
                    return origin
        return keys


def dotted(keys: Iterable[Key]) -> str:
    """Return keys as people write them: `resources.leads.list`, `limits[0].requests`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            shown = key if key and key.isprintable() and " " not in key else repr(key)
            text += f".{shown}" if text else shown
    return text


def read_source(path: Path, name: str) -> tuple[Source | None, list[Complaint]]:
    """Read a file. Returns None for a file that can't be used at all, and what is wrong with it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None, [Complaint(name, None, "", "this is not a file", "a YAML file belongs here")]
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return None, [Complaint(name, None, "", f"can't be read: {reason}", "look at its permissions, and where a link leads")]
    if len(data) > LARGEST:
        limit = LARGEST // (1024 * 1024)
        return None, [Complaint(name, None, "", f"is larger than {limit} MiB", "records don't belong into these files")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return None, [Complaint(name, line, "", "is not UTF-8 text", "save the file as UTF-8")]
    return parse(text, name)


def parse(text: str, name: str) -> tuple[Source | None, list[Complaint]]:
    """Parse YAML text. Returns None when it is no YAML, and what is wrong with it."""
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        what = f"a control character (U+{ord(control[0]):04X})"
        return None, [Complaint(name, line, "", f"{what} stands in the text", "delete it, or write it as an escape in quotes")]
    builder = _Builder(text, name)
    try:
        value, place = builder.document()
    except _Wrong as wrong:
        return None, [*builder.complaints, Complaint(name, wrong.line, "", wrong.message, wrong.hint)]
    except yaml.MarkedYAMLError as error:
        return None, [*builder.complaints, _syntax(error, name, text)]
    except (yaml.YAMLError, ValueError, OverflowError):
        return None, [*builder.complaints, Complaint(name, None, "", "this is not YAML", "look at quotes and indentation")]
    finally:
        builder.close()
    return Source(name, value, place), builder.complaints


class _Wrong(Exception):
    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.message, self.hint = line, message, hint


class _Builder:
    """Values out of the parser's events; PyYAML's own composer is recursive C, which a deep file can crash."""

    def __init__(self, text: str, name: str) -> None:
        self._parser = _Parser(text)
        self._name = name
        self._next: Callable[[], Any] = self._parser.get_event
        self._anchors: dict[str, tuple[Any, Place, int]] = {}
        self._path: list[Key] = []
        self._count = self._repeated = 0
        self.complaints: list[Complaint] = []

    def close(self) -> None:
        self._parser.dispose()

    def document(self) -> tuple[Any, Place]:
        self._next()  # the stream
        event = self._next()
        if isinstance(event, on.StreamEndEvent):
            return None, (1, None)
        value, place = self._build(self._next(), 1)
        self._next()  # the document's end
        event = self._next()
        if not isinstance(event, on.StreamEndEvent):
            raise _Wrong(_line(event), "a second document begins here", "one file holds one document: delete the `---`")
        return value, place

    def _build(self, event: Any, depth: int) -> tuple[Any, Place]:
        self._count += 1
        kind = type(event)
        if kind is on.ScalarEvent:
            scalar: tuple[Any, Place] = self._scalar(event), (event.start_mark.line + 1, None)
            if event.anchor is not None:
                self._anchors[event.anchor] = (*scalar, 1)
            return scalar
        if kind is on.AliasEvent:
            return self._alias(event)
        if depth > DEEPEST:
            raise _Wrong(_line(event), f"is nested more than {DEEPEST} deep")
        if event.tag not in (None, "!", f"tag:yaml.org,2002:{'map' if kind is on.MappingStartEvent else 'seq'}"):
            raise self._tagged(event)
        before = self._count
        built = self._mapping(event, depth) if kind is on.MappingStartEvent else self._list(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (*built, self._count - before + 1)
        return built

    def _alias(self, event: Any) -> tuple[Any, Place]:
        if event.anchor not in self._anchors:
            raise _Wrong(_line(event), f"nothing above is marked `&{event.anchor}`", "an alias repeats what was written earlier")
        value, (_, inside), size = self._anchors[event.anchor]
        self._repeated += size
        self._count += size
        if self._repeated > _REPEATED:
            raise _Wrong(_line(event), f"aliases repeat more than {_REPEATED} values", "write fewer of them")
        return value, (_line(event), inside)

    def _list(self, start: Any, depth: int) -> tuple[Any, Place]:
        values: list[Any] = []
        places: dict[Key, Place] = {}
        while type(event := self._next()) is not on.SequenceEndEvent:
            self._path.append(len(values))
            value, places[len(values)] = self._build(event, depth + 1)
            self._path.pop()
            values.append(value)
        return values, (_line(start), places)

    def _mapping(self, start: Any, depth: int) -> tuple[Any, Place]:
        values: dict[str, Any] = {}
        places: dict[Key, Place] = {}
        merged: list[tuple[Any, Place]] = []
        while type(event := self._next()) is not on.MappingEndEvent:
            line = event.start_mark.line + 1
            if type(event) is on.AliasEvent:
                key, _ = self._alias(event)
            elif type(event) is on.ScalarEvent:
                key = event.value
                if not key and not event.style:
                    raise _Wrong(line, "a key is missing before the colon")
                if event.anchor is not None:
                    self._anchors[event.anchor] = (key, (line, None), 1)
            else:
                key = None
            if not isinstance(key, str):
                raise _Wrong(line, "a key must be text", "quote a text that begins with `{`, `[` or `*`")
            self._path.append(key)
            value, (_, inside) = self._build(self._next(), depth + 1)
            self._path.pop()
            if key == "<<" and type(event) is on.ScalarEvent and not event.style:
                merged.append((value, (line, inside)))
                continue
            if key in values:
                first = places[key][0]
                message = f"`{key}` is written twice, first in line {first}"
                self.complaints.append(Complaint(self._name, line, dotted((*self._path, key)), message, "keep one of them"))
            values[key], places[key] = value, (line, inside)
        for value, place in merged:
            self._merge(values, places, value, place)
        return values, (_line(start), places)

    def _merge(self, values: dict[str, Any], places: dict[Key, Place], value: Any, place: Place) -> None:
        """Add what `<<` brings in; what is written beside it wins."""
        line, inside = place
        if isinstance(value, list) and inside is not None:
            for index, item in enumerate(value):
                self._merge(values, places, item, inside[index])
        elif isinstance(value, dict):
            for key, item in value.items():
                if key not in values:
                    values[key] = item
                    places[key] = inside[key] if inside is not None else (line, None)
        else:
            raise _Wrong(line, "`<<` takes a map, or a list of maps", "write `<<: *NAME`, with `&NAME` before the map")

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        tag = event.tag
        if tag is not None and tag != "!":
            if tag == "tag:yaml.org,2002:str":
                return text
            raise self._tagged(event)
        if event.style or tag == "!":
            return text
        if text in _WORDS:
            return _WORDS[text]
        if (text[0].isdigit() or text[0] == "-") and len(text) <= 64 and (number := _NUMBER.fullmatch(text)):
            return int(text) if number[1] is None and number[2] is None else Decimal(text)
        return text

    def _tagged(self, event: Any) -> _Wrong:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        return _Wrong(_line(event), f"the tag `{tag}` is not used here", "write the plain value, in quotes if it is text")


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


_PLAINER: Final = (
    ("cannot start any token", "a value can't begin with this character", "put the value in quotes; indent with spaces, not tabs"),
    ("found a tab character", "a tab stands in the indentation", "indent with spaces"),
    (
        "mapping values are not allowed",
        "a colon is not expected here",
        "put a text that contains `: ` in quotes, and look at the indentation",
    ),
    ("could not find expected ':'", "a key without a colon", "write `key: value`, and look at the indentation"),
    ("did not find expected key", "neither a key nor the end of the map", "look at the indentation, and at quotes that are not closed"),
    ("did not find expected '-' indicator", "neither a `- ` nor the end of the list", "look at the indentation"),
    ("did not find expected ',' or", "a bracket that was opened is not closed", "close it with `]` or `}`, with `,` between the parts"),
    ("did not find expected node content", "a value is missing or misplaced", "look at the brackets and commas"),
    ("unexpected end of stream", "a quote that was opened is not closed", "close it"),
    ("found unknown escape character", "an escape that YAML doesn't know", "use single quotes for a text with backslashes"),
    ("block sequence entries are not allowed", "a list can't begin here", "begin it on a new line"),
    ("found unexpected document indicator", "`---` or `...` inside a quoted text", "close the quote"),
    ("did not find expected <document start>", "more text follows after the end", "look at the indentation of the first line"),
    ("expected alphabetic or numeric", "`&` and `*` begin a name here", "put the value in quotes"),
)


def _syntax(error: yaml.MarkedYAMLError, name: str, text: str) -> Complaint:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    message, hint = error.problem or "this is not YAML", "look at quotes and indentation"
    for theirs, ours, mend in _PLAINER:
        if theirs in message:
            message, hint = ours, mend
            break
    if error.context_mark is not None and ("not closed" in message or "without a colon" in message):
        line = error.context_mark.line + 1  # where it was opened says more than where the parser gave up
    lines = text.split("\n")
    written = lines[line - 1] if line <= len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        message, hint = "a tab stands in the indentation", "indent with spaces"
    elif "not closed" in message and _BARE_REFERENCE.search(written):
        message, hint = "a reference between braces or brackets needs quotes", 'write "${env:NAME}"'
    return Complaint(name, line, "", message, hint)


_BARE_REFERENCE: Final = re.compile(r"[:,\[]\s*\$\{")
