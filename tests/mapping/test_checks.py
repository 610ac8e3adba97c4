"""What the destination would refuse is found before it is sent."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tieline.config.models.connectors import Field
from tieline.mapping import checks, compile_check
from tieline.model.records import ABSENT


def objections(value, creating=True, **field):
    values = {} if value is ABSENT else {"x": value}
    return [problem.text for problem in compile_check({"x": Field(**field)}, ["x"])(values, creating)]


@pytest.mark.parametrize(
    ("value", "field", "text"),
    [
        (ABSENT, {"required": True}, "left it out"),
        (None, {"required": True}, "would become null"),
        (" ", {"required": True, "type": "string"}, "would become blank"),
        ("", {"required": True}, "would become blank"),
        (5, {"read_only": True}, "read-only"),
        (None, {"nullable": False}, "can't be null"),
        (5, {"type": "string"}, "is a number, not text; add `as: string`"),
        (True, {"type": "integer"}, "true or false, not a whole number"),
        (Decimal("5"), {"type": "integer"}, "not a whole number"),
        ("5", {"type": "number"}, "is text, not a number"),
        (True, {"type": "number"}, "true or false, not a number"),
        (Decimal("Infinity"), {"type": "number"}, "finite"),
        (1, {"type": "boolean"}, "a number, not true or false"),
        ([], {"type": "object"}, "a list, not an object"),
        ({}, {"type": "array"}, "an object, not a list"),
        ("2024-02-30", {"type": "date"}, "not a date"),
        ("20240201", {"type": "date"}, "not a date"),
        ("2024-02-01T00:00:00", {"type": "datetime"}, "with an offset"),
        ("2024-02-01", {"type": "datetime", "zone": "UTC"}, "not a time"),
        ("Anna <a@x.org>", {"type": "string", "format": "email"}, "not an e-mail address"),
        ("none", {"format": "phone"}, "not a phone number"),
        ("x.org", {"type": "string", "format": "uri"}, "not a URI"),
        ("abc", {"type": "string", "format": "uuid"}, "not a UUID"),
        ("Germany", {"type": "string", "format": "country"}, "not a country code"),
        ("ab", {"type": "string", "min_length": 3}, "has 2 characters, at least 3"),
        ("🙂🙂🙂", {"type": "string", "max_length": 2}, "has 3 characters, at most 2"),
        ([1, 2], {"type": "array", "max_length": 1}, "has 2 entries, at most 1"),
        (5, {"type": "integer", "minimum": 6}, "is less than 6"),
        (Decimal("0.31"), {"type": "number", "maximum": 0.3}, "is more than 0.3"),
        (Decimal("1.505"), {"type": "number", "decimals": 2}, "more than 2 digits"),
        ("c", {"type": "string", "enum": ("a", "b")}, "not one of the values"),
        (True, {"enum": (1, 2)}, "not one of the values"),
    ],
)
def test_a_value_that_would_be_refused_is_told(value, field, text):
    found = objections(value, **field)

    assert 1 == len(found)
    assert text in found[0]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, {"type": "string", "format": "email"}),
        ("", {"type": "string", "format": "email"}),
        (2**63, {"type": "integer"}),
        (5, {"type": "number", "decimals": 0}),
        (Decimal("1.500"), {"type": "number", "decimals": 1}),
        (Decimal("1E+2"), {"type": "number", "decimals": 0}),
        (Decimal("0.3"), {"type": "number", "maximum": 0.3}),
        (0.5, {"type": "number", "maximum": 1}),
        ("2024-02-29", {"type": "date"}),
        ("2024-02-01T00:00:00", {"type": "datetime", "zone": "UTC"}),
        ("2024-02-01T00:00:00.5+11:00", {"type": "datetime"}),
        ("+61 400 123 456", {"type": "string", "format": "phone"}),
        ("a", {"type": "string", "enum": ("a", "b")}),
        (Decimal("1.0"), {"enum": (1, 2)}),
        (False, {"required": True, "type": "boolean"}),
        (0, {"required": True}),
    ],
)
def test_a_value_that_is_well_passes(value, field):
    assert [] == objections(value, **field)


def test_an_update_may_leave_out_a_required_field_but_not_empty_it():
    check = compile_check({"name": Field(type="string", required=True)}, ["name"])

    assert [] == check({}, False)
    assert ["is required, and would become blank"] == [problem.text for problem in check({"name": ""}, False)]


def test_a_required_field_that_nothing_writes_stops_every_create():
    fields = {"list": Field(required=True), "address.city": Field(required=True), "company": Field(required=True)}
    check = compile_check(fields, ["address", "company.name"])

    assert ["list"] == [problem.address for problem in check({"address": {"city": "Bonn"}, "company.name": "x"}, True)]
    assert ["list", "address.city", "company"] == [problem.address for problem in check({"address": {}}, True)]
    assert [] == check({"address": {}}, False)


def test_an_address_is_the_same_field_however_it_is_written():
    check = compile_check({'"name"': Field(required=True, type="string")}, ["name"])

    assert ["name"] == [problem.address for problem in check({"name": 5}, True)]


samples = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.decimals(allow_nan=True, places=2, min_value=-3, max_value=3)
    | st.sampled_from(["", " ", "a", "ab", "a@b.org", "2024-02-29", "2024-02-30", "2024-02-01T00:00:00Z", "DE", "🙂"])
    | st.lists(st.integers(), max_size=3)
    | st.dictionaries(st.text(max_size=1), st.integers(), max_size=1)
)
fields = st.builds(
    Field,
    type=st.sampled_from(["string", "integer", "number", "boolean", "date", "datetime", "object", "array", "any"]),
    required=st.booleans(),
    nullable=st.booleans(),
    read_only=st.integers(0, 9).map(lambda n: n == 0),
    format=st.none() | st.sampled_from(["email", "country"]),
    min_length=st.none() | st.integers(0, 2),
    max_length=st.none() | st.integers(1, 3),
    minimum=st.none() | st.sampled_from([0.0, 0.3]),
    maximum=st.none() | st.sampled_from([1.0, 2.3]),
    decimals=st.none() | st.integers(0, 2),
    enum=st.none() | st.just(("a", 1, 0.5, None)),
)


@settings(max_examples=400)
@given(fields, samples)
def test_the_quick_test_lets_nothing_pass_that_the_words_object_to(field, value):
    """The quick one runs on every write and knows no words; the slow one is what is documented."""
    found = compile_check({"x": field}, ["x"])({"x": value}, True)

    assert [problem.text for problem in found] == [problem.text for problem in checks._judge("x", field, value)]
