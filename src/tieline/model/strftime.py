"""Patterns of dates and times (`%Y-%m-%d`): what one holds, and whether it can be used."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

SCALE: Final = {"unix": 1_000_000, "unix_ms": 1_000}
"""Formats that are a number: so many microseconds each unit is."""
_SAMPLE: Final = dt.datetime(2024, 11, 28, 13, 45, 59, 123456, tzinfo=dt.UTC)
_YEAR: Final = frozenset("YyGcx")
TIME: Final = frozenset("HIcX")
"""Directives that hold a time of day."""
_DIRECTIVE: Final = re.compile(r"%([-_0^#]?[A-Za-z%]|:z)")


def directives(format: str) -> set[str]:  # noqa: A002 - the key's own name
    """Return the letters of a format's directives."""
    return {match[1][-1] for match in _DIRECTIVE.finditer(format)}


def holds(format: str | None) -> tuple[bool, bool, bool]:  # noqa: A002 - the key's own name
    """Return whether a format has a place for the whole date, for the time of day, and for the offset; RFC 3339 has, and Unix time."""
    if format is None or format in SCALE:
        return True, True, True
    letters = directives(format)
    whole = bool(letters & set("cx")) or bool(letters & _YEAR and ("j" in letters or (letters & set("mbB") and "d" in letters)))
    return whole, bool(letters & TIME), "z" in letters


def check_format(format: str, *, reading: bool) -> None:  # noqa: A002 - the key's own name
    """Raise `ValueError` for a format that can't be used."""
    if format in SCALE:
        return
    letters = directives(format)
    if not letters - {"%"}:
        raise ValueError(f"`{format}` holds no directive such as %Y")
    if "Z" in letters:
        raise ValueError("%Z is a name that several zones share; leave it out and state `zone`, or use %z")
    if reading and not letters & _YEAR:
        raise ValueError(f"`{format}` holds no year")
    try:
        text = _SAMPLE.strftime(format)
        if reading:
            dt.datetime.strptime(text, format)  # noqa: DTZ007 - only whether it can be read at all
    except (ValueError, UnicodeError):
        raise ValueError(f"`{format}` is not a format of dates") from None
