"""What others have written, made safe to show: no text of a vendor moves the cursor, forges a line, hides what follows, or reads backwards.

The rule, everywhere on the terminal and in logs: a character that has no shape of its own (C0 and C1 controls, DEL, escape sequences, line
and paragraph separators, the marks that turn the direction of text, zero-width characters, lone surrogates) is shown as `\\u202e`. Line
breaks and tabs are among them, because what is shown has one line. Two joiners are let through between letters that are not ASCII, where
Persian, Indic scripts and emoji need them.
"""

from __future__ import annotations

from typing import Final

_JOINERS: Final = "\u200c\u200d"


def shown(text: str) -> str:
    """Return the text as one line that is safe to print; all but a few texts are returned as they are."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or (char in _JOINERS and _joins(text, at)) else _spelled(char) for at, char in enumerate(text)
    )


def shown_lines(text: str) -> str:
    """Return a text of several lines of ours; each of them is made safe."""
    return "\n".join(shown(line) for line in text.split("\n"))


def shown_json(text: str) -> str:
    """Return JSON that means the same, with nothing in it that has no shape: only its own line breaks and blanks stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _in_json(char) for char in text)


def _joins(text: str, at: int) -> bool:
    return 0 < at < len(text) - 1 and not (text[at - 1].isascii() or text[at + 1].isascii())


def _spelled(char: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char) or (f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")


def _in_json(char: str) -> str:
    if ord(char) < 0x10000:
        return f"\\u{ord(char):04x}"
    high, low = divmod(ord(char) - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
