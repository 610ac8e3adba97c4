"""Judgements over soft deletes: can the declared mark ever be seen in a record?"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from tieline.config.loading.yaml_source import Key
from tieline.config.models.connectors import Field
from tieline.config.models.operations import Tombstone
from tieline.config.suggestions import listed
from tieline.lint.findings import Findings

_WILD: Final = ("*", "**", "%", "any", "present", "not null", "!null", "not_null")
_PRESENT: Final = "write `present: true` instead: any value but null, blank, false and zero"
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "date": (str,),
    "datetime": (str,),
    "boolean": (bool, int),
    "integer": (int, Decimal, float),
    "number": (int, Decimal, float),
}


def lint_tombstone(found: Findings, at: tuple[Key, ...], tombstone: Tombstone, field: Field | None) -> None:
    """Find what can't mark a deleted record; `field` is the declared field that it looks at, if there is one."""
    given = [name for name in ("equals", "present", "not_equals") if name in tombstone.model_fields_set]
    if len(given) > 1:
        found.error(
            at, f"a deleted record is known in one way, and {listed([f'`{name}`' for name in given], 'and')} are given", "keep one of them"
        )
        return
    if "present" in given:
        if not tombstone.present:
            found.error(
                (*at, "present"),
                "an empty field marks nothing: an answer that leaves it out would delete the record",
                "write `present: true`, or `equals`",
            )
        return
    name = "not_equals" if "not_equals" in given else "equals"
    where = (*at, name) if given else at
    said: Any = getattr(tombstone, name)
    values = said if isinstance(said, list) else [said]
    if not values:
        found.error(where, "no value is named", "such as `equals: [deleted, spam]`")
    for number, value in enumerate(values):
        _value(found, (*where, number) if isinstance(said, list) else where, name, value, field, stated=bool(given))


def _value(found: Findings, at: tuple[Key, ...], name: str, value: Any, field: Field | None, *, stated: bool) -> None:
    if value is None:
        hint = _PRESENT if name == "not_equals" else "name the value that a deleted record has"
        found.error(at, "null marks nothing: a record of which the vendor says nothing would count as deleted", hint)
    elif isinstance(value, str) and value.lower() in _WILD and (field is None or field.enum is None or value not in field.enum):
        found.error(at, f"`{value}` is compared as it is written, and no record has it", _PRESENT)
    elif field is not None and (types := _TYPES.get(field.type)) is not None and not isinstance(value, types):
        shown = "true" if value is True else "false" if value is False else value
        problem = (
            f"a field of type `{field.type}` is never {shown}"
            if stated
            else f"without `equals` the field must be true, and one of type `{field.type}` never is"
        )
        found.error(at, problem, _PRESENT if isinstance(value, bool) else "write it as the vendor does, in quotes where it is a text")
