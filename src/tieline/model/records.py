"""Records and the addresses inside them. Absent, null and blank are three things all the way."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

Record: TypeAlias = dict[str, Any]
"""One object of a resource, decoded: JSON's types, with `Decimal` for every number that has a point."""

Values: TypeAlias = dict[str, Any]
"""Fields by address (`company.name`), flat; a field that is not in it is absent."""


class _Absent:
    """The field is not there; None is null, and "" is blank."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()

_encoder: Final = msgspec.json.Encoder(decimal_format="number")
_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)
encode_json: Final = _encoder.encode
"""Encode a value as JSON bytes; decimals are written as numbers, with every digit."""
decode_json: Final = _decoder.decode
"""Decode JSON; a number with a point or an exponent becomes a `Decimal`, so that no digit is lost. Raises `msgspec.DecodeError`."""
