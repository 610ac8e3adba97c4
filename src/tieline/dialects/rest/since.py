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

from tieline.dialects.dialect import Since
from tieline.dialects.rest.points import Points
from tieline.model.errors import Undecodable
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record
from tieline.transport.ports import HttpResponse


class SinceTracker:
    """Watches one read of a list."""

    def __init__(self, points: Points | None, since: Since | None) -> None:
        changed = points.changed if points is not None else None
        self._changed, self.points = changed, points
        self.by_field = changed is not None and bool(changed.fields)
        self._mark = since.mark if since else None
        self._before = since.seen if since else None
        self._largest: Any = self.points.of_mark(self._mark) if self.points and self.by_field and self._mark is not None else None
        self._seen: str | None = self._mark
        self._own: str | None = None
        """The server's own mark."""
        self._pages = 0
        self._began: dt.datetime | None = None
        self._now: dt.datetime | None = None
        self.dated = 0
        """Records whose time, or version, could be read."""
        self.undated = 0
        """Records that tell none that can be read."""

    def see_page(self, response: HttpResponse, asked_at: float, answered_at: float, answer: Any = ABSENT) -> None:
        """Note an answer, and when it was asked for and had come, by our clock (seconds since 1970)."""
        changed = self._changed
        if changed is None:
            return
        self._pages += 1
        date = _date(response)
        took = dt.timedelta(seconds=max(0.0, answered_at - asked_at))
        self._now = date or dt.datetime.fromtimestamp(answered_at, dt.UTC)
        if self._pages == 1:
            self._began = date - took if date is not None else None
        if changed.header:
            told = (response.headers.get(changed.header) or "").removeprefix("W/").strip('"') or None
            if told is not None and (self._own is None or changed.given == "last"):
                self._own = told
        elif changed.at is not None:
            found = get(answer, changed.at) if answer is not ABSENT else ABSENT
            if found not in (ABSENT, None, "") and (self._own is None or changed.given != "first"):
                if isinstance(found, (dict, list, bool)):
                    raise Undecodable(f"the mark at `{changed.at}` is {found!r}", next_step="correct `changed_since.at` in the connector")
                self._own = str(found)

    def tells(self, record: Record) -> bool:
        """Whether a record says when it changed, so that it can be read."""
        assert self.points is not None
        try:
            value = self.points.value(record)
            return value is not ABSENT and self.points.comparable(value, to_ask=True) is not None
        except Undecodable:
            return False

    def see(self, record: Record) -> None:
        """Note a record. One whose time can't be read moves nothing, and is counted."""
        points = self.points
        assert points is not None
        value = points.value(record)
        try:
            moment = points.comparable(value, to_ask=True) if value is not ABSENT else None
        except Undecodable:
            moment = None
        if moment is None:
            self.undated += 1
            return
        self.dated += 1
        if self._largest is None or moment > self._largest:
            self._largest, self._seen = moment, points.mark(value)

    def nothing_since_it_began(self) -> bool:
        """Whether no record was seen that changed after the read began, by the vendor's clock; False when that can't be told."""
        changed, began, points = self._changed, self._began, self.points
        if changed is None or points is None or not self.by_field or began is None or points.read == "raw" or self.undated:
            return False
        if self._largest is None:
            return True
        reach = changed.overlap + (86400.0 if points.read == "date" else changed.precision)
        if points.read in ("unix", "unix_ms"):
            scale = 1000 if points.read == "unix_ms" else 1
            return bool(self._largest + Decimal(str(reach)) * scale < Decimal(str(began.timestamp())) * scale)
        return bool(self._largest + dt.timedelta(seconds=reach) < began)

    def safe(self, *, last_page: bool) -> Since | None:
        """Return the mark that may be kept once everything up to here is durable; None when it may not move."""
        changed, points = self._changed, self.points
        if changed is None or points is None or not (last_page or changed.sorted):
            return None
        if not self.by_field:
            return Since(self._own) if last_page and self._own else None
        if self._seen is None or self.undated > self.dated:
            return None  # most of what was read would not be in a list of changes
        if points.read == "raw":
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
        return Since(points.earlier(seen, limit), self._seen)


def _date(response: HttpResponse) -> dt.datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
