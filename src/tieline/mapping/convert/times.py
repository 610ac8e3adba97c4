"""Dates and times: what a source writes, in the spelling that a destination wants.

A time is one instant; written without an offset it needs the rule's `zone`, because a guess would be wrong for half of
the year. When clocks go back, a local time that comes twice means the first; when they go forward, one that never was
is refused. A date is the date as it is written, unless `to_zone` asks for the date on that zone's calendar.

Microseconds are the finest step, and a format that is coarser drops what it has no place for.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from tieline.mapping.convert.exact import EXACT
from tieline.mapping.convert.values import Unfit, exact, kind
from tieline.model.strftime import SCALE, TIME, directives

Moment: TypeAlias = dt.date | dt.datetime

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?")


def zone(name: str) -> dt.tzinfo:
    """Return a time zone by its IANA name, or raise `ValueError`."""
    if name in ("UTC", "Etc/UTC", "Z"):
        return dt.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"`{name}` is not a time zone; write a name such as Australia/Sydney") from None


def converter(
    *,
    date: bool,
    zone: dt.tzinfo | None,
    to_zone: dt.tzinfo | None,
    format: str | None,  # noqa: A002 - the key's own name
    to_format: str | None,
) -> Callable[[Any], Any]:
    """Return the function that `as: date` or `as: datetime` stands for."""
    read = parse if format is None else _unix(SCALE[format]) if format in SCALE else _formatted(format)
    write = _writer(to_format, date)

    def convert(value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            return None
        try:
            moment = read(value)
            if not isinstance(moment, dt.datetime):
                if date:
                    return write(moment)
                moment = dt.datetime.combine(moment, dt.time())
            if date and to_zone is None:
                return write(moment.date())
            if moment.tzinfo is None:
                moment = localise(moment, zone)
            moment = moment.astimezone(to_zone or dt.UTC)
            return write(moment.date() if date else moment)
        except OverflowError:
            raise Unfit("is a time outside the years 1 to 9999") from None

    return convert


def localise(moment: dt.datetime, zone: dt.tzinfo | None) -> dt.datetime:
    """Return a local time as an instant; see the module about the two nights on which clocks change."""
    if zone is None:
        raise Unfit("is a time without an offset; state its `zone`")
    local = moment.replace(tzinfo=zone)
    if local.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) != moment:
        raise Unfit(f"is a time that never was in {zone}: clocks went forward over it")
    return local


def parse(value: Any) -> Moment:
    """Return a date or a time from RFC 3339 or another ISO 8601 form."""
    if isinstance(value, dt.date):
        return value
    if not isinstance(value, str):
        hint = "; state `format: unix` or `unix_ms`" if isinstance(value, (int, Decimal)) else ""
        raise Unfit(f"is {kind(value)}, not a date or a time{hint}")
    text = value.strip()
    try:
        if len(text) <= 10:
            return dt.date.fromisoformat(text)
        if text[10] in "Tt " or text[8] in "Tt":
            return dt.datetime.fromisoformat(text[:-1] + "Z" if text[-1] == "z" else text)
    except ValueError:
        pass
    raise Unfit("is not a date or a time")


def _unix(scale: int) -> Callable[[Any], dt.datetime]:
    def read(value: Any) -> dt.datetime:
        if isinstance(value, str):
            if not _NUMBER.fullmatch(value.strip()):
                raise Unfit("is not a Unix time")
            value = Decimal(value.strip())
        number = exact(value)
        if not -(10**18) < number < 10**18:
            raise OverflowError
        return _EPOCH + dt.timedelta(microseconds=math.floor(EXACT.multiply(number, scale)))

    return read


def _formatted(format: str) -> Callable[[Any], dt.datetime]:  # noqa: A002 - the key's own name
    timeless = not directives(format) & (TIME | set("MSfzps"))

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise Unfit(f"is {kind(value)}, not text in the form `{format}`")
        try:
            moment = dt.datetime.strptime(value.strip(), format)  # noqa: DTZ007 - the caller gives it its zone
        except ValueError:
            raise Unfit(f"is not in the form `{format}`") from None
        return moment.date() if timeless else moment

    return read


def _writer(format: str | None, date: bool) -> Callable[[Any], Any]:  # noqa: A002 - the key's own name
    if format is None:
        return dt.date.isoformat if date else rfc3339
    if format in SCALE:
        step = dt.timedelta(microseconds=SCALE[format])
        return lambda moment: (moment - _EPOCH) // step
    return lambda moment: moment.strftime(format)


def rfc3339(moment: dt.datetime) -> str:
    """Return an instant as RFC 3339 writes it: `Z` for UTC, and no more digits than are needed."""
    digits = "auto" if moment.microsecond % 1000 or not moment.microsecond else "milliseconds"
    if moment.tzinfo is dt.UTC:
        return moment.replace(tzinfo=None).isoformat(timespec=digits) + "Z"
    return moment.isoformat(timespec=digits)
