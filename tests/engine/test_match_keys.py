"""Match keys that both systems spell in their own way."""

from __future__ import annotations

import pytest

from engine.world import World, told
from tieline.testing import Collection

FIELDS = {name: {"type": "string"} for name in ("email", "name", "phone", "company")}
MAP = {"name": "name", "phone": {"from": "phone", "as": "phone", "region": "AU"}, "company": "company"}
BY_PHONE = {"phone": {"from": "phone", "as": "phone", "region": "AU"}}
BY_BOTH = {**BY_PHONE, "company": {"from": "company", "as": "company"}}


def world(tmp_path, **spec):
    """Return a world of people with telephone numbers and companies; the list can be searched, exactly, for both."""
    return World(tmp_path, Collection("leads", FIELDS), Collection("members", FIELDS, find=("phone", "company")), map=MAP, **spec)


@pytest.mark.parametrize("match", [BY_PHONE, BY_BOTH])
def test_one_way_finds_who_is_there_under_another_spelling(tmp_path, match):
    both = world(tmp_path, match=match, conflict="source", unmatched="create")
    both.leads.add(name="Ann", phone="0491 570 006", company="Kookaburra Coffee Pty Ltd")
    both.members.add(name="Ann B.", phone="+61491570006", company="Kookaburra Coffee")
    outcome = both.run()

    assert {"green": 1, "updated": 1, "matched": 1} == told(outcome)
    assert ["Ann"] == [member["name"] for member in both.members.records]


def test_both_ways_meet_under_two_spellings_and_come_to_rest(tmp_path):
    both = world(tmp_path, match=BY_BOTH, direction="two-way", conflict="left", unmatched="create")
    both.leads.add(name="Ann", phone="0491 570 006", company="Kookaburra Coffee Pty Ltd")
    both.leads.add(name="Bob", phone="0491 570 156", company="Magpie Mills")
    both.members.add(name="Ann", phone="+61 491 570 006", company="KOOKABURRA COFFEE P/L")
    both.members.add(name="Bob", phone="+61 491 570 156", company="Magpie Mines")
    first, second = both.run(), both.run()

    assert 1 == first.counts.matched
    assert 2 == first.counts.created, "the second two share a number, and no company"
    assert 0 == second.counts.written
    assert (3, 3) == (len(both.leads.records), len(both.members.records))
