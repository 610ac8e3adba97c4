"""Phone numbers: the short way agrees with phonenumbers over every country."""

import random

import phonenumbers
import pytest

from tieline.mapping.convert import phones
from tieline.mapping.convert.values import Unfit


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except Unfit as unfit:
        return unfit.problem


def spoilt(text, chance):
    """The number with a few characters changed, removed or added."""
    letters = list(text)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(letters))
        letters[at : at + chance.choice((0, 1))] = chance.choice(("", *"00123456789 -.()+"))
    return "".join(letters) or "1"


def test_the_short_way_says_what_phonenumbers_says_in_every_country():
    """The short way is for speed alone; what it took differently would be a wrong number, sent in silence."""
    chance = random.Random(7)
    kinds = phonenumbers.PhoneNumberType
    disagreements = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        home, abroad = phones.converter(region), phones.converter(None)
        for kind in (kinds.FIXED_LINE, kinds.MOBILE, kinds.TOLL_FREE):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            for form in (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.NATIONAL):
                text = phonenumbers.format_number(example, form)
                for written in (text, spoilt(text, chance), spoilt(text, chance)):
                    if not written.strip():
                        continue
                    for convert, at in ((home, region), (abroad, None)):
                        wanted = outcome(phones.any_number.__wrapped__, written, at)
                        if wanted != outcome(convert, written):
                            disagreements.append((at, written, wanted, outcome(convert, written)))

    assert [] == disagreements


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("+61 400 123 456", None, "+61400123456"),
        ("0400 123 456", "AU", "+61400123456"),
        ("(02) 9374 4000", "AU", "+61293744000"),
        ("+61 (0)400 123 456", "US", "+61400123456"),
        ("0011 49 30 901820", "AU", "+4930901820"),
        ("tel:+49-30-901820", None, "+4930901820"),
        ("030 901820", "DE", "+4930901820"),
        ("+39 06 698 1234", None, "+39066981234"),
        ("+1 (415) 555-2671 ext. 12", None, "+14155552671"),
        ("\uff0b\uff16\uff11 400 123 456", None, "+61400123456"),
        ("\u202a+61 400 123 456\u202c", None, "+61400123456"),
        (61400123456, "AU", "+61400123456"),
        ("1300 975 707", "AU", "+611300975707"),
        (" \t ", "AU", None),
        ("", None, None),
    ],
)
def test_a_number_becomes_e164(written, region, number):
    assert number == phones.converter(region)(written)


@pytest.mark.parametrize(
    ("written", "region"),
    [
        ("0400 123 456", None),
        ("9374 4000", "AU"),
        ("12345", "AU"),
        ("+61 400 123 45", None),
        ("+999 1234567", None),
        ("none", "AU"),
        ("☎️", "AU"),
        ("0400 123 456 / 0400 999 999", "AU"),
        ("+61 400\0123 456", None),
        ("--", "AU"),
        ("+", "AU"),
        (True, "AU"),
        (["0400 123 456"], "AU"),
    ],
)
def test_what_is_no_number_is_refused(written, region):
    with pytest.raises(Unfit):
        phones.converter(region)(written)
