"""The words of complaints: what stands there, what was probably meant, what there is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

NAME_WORDS: Final = "a name: lower-case letters, digits, `-` and `_`, a letter first, at most 64"
_COMPARED: Final = 2000
_LIKE_ANOTHER: Final = re.compile(r"|true|false|null|-?[0-9.]+")


def listed(words: Sequence[str], last: str = "or") -> str:
    """Join words as in `a, b or c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint: the known word that was probably meant, or the words there are."""
    words = list(dict.fromkeys(known))
    if hint := meant(word, words):
        return hint
    if not words:
        return "there is none"
    more = f" and {len(words) - 12} more" if len(words) > 12 else ""
    return "known: " + ", ".join(words[:12]) + more


def meant(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word that was probably meant, or nothing."""
    words = list(known)[:_COMPARED]
    same = {"".join(sorted(known.lower())): known for known in reversed(words)}  # `form` for `from`, `get` for `GET`
    close = same.get("".join(sorted(word.lower()))) or next(iter(difflib.get_close_matches(word, words, 1, 0.6)), None)
    return f"did you mean `{close}`?" if close else ""


def found(value: Any, mask: Callable[[str], str] = str) -> str:
    """Say what stands there instead."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            text = mask(value)
            shown = text if len(text) <= 60 else text[:57] + "..."
            plain = shown.strip() == shown and shown.isprintable() and not _LIKE_ANOTHER.fullmatch(shown)
            return f"`{shown}`" if plain else f"the text {shown!r}"
        case dict():
            return "a map"
        case list() | tuple():
            return "a list"
        case _:
            shown = mask(str(value))
            return f"the number {shown if len(shown) <= 40 else shown[:37] + '...'}"
