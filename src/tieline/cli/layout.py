"""How lines fit a terminal: nothing that is copied is cut or broken, and what goes on below hangs under where it began.

A line breaks at blanks alone. An id, a number, an address, a command in backquotes and whatever is `Whole` stay in one piece, and run over
where there is no room. In a table, columns that say least go first. Widths are in cells: a wide character takes two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from rich.cells import cell_len
from rich.text import Text

from tieline.model.shown import shown

Span: TypeAlias = str | tuple[str, str]
"""Text, or text with its style."""
_GLUE = "\0"
"""Stands for a blank that no line breaks at; what is shown has none of its own."""
_COMMAND = re.compile(r"`[^`]+`")
_LEAST_ROOM = 20
"""With less room beside what hangs, lines would be words: they go on further left."""


class Whole(str):
    """A text that stays in one piece though it has blanks."""

    __slots__ = ()


def assemble(spans: Sequence[Span], change: Callable[[str], str] = str) -> Text:
    """Return the spans as one text, each safe to show, and changed by `change` first: what hides values must see them whole."""
    text = Text()
    for span in spans:
        said, style = span if isinstance(span, tuple) else (span, "")
        safe = shown(change(said))
        safe = safe.replace(" ", _GLUE) if isinstance(said, Whole) else _COMMAND.sub(lambda found: found[0].replace(" ", _GLUE), safe)
        text.append(safe, style or None)
    return text


def wrapped(text: Text, width: int | None, hang: int = 0) -> list[Text]:
    """Return the lines of a text, those below the first `hang` cells in; one line where there is no `width`."""
    if width is None:
        return [_loosened(text)]
    hang = hang if width - hang >= _LEAST_ROOM else max(0, min(hang, width - _LEAST_ROOM), 2)
    lines, at = [], 0
    plain = text.plain
    while at < len(plain):
        room = width - (hang if at else 0)
        end = _end(plain, at, room)
        line = text[at:end]
        line.rstrip()
        lines.append(_loosened(Text(" " * hang) + line if at else line))
        at = end
        while at < len(plain) and plain[at] == " ":
            at += 1
    return lines or [text]


def _end(plain: str, start: int, room: int) -> int:
    """Return where a line ends that begins at `start`: after the last word that fits, or after the first, however long."""
    best, at = None, start
    while at < len(plain) and plain[at] == " ":
        at += 1
    while True:
        blank = plain.find(" ", at)
        stop = len(plain) if blank < 0 else blank
        if cell_len(plain[start:stop].replace(_GLUE, " ")) > room:
            return stop if best is None else best
        best = stop
        if blank < 0:
            return stop
        at = stop
        while at < len(plain) and plain[at] == " ":
            at += 1
        if at == len(plain):
            return stop


def _loosened(text: Text) -> Text:
    return Text(text.plain.replace(_GLUE, " "), spans=text.spans)


def table(
    rows: Sequence[Sequence[str]], width: int | None, *, right: Sequence[int] = (), droppable: Sequence[int] = (), glue: str = "  "
) -> list[list[str]]:
    """Return the rows with their cells padded to columns; the first may be headings.

    Where they are wider than `width`, columns go in the order of `droppable`; then they run over. `right` are columns of numbers.
    """
    rows = [[shown(cell) for cell in row] for row in rows]
    columns = list(range(len(rows[0]))) if rows else []
    widths = [max(cell_len(row[at]) for row in rows) for at in columns]
    for each in droppable:
        if width is None or sum(widths[at] for at in columns) + len(glue) * (len(columns) - 1) <= width:
            break
        columns.remove(each)
    padded = []
    for row in rows:
        cells = []
        for at in columns:
            room = " " * (widths[at] - cell_len(row[at]))
            cells.append(room + row[at] if at in right else row[at] + room)
        cells[-1] = cells[-1].rstrip() if columns[-1] not in right else cells[-1]
        padded.append(cells)
    return padded
