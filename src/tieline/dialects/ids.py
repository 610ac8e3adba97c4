"""Ids: taken out of what a vendor writes, and spelled one way wherever they enter.

    "https://crm.example.com/accounts(7EB682F1-…)"   part: key           7eb682f1-…     form: guid
    "gid://shop/Product/7"                           part: last_segment  7
    "001A0000006Vm9r"                                                    001A0000006Vm9rIAC   form: salesforce

A list, a get, a search, the answer to a write, a batch's results, an event and a person may each spell the same id differently. All of them
come through `id_reader`, so that what is compared and kept is one spelling. What is no id, or would leave its place in an address, is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from tieline.model.paths import get, put
from tieline.model.records import Record

if TYPE_CHECKING:
    from tieline.config.models.connectors import Resource

IdReader: TypeAlias = Callable[[Any], str | None]
"""Takes what a vendor or a person wrote; returns the id in its one spelling, None where there is none that can be used."""

_LONGEST: Final = 1024
_DIGITS: Final = 40
"""Most digits of a number that is an id."""
_UNUSABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_KEY: Final = re.compile(r"[^()]*[\w.-]\((.*)\)")
_NAMED_KEY: Final = re.compile(r"\w+\s*=\s*([^'=]*|'(?:[^']|'')*')")
_QUOTED: Final = re.compile(r"'((?:[^']|'')*)'")
_GUID: Final = re.compile(r"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})")
_NUMBER: Final = re.compile(r"\+?([0-9]+)(?:\.0*)?")
_SALESFORCE: Final = re.compile(r"[0-9A-Za-z]{15}(?:[A-Za-z0-5]{3})?")
_SUFFIX: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def text_id(value: Any) -> str | None:
    """Return an id as text, the same for a number and its digits; None for what can't be an id.

    Refused are blanks, control characters, and `.` and `..`, which would name another place in an address (RFC 3986, 5.2.4).
    """
    if value.__class__ is int:
        return str(value)
    if isinstance(value, str):
        if value.isascii() and value.isprintable() and len(value) <= _LONGEST:  # the common case, quickly
            return value if value.strip() and value != "." and value != ".." else None
        return value if value.strip() and len(value) <= _LONGEST and not _UNUSABLE.search(value) else None
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _DIGITS and value == value.to_integral_value():
        return str(int(value))
    return None


def id_reader(resource: Resource, part: str | None = None) -> IdReader:
    """Return what reads the ids of a resource; `part` says how one place spells them, where that is not as the resource says."""
    take, spell = _part(part or resource.id_part), _FORMS[resource.id_form]
    if take is None:
        return text_id if spell is None else lambda value: _spelled(text_id(value), spell)
    return lambda value: _spelled(_taken(text_id(value), take), spell)


def one_spelling(resource: Resource) -> Callable[[Record, str | None], None] | None:
    """Return what writes an id into its record in the one spelling, so that what is mapped from it does not change with the place that showed it.

    None where a record keeps what it shows: ids have no form, or are a part of it.
    """
    if resource.id_form == "text" or resource.id_part != "whole":
        return None

    def write(record: Record, id: str | None) -> None:
        shown = get(record, resource.id)
        if id is not None and shown.__class__ is str and shown != id:
            put(record, resource.id, id)

    return write


def spelling_of(resource: Resource) -> str:
    """Return how the ids of a resource are read, in words; empty where they are taken as they are shown."""
    said = (f"part `{resource.id_part}`" if resource.id_part != "whole" else "", resource.id_form if resource.id_form != "text" else "")
    return ", ".join(part for part in said if part)


def _taken(text: str | None, take: Callable[[str], str | None]) -> str | None:
    return text_id(take(text)) if text is not None else None


def _spelled(text: str | None, spell: Callable[[str], str] | None) -> str | None:
    return spell(text) if text is not None and spell is not None else text


# -- the part of what is written that is the id


def _part(part: str) -> Callable[[str], str | None] | None:
    match part:
        case "whole":
            return None
        case "key":
            return _key
        case "last_segment":
            return _last_segment
    pattern = re.compile(part)

    def found(text: str) -> str | None:
        match = pattern.fullmatch(text)
        return match[1] if match is not None else text

    return found


def _key(text: str) -> str | None:
    """Return the key of an OData address: `accounts(7)`, `accounts('O''Neil')`, `accounts(id=7)`. A bare id is one already."""
    written = unquote(text) if "/" in text else text
    match = _KEY.fullmatch(written)
    if match is None:
        return text
    key = match[1].strip()
    if named := _NAMED_KEY.fullmatch(key):
        key = named[1].strip()
    if quoted := _QUOTED.fullmatch(key):
        return quoted[1].replace("''", "'")
    return None if "," in key or "=" in key or "'" in key else key  # a key of several parts is no id


def _last_segment(text: str) -> str | None:
    """Return the last segment of an address, percent-decoded; of `…/accounts(7)` the key. A bare id is one already."""
    if "/" not in text:
        return text
    segment = urlsplit(text).path.rstrip("/").rpartition("/")[2]
    return _key(unquote(segment))


# -- one spelling


def _guid(text: str) -> str:
    bare = text.strip().lower()
    if bare[:1] + bare[-1:] in ("{}", "()"):
        bare = bare[1:-1]
    match = _GUID.fullmatch(bare)
    return "-".join(match.groups()) if match is not None else text


def _number(text: str) -> str:
    match = _NUMBER.fullmatch(text.strip())
    return match[1].lstrip("0") or "0" if match is not None else text


def _salesforce(text: str) -> str:
    """Return the 18 characters, whose last three tell the case of the others; they may have lost theirs."""
    if not _SALESFORCE.fullmatch(text):
        return text
    if len(text) == 15:
        return text + "".join(_SUFFIX[sum(char.isupper() << at for at, char in enumerate(text[five : five + 5]))] for five in (0, 5, 10))
    upper = [_SUFFIX.index(char) >> at & 1 for char in text[15:].upper() for at in range(5)]
    return "".join(char.upper() if up else char.lower() for char, up in zip(text, upper, strict=False)) + text[15:].upper()


_FORMS: Final[dict[str, Callable[[str], str] | None]] = {
    "text": None,
    "guid": _guid,
    "number": _number,
    "salesforce": _salesforce,
    "case_insensitive": str.lower,
}
