"""Match keys: what two systems mean by the same value meets, and nothing else does."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.mapping import normalise_key, normaliser
from tieline.model.records import ABSENT


@given(st.text())
def test_a_normalised_key_is_its_own_key(text):
    key = normalise_key(text)

    assert key is None or key == normalise_key(key)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_case_and_white_space_at_the_ends_do_not_count(text):
    assert normalise_key(text) == normalise_key(f" \t{text}\n ")
    if text.lower().upper() == text.upper():
        assert normalise_key(text.lower()) == normalise_key(text.upper()) or not text.isascii()


@given(st.integers())
def test_a_number_meets_its_digits(number):
    """An id is a number in one system and text in the other."""
    assert normalise_key(number) == normalise_key(str(number)) == normalise_key(Decimal(number))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**30), max_value=10**30))
def test_equal_decimals_meet_however_many_zeros_they_carry(number):
    assert normalise_key(number) == normalise_key(Decimal(f"{number:f}000"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna@X.org", " anna@x.ORG "),
        ("Straße", "STRASSE"),
        ("\uff21\uff22\uff23", "abc"),
        ("a\u00a0 b", "A B"),
        ("anna\u200b@x.org\ufeff", "anna@x.org"),
        ("e\u0301", "É"),
        (42, "42"),
        (Decimal("42.0"), 42),
        (9007199254740993, "9007199254740993"),
    ],
)
def test_spellings_of_the_same_value_meet(one, other):
    assert normalise_key(one) == normalise_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("042", 42), ("1.10", "1.1"), (9007199254740993, 9007199254740992), (True, 1), ("a b", "ab"), ("\u0131", "i")],
)
def test_what_only_looks_alike_does_not_meet(one, other):
    """A wrong link writes one customer's data into another's record; a missing one only waits for a person."""
    assert normalise_key(one) != normalise_key(other)


@pytest.mark.parametrize("value", [None, ABSENT, "", " \t", "\u200b", [], {}, ["a"], {"a": 1}])
def test_nothing_to_match_by_is_no_key(value):
    assert None is normalise_key(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Kookaburra Coffee Pty. Ltd.", "kookaburra coffee"),
        ("Kookaburra Coffee Pty Ltd", "KOOKABURRA COFFEE P/L"),
        ("Müller & Söhne GmbH & Co. KG", "müller und söhne gmbh".replace("und", "and")),
        ("Macy's, Inc.", "Macys"),
        ("Siemens A.G.", "Siemens AG"),
        ("Ørsted A/S", "Ørsted"),
        ("Orlen Sp. z o.o.", "Orlen"),
        ("Smith & Co.", "Smith"),
        ("AT&T Inc.", "AT & T"),
        ("Aldi Süd-West", "aldi süd west"),
    ],
)
def test_a_company_is_matched_without_its_legal_form_and_punctuation(one, other):
    company = normaliser("company")

    assert company(one) == company(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Ltd", "Inc"), ("Company Shop", "Shop"), ("Smith and Jones Ltd", "Smith Ltd"), ("AG Barr", "Barr")]
)
def test_what_is_the_name_itself_is_left(one, other):
    company = normaliser("company")

    assert None not in (company(one), company(other))
    assert company(one) != company(other)


def test_a_phone_number_is_matched_however_it_is_written():
    """What is no number can only be the same text."""
    phone = normaliser("phone", "AU")

    assert phone("0491 570 006") == phone("+61 491 570 006") == phone("(04) 9157 0006")
    assert phone("call reception") == phone("Call  reception")
    assert phone("0491 570 006") != phone("0491 570 156")
    assert {None} == {phone(None), phone(""), phone(ABSENT), normaliser("company")(None)}
    with pytest.raises(ValueError, match="XX"):
        normaliser("phone", "XX")


@pytest.mark.parametrize("other", ["02 5550 0001 ext 6", "02 5550 0001"])
def test_two_extensions_of_one_number_are_two(other):
    number = normaliser("phone", "AU")

    assert "+61255500001;ext=5" == number("02 5550 0001 ext 5") == number("+61 2 5550 0001 x5") == number("+61255500001;ext=5")
    assert number("02 5550 0001 ext 5") != number(other)


def test_a_mark_belongs_to_its_letter():
    assert normaliser("company")("\u0915\u093f") != normaliser("company")("\u0915\u093e")
