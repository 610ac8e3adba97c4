"""Ids are spelled one way, wherever they come from."""

from __future__ import annotations

import uuid
from decimal import Decimal
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tieline.config.models.connectors import Resource
from tieline.dialects.ids import id_reader, one_spelling, text_id

KEY = "7EB682F1-0000-4000-8000-00000000000A"
SMALL = KEY.lower()
ORDINARY = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=30)


def read(value: object, form: str = "text", part: str = "whole") -> str | None:
    return id_reader(Resource(id_form=form, id_part=part))(value)  # type: ignore[arg-type]  # the words of the declaration


@pytest.mark.parametrize("value", ["", " ", "\t", ".", "..", "a\nb", "a\x00", "\x7f", "a\ud800", "x" * 1025, None, True, 1.5, Decimal("1.5"),
                                   Decimal("Infinity"), Decimal("1E+999999999"), [], {}])  # fmt: skip
def test_what_can_be_no_id_is_none(value):
    assert text_id(value) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(7, "7"), ("7", "7"), (Decimal("7"), "7"), ("...", "..."), ("a b", "a b"), ("Zoë", "Zoë"), ("0", "0"), (0, "0")]
)
def test_an_id_is_text_the_same_for_a_number_and_its_digits(value, expected):
    assert text_id(value) == expected


@pytest.mark.parametrize(
    ("part", "value", "expected"),
    [
        ("key", f"accounts({KEY})", KEY),
        ("key", f"https://crm.example.com/api/v9/accounts({KEY})", KEY),
        ("key", "BusinessPartners('C1')", "C1"),
        ("key", "https://b1.example.com/b1s/v1/BusinessPartners('O''Neil%20%26%20Co')", "O'Neil & Co"),
        ("key", "Items(ItemCode='A(1)')", "A(1)"),
        ("key", "Orders(No=7)", "7"),
        ("key", "Lines(Order=7,No=1)", None),
        ("key", "Notes('it's')", None),
        ("key", "accounts()", None),
        ("key", "accounts('..')", None),
        ("key", KEY, KEY),
        ("key", 7, "7"),
        ("last_segment", "gid://shop/Product/7", "7"),
        ("last_segment", "https://api.example.com/contacts/ann%40example.com?expand=all#top", "ann@example.com"),
        ("last_segment", "/contacts/7/", "7"),
        ("last_segment", f"https://crm.example.com/accounts({KEY})", KEY),
        ("last_segment", "/contacts/a%2Fb", "a/b"),
        ("last_segment", "https://api.example.com/", None),
        ("last_segment", "/contacts/%2e%2e", None),
        ("last_segment", "7", "7"),
        ("customers/([0-9]+)", "customers/7", "7"),
        ("customers/([0-9]+)", "7", "7"),
    ],
)
def test_the_part_that_is_the_id_is_taken_out(part, value, expected):
    assert read(value, part=part) == expected


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("guid", KEY, SMALL),
        ("guid", f"{{{KEY}}}", SMALL),
        ("guid", KEY.replace("-", ""), SMALL),
        ("guid", "not one", "not one"),
        ("number", "007", "7"),
        ("number", "000", "0"),
        ("number", "7.0", "7"),
        ("number", "A7", "A7"),
        ("case_insensitive", "Ann@Example.com", "ann@example.com"),
        ("salesforce", "001A0000006Vm9r", "001A0000006Vm9rIAC"),
        ("salesforce", "001A0000006VM9RIAC", "001A0000006Vm9rIAC"),
        ("salesforce", "001a0000006vm9riac", "001A0000006Vm9rIAC"),
        ("salesforce", "7", "7"),
        ("text", "007", "007"),
    ],
)
def test_the_spellings_of_one_id_are_one(form, value, expected):
    assert read(value, form) == expected


@given(st.uuids(), st.sampled_from([str, lambda u: str(u).upper(), lambda u: f"{{{u}}}", lambda u: u.hex]))
def test_every_spelling_of_a_guid_is_the_same(guid: uuid.UUID, spell):
    assert read(spell(guid), "guid") == str(guid)


@given(st.text("0123456789abcdefgXYZ", min_size=15, max_size=15))
def test_the_long_form_of_a_salesforce_id_survives_the_loss_of_its_case(short: str):
    long = read(short, "salesforce")

    assert long is not None
    assert long.startswith(short)
    assert {read(long.lower(), "salesforce"), read(long.upper(), "salesforce"), read(long, "salesforce")} == {long}


@given(st.sampled_from(["text", "guid", "number", "salesforce", "case_insensitive"]), ORDINARY)
def test_an_id_that_is_read_again_is_the_same(form: str, written: str):
    once = read(written, form)

    assert once is None or read(once, form) == once


@given(ORDINARY)
def test_whatever_stands_in_quotes_in_an_odata_address_is_its_key(key: str):
    assume(key.strip() and key not in (".", ".."))

    quoted = key.replace("'", "''")

    assert read(f"Partners('{quoted}')", part="key") == key
    assert read("https://b1.example.com/Partners('" + quote(quoted) + "')", part="key") == key


@given(ORDINARY)
def test_the_last_segment_of_an_address_is_what_was_put_there(id: str):
    assume(id.strip() and id not in (".", "..") and "(" not in id)

    assert read(f"https://api.example.com/v1/contacts/{quote(id, safe='')}?a=b/c", part="last_segment") == id


@pytest.mark.parametrize(
    ("declared", "shown", "expected"),
    [
        ({"id_form": "guid"}, f"{{{KEY}}}", SMALL),
        ({"id_form": "case_insensitive"}, "AbC", "abc"),
        ({"id_form": "number"}, 7, 7),
        ({"id_form": "guid", "id_part": "key"}, f"accounts({KEY})", f"accounts({KEY})"),
        ({}, KEY, KEY),
    ],
)
def test_a_record_shows_its_id_in_the_one_spelling(declared, shown, expected):
    resource = Resource.model_validate({"fields": {"id": {"type": "any"}}, "list": {"path": "/x"}, **declared})
    record = {"id": shown}

    if (write := one_spelling(resource)) is not None:
        write(record, id_reader(resource)(shown))

    assert {"id": expected} == record
