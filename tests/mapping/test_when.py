"""Which changes move: what a record is now against what it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.mapping import compile_projection, compile_when, get
from tieline.model.errors import MappingError
from tieline.model.records import ABSENT


@pytest.mark.parametrize(
    ("text", "new", "old", "moves"),
    [
        ("became('status', 'won')", {"status": "won"}, {"status": "open"}, True),
        ("became('status', 'won')", {"status": "won"}, {"status": "won"}, False),
        ("became('status', 'won')", {"status": "won"}, None, True),
        ("became('status', 'won')", {"status": "won"}, {}, True),
        ("became('status', 'won')", {"status": "lost"}, None, False),
        ("became('flag', 1)", {"flag": True}, None, False),
        ("became('a.b', new.c)", {"a": {"b": 5}, "c": 5}, {"a.b": 4}, True),
        ("changed('phone')", {"phone": "1"}, {"phone": "2"}, True),
        ("changed('phone')", {"phone": "1"}, {"phone": "1"}, False),
        ("changed('phone')", {}, {"phone": "1"}, True),
        ("changed('phone')", {"phone": None}, {}, True),
        ("changed('phone')", {}, {}, False),
        ("changed('phone')", {}, None, True),
        ("changed('phone', 'tags')", {"tags": [1]}, {"tags": [2]}, True),
        ("new.score > 0.8 and old.score <= 0.8", {"score": 1}, {"score": 0}, True),
        ("new.score > 0.8 and old.score <= 0.8", {"score": 1}, None, False),
        ("new.score > 0.8", {"score": None}, None, False),
        ("new.score <= 0.8", {}, None, False),
        ("new.total - old.total > 100", {"total": 500}, None, False),
        ("new.total - old.total > 100", {"total": 500}, {"total": 100}, True),
        ("round(new.total) > 3", {}, None, False),
        ("len(new.tags) > 1", {}, None, False),
        ("len(new.tags) > len(old.tags)", {"tags": [1]}, {"tags": None}, False),
        ("len(new.tags) > 1", {"tags": [1, 2]}, None, True),
        ("new.a == old.a", {}, None, True),
        ("new.a == None", {}, None, False),
        ("new.a is None", {}, None, True),
        ("'x' in new.tags", {}, None, False),
        ("new.tags", {"tags": []}, None, False),
        ("old is None", {}, None, True),
        ("old is not None", {}, {}, True),
        ("new is None", None, {}, True),
        ("new.a == 1", None, {"a": 1}, False),
        ("new['odd key'] == old['odd key']", {"odd key": 1}, {'"odd.key"': 1}, False),
        ("new['odd.key'] == old['odd.key']", {"odd.key": 1}, {'"odd.key"': 1}, True),
    ],
)
def test_a_change_moves_when_its_condition_holds(text, new, old, moves):
    assert moves is compile_when(text)(new, old)


def test_a_condition_says_which_fields_must_be_kept():
    """What is not kept of a record can't be `old` the next time."""
    assert ("a.b", "phone", "score", "status") == compile_when("became('status', 'won') and changed('phone') or new.score > old.a.b").reads


def test_a_condition_that_can_not_be_asked_of_a_value_stops_the_record():
    with pytest.raises(MappingError, match=r"when: `new\.score` is text and `0\.8` is a number"):
        compile_when("new.score > 0.8")({"score": "high"}, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("status == 'won'", r"write `new\.status`"),
        ("became('status')", "a field and a value"),
        ("changed(new.phone)", "in quotes"),
        ("changed('a..b')", "not an address"),
        ("changed()", "one field or more"),
        ("old", "stands for the whole record"),
        ("new.__class__", "not allowed"),
    ],
)
def test_a_condition_that_is_not_one_is_refused(text, problem):
    with pytest.raises(ValueError, match=problem):
        compile_when(text)


values = st.none() | st.integers(0, 2) | st.text(max_size=2) | st.lists(st.integers(0, 2), max_size=2)
records = st.dictionaries(
    st.sampled_from("abc"),
    values | st.dictionaries(st.sampled_from("de"), values) | st.lists(st.just({"d": 1}), max_size=2),
)
ADDRESSES = ["a", "b", "c.d", "a[0]", "b[-1].d", "a.e"]


@given(records, st.permutations(ADDRESSES))
def test_a_projection_is_each_field_read_by_itself(record, addresses):
    """In the declared order, so that equal records have equal bytes."""
    projected = compile_projection(addresses)(record)

    assert list(projected.items()) == [(a, get(record, a)) for a in addresses if get(record, a) is not ABSENT]
