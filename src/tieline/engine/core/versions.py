"""The version of a record, in its system's own telling: what a write that must not overwrite anybody's edit is made on condition of.

Remembered with the pair is the version of the record of which all is known that it says: as it was read, or as the answer showed it to a
write of ours that was made on condition of the version before. Any other write of ours leaves it unknown: someone may have been there in
between. A record whose version is not known is read once more before it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tieline.dialects.dialect import Features
from tieline.mapping import compile_get
from tieline.model.records import ABSENT, Record, encode_json


def version_in(features: Features) -> Callable[[Record], str | None] | None:
    """Return what tells the version of a resource's records, as JSON, and None of one that shows none; None where no write has a condition."""
    field = next(iter(features.conditional.values()), None)
    if field is None:
        return None
    at = compile_get(field)

    def version(record: Record) -> str | None:
        value: Any = at(record)
        usable = value is not ABSENT and isinstance(value, (str, int)) and str(value).isprintable() and value != ""
        return encode_json(value).decode() if usable else None

    return version
