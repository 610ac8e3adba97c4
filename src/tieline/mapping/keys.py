"""Match keys: the one form in which two systems' spellings of the same value meet."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from typing import Any

from tieline.mapping.values import INVISIBLE, MAX_DIGITS


def normalise_key(value: Any) -> str | None:
    """Return the text by which a value is matched, or None when there is nothing to match by.

    Text is compared in NFKC form, without case, invisible characters or white space at its ends, and inner white space
    is one space. A whole number is compared by its digits, so that 42, 42.0 and "42" meet; "042" and "1.10" are text,
    because a leading or trailing zero can mean something there. A list or an object is no key.
    """
    if value.__class__ is str:
        if value.isascii():
            return " ".join(value.lower().split()) or None
        return _folded(value)
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() < 4 * MAX_DIGITS else hex(value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        if abs(value.adjusted()) > MAX_DIGITS:
            return str(value.normalize())
        text = format(value, "f")
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return _folded(value) if isinstance(value, str) else None


def _folded(text: str) -> str | None:
    # One pass is not enough: folding can leave letters that NFKC joins, and joining can leave letters that fold.
    for _ in range(3):
        before, text = text, unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        if before == text:
            break
    return " ".join(INVISIBLE.sub("", text).split()) or None
