"""What every declared thing shares: frozen, unknown keys refused, field docstrings published as descriptions.

Most commands need few of the declarations, so each is built when it is first used. A default that is a declaration itself comes from
`model_construct`, which needs no building.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, StringConstraints, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema

from tieline.config.docstrings import meaning_of

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")

_SIZE_UNITS: Final = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SIZE_PATTERN: Final = r"^\s*(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB)\s*$"
_SIZE: Final = re.compile(SIZE_PATTERN)
SHARE_PATTERN: Final = r"^\s*(\d+(?:\.\d+)?)\s*%\s*$"
_SHARE: Final = re.compile(SHARE_PATTERN)


class Declared(BaseModel):
    """Base of everything a user writes in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, defer_build=True)
    takes_over: ClassVar[frozenset[str]] = frozenset()
    """Required keys that what is around it may have said already."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        members = handler.resolve_ref_schema(schema)["properties"]
        for name, field in cls.model_fields.items():
            if meaning := meaning_of(cls, name):
                members[field.alias or name]["description"] = meaning
        if cls.takes_over:
            resolved = handler.resolve_ref_schema(schema)
            resolved["required"] = [key for key in resolved.get("required", ()) if key not in cls.takes_over]
        return schema


def parse_duration(value: Any) -> float:
    """Return seconds for `90s`, `5m`, `1h30m`, `7d`; a bare number is refused, because its unit would be a guess."""
    if isinstance(value, float):  # already parsed: a default, or a model that is built in code
        return value
    if isinstance(value, str):
        text = value.strip()
        parts = _DURATION.findall(text)
        if parts and not _DURATION.sub("", text).strip():
            return sum(float(number) * _UNITS[unit] for number, unit in parts)
    raise ValueError("expected a duration with a unit, such as 30s, 5m, 2h or 7d")


def _something(seconds: float) -> float:
    if not seconds:
        raise ValueError("expected a duration of more than nothing, such as 30s, 5m, 2h or 7d")
    return seconds


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$", "examples": ["30s", "5m", "7d"]}),
]
"""Seconds in code; `30s`, `5m`, `2h`, `7d` in files."""

Length = Annotated[Duration, AfterValidator(_something)]
"""A duration that is more than nothing."""


def parse_size(value: Any) -> int:
    """Return bytes for `16KiB`, `500MiB`, `2GiB`; a bare number is refused, because its unit would be a guess."""
    if isinstance(value, str) and (parts := _SIZE.fullmatch(value.strip())):
        return int(float(parts[1]) * _SIZE_UNITS[parts[2]])
    raise ValueError("expected a size with a unit, such as 16KiB, 500MiB or 2GiB")


def parse_share(value: Any) -> float:
    """Return a fraction for `1%`, `0.5%`; a bare number is refused, because 1 could be all or one in a hundred."""
    if isinstance(value, str) and (parts := _SHARE.fullmatch(value.strip())) and float(parts[1]) <= 100:
        return float(parts[1]) / 100
    raise ValueError("expected a share between 0% and 100%, such as 1%")


Size = Annotated[
    int, BeforeValidator(parse_size), WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "examples": ["16KiB", "500MiB", "2GiB"]})
]
"""Bytes in code; `16KiB`, `500MiB`, `2GiB` in files."""

Share = Annotated[
    float, BeforeValidator(parse_share), WithJsonSchema({"type": "string", "pattern": SHARE_PATTERN, "examples": ["0%", "1%", "0.1%"]})
]
"""A fraction of 1 in code; `1%` in files."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
"""A name in a file: lower-case letters, digits, `-` and `_`, a letter first."""

Path = Annotated[str, StringConstraints(max_length=512)]
"""An address inside a record or an answer: `company.name`, `emails[0].value`, `"dotted.key".x`; empty for the whole."""
