"""Addresses with gaps: `/lists/{list}/members/{id}`. Filled values are percent-encoded, so that no value can leave its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

GAP = re.compile(r"\{([^{}]+)\}")


def gaps(text: str) -> list[str]:
    """Return the names of the gaps."""
    return GAP.findall(text)


def fill_header(text: str, variables: Mapping[str, str]) -> str:
    """Return a header's value with the variables filled in as they are: nothing is percent-encoded there."""
    return GAP.sub(lambda gap: variables.get(gap[1], gap[0]), text)


class Template:
    """A text with gaps, cut up once. Connection variables are filled at once; what is left is filled per call."""

    __slots__ = ("_parts", "names", "text")

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self.text = text
        parts: list[tuple[str, str | None]] = []
        position, literal = 0, ""
        for match in GAP.finditer(text):
            literal += text[position : match.start()]
            position = match.end()
            if match[1] in variables:
                literal += encode(variables[match[1]])
            else:
                parts.append((literal, match[1]))
                literal = ""
        parts.append((literal + text[position:], None))
        self._parts = parts
        self.names = [name for _, name in parts if name is not None]

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the text with every gap filled. Raises `KeyError` with the name of a gap that has no value."""
        if len(self._parts) == 1:
            return self._parts[0][0]
        return "".join(literal if name is None else literal + encode(values[name]) for literal, name in self._parts)


def encode(value: Any) -> str:
    """Percent-encode a value for a path segment or a query value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return quote(str(value), safe="")
