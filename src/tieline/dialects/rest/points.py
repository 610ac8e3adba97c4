"""Points of time as a vendor means them: how its fields are read, and how a point is written in what it is asked.

A mark that is kept is in the field's own words where these can be compared and lowered (RFC 3339, Unix time, a date, a version), and RFC 3339
in UTC elsewhere. What is sent is never later than the mark: it is rounded down to the vendor's grain, and a local time that a night has twice
goes back to before the first of the two.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from tieline.config.models.connectors import Resource
from tieline.config.models.lists import ChangedSince
from tieline.mapping.access import compile_get
from tieline.model.errors import Undecodable
from tieline.model.records import ABSENT, Record
from tieline.model.times import parse_moment

_DOTNET: Final = re.compile(r"\s*\\?/Date\((-?\d{1,17})(?:[+-]\d{4})?\)\\?/\s*")
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PLAIN: Final = ("rfc3339", "unix", "unix_ms", "date", "raw")
"""Formats whose own words are kept as marks."""
_ABSOLUTE: Final = ("rfc3339", "unix", "unix_ms", "http", "dotnet")
"""Formats that say which moment is meant, wherever one is."""


class Points:
    """The points of one `changed_since`."""

    def __init__(self, changed: ChangedSince, zone: str | None) -> None:
        """`zone` is that of the field's times without an offset."""
        self.changed, self.fields = changed, changed.fields
        own = changed.zone or zone
        self._field_zone: dt.tzinfo = ZoneInfo(zone or changed.zone) if zone or changed.zone else dt.UTC  # type: ignore[arg-type]
        self._zone: dt.tzinfo = ZoneInfo(own) if own else dt.UTC
        self.zones = f"{self._field_zone} {self._zone}"
        self.has_zone = bool(zone or changed.zone)
        self._would_guess = not self.has_zone and (changed.format in _ABSOLUTE or "%z" in changed.format or "%s" in changed.format)
        """What is sent names a moment, and a time without an offset names none: in whichever zone it was taken, changes of hours could be lost."""
        self._get_at = tuple(compile_get(field) for field in self.fields)
        self.sent = changed.format
        self.read = changed.field_format or ("rfc3339" if changed.format == "local" else changed.format)
        self._either = changed.field_format is None and self.read not in _PLAIN
        """The field is as the point, or RFC 3339."""
        self.kept: str = self.read if self.read in _PLAIN else "rfc3339"

    # -- fields of records

    def value(self, record: Record) -> Any:
        """Return what a record says of when it changed: the first of the fields that says something; `ABSENT` without one."""
        for get_at in self._get_at:
            value = get_at(record)
            if value is not ABSENT and value is not None and value != "":
                return value
        return ABSENT

    def comparable(self, value: Any, *, to_ask: bool = False) -> Any:
        """Return a field's value in a form in which later is larger: a moment, a number, or what a version is. Raises `Undecodable`.

        To ask from there on, a time without an offset needs a zone where the point has to name a moment; else it is taken as UTC.
        """
        try:
            if self.read == "raw":
                return _version(value)
            if self.read in ("unix", "unix_ms"):
                return Decimal(str(value))
            moment = self._moment(value, None if to_ask and self._would_guess else self._field_zone)
            # Two times of one zone would be compared as its clocks show them, also in the hour that a night has twice.
            return moment.astimezone(dt.UTC) if moment.tzinfo.__class__ is ZoneInfo else moment
        except (ValueError, ArithmeticError, OverflowError) as error:
            what, next_step = f"`{'`, `'.join(self.fields)}`", "correct `changed_since.format` in the connector"
            if not self.fields:
                what, next_step = f"the mark in `{self.changed.header or self.changed.at}`", f"{next_step}; a token has no `overlap`"
            raise Undecodable(f"{what} is {value!r}: {error}", next_step=next_step) from None

    def _moment(self, value: Any, zone: dt.tzinfo | None) -> dt.datetime:
        if self.read in ("rfc3339", "date", "local"):
            return parse_moment(value, zone)
        if self._either:
            try:
                return parse_moment(value, zone)
            except ValueError:
                pass
        if self.read == "dotnet":
            found = _DOTNET.fullmatch(str(value))
            if found is None:
                raise ValueError("not in the form /Date(…)/")
            return _EPOCH + dt.timedelta(milliseconds=int(found[1]))
        if not isinstance(value, str):
            raise ValueError("not a date and time in text form")
        if self.read == "http":
            moment = email.utils.parsedate_to_datetime(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        moment = dt.datetime.strptime(value.strip(), self.read)  # noqa: DTZ007 - it gets its zone below
        if moment.tzinfo is None and zone is None:
            raise ValueError("a time without an offset")
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)

    def as_sent(self, point: str) -> str | int:
        """Return a point as it goes into a request: seconds and milliseconds as numbers, which is what a JSON body then has."""
        return int(point) if self.sent in ("unix", "unix_ms") and point.isdigit() else point

    # -- marks

    def mark(self, value: Any) -> str:
        """Return a field's value as it is kept."""
        return str(value) if self.read in _PLAIN else _exact(self.comparable(value))

    def of_mark(self, mark: str) -> Any:
        """Return a mark that was kept in the form of `comparable`. Raises `Undecodable`."""
        if self.read in _PLAIN or not self.fields:
            return self.comparable(mark)
        try:
            return parse_moment(mark)
        except ValueError as error:
            raise Undecodable(f"the mark {mark!r} can't be read: {error}", next_step="run once with `--full`") from None

    def mark_at(self, moment: float) -> str | None:
        """Return the mark of a time, in seconds since 1970; None where the vendor's marks are no times."""
        if not self.fields or self.read == "raw":
            return None
        at = dt.datetime.fromtimestamp(int(moment), dt.UTC)
        if self.read in ("unix", "unix_ms"):
            return digits(_since_epoch(at) * (1000 if self.read == "unix_ms" else 1))
        return at.date().isoformat() if self.read == "date" else written(at)

    def seconds(self, value: Any) -> float | None:
        """Return when it was, in seconds since 1970; None for a version, and for a time of which the zone is not known."""
        if self.read == "raw":
            return None
        if self.read in ("unix", "unix_ms"):
            return float(self.comparable(value)) / (1000 if self.read == "unix_ms" else 1)
        if not self.has_zone and self.read in ("rfc3339", "date", "local"):
            return parse_moment(value, None).timestamp()  # two systems' clocks would be compared by a guess
        moment: dt.datetime = self.comparable(value)
        return moment.timestamp()

    def earlier(self, mark: str, limit: dt.datetime) -> str:
        """Return the mark, or the limit as it is kept if that is earlier."""
        if self.read in ("unix", "unix_ms"):
            at = _since_epoch(limit) * (1000 if self.read == "unix_ms" else 1)
            return mark if Decimal(mark) <= at else digits(at)
        return mark if self.of_mark(mark) <= limit else written(limit)

    # -- what is sent

    def lowered(self, mark: str) -> str:
        """Return what to ask for: the mark, lowered by overlap and precision, as the vendor wants it."""
        changed = self.changed
        if self.read == "raw":
            return str(int(mark) - changed.overlap_versions) if changed.overlap_versions and mark.isdigit() else mark
        if not self.fields and not changed.overlap:
            return mark  # the server's own: its clock, or a token
        moment = self.instant(mark)
        try:
            return self.write(moment - dt.timedelta(seconds=changed.overlap + (changed.precision if self.fields else 0.0)))
        except OverflowError:
            return self.write(moment)

    def instant(self, mark: str) -> dt.datetime:
        """Return the moment of a mark; times only."""
        found = self.of_mark(mark)
        if self.read in ("unix", "unix_ms"):
            scale = 1 if self.read == "unix_ms" else 1000
            return _EPOCH + dt.timedelta(microseconds=int((found * scale * 1000).to_integral_value(ROUND_FLOOR)))
        moment: dt.datetime = found
        return moment

    def write(self, moment: dt.datetime) -> str:
        """Return a moment as the vendor wants it, never later than it is."""
        sent = self.sent
        match sent:
            case "unix":
                return str((moment - _EPOCH) // dt.timedelta(seconds=1))
            case "unix_ms":
                return str((moment - _EPOCH) // dt.timedelta(milliseconds=1))
            case "dotnet":
                return f"/Date({(moment - _EPOCH) // dt.timedelta(milliseconds=1)})/"
            case "http":
                return email.utils.format_datetime(moment.astimezone(dt.UTC).replace(microsecond=0), usegmt=True)
            case "date":
                return self._local(moment).date().isoformat()
            case "local":
                return self._local(moment).replace(tzinfo=None).isoformat(timespec=self._grain)
            case "rfc3339" | "raw":
                return moment.astimezone(dt.UTC).isoformat(timespec=self._grain).replace("+00:00", "Z")
        if "%z" in sent or "%s" in sent:
            return moment.astimezone(self._zone).strftime(sent)
        return self._local(moment).strftime(sent)

    @property
    def _grain(self) -> str:
        precision = self.changed.precision
        return "seconds" if precision >= 1.0 or not precision else "milliseconds" if precision >= 0.001 else "microseconds"

    def _local(self, moment: dt.datetime) -> dt.datetime:
        """Return a moment on the zone's clocks. In the hour that a night has twice it is that before: as text, later moments come before it."""
        local = moment.astimezone(self._zone)
        if local.fold:
            return local
        first, second = local.utcoffset(), local.replace(fold=1).utcoffset()
        assert first is not None
        assert second is not None
        return local if first <= second else (moment - (first - second)).astimezone(self._zone)


def points_of(resource: Resource, changed: ChangedSince) -> Points:
    """Return the points of a list of a resource, with the time zone that its fields are declared with."""
    zones = (resource.fields[field].zone for field in changed.fields if field in resource.fields)
    return Points(changed, next((zone for zone in zones if zone is not None), None))


def _version(value: Any) -> tuple[int, int, str]:
    text = str(value)
    return (0, int(text), "") if text.lstrip("-").isdigit() else (1, 0, text)


def _since_epoch(moment: dt.datetime) -> Decimal:
    return Decimal((moment - _EPOCH) // dt.timedelta(microseconds=1)) / 1_000_000


def digits(number: Decimal) -> str:
    """Return a number without an exponent, and without a point where it is whole."""
    return format(number.quantize(Decimal(1)) if number == number.to_integral_value() else number, "f")


def written(moment: dt.datetime) -> str:
    """Return a moment as RFC 3339, to the millisecond, rounded down."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def _exact(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
