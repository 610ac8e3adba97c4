"""Arithmetic on decimals that keeps every digit, or says that it can't."""

from __future__ import annotations

import decimal
from typing import Final

_TRAPS: Final = [decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.Underflow]
EXACT: Final = decimal.Context(prec=400, Emin=-9999, Emax=9999, traps=list(_TRAPS))
"""Adds, subtracts and multiplies without rounding, or not at all."""
DIVIDE: Final = decimal.Context(prec=28, rounding=decimal.ROUND_HALF_EVEN, traps=_TRAPS[1:])
"""Divides to 28 significant digits."""
