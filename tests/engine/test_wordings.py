"""Looked up one by one or listed: the same data give the same outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.world import World, members

FIELDS: dict[str, Any] = {"email": {"type": "string"}, "name": {"type": "string"}, "rev": {"type": "number"}}


def exact(**habits: Any) -> Any:
    """Return a list whose search compares letter by letter."""
    collection = members(**habits)
    found = collection.found
    collection.found = lambda field, value: [entry for entry in found(field, value) if entry.record[field] == value]  # type: ignore[method-assign]
    return collection


@pytest.mark.parametrize("there", ["ann@x.org", " Ann@X.org "], ids=["as we write it", "as it is here"])
@pytest.mark.parametrize("habits", [{"lists": False}, {"find": ()}], ids=["searched", "listed"])
def test_a_record_that_is_there_is_found(habits: dict[str, Any], there: str, swift_path: Path) -> None:
    world = World(swift_path, target=exact(**habits), map={"email": {"from": "email", "as": "email"}, "name": "name", "rev": "rev"})
    world.members.add(email=there, name="Ann", rev=1)
    world.leads.add(email=" Ann@X.org ", name="Ann", rev=1)
    outcome = world.run()
    assert (1, 0) == (outcome.counts.matched, outcome.counts.created)
    assert 1 == len(world.members.records)
