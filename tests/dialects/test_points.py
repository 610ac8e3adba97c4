"""For any moment and any format: what a vendor understands of the point that is sent is never later than the mark, and not much earlier."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tieline.config.models.lists import ChangedSince
from tieline.dialects.rest.points import Points
from tieline.model.errors import Undecodable

ZONES = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
GRAINS = {
    "rfc3339": 1.0, "unix": 1.0, "unix_ms": 0.001, "date": 86400.0, "local": 1.0, "http": 1.0, "dotnet": 0.001,
    "%Y-%m-%d %H:%M:%S": 1.0, "%Y-%m-%d %H:%M": 60.0, "%Y-%m-%d": 86400.0, "%d/%m/%Y %H:%M:%S.%f": 0.000001, "%Y-%m-%dT%H:%M:%S%z": 1.0,
}  # fmt: skip
SWITCHES = [
    dt.datetime(2026, 11, 1, 5, 30, tzinfo=dt.UTC),  # New York's hour that comes twice, the first time
    dt.datetime(2026, 11, 1, 6, 30, tzinfo=dt.UTC),
    dt.datetime(2026, 3, 8, 7, 10, tzinfo=dt.UTC),
    dt.datetime(2026, 10, 25, 0, 45, tzinfo=dt.UTC),
    dt.datetime(2026, 4, 4, 14, 50, tzinfo=dt.UTC),  # Lord Howe goes back by half an hour
]
moments = st.one_of(
    st.integers(631_152_000_000_000, 2_145_830_400_000_000).map(lambda us: EPOCH + dt.timedelta(microseconds=us)),
    st.tuples(st.sampled_from(SWITCHES), st.integers(-7200, 7200), st.integers(0, 999_999)).map(
        lambda parts: parts[0] + dt.timedelta(seconds=parts[1], microseconds=parts[2])
    ),
)


def understood(text: str, form: str, zone: ZoneInfo, *, fold: int) -> dt.datetime:
    """What a vendor makes of it; `fold` is which of two equal local times it takes."""
    match form:
        case "unix":
            return EPOCH + dt.timedelta(seconds=int(text))
        case "unix_ms":
            return EPOCH + dt.timedelta(milliseconds=int(text))
        case "dotnet":
            found = re.fullmatch(r"/Date\((\d+)\)/", text)
            assert found is not None
            return EPOCH + dt.timedelta(milliseconds=int(found[1]))
        case "http":
            return email.utils.parsedate_to_datetime(text)
        case "rfc3339":
            return dt.datetime.fromisoformat(text)
        case "local" | "date":
            return dt.datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
    moment = dt.datetime.strptime(text, form)  # noqa: DTZ007 - the zone follows
    return moment if moment.tzinfo else moment.replace(tzinfo=zone, fold=fold)


@given(moments, st.sampled_from(sorted(GRAINS)), st.sampled_from(ZONES), st.sampled_from([0, 1]), st.sampled_from([0.0, 30.0]))
@example(SWITCHES[0], "local", "America/New_York", 1, 0.0)
@example(SWITCHES[1], "%Y-%m-%d %H:%M", "America/New_York", 0, 0.0)
def test_what_is_sent_is_never_later_than_the_mark(moment: dt.datetime, form: str, zone: str, fold: int, overlap: float):
    changed = ChangedSince(param="since", field="at", format=form, field_format="rfc3339", zone=zone, overlap=overlap)
    points = Points(changed, None)
    mark = points.mark(moment.isoformat())

    meant = understood(points.lowered(mark), form, ZoneInfo(zone), fold=fold)

    assert meant <= moment - dt.timedelta(seconds=overlap)
    assert moment - meant <= dt.timedelta(seconds=overlap + 1.0 + GRAINS[form] + 2 * 3600)


@given(moments, st.integers(0, 10_800), st.sampled_from(ZONES))
def test_what_changes_later_is_later_as_local_text_too(moment: dt.datetime, seconds: int, zone: str):
    """A shop that compares its own times as text finds each later change, in the night on which clocks go back as well."""
    points = Points(ChangedSince(param="since", field="at", format="local", zone=zone), None)
    later = (moment + dt.timedelta(seconds=seconds)).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S")

    assert points.write(moment) <= later


@given(moments, st.sampled_from(sorted(set(GRAINS) - {"unix", "unix_ms", "date", "%Y-%m-%d"})), st.sampled_from(ZONES))
def test_a_field_in_the_points_own_format_is_read_back(moment: dt.datetime, form: str, zone: str):
    points = Points(ChangedSince(param="since", field="at", format=form, zone=zone), None)
    shown = points.write(moment)
    mark = points.mark(shown)

    assert points.comparable(shown) == points.of_mark(mark)
    assert understood(points.lowered(mark), form, ZoneInfo(zone), fold=0) <= moment


def test_a_point_is_written_in_the_vendors_own_grain():
    def sent(value: Any, **more: Any) -> str:
        points = Points(ChangedSince.model_validate({"param": "since", "field": "at", **more}), None)
        return points.lowered(points.mark(value))

    assert "1763805599" == sent("2025-11-22T10:00:00.750Z", format="unix", field_format="rfc3339")
    assert "1763805599" == sent("1763805600.25", format="unix")
    assert "2025-11-22T09:59:59Z" == sent("2025-11-22T10:00:00.750Z")
    assert "2025-11-22T10:00:00.740Z" == sent("2025-11-22T10:00:00.750Z", precision="10ms")
    assert "Sat, 22 Nov 2025 09:59:59 GMT" == sent("2025-11-22T10:00:00Z", format="http")
    assert "/Date(1763805599000)/" == sent("/Date(1763805600000+0000)/", format="dotnet")
    assert "2025-11-22T04:59:59" == sent("2025-11-22T05:00:00", format="local", zone="America/New_York")


@pytest.mark.parametrize("form", sorted(GRAINS))
@pytest.mark.parametrize("zone", [None, "UTC", "Australia/Sydney"])
def test_a_time_without_an_offset_needs_a_zone_where_the_point_names_a_moment(form: str, zone: str | None):
    """The clocks of Sydney are ten hours ahead: taken as UTC, ten hours of changes would be passed over. Local digits go back as they came."""
    points = Points(ChangedSince(param="since", field="at", format=form, field_format="rfc3339"), zone)
    moment = form not in ("local", "date") and ("%" not in form or "%z" in form)

    if moment and zone is None:
        with pytest.raises(Undecodable, match="a time without an offset"):
            points.comparable("2026-12-01T21:46:31", to_ask=True)
    else:
        points.comparable("2026-12-01T21:46:31", to_ask=True)
    points.comparable("2026-12-01T21:46:31+11:00", to_ask=True)


@pytest.mark.parametrize(("record", "value"), [({"u": None, "c": 2}, 2), ({"u": 3, "c": 2}, 3), ({"c": ""}, False)])
def test_of_several_fields_the_first_that_says_something_counts(record: dict[str, Any], value: Any):
    found = Points(ChangedSince(param="since", field=("u", "c")), None).value(record)

    assert value == (found or False)


@pytest.mark.parametrize(
    ("said", "mark", "sent"),
    [
        ({"overlap": "10s"}, "2026-12-01T04:41:17.882446+00:00", "2026-12-01T04:41:07Z"),
        ({"overlap": "10s", "format": "http"}, "Tue, 01 Dec 2026 04:41:17 GMT", "Tue, 01 Dec 2026 04:41:07 GMT"),
        ({"overlap": "10s", "format": "unix"}, "1764564077", "1764564067"),
        ({}, "2026-12-01T04:41:17.882446+00:00", "2026-12-01T04:41:17.882446+00:00"),
        ({}, "AQ.token/7", "AQ.token/7"),
        ({"format": "raw"}, "17", "17"),
        ({"format": "raw", "overlap_versions": 5}, "17", "12"),
    ],
)
def test_the_servers_own_mark_is_sent_as_it_is_or_an_overlap_earlier(said: dict[str, Any], mark: str, sent: str):
    changed = ChangedSince.model_validate({"param": "since", "header": "X-Page-Generated", **said})

    assert Points(changed, None).lowered(mark) == sent


def test_a_token_can_not_be_an_overlap_earlier():
    changed = ChangedSince.model_validate({"param": "since", "header": "X-Next", "overlap": "10s"})

    with pytest.raises(Undecodable, match="the mark in `X-Next`"):
        Points(changed, None).lowered("AQ.token/7")
