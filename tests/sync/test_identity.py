"""Which record of one side is which of the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.sync.identity import Known, meet

ME = Known(1, "l1", None)


def met(*others, key="ann@x", me=ME, side="left", declared=True):
    """Meet those who have the same key."""
    return meet(me.number, side, key, (me, *others), declared=declared)


@pytest.mark.parametrize(
    ("others", "kind", "number"),
    [
        ((), "new", 0),
        ((Known(2, None, "r1"),), "matched", 2),
        ((Known(2, None, "r1"), Known(3, None, "r2")), "held", 0),
        ((Known(2, "l2", None),), "held", 0),
        ((Known(2, "l2", None), Known(3, None, "r1")), "held", 0),
        ((Known(2, "l2", "r1"),), "held", 0),
        ((Known(2, "l2", None, on_its_way=True),), "waits", 0),
        ((Known(2, "l2", None, on_its_way=True), Known(3, None, "r1")), "waits", 0),
    ],
    ids=["nobody", "one", "two", "a twin", "a twin and one", "a linked twin", "a twin's is being made", "a twin's is being made, and one"],
)
def test_one_is_linked_none_is_made_and_nothing_else_is_told(others, kind, number):
    assert (kind, number) == met(*others)[:2]


def test_who_has_no_key_is_nobody_and_without_match_fields_everybody_is_new():
    assert "held" == met(key=None).kind
    assert "new" == met(Known(2, None, "r1"), key=None, declared=False).kind


def test_the_reason_names_who_stands_in_the_way():
    assert "left record l2, which is linked to r1, has the same match key" == met(Known(2, "l2", "r1")).why
    assert "2 records of the other side have the same match key: r1, r2" == met(Known(2, None, "r1"), Known(3, None, "r2")).why


known = st.builds(
    lambda number, left, right, way: Known(number, f"l{number}" if left or not right else None, f"r{number}" if right else None, way),
    st.integers(2, 6), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip


@given(st.lists(known, max_size=4, unique_by=lambda one: one.number))
def test_swapping_the_sides_mirrors_every_meeting(others):
    """Whoever is met on one side would have met the other."""
    swapped = [Known(one.number, one.right, one.left, one.on_its_way) for one in others]

    there = met(*swapped, me=Known(1, None, "l1"), side="right")

    assert met(*others)[:2] == there[:2]
    assert met(*others).candidates == there.candidates
