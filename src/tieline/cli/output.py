"""How commands speak: tables and colours on a terminal, plain text elsewhere, JSON with `--json`."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, TextIO, cast
from urllib.parse import quote, quote_plus

import msgspec
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape as _without_markup
from rich.segment import Segment

from tieline.cli.layout import Span, Whole, assemble, table, wrapped
from tieline.engine.core.failures import PASSING
from tieline.model.errors import RemoteError, SafetyStop, SpecError, StoreError, TielineError
from tieline.model.records import encode_json
from tieline.model.shown import shown, shown_json, shown_lines

OK, ACT, WRONG, OWED, SAFETY, BROKEN, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

STATE_STYLES = {
    "green": "green", "attention": "yellow", "owed": "yellow", "waiting": "cyan", "late": "red", "failed": "red", "halted": "red", "stopped": "yellow", "running": "cyan", "never run": "dim",
}  # fmt: skip


def escape(text: str) -> str:
    """Return a text as it is put into a line: safe to show (`model.shown`), and no markup of `rich`."""
    return _without_markup(shown(text))


class _SafeConsole(Console):
    """A console that shows nothing which has no shape, whatever way it came in; line breaks in it are those of the layout."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                yield Segment(shown_lines(segment.text), segment.style)


class Output:
    """Where a command writes. `json_mode`, `log` and the console are set once, by the command's options."""

    def __init__(self) -> None:
        self.json_mode = False
        self.log = "off"
        """Which log lines are wanted: off, text or json."""
        self._hidden: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.console = _SafeConsole(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)
        self.stderr = _SafeConsole(stderr=True, highlight=False, soft_wrap=True)

    def print(self, text: str = "", *, style: str | None = None) -> None:
        """Print a line of text as it is."""
        self.hanging((text, style or ""), hang=len(text) - len(text.lstrip(" ")))

    @property
    def width(self) -> int | None:
        """How many cells a line has; None where lines are as long as they are: in a pipe or a file."""
        return self.console.width if self.console.is_terminal else None

    def hanging(self, *spans: Span, hang: int = 0) -> None:
        """Print a line that goes on below where it is too long, `hang` cells in; ids and commands stay in one piece (`cli.layout`)."""
        for line in wrapped(assemble(spans, self.masked), self.width, hang):
            self.console.print(line, soft_wrap=True)

    def labelled(self, label: str, *spans: Span, room: int = 9, style: str = "dim") -> None:
        """Print `  label     text`, the text hanging beside its label; an empty label goes on with the one above."""
        self.hanging("  ", (f"{label:<{room}}", style), " ", *spans, hang=room + 3)

    def table(
        self, rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), droppable: Sequence[int] = (), styles: Sequence[str] = ()
    ) -> None:
        """Print rows in columns, the first as headings; `styles` are those of the rows' first cells.

        Where they don't fit, columns go in the order of `droppable`; if none may, each row is a line that hangs.
        """
        rows = [[self.masked(cell) for cell in row] for row in rows]
        laid_out = table(rows, self.width, right=right, droppable=droppable)
        if not droppable and self.width is not None and any(cell_len("  ".join(cells)) > self.width for cells in laid_out):
            for at, row in enumerate(rows):
                spans: list[Span] = []
                for cell in filter(None, row):
                    spans += ["  ", (Whole(cell), "dim" if at == 0 else "")]
                self.hanging(*spans[1:], hang=4)
            return
        for at, cells in enumerate(laid_out):
            style = "dim" if at == 0 else styles[at - 1] if at <= len(styles) else ""
            first, rest = cells[0], "".join(f"  {cell}" for cell in cells[1:])
            line = assemble([(first + rest, style)] if at == 0 else [(first, style), rest])
            line.rstrip()
            self.console.print(line, soft_wrap=True)

    def masked(self, text: str) -> str:
        """Return a text with what is hidden taken out: before it is laid out, since a value that is broken over lines is not found."""
        return self._pattern.sub(_hidden, text) if self._pattern is not None else text

    def lines(self, text: str) -> None:
        """Print a text of several lines."""
        for line in text.split("\n"):
            self.print(line)

    def json(self, value: Any) -> None:
        """Print a value as JSON; numbers keep every digit."""
        sys.stdout.write(_json_text(value) + "\n")

    def json_list(self, values: Iterable[Any]) -> int:
        """Print values as one JSON list, each as it comes; return how many there were."""
        number = 0
        for number, value in enumerate(values, 1):
            text = _json_text(value)
            sys.stdout.write(("[\n  " if number == 1 else ",\n  ") + text.replace("\n", "\n  "))
        sys.stdout.write("\n]\n" if number else "[]\n")
        return number

    def hide(self, values: Iterable[Any]) -> None:
        """Print `•••` from now on wherever one of these values would stand."""
        for text in {str(value) for value in values if not isinstance(value, (dict, list, bool))}:
            written = json.dumps(text, ensure_ascii=False)
            # A short one is only taken where it stands alone: as a part it could be anything.
            spelled = {text, written[1:-1], quote(text, safe=""), quote(text), quote_plus(text), shown(text), shown(written[1:-1])}
            self._hidden |= spelled if len(text) > 2 else {written}
        if not self._hidden:
            return
        # A search may be for another spelling of it: that is hidden in whatever case.
        self._pattern = re.compile("|".join(re.escape(text) for text in sorted(self._hidden, key=len, reverse=True)), re.IGNORECASE)
        masking = cast("TextIO", _Masking(sys.__stdout__ or sys.stdout, self._pattern))
        sys.stdout = self.console.file = masking

    def error(self, error: BaseException) -> None:
        """Say what went wrong, and what to do next."""
        if self.json_mode:
            details: dict[str, Any] = {"error": str(error), "next": getattr(error, "next_step", "")}
            if isinstance(error, SpecError):
                details["complaints"] = [plain(complaint) for complaint in error.complaints]
            sys.stdout.write(shown_json(json.dumps(details, indent=2, ensure_ascii=False)) + "\n")
            return
        if isinstance(error, SpecError):
            lines = [str(complaint) for complaint in error.complaints]
        elif isinstance(error, TielineError):
            lines = [error.message, *(f"  {detail}" for detail in error.details)]
        else:
            lines = [str(error)]
        told = "\n".join(map(shown, lines))
        self.stderr.print(f"[red]error[/] {_without_markup(told)}")
        if next_step := getattr(error, "next_step", ""):
            self.stderr.print(f" [dim]next[/] {escape(next_step)}")


def _hidden(found: re.Match[str]) -> str:
    return '"•••"' if found[0][0] == '"' else "•••"


class _Masking(io.TextIOBase):
    """A stream whose lines have the values taken out."""

    def __init__(self, stream: TextIO, pattern: re.Pattern[str]) -> None:
        self._stream, self._pattern = stream, pattern

    def write(self, text: str) -> int:
        self._stream.write(self._pattern.sub(_hidden, text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


output = Output()


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error."""
    if isinstance(error, SpecError):
        return WRONG
    if isinstance(error, SafetyStop):
        return SAFETY
    if isinstance(error, StoreError):
        return BROKEN
    if isinstance(error, PASSING):
        return OWED
    if isinstance(error, RemoteError):
        return ACT
    return WRONG if isinstance(error, TielineError) else BROKEN


def plain(value: Any) -> Any:
    """Return a value made of JSON's types, and decimals."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if isinstance(value, Decimal):
        return value if value.is_finite() else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def when(moment: float | None) -> str:
    """Return a moment in local time."""
    if moment is None:
        return "never"
    return dt.datetime.fromtimestamp(min(max(moment, 0.0), 253_370_000_000.0)).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(seconds: float | None) -> str:
    """Return a length of time in its two largest units."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172800:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} d"


def tried_again(at: float) -> str:
    """Return when a system that is down is tried again; `at` is in seconds since 1970 (UTC)."""
    first = f"the first run from {when(at)} on tries it again" if at > time.time() else "the next run tries it again"
    return f"{first}, `tieline check --live` does at once"


def plural(count: int, thing: str) -> str:
    """Return how many there are, in words that agree."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def value_text(value: Any) -> str:
    """Return a value as people read it; control characters are spelled out, so that no record can move the cursor."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif value is None:
        return "null"
    else:
        text = encode_json(plain(value)).decode()
    text = shown(text)
    return text if len(text) <= 120 else text[:119] + "…"


def _json_text(value: Any) -> str:
    return shown_json(msgspec.json.format(encode_json(plain(value)), indent=2).decode())


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error came of a Ctrl-C: on the way out something else failed, and that is no news."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def spoken_errors() -> Iterator[None]:
    """Turn tieline's errors into words and an exit code."""
    try:
        yield
    except TielineError as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from None
        output.error(error)
        raise SystemExit(exit_code(error)) from None
