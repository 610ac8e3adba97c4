"""Words that were given up stay out of what people read: code, messages, documentation."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GIVEN_UP = {
    "anew": "again",
    "nobody": "no one",
    "somebody": "someone",
    "mend": "correct, or repair",
    "mends": "corrects, or repairs",
    "mended": "corrected, or repaired",
    "besides": "also, in addition to",
}
"""Each with what is said now."""
_WORDS = re.compile(rf"\b({'|'.join(GIVEN_UP)})\b", re.IGNORECASE)
_KINDS = {'"mended"', '"not mended"'}
"""Kinds of events, which stores hold."""


def prose(file: Path) -> str:
    """Return what people read of a file: of Python, its strings and comments."""
    text = file.read_text("utf-8")
    if file.suffix != ".py":
        return text
    read = {tokenize.STRING, tokenize.COMMENT}
    return "\n".join(t.string for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type in read and t.string not in _KINDS)


@pytest.mark.parametrize(
    "pattern", ["src/tieline/**/*.py", "src/tieline/**/*.yaml", "docs/**/*.md", "*.md", "changelog.d/*.md", "examples/**/*.yaml"]
)
def test_words_that_were_given_up_stay_out(pattern: str) -> None:
    files = [*ROOT.glob(pattern)]
    found = {f"{file.relative_to(ROOT)}: {word}" for file in files for word in _WORDS.findall(prose(file))}

    assert files
    assert set() == found, GIVEN_UP
