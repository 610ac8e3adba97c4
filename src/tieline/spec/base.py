"""What every declared thing shares: frozen, unknown keys refused, field docstrings published as descriptions.

Most commands need few of the declarations, so each is built when it is first used. A default that is a declaration itself comes from
`model_construct`, which needs no building.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, StringConstraints, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema

from tieline.spec.meanings import meaning_of

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


class Declared(BaseModel):
    """Base of everything a user writes in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        members = handler.resolve_ref_schema(schema)["properties"]
        for name, field in cls.model_fields.items():
            if meaning := meaning_of(cls, name):
                members[field.alias or name]["description"] = meaning
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


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$", "examples": ["30s", "5m", "7d"]}),
]
"""Seconds in code; `30s`, `5m`, `2h`, `7d` in files."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
"""A name in a file: lower-case letters, digits, `-` and `_`, a letter first."""

Path = Annotated[str, StringConstraints(max_length=512)]
"""An address inside a record or an answer: `company.name`, `emails[0].value`, `"dotted.key".x`; empty for the whole."""
