"""Phone numbers in E.164: `+61400123456`.

A number is taken when its country's plan assigns it, or when it has the length of that country's landline and mobile
numbers: plans grow faster than anybody's copy of them, and an unknown new range must not stop a customer. An extension
is left out, since E.164 has no place for one.

phonenumbers reads anything and takes 30 to 60 µs for it. Nearly all numbers are digits, spaces, dots, hyphens and
parentheses; for these `_Plan` does what phonenumbers does, in a few steps, as long as none of its special cases is
near. Whatever is not plain goes to phonenumbers. A test compares both over every country.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

from tieline.mapping.convert.values import Unfit, kind, text_of

if TYPE_CHECKING:
    import phonenumbers

_LONGEST: Final = 40


def converter(region: str | None) -> Callable[[Any], str | None]:
    """Return the function that `as: phone` stands for, or raise `ValueError`."""
    import phonenumbers  # 30 ms, and only for those whose mapping has a phone number

    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"`{region}` is not a country; write its two capital letters, such as AU")
    home = None if region is None else _Plan.of_region(region)
    plans = _plans()

    def phone(value: Any) -> str | None:
        digits: str
        if value.__class__ is not str:
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise Unfit(f"is {kind(value)}, not a phone number")
            value = text_of(value)
        digits = value.replace(" ", "").replace("-", "").replace("(", "").replace(")", "").replace(".", "")
        if digits.isdigit() and digits.isascii():
            if home is not None and len(value) < _LONGEST:
                number = home.national(digits)
                if number is not None:
                    return number
        elif digits[:1] == "+" and digits[1:].isdigit() and digits.isascii() and len(value) < _LONGEST:
            plan = plans(digits[1:3]) or plans(digits[1:2]) or plans(digits[1:4])
            if plan is not None and plan.takes(digits[plan.start :]):
                return digits
        elif not digits or value.isspace():
            if not value.strip():
                return None
            raise Unfit("is not a phone number")
        return any_number(value, region)

    return phone


@lru_cache(maxsize=16_384)
def extension(text: str, region: str | None) -> str | None:
    """Return the extension that a number is written with."""
    import phonenumbers

    try:
        return phonenumbers.parse(text, region).extension or None
    except phonenumbers.NumberParseException:
        return None


@lru_cache(maxsize=16_384)
def any_number(text: str, region: str | None) -> str:
    """Return a number in E.164, however it is written; raise `Unfit` when it is none."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == error.INVALID_COUNTRY_CODE and region is None and not text.strip().startswith("+"):
            raise Unfit("has no country code; state the `region` of such numbers") from None
        raise Unfit("is not a phone number") from None
    kind = phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE
    length = phonenumbers.is_possible_number_for_type_with_reason(number, kind)
    if length != phonenumbers.ValidationResult.IS_POSSIBLE and not phonenumbers.is_valid_number(number):
        raise Unfit("is not a phone number" + (f" of {region}" if region else ""))
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class _Plan:
    """What must be known about a country to take a plain number without reading it letter by letter."""

    __slots__ = ("_abroad", "_general", "_lengths", "_prefix", "_transforms", "code", "start")

    def __init__(self, metadata: phonenumbers.PhoneMetadata, main: phonenumbers.PhoneMetadata) -> None:
        self.code = str(metadata.country_code)
        self.start = 1 + len(self.code)
        general = metadata.general_desc
        pattern = general.national_number_pattern if general else None
        self._general = re.compile(pattern or "(?!)").fullmatch
        prefix = metadata.national_prefix_for_parsing
        self._prefix = re.compile(prefix).match if prefix else None
        self._transforms = bool(metadata.national_prefix_transform_rule)
        self._abroad = re.compile(metadata.international_prefix or "(?!)").match
        self._lengths = _lengths(metadata) & _lengths(main)

    @classmethod
    def of_region(cls, region: str) -> _Plan | None:
        """Return the plan of numbers written without a country code in a region."""
        from phonenumbers import PhoneMetadata, country_code_for_region, region_code_for_country_code

        metadata = PhoneMetadata.metadata_for_region(region, None)
        main = PhoneMetadata.metadata_for_region(region_code_for_country_code(country_code_for_region(region)), None)
        return None if metadata is None or main is None else cls(metadata, main)

    def takes(self, number: str) -> bool:
        """Return whether these are all digits after the country code, as they stand."""
        return len(number) in self._lengths and number[0] != "0" and (self._prefix is None or self._prefix(number) is None)

    def national(self, digits: str) -> str | None:
        """Return a number that is written as inside its country, or None when it needs a closer look."""
        if self._abroad(digits) is not None or digits.startswith(self.code):
            return None
        match = None if self._prefix is None else self._prefix(digits)
        if match is not None:
            if self._transforms:
                return None
            digits = digits[match.end() :]
            if self._general(digits) is None:
                return None
        return f"+{self.code}{digits}" if len(digits) in self._lengths and digits[0] != "0" else None


def _lengths(metadata: phonenumbers.PhoneMetadata) -> frozenset[int]:
    """Return the lengths of landline and mobile numbers that can be dialled from anywhere."""
    whole: set[int] = set()
    local: set[int] = set()
    for desc in (metadata.fixed_line, metadata.mobile):
        if desc is not None:
            whole.update(desc.possible_length)
            local.update(desc.possible_length_local_only)
    if metadata.general_desc is not None:
        local.update(metadata.general_desc.possible_length_local_only)
        whole.intersection_update(metadata.general_desc.possible_length)
    return frozenset(whole - local - {-1})


@cache
def _plans() -> Callable[[str], _Plan | None]:
    """Return the plan of a country code, each made when first needed."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, region_code_for_country_code

    known: dict[str, _Plan | None] = {}
    codes = {str(code) for code in COUNTRY_CODE_TO_REGION_CODE}

    def plan(code: str) -> _Plan | None:
        if code not in known:
            known[code] = None
            if code in codes:
                region = region_code_for_country_code(int(code))
                metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
                known[code] = None if metadata is None else _Plan(metadata, metadata)
        return known[code]

    return plan
