"""What is in a body is what was meant: constants, the record, and nothing dropped."""

from __future__ import annotations

import copy
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.config.models.connectors import Field, Resource
from tieline.config.models.operations import Change
from tieline.dialects.rest.bodies import as_form, compile_body, merged, writable
from tieline.dialects.rest.templates import Gaps
from tieline.model.paths import flatten, get

KEYS = st.sampled_from(["a", "b", "c"])
OBJECTS = st.recursive(
    st.dictionaries(KEYS, st.integers() | st.none() | st.text(max_size=3), max_size=3),
    lambda inner: st.dictionaries(KEYS, inner | st.integers(), max_size=3),
    max_leaves=6,
)


def body(record, **declared):
    return compile_body(Change(path="/x", **declared), {}, {})(
        record, Gaps({"id": 7, "record": record, "changed_fields": list(record)}, record)
    )


@given(OBJECTS, OBJECTS)
def test_every_value_of_the_record_is_sent_and_every_constant_that_the_record_says_nothing_of(constants, record):
    before = copy.deepcopy((constants, record))

    made = merged(constants, record)

    for address, value in flatten(record).items():
        assert get(made, address) == value or (value == {} and isinstance(get(made, address), dict))
    for address, value in flatten(constants).items():
        if not any(address == one or address.startswith(f"{one}.") or one.startswith(f"{address}.") for one in flatten(record)):
            assert get(made, address) == value or value == {}
    assert (constants, record) == before


@given(OBJECTS, OBJECTS, st.sampled_from(["user", "data.attributes", "posts[0]"]))
def test_constants_inside_what_wraps_the_record_are_sent_with_it(inside, record, wrap):
    constants = {"meta": 1, **{"user": {"user": inside}, "data.attributes": {"data": {"type": "x", "attributes": inside}}}.get(wrap, {})}

    made = body(record, wrap=wrap, constants=constants)

    assert made["meta"] == 1
    assert get(made, wrap) == (record if wrap == "posts[0]" else merged(inside, record))
    assert wrap != "data.attributes" or made["data"]["type"] == "x"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"wrap": "user", "constants": {"user": {"safe_update": True}}}, {"user": {"safe_update": True, "name": "Ann"}}),
        ({"constants": {"Id": "{id}", "sparse": True}}, {"Id": 7, "sparse": True, "name": "Ann"}),
        (
            {"wrap": "data.attributes", "constants": {"data": {"type": "profile", "id": "{id}"}}},
            {"data": {"type": "profile", "id": 7, "attributes": {"name": "Ann"}}},
        ),
        ({"body": [{"...": "{record}", "id": "{id}"}]}, [{"name": "Ann", "id": 7}]),
        ({"body": {"mask": "{changed_fields}", "person": "{record}"}}, {"mask": ["name"], "person": {"name": "Ann"}}),
        ({"constants": {"greeting": "{{ contact.name }}"}}, {"greeting": "{{ contact.name }}", "name": "Ann"}),
    ],
)
def test_a_body_is_shaped_as_declared(declared, expected):
    assert body({"name": "Ann"}, **declared) == expected


RECORD = {"name": "Ann & Co", "address": {"city": "Perth", "geo": {"lat": 1}}, "tags": ["a", "b"], "items": [{"price": 9}, {"price": 10}],
          "vip": True, "note": None, "none": [], "empty": {}}  # fmt: skip


@pytest.mark.parametrize(
    ("style", "lists", "expected"),
    [
        (True, "repeated", [("address[city]", "Perth"), ("address[geo][lat]", "1"), ("tags", "a"), ("tags", "b"), ("items[0][price]", "9"), ("items[1][price]", "10")]),
        ("brackets", "brackets", [("address[city]", "Perth"), ("address[geo][lat]", "1"), ("tags[]", "a"), ("tags[]", "b"), ("items[0][price]", "9"), ("items[1][price]", "10")]),
        ("dots", "indexed", [("address.city", "Perth"), ("address.geo.lat", "1"), ("tags[0]", "a"), ("tags[1]", "b"), ("items[0].price", "9"), ("items[1].price", "10")]),
    ],
)  # fmt: skip
def test_a_form_says_what_is_inside(style, lists, expected):
    pairs = parse_qsl(as_form(RECORD, style, lists).decode(), keep_blank_values=True)

    assert pairs == [("name", "Ann & Co"), *expected, ("vip", "true"), ("note", ""), ("none", ""), ("empty", "")]


@given(OBJECTS)
def test_a_form_never_holds_a_name_for_what_has_members(record):
    names = [name for name, _ in parse_qsl(as_form(record, True, "repeated").decode(), keep_blank_values=True)]

    assert sorted(names) == sorted(address.replace(".", "[", 1).replace(".", "][") + "]" * ("." in address) for address in flatten(record))


def test_what_the_vendor_sets_is_not_sent_back():
    resource = Resource(
        fields={"id": Field(read_only=True), "meta.created": Field(read_only=True), "meta.by": Field(), "name": Field()},
    )

    assert writable({"id": 1, "meta": {"created": "x", "by": "me"}, "name": "a", "more": 2}, resource) == {
        "meta": {"by": "me"},
        "name": "a",
        "more": 2,
    }
