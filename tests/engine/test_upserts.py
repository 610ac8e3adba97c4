"""Whom an upsert hits is known before it is sent: it never lands on the counterpart of another record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.world import World, leads, members, told
from tieline.testing import Collection


def two_way(folder: Path, batch: int, **habits: Any) -> World:
    """Return a world in which Ann is on both sides, and new records of the right are made on the left by an upsert."""
    fields = {"email": {"type": "string"}, "name": {"type": "string"}}
    left = Collection("leads", fields, upsert="email", creates=False, batch={"upsert": batch} if batch else {}, **habits)
    world = World(folder, left, Collection("members", fields), direction="two-way", conflict="left", map={"email": "email", "name": "name"})
    world.leads.add(email="ann@x", name="Ann")
    world.run()
    return world


@pytest.mark.parametrize("batch", [0, 3])
@pytest.mark.parametrize("habits", [{}, {"changed_since": "time"}])
def test_both_ways_an_upsert_never_overwrites_a_record_of_another_pair(habits: dict[str, Any], batch: int, swift_path: Path) -> None:
    """Ann's address becomes Bob's there, and here Bob is new: by his address, an upsert would hit Ann."""
    world = two_way(swift_path, batch, **habits)
    (ann,), there = world.leads.records, world.members.records[0]["id"]
    world.leads.change(ann["id"], email="bob@x")
    world.clock.advance(10.0)
    world.members.add(email="bob@x", name="Bob")
    planned = world.run(send=False)
    ran = world.run()

    assert told(planned).get("created", 0) == told(ran).get("created", 0) == 0
    for letter in world.letters():
        world.run(redrive=(letter.id,))
    world.run()
    assert ["Ann"] == [record["name"] for record in world.leads.records]
    assert {"Ann", "Bob"} == {record["name"] for record in world.members.records}
    assert there in {record["id"] for record in world.members.where("name", "Ann")}


@pytest.mark.parametrize("batch", [0, 3])
@pytest.mark.parametrize("habits", [{"find": ("email",)}, {"find": (), "lists": True}, {"find": ("email",), "lists": False}])
def test_one_way_an_upsert_never_overwrites_another_counterpart(habits: dict[str, Any], batch: int, swift_path: Path) -> None:
    world = World(swift_path, leads(), members(upsert="email", creates=False, batch={"upsert": batch} if batch else {}, **habits))
    world.leads.add(email="ann@x", name="Ann", rev=1)
    world.run()
    world.members.change(world.members.records[0]["id"], email="bob@x")
    world.leads.add(email="bob@x", name="Bob", rev=1)
    world.leads.add(email="cid@x", name="Cid", rev=1)
    world.clock.advance(10.0)
    ran = world.run()

    assert {"attention": 3, "created": 1, "unchanged": 1, "held": 1} == told(ran)
    assert ["Ann", "Cid"] == [record["name"] for record in world.members.records]


def test_a_first_run_needs_no_look(swift_path: Path) -> None:
    """Nothing is linked yet: an upsert takes over what is there, as it is meant to."""
    world = World(swift_path, leads(), members(upsert="email", creates=False, lists=False))
    world.members.add(email="ann@x", name="older", rev=0)
    world.leads.add(email="ann@x", name="Ann", rev=1)
    assert "green" == world.run().state
    assert [["Ann"], []] == [[r["name"] for r in world.members.records], [e for e in world.network.exchanges if "/search" in e.request.url]]
