"""Which rule gives a field of the left its value, on the way back of a two-way integration."""

from __future__ import annotations

from collections.abc import Mapping

from tieline.config.models.integrations import Rule


def rule_back_to(rules: Mapping[str, str | Rule], field: str) -> tuple[str, ...] | None:
    """Return the keys of that rule below `map`: its own field, and those of its `back` where it has one; None where no rule leads there."""
    for target, rule in rules.items():
        if isinstance(rule, Rule) and isinstance(rule.back, dict) and field in rule.back:
            return target, "back", field
    for target, rule in rules.items():
        if field in read_by(rule) and not (isinstance(rule, Rule) and rule.only == "forward"):
            return (target, "back") if isinstance(rule, Rule) and rule.back is not None else (target,)
    return None


def read_by(rule: str | Rule) -> tuple[str, ...]:
    """Return the fields that a rule names in `from`."""
    read = rule if isinstance(rule, str) else rule.source
    return (read,) if isinstance(read, str) else read or ()
