"""Soft deletes: which records of a list, a get or a search count as deleted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.config.models.operations import Tombstone
from tieline.dialects.rest.tombstones import burial

NO_VALUE: list[Any] = [
    None, "", "  ", False, 0, Decimal("0.0"), "0", "false", "null", [], {}, "0000-00-00 00:00:00", "0000-00-00T00:00:00Z",
]  # fmt: skip
VALUES: list[Any] = ["2026-10-09T08:00:00Z", True, 1, 1760000000, "spam", [1], {"at": 1}, "1970-01-01 00:00:00"]


def buried(declared: dict[str, Any], record: dict[str, Any]) -> bool:
    return burial(Tombstone.model_validate({"field": "mark", **declared}))(record)


@pytest.mark.parametrize("value", NO_VALUE)
def test_what_is_no_value_marks_no_deletion(value):
    """A living record deleted on the other side is the worst that could follow."""
    assert not buried({"present": True}, {"mark": value})


@pytest.mark.parametrize("value", VALUES)
def test_any_other_value_marks_one(value):
    assert buried({"present": True}, {"mark": value})


def test_one_of_several_values_marks_a_deletion_and_no_other_does():
    says = [value for value in ("active", "deleted", "spam", None) if buried({"equals": ["deleted", "spam"]}, {"mark": value})]

    assert ["deleted", "spam"] == says


def test_what_living_records_have_marks_none_and_null_says_nothing():
    declared = {"not_equals": ["active", "invited"]}

    assert ["suspended"] == [value for value in ("active", "invited", "suspended", None) if buried(declared, {"mark": value})]


@given(
    st.sampled_from([{}, {"present": True}, {"equals": ["a", 1]}, {"not_equals": "a"}, {"not_equals": [True]}]),
    st.dictionaries(st.sampled_from(["id", "other"]), st.none() | st.booleans() | st.text(max_size=3)),
)
def test_a_record_that_says_nothing_is_never_deleted(declared, record):
    """Whatever is declared: an answer with fewer fields is no proof."""
    assert not buried(declared, record)
