"""Match keys: the one form in which two systems' spellings of the same value meet."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from unicodedata import category

from tieline.mapping.convert.phones import converter, extension
from tieline.mapping.convert.values import INVISIBLE, MAX_DIGITS, Unfit


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


def normaliser(convert: str | None = None, region: str | None = None) -> Callable[[Any], str | None]:
    """Return what brings a match field's values into one form: `phone`, `company`, or plain text. Raises `ValueError` for a wrong region."""
    if convert == "company":
        return normalise_company
    if convert != "phone":
        return normalise_key
    phone = converter(region)

    def number(value: Any) -> str | None:
        try:
            found = phone(value)
        except Unfit:  # it is no number, and can only be the same text
            return normalise_key(value)
        # Two desks of one office are two people.
        desk = extension(value, region) if isinstance(value, str) and not _NO_DESK.fullmatch(value) else None
        return f"{found};ext={desk}" if found and desk else found or None

    return number


def normalise_company(value: Any) -> str | None:
    """Return a company's name as it is matched: without its legal form and without punctuation; None when there is nothing to match by."""
    key = normalise_key(value)
    if key is None:
        return None
    text = _TOGETHER.sub("", _ONE_LETTER.sub(r"\1\2", key)).replace("&", " and ").replace("+", " and ")
    # A mark belongs to its letter: without it, Hindi and Thai names that differ would be the same.
    words = _APART.sub(lambda gap: "".join(c if category(c)[0] == "M" else " " for c in gap[0]), text).replace("sp z oo", "spzoo").split()
    left = words
    while len(left) > 1 and (left[-1] in _FORMS or (left[-1] == "and" and left is not words)):
        left = left[:-1]
    return " ".join(left) or key


_NO_DESK: Final = re.compile(r"[\d\s().+-]*")
_TOGETHER: Final = re.compile(r"[.'’]")
"""Left out without a gap: G.m.b.H., Macy's."""
_ONE_LETTER: Final = re.compile(r"\b(\w)/(\w)\b")
"""A/S, p/l."""
_APART: Final = re.compile(r"[^\w&+]+|_")
# fmt: off
_FORMS: Final = frozenset((
    "ab", "ag", "aps", "as", "asa", "bhd", "bv", "co", "company", "corp", "corporation", "cv", "doo", "eg", "ek", "eurl", "ev", "gbr",
    "gmbh", "inc", "incorporated", "kft", "kg", "kgaa", "kk", "lda", "limited", "llc", "llp", "lp", "ltd", "ltda", "mbh", "nl", "nv",
    "ohg", "ooo", "oy", "oyj", "pl", "plc", "private", "proprietary", "pte", "pty", "pvt", "sa", "sarl", "sas", "sdn", "se", "sl",
    "slu", "snc", "spa", "spzoo", "srl", "sro", "ug", "zrt",
))
# fmt: on
"""Legal forms, as they end a name."""


def _folded(text: str) -> str | None:
    # One pass is not enough: folding can leave letters that NFKC joins, and joining can leave letters that fold.
    for _ in range(3):
        before, text = text, unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        if before == text:
            break
    return " ".join(INVISIBLE.sub("", text).split()) or None
