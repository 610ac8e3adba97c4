"""Amounts of money: a decimal with exactly the digits of its currency (ISO 4217), never rounded."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from tieline.mapping.convert import conversions
from tieline.mapping.convert.values import MAX_DIGITS, Unfit

_TWO: Final = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
    CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR
    ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR
    MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN
    SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
"""
_OTHERS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
DIGITS: Final = dict.fromkeys(_TWO.split(), 2) | {code: n for n, codes in _OTHERS.items() for code in codes.split()}
"""Digits after the point, by currency. ANG, BGN and HRK live on in old invoices; metals and test codes have none."""

_EXACT: Final = decimal.Context(prec=MAX_DIGITS * 3, traps=[decimal.Inexact, decimal.InvalidOperation])


def converter(currency: str) -> Callable[[Any], Decimal | None]:
    """Return the function that `as: money` stands for, or raise `ValueError`."""
    if currency not in DIGITS:
        raise ValueError(f"`{currency}` is not a currency; write an ISO 4217 code such as EUR")
    digits = DIGITS[currency]
    unit = Decimal(1).scaleb(-digits)

    def money(value: Any) -> Decimal | None:
        amount = conversions.number(value)
        if amount is None:
            return None
        try:
            return amount.quantize(unit, context=_EXACT)
        except decimal.Inexact:
            raise Unfit(f"has more than the {digits} digits after the point that {currency} has") from None
        except decimal.InvalidOperation:
            raise Unfit("is too large a number") from None

    return money
