"""What `as` makes of awkward values: every digit kept, nothing guessed."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.config.models.integrations import Rule
from tieline.mapping import compile_mapping
from tieline.model.errors import MappingError
from tieline.model.records import decode_json, encode_json


def convert(value, **keys):
    return compile_mapping({"out": Rule.model_validate({"from": "value_", **keys})})({"value_": value})["out"]


@given(st.integers(-(2**70), 2**70))
def test_a_whole_number_survives_every_way_of_writing_it(number):
    for written in (number, str(number), Decimal(number), f"{number}.000", f" {number} "):
        result = convert(written, **{"as": "integer"})
        assert (number, int) == (result, type(result))
    assert str(number) == convert(number, **{"as": "string"})


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**19), max_value=10**19, places=19))
def test_a_decimal_keeps_all_its_digits_through_json_and_text(number):
    decoded = decode_json(encode_json({"value_": number}))["value_"]

    assert f"{number:f}" == f"{convert(decoded, **{'as': 'number'}):f}"
    assert number == convert(convert(number, **{"as": "string"}), **{"as": "number"})


@pytest.mark.parametrize(
    ("value", "keys", "wanted"),
    [
        (5, {"as": "string"}, "5"),
        (True, {"as": "string"}, "true"),
        (Decimal("1.50"), {"as": "string"}, "1.50"),
        (Decimal("1E+5"), {"as": "string"}, "100000"),
        ("ä🙂\u202eعربي\0", {"as": "string"}, "ä🙂\u202eعربي\0"),
        (" ", {"as": "string"}, " "),
        (9223372036854775807, {"as": "integer"}, 9223372036854775807),
        (Decimal("5.0"), {"as": "integer"}, 5),
        ("1e3", {"as": "integer"}, 1000),
        ("", {"as": "integer"}, None),
        ("0.1234567890123456789", {"as": "number"}, Decimal("0.1234567890123456789")),
        (0.1, {"as": "number"}, Decimal("0.1")),
        ("  ", {"as": "number"}, None),
        ("Yes", {"as": "boolean"}, True),
        (" NEIN ", {"as": "boolean"}, False),
        ("Sí", {"as": "boolean"}, True),
        ("oui", {"as": "boolean"}, True),
        (0, {"as": "boolean"}, False),
        (Decimal("1.0"), {"as": "boolean"}, True),
        ("", {"as": "boolean"}, None),
        (True, {"as": "boolean", "true": "Y", "false": "N"}, "Y"),
        ("no", {"as": "boolean", "true": "Y", "false": "N"}, "N"),
        (False, {"as": "boolean", "false": None}, None),
        ("ÄÖ", {"as": "lower"}, "äö"),
        ("straße", {"as": "upper"}, "STRASSE"),
        ("\u00a0 x \n", {"as": "trim"}, "x"),
        ("  ", {"as": "trim"}, ""),
        (" Anna.L+news@Example.ORG ", {"as": "email"}, "anna.l+news@example.org"),
        ("\u200banna@bücher.example", {"as": "email"}, "anna@bücher.example"),
        (" ", {"as": "email"}, None),
        (5, {"as": "money", "currency": "EUR"}, Decimal("5.00")),
        ("5.1", {"as": "money", "currency": "EUR"}, Decimal("5.10")),
        (Decimal("5.1000"), {"as": "money", "currency": "EUR"}, Decimal("5.10")),
        (500, {"as": "money", "currency": "JPY"}, Decimal("500")),
        ("1.234", {"as": "money", "currency": "KWD"}, Decimal("1.234")),
        ("", {"as": "money", "currency": "EUR"}, None),
        ("Germany", {"as": "country"}, "DE"),
        ("deutschland", {"as": "country"}, "DE"),
        ("DEU", {"as": "country"}, "DE"),
        ("uk", {"as": "country"}, "GB"),
        ("The Netherlands", {"as": "country"}, "NL"),
        ("Côte d'Ivoire", {"as": "country"}, "CI"),
        ("Cote d’Ivoire", {"as": "country"}, "CI"),
        ("U.S.A.", {"as": "country", "country": "alpha3"}, "USA"),
        ("Republic of Moldova", {"as": "country", "country": "name"}, "Moldova"),
        ("South Korea", {"as": "country"}, "KR"),
        ("VN", {"as": "country", "country": "name"}, "Vietnam"),
        ("  ", {"as": "country"}, None),
    ],
)
def test_a_value_becomes_what_was_asked(value, keys, wanted):
    result = convert(value, **keys)

    assert (wanted, type(wanted)) == (result, type(result))
    assert str(wanted) == str(result)


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ([1], {"as": "string"}),
        (True, {"as": "integer"}),
        (Decimal("5.5"), {"as": "integer"}),
        ("5.5", {"as": "integer"}),
        ("1,234", {"as": "integer"}),
        ("1_000", {"as": "integer"}),
        ("١٢٣", {"as": "integer"}),
        ("12\u200f", {"as": "integer"}),
        (Decimal("1E+999999"), {"as": "integer"}),
        ("9" * 500, {"as": "integer"}),
        (True, {"as": "number"}),
        ("1.234,50", {"as": "number"}),
        ("NaN", {"as": "number"}),
        ("Infinity", {"as": "number"}),
        ("1e99999", {"as": "number"}),
        (float("nan"), {"as": "number"}),
        ("maybe", {"as": "boolean"}),
        (2, {"as": "boolean"}),
        (5, {"as": "lower"}),
        (["a"], {"as": "trim"}),
        ("Anna <anna@example.org>", {"as": "email"}),
        ("anna@example", {"as": "email"}),
        ("anna@@example.org", {"as": "email"}),
        ("an na@example.org", {"as": "email"}),
        ("anna\0@example.org", {"as": "email"}),
        ("anna@-example.org", {"as": "email"}),
        ("anna@example..org", {"as": "email"}),
        ("a" * 250 + "@example.org", {"as": "email"}),
        ("5.001", {"as": "money", "currency": "EUR"}),
        ("0.5", {"as": "money", "currency": "JPY"}),
        ("€5", {"as": "money", "currency": "EUR"}),
        (True, {"as": "money", "currency": "EUR"}),
        ("Atlantis", {"as": "country"}),
        ("🇩🇪", {"as": "country"}),
        (49, {"as": "country"}),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_kept_out_of_the_words(value, keys):
    """Problems reach logs, where personal data must not be; the value travels beside the text, not in it."""
    with pytest.raises(MappingError) as caught:
        convert(value, **keys)

    assert "out" == caught.value.target
    assert "value_" == caught.value.source
    assert value is caught.value.value
    assert caught.value.problem.startswith("`value_` ")
    assert str(value) not in caught.value.problem or len(str(value)) < 3
