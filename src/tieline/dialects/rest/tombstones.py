"""How a record shows that it was deleted (`list.tombstone`).

One function per declaration decides, for lists, `get` and `find` alike, and so for the events of webhooks, whose records are asked for. What is
absent proves no deletion: an answer that leaves the field out says nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from tieline.config.models.operations import Tombstone
from tieline.mapping.access import compile_get
from tieline.model.records import ABSENT, Record

IsBuried = Callable[[Record], bool]

_NOTHING: Final = re.compile(r"[0\s:.+\-TZ]*|false|no|n|null|none", re.IGNORECASE)
"""Texts by which vendors say that there is no value: blank, `0`, `0000-00-00 00:00:00`, `false`."""


def burial(tombstone: Tombstone | None) -> IsBuried:
    """Return what says whether a record is shown as one that was deleted."""
    if tombstone is None:
        return lambda record: False
    at = compile_get(tombstone.field)
    if tombstone.present:
        return lambda record: is_filled(at(record))
    if tombstone.not_equals is not None:
        living = _several(tombstone.not_equals)
        return lambda record: (value := at(record)) is not None and value is not ABSENT and value not in living
    if isinstance(tombstone.equals, list):
        dead = tombstone.equals
        return lambda record: at(record) in dead
    only = tombstone.equals
    return lambda record: bool(at(record) == only)


def is_filled(value: Any) -> bool:
    """Whether a field holds a value: not null, blank, false, zero or a date of zeros."""
    if value is ABSENT or value is None or value is False:
        return False
    if isinstance(value, str):
        return _NOTHING.fullmatch(value) is None
    if isinstance(value, int | float | Decimal):
        return value != 0
    return bool(value)  # lists and objects


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
