"""What a vendor may make of a value it took, and what only someone else can have written."""

import datetime as dt
import unicodedata
from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tieline.sync.rewriting import FEWEST_DIGITS, SHORTEST_CUT, is_rewriting


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("Ann", "Ann"),
        (None, ""),
        ([], None),
        ("  ", None),
        (" Ann  Lee\n", "Ann Lee"),
        ("Ann@Example.com", "ann@example.com"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("\ufb01ne", "fine"),
        ("Straße", "STRASSE"),
        ("the longest street there is", "the long"),
        ("NSW 2000", "NSW2000"),
        (5, "5"),
        ("5.50", Decimal("5.5")),
        (0.1, Decimal("0.1")),
        ("007", 7),
        (Decimal("12.345"), Decimal("12.35")),
        (Decimal("12.345"), Decimal("12.34")),
        (Decimal("12.5"), 13),
        (Decimal("12.5"), 12),
        (Decimal("1E+3"), "1000"),
        ("+61 (412) 345-678", "61412345678"),
        ("0061 412 345 678", "+61412345678"),
        ("2026-11-24T10:15:42.123456+10:00", "2026-11-24T00:15:42.123Z"),
        ("2026-11-24T10:15:42Z", "2026-11-24T10:15Z"),
        ("2026-11-24T10:15:42.700Z", "2026-11-24 10:15:43"),
        ("2026-11-24T23:30:00-05:00", "2026-11-25"),
        ("2026-11-24", "2026-11-24T00:00:00Z"),
        (["b", "a"], ["b ", "A"]),
        (["b", "a", "b"], ["A", "b"]),
        ({"city": "Bonn ", "zip": "53111"}, {"city": "Bonn", "id": 7}),
        ("Tom & Ann <x>", "Tom &amp; Ann &lt;x&gt;"),
        ("it's\nlate", "it&#39;s<br />late"),
        ("2026-01-31", "31/01/2026"),
        ("2026-01-31", "Jan 31, 2026"),
        ("31.01.2026", "2026-01-31"),
        ("2026-01-31T10:00:00.250Z", 1769853600),
        ("2026-01-31T10:00:00.250Z", 1769853600250),
        ("2026-01-31T10:00:00+10:00", "/Date(1769817600000)/"),
        (1769853600, "2026-01-31T10:00:00Z"),
        (["vip", "New"], [{"id": 1, "name": "new"}, {"id": 2, "name": "VIP"}]),
        (7, {"id": 7, "name": "Bonn Ltd"}),
    ],
)
def test_a_vendors_spelling_of_what_it_took_is_recognised(sent, seen):
    assert is_rewriting(sent, seen)


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("Ann", "Anne"),
        ("Ann", None),
        (None, "Ann"),
        ("a street of nowhere", "a stree"),
        ("the long", "the longest street there is"),
        (12, 13),
        (1234, 1200),
        (1234, Decimal("1.2E+3")),
        (Decimal("12.34"), Decimal("12.35")),
        ("123456789", "12345678"),
        (True, 1),
        (True, "1"),
        (0, None),
        (float("inf"), 1),
        (5, "five"),
        ("4-12", "41-2"),
        ("412 345 678", "412 345 679"),
        ("2026-11-24T10:15:42Z", "2026-11-24T10:16:42Z"),
        ("2026-11-24T10:15:42Z", "2026-11-25"),
        ("0001-01-01T00:00:00+10:00", "0001-01-02"),
        (["a", "b"], ["a"]),
        (["a"], ["a", "b"]),
        (["a"], "a"),
        ({"city": "Bonn"}, {"city": "Cologne"}),
        ("A & B", "A &amp; C"),
        ("2026-01-31", "30/01/2026"),
        ("2026-01-31T10:00:00Z", 1769853700),
        ("12:30", 1230),
        (["vip"], [{"id": 1, "name": "new"}]),
        (7, {"id": 8, "name": "Bonn Ltd"}),
        ({"city": "Bonn"}, {"id": 7}),
    ],
)
def test_what_somebody_else_wrote_is_no_rewriting(sent, seen):
    assert not is_rewriting(sent, seen)


texts = st.text(st.characters(codec="utf-8"), max_size=40)
plain = st.text(st.characters(codec="ascii"), max_size=40)
numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=4)
moments = st.datetimes(timezones=st.just(dt.UTC)).filter(lambda moment: 1 < moment.year < 9999)
compositions = st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])


@given(texts, compositions)
def test_a_vendor_that_trims_and_composes_is_recognised(text, form):
    assert is_rewriting(text, unicodedata.normalize(form, f"  {text}\t").strip())


@given(plain, st.sampled_from([str.lower, str.upper, str.title]))
def test_a_vendor_that_sets_its_own_letter_case_is_recognised(text, case):
    assert is_rewriting(text, case(text))


@given(st.from_regex("[A-Za-z,.]{8}", fullmatch=True), plain)
def test_a_vendor_that_cuts_is_recognised_where_enough_is_left(seen, rest):
    assert is_rewriting(seen + rest, seen)
    assert not is_rewriting(seen[:-1] + "#" + rest, seen[:-1])


@given(
    numbers, st.integers(0, 4), st.sampled_from([ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_HALF_DOWN]), st.sampled_from([Decimal, str, float])
)
def test_a_vendor_that_rounds_is_recognised_in_whatever_type_it_answers(number, digits, rounding, answer):
    seen = number.quantize(Decimal(1).scaleb(-digits), rounding)
    assert is_rewriting(number, answer(f"{seen:f}"))


@given(moments, st.integers(-12, 14), st.sampled_from(["auto", "milliseconds", "seconds", "minutes"]))
def test_a_vendor_that_keeps_its_own_clock_is_recognised(moment, hours, precision):
    seen = moment.astimezone(dt.timezone(dt.timedelta(hours=hours))).isoformat(timespec=precision)
    assert is_rewriting(moment.isoformat(), seen)


@given(st.lists(texts, max_size=6), st.randoms(use_true_random=False))
def test_a_vendor_that_sorts_and_tells_once_is_recognised(entries, chance):
    seen = list(dict.fromkeys(entries))
    chance.shuffle(seen)
    assert is_rewriting(entries, seen)


@given(st.integers(10 ** (FEWEST_DIGITS - 1), 10**14).map(str), st.lists(st.sampled_from([" ", "-", ".", ""]), min_size=15, max_size=15))
def test_a_vendor_that_punctuates_telephone_numbers_is_recognised(digits, marks):
    seen = "".join(digit + mark for digit, mark in zip(digits, marks, strict=False)).strip()
    assert is_rewriting(f"+{digits}", f"00{digits}")
    assert is_rewriting(f"+{digits}", seen) or seen.count(".") == 1  # one point makes a number of it


@given(st.lists(st.from_regex("[a-z]{2,12}", fullmatch=True), min_size=2, max_size=2, unique=True))
def test_another_word_is_another_value(words):
    one, other = sorted(words, key=len)
    assert not is_rewriting(one, other)
    assert not is_rewriting([one], [other])
    assert is_rewriting(other, one) == (other.startswith(one) and len(one) >= SHORTEST_CUT)


@given(numbers, numbers)
def test_another_number_of_as_many_digits_is_another_value(one, other):
    assume(one != other and other % Decimal("0.001") != 0)
    assert not is_rewriting(one, other)
