"""From where the next read can start, such that no change is ever passed over.

A list takes time to read, and records change meanwhile. A record of the first page that changes while the third is served is not in this
list, and its time is smaller than what the third page shows: the largest time seen is no safe mark. So the mark never passes the moment at
which the read began, by the vendor's own clock (the `Date` header of the first answer); where there is no such clock, or the mark is a
version, it stays one read behind. A list that comes oldest change first, or in one page, is safe up to what it showed. A time in the future
moves nothing.
"""

from __future__ import annotations

import datetime as dt
import email.utils
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tieline.dialects.dialect import Since
from tieline.model.errors import Undecodable
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record
from tieline.model.times import parse_moment
from tieline.spec.connectors import ChangedSince
from tieline.transport.ports import HttpResponse


class SinceTracker:
    """Watches one read of a list."""

    def __init__(self, changed: ChangedSince | None, since: Since | None, zone: str | None) -> None:
        """`zone` is that of times without an offset."""
        self._changed, self._zone = changed, zone
        self.by_field = changed is not None and changed.field is not None
        self._mark = since.mark if since else None
        self._before = since.seen if since else None
        self._largest: Any = comparable(self._mark, changed, zone) if changed and self._mark is not None else None
        self._seen: str | None = self._mark
        self._from_header: str | None = None
        self._pages = 0
        self._began: dt.datetime | None = None
        self._now: dt.datetime | None = None

    def see_page(self, response: HttpResponse, asked_at: float, answered_at: float) -> None:
        """Note an answer, and when it was asked for and had come, by our clock (seconds since 1970)."""
        if self._changed is None:
            return
        self._pages += 1
        date = _date(response)
        took = dt.timedelta(seconds=max(0.0, answered_at - asked_at))
        self._now = date or dt.datetime.fromtimestamp(answered_at, dt.UTC)
        if self._pages == 1:
            self._began = date - took if date is not None else None
            if self._changed.header:
                self._from_header = (response.headers.get(self._changed.header) or "").removeprefix("W/").strip('"') or None

    def see(self, record: Record) -> None:
        """Note a record. One whose time can't be read moves nothing."""
        changed = self._changed
        assert changed is not None
        assert changed.field is not None
        value = get(record, changed.field)
        if value in (ABSENT, None, ""):
            return
        try:
            moment = comparable(value, changed, self._zone)
        except Undecodable:
            return
        if self._largest is None or moment > self._largest:
            self._largest, self._seen = moment, str(value)

    def nothing_since_it_began(self) -> bool:
        """Whether no record was seen that changed after the read began, by the vendor's clock; False when that can't be told."""
        changed, began = self._changed, self._began
        if changed is None or not self.by_field or began is None or changed.format == "raw":
            return False
        if self._largest is None:
            return True
        reach = changed.overlap + (86400.0 if changed.format == "date" else changed.precision)
        if changed.format in ("unix", "unix_ms"):
            scale = 1000 if changed.format == "unix_ms" else 1
            return bool(self._largest + Decimal(str(reach)) * scale < Decimal(str(began.timestamp())) * scale)
        return bool(self._largest + dt.timedelta(seconds=reach) < began)

    def safe(self, *, last_page: bool) -> Since | None:
        """Return the mark that may be kept once everything up to here is durable; None when it may not move."""
        changed = self._changed
        if changed is None or not (last_page or changed.sorted):
            return None
        if changed.header:
            return Since(self._from_header) if last_page and self._from_header else None
        if self._seen is None:
            return None
        if changed.format == "raw":
            if changed.sorted or self._pages == 1:
                return Since(self._seen, self._seen)
            return Since(self._before, self._seen)
        limit = self._now if changed.sorted or self._pages == 1 else self._began
        if limit is None:
            limit, seen = self._now, self._before
            if seen is None:
                return Since(self._mark, self._seen)
        else:
            seen = self._seen
        assert limit is not None
        return Since(_earlier(seen, limit, changed, self._zone), self._seen)


def comparable(value: Any, changed: ChangedSince, zone: str | None = None) -> Any:
    """Return a mark in a form in which later is larger. Raises `Undecodable`."""
    try:
        if changed.format == "raw":
            text = str(value)
            return (0, int(text), "") if text.lstrip("-").isdigit() else (1, 0, text)
        if changed.format in ("unix", "unix_ms"):
            return Decimal(str(value))
        return parse_moment(value, ZoneInfo(zone) if zone else dt.UTC)
    except (ValueError, ArithmeticError) as error:
        raise Undecodable(f"`{changed.field}` is {value!r}: {error}", next_step="correct `changed_since.format` in the connector") from None


def lowered_mark(mark: str, changed: ChangedSince, zone: str | None = None) -> str:
    """Return what to ask for: the mark, lowered by overlap and precision, in the vendor's format."""
    back = changed.overlap + (changed.precision if changed.field else 0.0)
    if changed.format == "raw":
        return str(int(mark) - changed.overlap_versions) if changed.overlap_versions and mark.isdigit() else mark
    if changed.format in ("unix", "unix_ms"):
        scale = 1000 if changed.format == "unix_ms" else 1
        return _digits(Decimal(mark) - Decimal(str(back)) * scale)
    moment = parse_moment(mark, ZoneInfo(zone) if zone else dt.UTC) - dt.timedelta(seconds=back)
    if changed.format == "date":
        return moment.date().isoformat()
    return _written(moment)


def _earlier(mark: str, limit: dt.datetime, changed: ChangedSince, zone: str | None) -> str:
    """Return the mark, or the limit in the mark's format if that is earlier."""
    if changed.format in ("unix", "unix_ms"):
        at = Decimal(str(limit.timestamp())) * (1000 if changed.format == "unix_ms" else 1)
        return mark if Decimal(mark) <= at else _digits(at)
    return mark if comparable(mark, changed, zone) <= limit else _written(limit)


def _digits(number: Decimal) -> str:
    return format(number.quantize(Decimal(1)) if number == number.to_integral_value() else number, "f")


def _written(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def _date(response: HttpResponse) -> dt.datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
