"""Every operation, each way, one by one, in batches, and by upsert: it arrives once, and the next run is green and has nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.world import World, told
from tieline.testing import Collection

FIELDS = {"email": {"type": "string"}, "name": {"type": "string"}, "code": {"type": "string"}}
WAYS: dict[str, dict[str, Any]] = {
    "single": {},
    "batch": {"batch": {"create": 2, "update": 2, "delete": 2}},
    "batch by id": {"batch": {"create": 2, "update": 2, "delete": 2}, "results": "id", "result_key": "email"},
    "upsert by match key": {"upsert": "email", "creates": False, "update": None},
    "upsert by match key, in batches": {"upsert": "email", "creates": False, "update": None, "batch": {"upsert": 2}},
    "upsert by another key": {"upsert": "code", "creates": False, "update": None, "find": ("email", "code")},
    "upsert by another key, in batches": {"upsert": "code", "creates": False, "update": None, "batch": {"upsert": 2}, "find": ("code",)},
    "upsert by another key, without get": {"upsert": "code", "creates": False, "update": None, "find": ("email", "code"), "gets": False},
}
MAP = {"email": "email", "name": "name", "code": "code"}
EVERYBODY = [{"email": f"{name}@x", "name": name, "code": f"c-{name}"} for name in ("ann", "bob", "cid")]


class Way:
    """An integration from one side to the other; the side that is written has the habits of the way."""

    def __init__(self, folder: Path, way: str, direction: str, conflict: str = "source") -> None:
        habits = {"find": ("email",), **WAYS[way]}
        self.back = direction == "back"
        written, other = Collection("leads" if self.back else "members", FIELDS, **habits), Collection("members", FIELDS, find=("email",))
        sides = (written, other) if self.back else (Collection("leads", FIELDS), written)
        if direction == "one-way":
            said = {"deletes": "delete", "conflict": conflict, "direction": "one-way"}
        else:
            said = {"deletes": {"left": "delete", "right": "delete"}, "conflict": "left", "direction": "two-way"}
        self.world = World(folder, *sides, map=MAP, **said)
        self.source, self.target = sides[::-1] if self.back else sides

    def run(self) -> dict[str, int]:
        """Run once the systems' lag is over."""
        self.world.clock.advance(3600.0)
        return told(self.world.run())

    def settle(self, what: str) -> None:
        """Run until it is green; the next run then writes nothing, and both sides say the same."""
        outcome = self.run()
        assert "green" in outcome, f"{what}: {outcome}"
        written = len(self.target.written) + len(self.source.written)
        again = self.run()
        assert "green" in again, f"after {what}: {again}"
        assert written == len(self.target.written) + len(self.source.written), f"after {what} the next run writes again: {again}"
        assert self.says(self.source) == self.says(self.target), what

    def says(self, side: Collection) -> list[tuple[str, ...]]:
        """What a side says, in the mapped fields."""
        return sorted(tuple(record[field] for field in MAP) for record in side.records)


@pytest.mark.parametrize("direction", ["one-way", "forward", "back"])
@pytest.mark.parametrize("way", WAYS)
def test_it_arrives_once(way: str, direction: str, swift_path: Path) -> None:
    there = Way(swift_path, way, direction)
    ids = [there.source.add(**one) for one in EVERYBODY]
    there.settle("creations")
    assert 3 == len(there.target.records)

    for id in ids:
        there.source.change(id, name=f"{id} has changed")
    there.settle("updates")
    assert 3 == len(there.target.records)

    there.source.remove(ids[0])
    there.source.change(ids[1], name="changed beside a deletion")
    there.source.add(email="dan@x", name="dan", code="c-dan")
    there.settle("all at once")
    assert 3 == len(there.target.records)


@pytest.mark.parametrize("direction", ["one-way", "forward", "back"])
@pytest.mark.parametrize("way", [way for way in WAYS if "upsert" in way])
def test_an_update_by_upsert_never_lands_on_another_record(way: str, direction: str, swift_path: Path) -> None:
    """The key of a counterpart was changed there, and a stranger has it now: an upsert by it would overwrite the stranger."""
    there = Way(swift_path, way, direction)
    (ann, *_) = [there.source.add(**one) for one in EVERYBODY]
    there.settle("creations")
    key = WAYS[way]["upsert"]
    (counterpart,) = there.target.where("email", "ann@x")
    was = counterpart[key]
    there.target.change(counterpart["id"], **{key: "moved"})
    stranger = there.target.add(email="stranger@x", name="a stranger", code="c-stranger")
    there.target.change(stranger, **{key: was})
    there.source.change(ann, name="Ann Smith")

    for _ in range(3):
        there.run()

    assert "a stranger" == there.target.record(stranger)["name"]


@pytest.mark.parametrize("direction", ["one-way", "forward", "back"])
@pytest.mark.parametrize("way", [way for way in WAYS if "another key" in way])
def test_a_creation_by_upsert_never_lands_on_another_record(way: str, direction: str, swift_path: Path) -> None:
    """A stranger has the key of a record that has no counterpart by its match key."""
    there = Way(swift_path, way, direction)
    there.source.add(**EVERYBODY[0])
    there.settle("creations")
    stranger = there.target.add(email="stranger@x", name="a stranger", code="c-bob")
    there.source.add(**EVERYBODY[1])

    outcomes = [there.run() for _ in range(3)]

    assert ("stranger@x", "a stranger") == tuple(there.target.record(stranger)[field] for field in ("email", "name"))
    assert "green" not in outcomes[0]
    assert "ann" in {record["name"] for record in there.target.records}
