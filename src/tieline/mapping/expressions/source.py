"""Python source that is generated: lines, the names they use, and how a field is read.

What a user wrote enters it as an escaped literal or as a bound object, never as code; the names are all made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

from tieline.model.paths import Each, Entry, Parts, step, walk
from tieline.model.records import ABSENT

_SMALL: Final = 1 << 62


class Source:
    """A function body that grows line by line."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._indent = ""
        self._count = 0
        self.names: dict[str, Any] = {"__builtins__": {}, "ABSENT": ABSENT, "step": step, "len": len}

    def line(self, text: str) -> None:
        """Add a line at the present depth."""
        self._lines.append(self._indent + text)

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """Add a header, and what follows below it."""
        self.line(header)
        self._indent += " "
        yield
        self._indent = self._indent[:-1]

    def fresh(self, hint: str) -> str:
        """Return a name that nothing else has."""
        self._count += 1
        return f"{hint}{self._count}"

    def bind(self, value: object, hint: str = "c") -> str:
        """Return a name for an object."""
        name = self.fresh(f"_{hint}")
        self.names[name] = value
        return name

    def literal(self, value: Any) -> str:
        """Return an expression for a value of JSON's types; lists and objects are made again each time it runs."""
        kind = value.__class__
        if value is None or kind is bool or (kind is int and -_SMALL < value < _SMALL):
            return f"({value!r})" if kind is int else repr(value)
        if kind is str:
            return ascii(value)
        if kind is list:
            return "[" + ", ".join(map(self.literal, value)) + "]"
        if kind is dict:
            return "{" + ", ".join(f"{key!a}: {self.literal(entry)}" for key, entry in value.items()) + "}"
        return self.bind(value)

    def read(self, parts: Parts, into: str, *, root: str) -> None:
        """Read an address below the object `root`, whose bound `get` is called `root_get`, into a variable."""
        if not parts:
            self.line(f"{into} = {root}")
            return
        self.line(f"{into} = {root}_get({parts[0]!a}, ABSENT)")
        self.descend(parts[1:], into)

    def descend(self, parts: Parts, variable: str) -> None:
        """Replace a variable by what is at an address inside it."""
        for number, part in enumerate(parts):
            if isinstance(part, Entry | Each):
                self.line(f"{variable} = {self.bind(walk)}({variable}, {self.bind(parts[number:])})")
                return
            if isinstance(part, str):
                inside = f"{variable}.get({part!a}, ABSENT) if {variable}.__class__ is {self._type(dict)}"
            elif part >= 0:
                test = f"{variable}.__class__ is {self._type(list)} and {part} < len({variable})"
                inside = f"{variable}[{part}] if {test}"
            else:
                test = f"{variable}.__class__ is {self._type(list)} and {-part} <= len({variable})"
                inside = f"{variable}[{part}] if {test}"
            key = ascii(part) if isinstance(part, str) else str(part)
            self.line(f"{variable} = {inside} else step({variable}, {key})")

    def _type(self, kind: type) -> str:
        self.names[kind.__name__] = kind
        return kind.__name__

    def function(self, name: str) -> Callable[..., Any]:
        """Compile the lines and return the function of that name."""
        text = "\n".join(self._lines)
        exec(compile(text, f"<{name}>", "exec"), self.names)  # noqa: S102 - literals and bound names only, see above
        made: Callable[..., Any] = self.names[name]
        return made


def is_decimal_literal(text: str) -> Decimal | None:
    """Return the exact value of a number as written in Python, None when it is not a plain decimal."""
    try:
        value = Decimal(text.replace("_", ""))
    except ArithmeticError:
        return None
    return value if value.is_finite() else None
