"""Texts and JSON with gaps: `/lists/{list}/members/{id}`, `email eq '{value|odata}'`, `{"id": "{id}", "fields": "{record}"}`.

In an address, filled values are percent-encoded, so that no value can leave its place, and so is literal text that may not stand there; what
is encoded already stays as it is. In JSON nothing is: a gap that stands alone is the value itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal
from urllib.parse import quote

from tieline.config.models.escapes import GAP
from tieline.dialects.rest.escapes import Escape, as_text, escape
from tieline.model.errors import Rejected
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record

_NO_ESCAPES: Final[Mapping[str, Mapping[str, str]]] = {}
_IN_PATH: Final = "!$&'()*+,;=:@/?~[]"
_IN_QUERY: Final = "!$()*+,;=:@/?~[]"
_IN_PAGE: Final = _IN_PATH + "#"
_SAFE: Final = {"path": _IN_PATH, "query": _IN_QUERY, "page": _IN_PAGE}
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SPREAD: Final = "..."
"""A key whose value's members are put beside the others."""


class Gaps(dict[str, Any]):
    """What fills gaps: values by name, and the fields of a record by address. A field that the record lacks is `Rejected`."""

    def __init__(self, values: Mapping[str, Any], record: Record) -> None:
        super().__init__(values)
        self._record = record

    def __missing__(self, name: str) -> Any:
        value = get(self._record, name)
        if value is ABSENT:
            raise lacks(name)
        return value


def lacks(name: str) -> Rejected:
    """Return the error of a record without a field that a call needs."""
    return Rejected(f"`{name}` has no value, and the call needs it", next_step=f"give the record a value of `{name}`, then redrive it")


def fill_header(text: str, variables: Mapping[str, str]) -> str:
    """Return a header's value with the variables filled in as they are: nothing is percent-encoded there."""
    return GAP.sub(lambda gap: variables.get(gap[1], gap[0]), text)


class Template:
    """A part of an address, cut up once. Connection variables are filled at once; what is left is filled per call."""

    __slots__ = ("_in_path", "_parts", "names", "text")

    def __init__(
        self,
        text: str,
        variables: Mapping[str, str],
        escapes: Mapping[str, Mapping[str, str]] = _NO_ESCAPES,
        part: Literal["path", "query", "page"] = "path",
    ) -> None:
        """In a `query`, a parameter's value, `&`, `#` and quotes are text; a `page` is a whole address, with a fragment perhaps."""
        self.text, self._in_path = text, part == "path"
        safe = _SAFE[part]
        parts: list[tuple[str, str | None, Escape | None]] = []
        position, literal = 0, ""
        for match in GAP.finditer(text):
            literal += well_formed(text[position : match.start()], safe)
            position = match.end()
            escaped = escape(match[2], escapes) if match[2] is not None else None
            if match[1] in variables:
                value = variables[match[1]]
                literal += encode(escaped(value) if escaped is not None else value)
            else:
                parts.append((literal, match[1], escaped))
                literal = ""
        parts.append((literal + well_formed(text[position:], safe), None, None))
        self._parts = parts
        self.names = [name for _, name, _ in parts if name is not None]

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the text with every gap filled.

        Raises `Rejected` where a value is missing, or the text would name another place; `KeyError` with the name of an unknown gap.
        """
        if len(self._parts) == 1:
            return self._parts[0][0]
        filled = "".join(
            literal if name is None else literal + self._filled(name, escaped, values) for literal, name, escaped in self._parts
        )
        if self._in_path and "/." in filled and any(segment in (".", "..") for segment in filled.partition("?")[0].split("/")):
            raise Rejected(f"`{self.text}` would become `{filled}`, which is another place", next_step="correct the value that fills it")
        return filled

    def _filled(self, name: str, escaped: Escape | None, values: Mapping[str, Any]) -> str:
        text = as_text(values[name])
        if text is None or (self._in_path and not text.strip()):
            raise lacks(name)
        return encode(escaped(text) if escaped is not None else text)


def encode(value: Any) -> str:
    """Percent-encode a value for a path segment or a query value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return quote(str(value), safe="")
    except UnicodeEncodeError:
        raise Rejected(f"{str(value)[:80]!r} holds half a character, and can't be sent", next_step="correct the field's value") from None


def well_formed(text: str, safe: str) -> str:
    """Return text in which everything that may not stand in an address is percent-encoded; what is encoded already stays."""
    return quote(_LONE_PERCENT.sub("%25", text), safe=safe + "%", errors="replace")


def well_formed_address(address: str) -> str:
    """Return an address that a vendor gave, with its blanks and the like encoded; what is encoded already stays."""
    return well_formed(address, _IN_PATH)


Shape = Callable[[Mapping[str, Any]], Any]
"""Makes JSON out of what fills the gaps."""


def compile_json(
    shape: Any,
    variables: Mapping[str, str],
    escapes: Mapping[str, Mapping[str, str]] = _NO_ESCAPES,
    known: Callable[[str], bool] = lambda name: True,
) -> Shape:
    """Return what makes JSON of a shape. Gaps whose names are neither variables nor `known` are text as they stand.

    A gap that stands alone is the value with its type, `null` as well; one inside a text is its text. `...: "{record}"` puts the members of
    the record beside the others, which win. Raises `Rejected`, when it makes one, for a value that is missing.
    """
    if isinstance(shape, dict):
        spread = compile_json(shape[_SPREAD], variables, escapes, known) if _SPREAD in shape else None
        members = [(key, compile_json(value, variables, escapes, known)) for key, value in shape.items() if key != _SPREAD]
        if spread is None:
            return lambda values: {key: make(values) for key, make in members}
        return lambda values: {**spread(values), **{key: make(values) for key, make in members}}
    if isinstance(shape, (list, tuple)):
        entries = [compile_json(value, variables, escapes, known) for value in shape]
        return lambda values: [make(values) for make in entries]
    if not isinstance(shape, str):
        return lambda values: shape
    return _text(shape, variables, escapes, known)


def _text(text: str, variables: Mapping[str, str], escapes: Mapping[str, Mapping[str, str]], known: Callable[[str], bool]) -> Shape:
    alone = GAP.fullmatch(text)
    if alone is not None and alone[2] is None and alone[1] not in variables and known(alone[1]):
        name = alone[1]
        return lambda values: values[name]
    parts: list[str | tuple[str, Escape | None]] = []
    position = 0
    for match in GAP.finditer(text):
        parts.append(text[position : match.start()])
        position = match.end()
        escaped = escape(match[2], escapes) if match[2] is not None else None
        if match[1] in variables:
            parts.append(escaped(variables[match[1]]) if escaped is not None else variables[match[1]])
        else:
            parts.append((match[1], escaped) if known(match[1]) else match[0])
    parts.append(text[position:])
    if all(isinstance(part, str) for part in parts):
        whole = "".join(part for part in parts if isinstance(part, str))
        return lambda values: whole

    def filled(values: Mapping[str, Any]) -> str:
        return "".join(part if isinstance(part, str) else _part(*part, values) for part in parts)

    return filled


def _part(name: str, escaped: Escape | None, values: Mapping[str, Any]) -> str:
    text = as_text(values[name])
    if text is None:
        raise lacks(name)
    return escaped(text) if escaped is not None else text
