"""What `as` does: a value into text, a number, true or false, an address.

Blank text stays blank as text, and is null for everything else: a blank phone number or date is none.
`phone`, `date`, `datetime`, `money` and `country` have their own modules.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Any, Final

from tieline.mapping.convert.values import INVISIBLE, MAX_DIGITS, Unfit, exact, kind, text_of

TRUE_WORDS: Final = frozenset(("true", "t", "yes", "y", "on", "1", "wahr", "ja", "j", "vrai", "oui", "verdadero", "sí", "si"))
"""Words for true, in any case: English, German, French, Spanish."""
FALSE_WORDS: Final = frozenset(("false", "f", "no", "n", "off", "0", "falsch", "nein", "faux", "non", "falso"))
"""Words for false."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,3})?")
_EMAIL: Final = re.compile(
    r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}@"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_](?:[\w-]{0,61}[^\W_])"
)


def string(value: Any) -> str:
    """Text: digits in full, `true` and `false`."""
    return text_of(value)


def integer(value: Any) -> int | None:
    """A whole number with every digit; 5.0 is one, 5.5 and `true` are not."""
    if value.__class__ is int:
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if _INTEGER.fullmatch(text):
            return int(text)
        if not _NUMBER.fullmatch(text):
            raise Unfit("is not a whole number")
        value = Decimal(text)
    whole = exact(value)
    if isinstance(whole, Decimal):
        if whole.adjusted() > MAX_DIGITS:
            raise Unfit(f"has more than {MAX_DIGITS} digits")
        if whole != whole.to_integral_value():
            raise Unfit("is not a whole number")
    return int(whole)


def number(value: Any) -> Decimal | None:
    """A decimal with every digit. Text has a point, if anything, and no separators: `1,234` could mean two things."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise Unfit("is not a number")
        return Decimal(text)
    return Decimal(exact(value))


def boolean(value: Any) -> bool | None:
    """True or false: itself, 1 or 0, or one of the words above."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = unicodedata.normalize("NFKC", value).strip().casefold()
        if not text:
            return None
        if text in TRUE_WORDS:
            return True
        if text in FALSE_WORDS:
            return False
    elif isinstance(value, (int, Decimal, float)) and exact(value) in (0, 1):
        return value == 1
    raise Unfit("is neither true nor false")


def lower(value: Any) -> str:
    """Text in lower case."""
    return _text(value).lower()


def upper(value: Any) -> str:
    """Text in upper case."""
    return _text(value).upper()


def trim(value: Any) -> str:
    """Text without white space at its ends."""
    return _text(value).strip()


def email(value: Any) -> str | None:
    """An e-mail address, trimmed and in lower case. A display name around it is refused: it would be lost."""
    text = _text(value).strip().lower()
    if not text.isascii():
        text = INVISIBLE.sub("", text).strip()
    if not text:
        return None
    if len(text) > 254 or _EMAIL.fullmatch(text) is None:
        raise Unfit("is not an e-mail address")
    return text


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise Unfit(f"is {kind(value)}, not text")
