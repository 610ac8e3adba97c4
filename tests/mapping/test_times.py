"""Dates and times: one instant in, the same instant out, whatever clocks do in between."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.config.models.integrations import Rule
from tieline.mapping import compile_mapping
from tieline.model.errors import MappingError


def convert(value, **keys):
    return compile_mapping({"out": Rule.model_validate({"from": "at", **keys})})({"at": value})["out"]


FIRST, LAST = dt.datetime.fromisoformat("1901-01-01"), dt.datetime.fromisoformat("2100-01-01")


@given(st.datetimes(timezones=st.timezones(), min_value=FIRST, max_value=LAST))
def test_an_instant_stays_the_same_instant(moment):
    """Through text with an offset, UTC, Unix time and back."""
    instant = moment.astimezone(dt.UTC)
    text = convert(instant.isoformat(), **{"as": "datetime"})

    assert text.endswith("Z")
    assert instant == dt.datetime.fromisoformat(text)
    seconds = convert(text, **{"as": "datetime", "to_format": "unix"})
    assert instant.replace(microsecond=0) == dt.datetime.fromtimestamp(seconds, dt.UTC)
    assert text == convert(text, **{"as": "datetime", "to_zone": "UTC"})


@pytest.mark.parametrize(
    ("value", "keys", "wanted"),
    [
        ("2024-03-01T12:00:00Z", {}, "2024-03-01T12:00:00Z"),
        ("2024-03-01t12:00:00z", {}, "2024-03-01T12:00:00Z"),
        ("2024-03-01 12:00:00+11:00", {}, "2024-03-01T01:00:00Z"),
        ("2024-03-01T12:00:00.123Z", {}, "2024-03-01T12:00:00.123Z"),
        ("2024-03-01T12:00:00.1234567Z", {}, "2024-03-01T12:00:00.123456Z"),
        ("20240301T120000Z", {}, "2024-03-01T12:00:00Z"),
        ("2024-03-01T12:00:00", {"zone": "Australia/Sydney"}, "2024-03-01T01:00:00Z"),
        ("2024-03-01", {"zone": "Australia/Sydney"}, "2024-02-29T13:00:00Z"),
        ("2024-03-01T12:00:00Z", {"to_zone": "Europe/Berlin"}, "2024-03-01T13:00:00+01:00"),
        ("01.03.2024 12:30", {"format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}, "2024-03-01T11:30:00Z"),
        ("01/Mar/2024:12:30:00 +0100", {"format": "%d/%b/%Y:%H:%M:%S %z"}, "2024-03-01T11:30:00Z"),
        (1709294400, {"format": "unix"}, "2024-03-01T12:00:00Z"),
        ("1709294400", {"format": "unix"}, "2024-03-01T12:00:00Z"),
        (Decimal("1709294400.25"), {"format": "unix"}, "2024-03-01T12:00:00.250Z"),
        (1709294400123, {"format": "unix_ms"}, "2024-03-01T12:00:00.123Z"),
        (-1, {"format": "unix"}, "1969-12-31T23:59:59Z"),
        ("2024-03-01T12:00:00.999Z", {"to_format": "unix"}, 1709294400),
        ("1969-12-31T23:59:59.5Z", {"to_format": "unix"}, -1),
        ("2024-03-01T12:00:00.999Z", {"to_format": "unix_ms"}, 1709294400999),
        ("2024-03-01T23:00:00Z", {"to_zone": "Europe/Berlin", "to_format": "%d.%m.%Y %H:%M"}, "02.03.2024 00:00"),
        (" ", {}, None),
        (None, {}, None),
        # Clocks go back on 7 April 2024 in Sydney and 27 October in Berlin: the hour that comes twice is the first.
        ("2024-04-07T02:30:00", {"zone": "Australia/Sydney"}, "2024-04-06T15:30:00Z"),
        ("2024-10-27T02:30:00", {"zone": "Europe/Berlin"}, "2024-10-27T00:30:00Z"),
    ],
)
def test_a_time_becomes_what_the_destination_wants(value, keys, wanted):
    assert wanted == convert(value, **{"as": "datetime"}, **keys)


@pytest.mark.parametrize(
    ("value", "keys", "wanted"),
    [
        ("2024-03-01", {}, "2024-03-01"),
        ("2024-03-01", {"to_zone": "Australia/Sydney"}, "2024-03-01"),
        ("2024-03-01T23:30:00Z", {}, "2024-03-01"),
        ("2024-03-01T00:00:00+11:00", {}, "2024-03-01"),
        ("2024-03-01T00:00:00", {"zone": "Australia/Sydney"}, "2024-03-01"),
        ("2024-03-01T23:30:00Z", {"to_zone": "Australia/Sydney"}, "2024-03-02"),
        ("01.03.2024", {"format": "%d.%m.%Y"}, "2024-03-01"),
        ("2024-03-01", {"to_format": "%d/%m/%Y"}, "01/03/2024"),
        (1709337600, {"format": "unix", "to_zone": "Australia/Sydney"}, "2024-03-02"),
        ("", {}, None),
    ],
)
def test_a_date_stays_the_date_that_was_written_unless_a_zone_is_asked_for(value, keys, wanted):
    """Midnight in Sydney is the day before in UTC; a birthday must not move because of that."""
    assert wanted == convert(value, **{"as": "date"}, **keys)


@pytest.mark.parametrize(
    ("value", "keys", "problem"),
    [
        ("2024-03-01T12:00:00", {}, "without an offset"),
        ("2024-10-06T02:30:00", {"zone": "Australia/Sydney"}, "never was"),
        ("2024-03-31T02:30:00", {"zone": "Europe/Berlin"}, "never was"),
        ("2024-02-30", {"zone": "UTC"}, "not a date"),
        ("2024-03-01🙂12:00:00Z", {}, "not a date"),
        ("\uff12024-03-01T12:00:00Z", {}, "not a date"),
        ("\u202e2024-03-01", {"zone": "UTC"}, "not a date"),
        ("2024-03-01\0", {"zone": "UTC"}, "not a date"),
        ("tomorrow", {}, "not a date"),
        (1709294400, {}, "state `format: unix`"),
        (10**17, {"format": "unix"}, "outside the years"),
        ("0001-01-01T00:00:00+14:00", {}, "outside the years"),
        (True, {"format": "unix"}, "not a number"),
        ("x", {"format": "unix"}, "not a Unix time"),
        ("2024-03-01", {"format": "%d.%m.%Y"}, "not in the form"),
        ([], {}, "a list"),
    ],
)
def test_a_time_that_can_not_be_right_is_refused(value, keys, problem):
    with pytest.raises(MappingError, match=problem):
        convert(value, **{"as": "datetime"}, **keys)
