"""Entries of lists, by a key of theirs and all together: what is written is read back, and the others stay as they were."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.config.models.connectors import Field
from tieline.mapping import compile_check, compile_get, compile_mapping, compile_nest, format_path, get, nest, parse_path, problems, put
from tieline.model.paths import EACH, Entry

KEYS = st.sampled_from(["id", "key", "Name", "field"])
VALUES = st.integers(-(10**12), 10**12) | st.booleans() | st.text(min_size=1, max_size=6).filter(lambda text: "\x00" not in text)
ENTRIES = st.lists(st.dictionaries(st.sampled_from(["id", "key", "value", "other"]), VALUES | st.none(), max_size=4), max_size=5)
ANYTHING = st.none() | st.integers() | st.text(max_size=4)


@given(st.text(min_size=1, max_size=4).filter(str.isidentifier), KEYS, VALUES)
def test_an_address_of_an_entry_has_one_way_of_writing(name, key, value):
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        return
    parts = (name, Entry(key, value), "value")

    assert parts == parse_path(format_path(parts))


@given(ENTRIES, st.sampled_from(["id", "key"]), VALUES, ANYTHING)
def test_what_is_written_to_an_entry_is_read_back_and_no_other_is_touched(entries, key, wanted, value):
    address = format_path(("fields", Entry(key, wanted), "new"))
    record: dict[str, Any] = {"fields": entries, "beside": 1}
    before = copy.deepcopy(record)

    put(record, address, value)

    assert value == get(record, address)
    at = next((number for number, entry in enumerate(before["fields"]) if Entry(key, wanted).fits(entry)), len(before["fields"]))
    assert 1 == record["beside"]
    rest = [entry for number, entry in enumerate(record["fields"]) if number != at]
    assert [entry for number, entry in enumerate(before["fields"]) if number != at] == rest
    made = {key: wanted} if at == len(before["fields"]) else before["fields"][at]
    assert {**made, "new": value} == record["fields"][at]


@given(ENTRIES | ANYTHING, st.sampled_from(["f[id=7].value", "f[key=a].value", "f[].value", "f[]", "f[].value.x", "f[id=7].value[0]"]))
def test_the_compiled_way_reads_what_the_plain_one_reads(value, address):
    record = {"f": value}

    assert get(record, address) == compile_get(address)(record)


@given(
    st.dictionaries(
        st.sampled_from(["f[id=7].v", "f[id=8].v", 'f[id="x y"].v', "f[id=7].w", "g[].name", "h"]), st.lists(st.text(max_size=3))
    )
)
def test_what_is_nested_is_found_under_its_address(values):
    record = nest(values)

    assert record == compile_nest(list(values))(values)
    assert values == {address: get(record, address) for address in values}


def test_what_each_entry_has_comes_as_a_list():
    """Without those that have none; null stays null, and what is no list has no entries."""
    record = {"labels": [{"name": "a"}, {}, {"name": None}, 7, {"name": "b"}], "none": None, "text": "x"}
    events = {"n": [{"e": [{"id": 1}, {"id": 2}]}, {}, {"e": [{"id": 3}]}]}

    assert ["a", None, "b"] == get(record, "labels[].name")
    assert get(record, "none[].name") is None
    assert {} == compile_mapping({"x": "text[].name"})(record)
    assert [1, 2, 3] == get(events, "n[].e[].id")


def test_an_id_is_one_whether_told_as_a_number_or_as_text():
    assert "x" == get({"f": [{"id": "7", "value": "x"}]}, "f[id=7].value")
    assert "x" == get({"f": [{"id": 7, "value": "x"}]}, 'f[id="7"].value')
    assert {"f": [{"id": 7, "v": 1}, {"id": "8", "v": 2}, {"on": True, "v": 3}]} == nest(
        {"f[id=7].v": 1, 'f[id="8"].v': 2, "f[on=true].v": 3}
    )
    assert (EACH,) == parse_path("f[].x")[1:2]


@pytest.mark.parametrize(
    ("targets", "word"),
    [
        (["f[id=7]"], "nothing in it"),
        (["f[id=7].id"], "by which the entry is known"),
        (["f[]"], "is the list itself"),
        (["f[].a[0]"], "only fields follow"),
        (["f[id=7].v", "f[0].v"], "in another way"),
        (["f[].a", "f[id=7].b"], "in another way"),
        (["f[].a", "g[id=1].b"], ""),
        (["f[id=7].v", "f[id=7].v.x"], "written twice"),
        (["f[id=7].v", "f.x"], "in an object of the same name"),
        (["f", "f[id=7].v"], "written twice"),
    ],
)
def test_what_cant_be_written_is_refused(targets, word):
    found = problems(dict.fromkeys(targets, "x"))

    assert (word in found[-1][1]) if word else not found


def test_one_value_is_not_written_to_each_entry():
    """The record is parked before a call."""
    mapping = compile_mapping({"labels[].name": "tag"})
    check = compile_check({"labels": Field(type="array")}, mapping.writes)

    assert not check(mapping({"tag": ["a"]}), True)
    assert ["labels[].name"] == [problem.address for problem in check(mapping({"tag": "a"}), True)]
