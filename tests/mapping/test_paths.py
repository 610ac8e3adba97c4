"""Addresses: reading, writing and nesting agree with each other."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.mapping import compile_get, compile_nest, flatten, format_path, get, nest, parse_path, put
from tieline.model.records import ABSENT

odd_keys = ["name", "dotted.key", 'quo"te', "[0]", " edge ", "ключ", "🙂", "\0", "\ud800"]
keys = st.text(max_size=6) | st.sampled_from(odd_keys)
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(Decimal("1.50"))
leaves = scalars | st.lists(scalars, max_size=2) | st.just({})
records = st.recursive(
    st.dictionaries(keys, leaves, max_size=3),
    lambda inner: st.dictionaries(keys, leaves | inner, max_size=3),
    max_leaves=8,
)
paths = st.tuples(keys).flatmap(lambda first: st.lists(keys | st.integers(0, 4), max_size=4).map(lambda rest: (*first, *rest)))


@given(paths)
def test_an_address_reads_back_as_the_parts_it_was_written_from(parts):
    """One way of writing each address, whatever the keys hold: addresses are keys of shadows and must not collide."""
    text = format_path(parts)

    assert parts == parse_path(text)
    assert text == format_path(parse_path(text))


@given(records)
def test_a_flattened_record_nests_back_into_itself(record):
    assert record == nest(flatten(record))


@given(records)
def test_every_flat_field_is_what_reading_its_address_gives(record):
    assert all(value is get(record, address) for address, value in flatten(record).items())


@given(records, paths, scalars)
def test_what_was_put_is_what_is_read(record, parts, value):
    """Putting either works, or says that something else is on the way; it never half works."""
    address = format_path(parts)
    try:
        put(record, address, value)
    except ValueError as error:
        problem = str(error)
    else:
        problem = ""

    assert value is get(record, address) or "something else on the way" in problem


@given(st.text(max_size=20))
def test_any_text_is_an_address_or_a_value_error(text):
    try:
        parts = parse_path(text)
    except ValueError as error:
        parts, text = (), str(error)

    assert parts == parse_path(format_path(parts))
    assert parts or not text or "at character" in text


@given(records, paths)
def test_the_generated_twins_do_what_get_and_nest_do(record, parts):
    """They run on every record and every write; where they can't be sure they fall back on the slower way."""
    address, values = format_path(parts), flatten(record)

    assert get(record, address) is compile_get(address)(record)
    assert record == compile_nest([*values])(values)
    assert record == compile_nest([*values, "one more"])(values)
    assert record == compile_nest([*values][1:])(values)
    assert record == compile_nest([*[*values][1:], "another"])(values)


def test_lists_are_read_from_both_ends():
    record = {"emails": [{"value": "a"}, {"value": "b"}]}

    assert "a" == get(record, "emails[0].value")
    assert "b" == get(record, "emails[-1].value")
    assert ABSENT is get(record, "emails[2].value")
    assert ABSENT is get(record, "emails[-3].value")


def test_inside_null_is_null_and_inside_text_is_nothing():
    """A company that was emptied has an empty name; a company that is only text has no name to speak of."""
    assert None is get({"company": None}, "company.name")
    assert ABSENT is get({"company": "Acme"}, "company.name")
    assert ABSENT is get({"company": "Acme"}, "company[0]")
    assert ABSENT is get({}, "company.name")


def test_nesting_makes_lists_and_fills_gaps_with_null():
    assert {"a": [None, {"b": 1}]} == nest({"a[1].b": 1})


@pytest.mark.parametrize(
    "values",
    [
        {"a": 1, "a.b": 2},
        {"a.b": 2, "a": 1},
        {"a": {"x": 1}, "a.b": 2},
        {"a": {"x": {}}, "a.x.y": 2},
        {"a": 1, '"a"': 2},
    ],
)
def test_a_field_that_is_written_as_a_whole_and_in_parts_is_refused(values):
    """Taking the last one would lose a value, and changing a nested value would change the record it came from."""
    before = repr(values)
    with pytest.raises(ValueError, match="written twice"):
        nest(values)

    assert before == repr(values)


@pytest.mark.parametrize(
    ("text", "problem", "at"),
    [
        ("a..b", "field's name", 3),
        ("a.", "field's name", 3),
        (".a", "field's name", 1),
        ("a[x]", "whole number", 2),
        ("a[01]", "whole number", 2),
        ("a[0", "whole number", 2),
        ("a[0]b", "expected `.`", 5),
        ("[0]", "keys, not numbers", 1),
        ('"a', "no end", 1),
        ('a."\\q"', "no end", 3),
        ("a b ", "expected `.`", 4),
    ],
)
def test_a_bad_address_says_where_it_is_bad(text, problem, at):
    with pytest.raises(ValueError, match=f"{problem}.*at character {at}$"):
        parse_path(text)


@pytest.mark.parametrize("address", ["a[-1]", "a[999999]", ""])
def test_what_can_be_read_but_not_written_is_refused(address):
    """A negative index has no place in a new list, and a huge one would fill the memory with nulls."""
    with pytest.raises(ValueError, match="can't be written"):
        put({"a": []}, address, 1)
