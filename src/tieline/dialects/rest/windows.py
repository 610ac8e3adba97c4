"""Parts of a list that is too long to be shown whole: windows over a time or a version, in whole steps, and how they are split.

A step is the finest that the vendor tells. A window is asked for one step wider on both sides, so that it does not matter whether the
vendor counts a bound in, or cuts times before it compares them; what comes twice is recognised.
"""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_FLOOR, Decimal

import msgspec

from tieline.config.models.connectors import Resource
from tieline.config.models.lists import Ceiling, ChangedSince, PointFormat
from tieline.config.models.operations import Listing
from tieline.dialects.rest.points import Points, digits
from tieline.model.errors import Incomplete, Undecodable
from tieline.model.records import ABSENT, Record

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Window(msgspec.Struct, frozen=True):
    """From one step to another, both within; None is without end."""

    first: int | None = None
    last: int | None = None


ALL = Window()
"""The whole list."""


class Windows:
    """The windows of one list."""

    def __init__(self, what: str, resource: Resource, listing: Listing, ceiling: Ceiling) -> None:
        """`what` names the list in errors."""
        changed = listing.changed_since
        if changed is not None and ceiling.field is not None and (ceiling.field,) != changed.fields:
            changed = None  # it speaks of another field
        self.ceiling, self._what = ceiling, what
        fields = (ceiling.field,) if ceiling.field is not None else changed.fields if changed is not None else ()
        self.field = fields[0] if fields else ""
        self._param = ceiling.start
        """Parameter of a window's start; None: it is asked for as a point of `changed_since` is."""
        precision = ceiling.precision if ceiling.precision is not None else changed.precision if changed is not None else 1.0
        own: PointFormat = ceiling.format or (changed.format if changed is not None else "rfc3339")
        told = (
            changed.model_copy(update={"format": own, "precision": precision}) if changed is not None and ceiling.format is None else None
        )
        zones = (resource.fields[field].zone for field in fields if field in resource.fields)
        declared = told or ChangedSince.model_construct(field=fields, format=own, precision=precision)
        self._points = Points(declared, next((zone for zone in zones if zone is not None), None))
        reads = self._points.read
        step = {"raw": 1.0, "date": 86400.0}.get(reads, precision or 0.001)
        self._step_us = max(1, round(step * 1e6))
        self.goes_on = ceiling.until is None or (changed is not None and changed.sorted)
        """The list comes in the order of the field, so that it can go on from the last record that was shown."""

    def place(self, record: Record) -> int | None:
        """Return the step at which a record lies; None when it does not say."""
        points = self._points
        value = points.value(record)
        if value is ABSENT:
            return None
        try:
            found = points.comparable(value)
        except Undecodable:
            return None
        if points.read == "raw":
            return int(found[1]) if found[0] == 0 else None
        if points.read in ("unix", "unix_ms"):
            return int(found * (1000 if points.read == "unix_ms" else 1_000_000) // self._step_us)
        since_epoch: dt.timedelta = found - _EPOCH
        return since_epoch // dt.timedelta(microseconds=self._step_us)

    def since(self, window: Window) -> str | None:
        """Return the point that asks for a window's start, where it is asked for as a point is; None for the beginning."""
        return self._written(window.first - 1) if self._param is None and window.first is not None else None

    def asked(self, window: Window) -> dict[str, str]:
        """Return the query parameters that ask for a window."""
        asked = {}
        if window.first is not None and self._param is not None:
            asked[self._param] = self._written(window.first - 1)
        if window.last is not None and self.ceiling.until is not None:
            asked[self.ceiling.until] = self._written(window.last + 1)
        return asked

    def split(self, window: Window, places: list[int]) -> list[Window]:
        """Return the windows that take the place of one that holds too many; `places` are those of the records that it showed.

        Raises `Incomplete` when it can't be split further, or the vendor ignores the bounds.
        """
        inside = sorted(place for place in places if _within(place, window))
        self._check_obeyed(window, places)
        if not inside:
            raise self._stuck("none of the records that were shown has a usable value there")
        if self.goes_on:
            if inside[-1] == window.first or inside[0] == inside[-1]:
                raise self._stuck(f"so many stand at {self._written(inside[-1])}")
            return [Window(inside[-1], None)]
        at = inside[len(inside) // 2]
        if at == window.last or (window.last is None and at == inside[-1]):
            at -= 1
        if window.first is not None and at < window.first:
            if window.last is not None or window.first != inside[-1]:
                raise self._stuck(f"so many stand at {self._written(window.first)}")
            at = window.first
        return [Window(window.first, at), Window(at + 1, window.last)]

    def _check_obeyed(self, window: Window, places: list[int]) -> None:
        strangers = sum(
            (window.first is not None and place < window.first - 1) or (window.last is not None and place > window.last + 1)
            for place in places
        )
        if strangers * 2 > len(places):
            raise Incomplete(
                f"{self._what}: most of what came lies outside of the window {self._in_words(window)}: the vendor seems to ignore it",
                next_step="correct `ceiling` in the connector: `from`, `until`, `format`",
            )

    def _stuck(self, why: str) -> Incomplete:
        return Incomplete(
            f"{self._what} holds more than the {self.ceiling.records} records that the vendor shows, and can't be split further by `{self.field}`: {why}",
            next_step="choose a field under `ceiling` by which they differ, or a finer `precision`; or narrow the list by `params`",
        )

    def _in_words(self, window: Window) -> str:
        ends = (self._written(end) if end is not None else "" for end in (window.first, window.last))
        return " to ".join(ends).strip()

    def _written(self, place: int) -> str:
        sent = self._points.sent
        if self._points.read == "raw":
            return str(place)
        if sent in ("unix", "unix_ms"):
            number = Decimal(place * self._step_us) / (1000 if sent == "unix_ms" else 1_000_000)
            return digits(number.to_integral_value(ROUND_FLOOR) if self._step_us >= (1000 if sent == "unix_ms" else 1_000_000) else number)
        return self._points.write(_EPOCH + place * dt.timedelta(microseconds=self._step_us))


def tells_little(places: list[int]) -> bool:
    """Whether records came in the order of the field, so that the first of them say nothing about where the others lie."""
    ordered = sorted(places)
    return places in (ordered, ordered[::-1])


def _within(place: int, window: Window) -> bool:
    return (window.first is None or place >= window.first) and (window.last is None or place <= window.last)
