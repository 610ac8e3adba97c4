"""Which record is which, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from engine.world import NAME, World, members, told
from tieline.engine.review import linking
from tieline.model.errors import Refused, SafetyStop
from tieline.testing import REFUSED


def link(world: World, source_id: Any, target_id: Any) -> None:
    world.within(lambda tieline: tieline.link(NAME, str(source_id), str(target_id), "a test"))


def unlink(world: World, source_id: Any) -> str:
    with world.life() as life:
        return life.tieline.unlink(NAME, str(source_id), "a test")


def pairs(world: World, **which: Any) -> dict[str, str | None]:
    with world.store() as db:
        return {pair.source_id: pair.target_id for pair in linking.pairs(db, NAME, **which)}


def test_a_wrong_pair_is_put_right(new_world):
    """The namesake keeps what it says; the right one gets what it lacks, and nothing else."""
    world = new_world(match={"name": "name"}, target=members(find=("name",)))
    lead = world.leads.add(email="ann@example.com", name="Ann", rev=0)
    wrong = world.members.add(email="other-ann@example.com", name="Ann", rev=7)
    world.run()
    world.members.change(wrong, email="other-ann@example.com", rev=7)
    right = world.members.add(email="ann@example.com", name="Ann Smith", rev=0)

    assert str(wrong) == unlink(world, lead)
    assert {} == pairs(world)
    assert {str(lead): None} == pairs(world, unlinked=True)
    link(world, lead, right)
    outcome = world.run(only=str(lead))

    assert {"green": 1, "updated": 1} == told(outcome)
    assert {"name": "Ann"} == world.deliveries(lead)[-1].fields
    assert {str(lead): str(right)} == pairs(world)
    assert ("other-ann@example.com", 7) == tuple(world.members.record(wrong)[field] for field in ("email", "rev"))
    assert ["unlinked by hand", "linked by hand"] == [m.what for m in world.story(lead).moments if m.what.endswith("linked by hand")]
    assert {"green": 1, "unchanged": 1} == told(world.run())


def test_what_was_unlinked_meets_the_destination_anew(new_world):
    world = new_world()
    lead = world.leads.add(email="a@example.com", name="A", rev=0)
    world.run()
    unlink(world, lead)
    outcome = world.run()

    assert (1, 0) == (outcome.counts.matched, outcome.counts.created)
    assert 1 == len(world.members.records)
    assert [str(lead)] == list(pairs(world))


def test_what_can_t_be_is_refused_and_nothing_is_changed(new_world):
    world = new_world(target=members(refuses=lambda operation, record: "no" if record.get("name") == "Bad" else None))
    one, two = (world.leads.add(email=f"{n}@example.com", name=n, rev=0) for n in ("one", "two"))
    bad = world.leads.add(email="bad@example.com", name="Bad", rev=0)
    world.run()
    before = pairs(world)
    unlinked = unlink(world, two)

    with pytest.raises(Refused, match="knows no source record 99"):
        unlink(world, 99)
    with pytest.raises(Refused, match="is linked to"):
        link(world, one, unlinked)
    with pytest.raises(Refused, match="counterpart of source record"):
        link(world, two, before[str(one)])
    with pytest.raises(Refused, match="has no record 4711"):
        link(world, two, 4711)
    with pytest.raises(Refused, match="open dead letter"):
        link(world, bad, unlinked)
    assert {str(one): before[str(one)]} == pairs(world)

    link(world, two, unlinked)
    world.leads.change(two, name="Two")
    world.network.strike(REFUSED, system="mail", times=10_000)
    world.run()
    with pytest.raises(SafetyStop, match="owed or on its way"):
        unlink(world, two)
    assert before == pairs(world)
