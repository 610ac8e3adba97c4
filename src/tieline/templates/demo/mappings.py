"""Functions that the mappings of this project call.

For what a rule can't say. Keep them pure: the same values in, the same result out, no clock, no network. What a lead
does not have arrives as None.
"""

from __future__ import annotations

from decimal import Decimal


def tags(score: Decimal | None, created_at: str | None) -> list[str]:
    """Return the tags by which marketing picks who gets which mail."""
    temperature = "cold" if score is None or score < Decimal("0.3") else "warm" if score < Decimal("0.8") else "hot"
    return ["from-crm", temperature, f"joined-{created_at[:4]}"] if created_at else ["from-crm", temperature]
