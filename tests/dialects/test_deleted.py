"""What is deleted is not there, however the vendor tells so."""

from __future__ import annotations

from typing import Any

import pytest

from dialects.lists import Reader
from tieline.testing import Collection


def soft(**habits: Any) -> Reader:
    """Return a reader of a vendor that keeps deleted records, and shows them to whoever asks for one."""
    return Reader(Collection("leads", {"name": {"type": "any"}}, find=("name",), keeps_deleted=True, **habits))


@pytest.mark.parametrize("listed", [True, False])
def test_a_deleted_record_that_is_shown_by_id_is_none(listed):
    """Nobody could ever be sure of its deletion otherwise. Whether the list shows it as well makes no difference."""
    reader = soft(tombstones=listed)
    ann, bob = (str(reader.collection.add(name=name)) for name in ("Ann", "Bob"))

    reader.collection.remove(ann)

    assert reader.clock.run(reader.rest.get("leads", ann)) is None
    assert "Bob" == (reader.clock.run(reader.rest.get("leads", bob)) or {})["name"]


def test_a_deleted_record_that_a_search_shows_is_not_found():
    """It would count as the counterpart of a record that has none."""
    reader = soft()
    old, new = (reader.collection.add(name="Ann") for _ in range(2))

    reader.collection.remove(old)

    assert [new] == [record["id"] for record in reader.clock.run(reader.rest.find("leads", "name", "Ann"))]


def test_a_record_that_was_merged_and_is_shown_by_id_leads_to_the_one_that_it_is_now():
    """Over several merges too; a ring of them leads nowhere, and is asked for once around."""
    reader = soft()
    one, two, three = (reader.collection.add(name=name) for name in ("one", "two", "three"))
    reader.collection.merge(one, two)
    reader.collection.merge(two, three)

    assert three == (reader.clock.run(reader.rest.get("leads", str(one))) or {})["id"]

    reader.collection.merge(three, one)
    before = len(reader.system.requests)

    assert reader.clock.run(reader.rest.get("leads", str(one))) is None
    assert 3 == len(reader.system.requests) - before
