"""Points in time as vendors write them."""

from __future__ import annotations

import datetime as dt
from typing import Any


def parse_moment(value: Any, zone: dt.tzinfo | None = dt.UTC) -> dt.datetime:
    """Return an RFC 3339 or ISO 8601 text as an aware time; a date, or a time without an offset, is taken as in `zone`.

    Raises `ValueError` for what is none, or has no offset where there is no `zone`.

    Good for ordering what one vendor wrote; a value that travels to another system goes through a mapping, which asks for the zone.
    """
    if not isinstance(value, str):
        raise ValueError("not a date and time in text form")
    moment = dt.datetime.fromisoformat(value.strip())
    if zone is None and moment.tzinfo is None:
        raise ValueError("a time without an offset")
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
