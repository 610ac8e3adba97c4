"""A record that was merged into another at the vendor: its pair goes on with the one that it is now."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.world import World, told
from tieline.engine.intake.deletion_feed import ends_of
from tieline.testing import Collection

FIELDS = {"email": {"type": "string"}, "name": {"type": "string"}, "phone": {"type": "string"}}


def world_of(tmp_path, **habits):
    """Return a world in which both sides have Ann and Bob, linked."""
    world = World(
        tmp_path, Collection("leads", FIELDS, **habits), Collection("members", FIELDS),
        direction="two-way", conflict="left", deletes={"left": "delete", "right": "delete"},
        map={"email": "email", "name": "name", "phone": "phone"},
    )  # fmt: skip
    for name in ("ann", "bob"):
        world.leads.add(email=f"{name}@x", name=name, phone="1")
    world.run()
    return world


def of(collection, email):
    (record,) = collection.where("email", email)
    return record


def test_a_tombstone_that_names_the_survivor_redirects_the_link_and_deletes_nothing(tmp_path):
    world = world_of(tmp_path, tombstones=True, changed_since="time")
    member = of(world.members, "ann@x")["id"]
    survivor = world.leads.add(email="ann.b@x", name="Ann B.", phone="2")
    world.leads.merge(of(world.leads, "ann@x")["id"], survivor)

    merged = world.run()
    world.leads.change(survivor, phone="3")
    world.run()

    assert "green" == merged.state
    assert {"id": member, "email": "ann.b@x", "name": "Ann B.", "phone": "3"} == world.members.record(member)
    assert 2 == len(world.members.records)
    assert 2 == len(world.leads.records)


def test_a_system_that_answers_with_the_survivor_redirects_the_link_as_well(tmp_path):
    """Its list does not show the merged record any more; asked for by its id, it shows the one that it is now."""
    world = world_of(tmp_path, shows_survivor=True)
    member = of(world.members, "ann@x")["id"]
    survivor = world.leads.add(email="ann.b@x", name="Ann B.", phone="2")
    world.leads.merge(of(world.leads, "ann@x")["id"], survivor)

    assert "green" == world.run().state
    assert "Ann B." == world.members.record(member)["name"]
    assert {"green": 4, "unchanged": 4} == told(world.run())
    assert 2 == len(world.members.records)


def test_two_that_were_linked_both_and_are_merged_leave_one_counterpart_that_stands_for_itself(tmp_path):
    world = world_of(tmp_path, tombstones=True, changed_since="time")
    bob, ann = (of(world.leads, f"{name}@x")["id"] for name in ("bob", "ann"))
    left_over, kept = (of(world.members, f"{name}@x")["id"] for name in ("ann", "bob"))
    world.leads.merge(ann, bob)

    world.run()
    world.leads.change(bob, phone="9")
    world.run()
    world.run(full=True)

    assert ["1", "9"] == sorted(record["phone"] for record in world.members.records)
    assert [bob] == [record["id"] for record in world.leads.records]
    told = [told_of_merges(world, *record) for record in (("crm", "leads", ann), ("crm", "leads", bob), ("mail", "members", kept))]
    assert [[("merged", f"into: {bob}")], *[[("merged", f"other: {ann}")]] * 2] == told
    left = told_of_merges(world, "mail", "members", left_over)
    assert [("its counterpart was merged: it stands for itself now", f"was: {ann}, into: {bob}")] == left


def told_of_merges(world, connection, resource, id):
    async def explain(tieline):
        return tieline.explain(connection, resource, str(id))

    (story,) = world.within(explain)
    return [(moment.what, moment.text) for moment in story.moments if "merged" in moment.what]


@pytest.mark.parametrize("feed", [None, "time"])
def test_two_that_were_merged_into_each_other_are_gone_and_are_told_so_once(tmp_path, feed):
    """A ring has no end: neither record is there, whatever each of them says of the other."""
    world = world_of(tmp_path, tombstones=feed is None, changed_since="time" if feed is None else None, feed=feed)
    bob, ann = (of(world.leads, f"{name}@x")["id"] for name in ("bob", "ann"))
    world.leads.merge(ann, bob)
    world.leads.merge(bob, ann)

    first = world.run()
    later = [world.run(), world.run(full=True), world.run(full=True)]

    assert ["green"] * 4 == [outcome.state for outcome in (first, *later)]
    assert [] == world.members.records
    assert [] == world.leads.records
    assert {0} == {outcome.counts.deleted for outcome in later}
    assert [] == told_of_merges(world, "crm", "leads", ann)


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_every_merge_ends_or_is_a_ring(merged, there):
    ends, rings = ends_of(merged, there)

    assert merged.keys() == {*ends, *rings}
    assert not ends.keys() & {*rings}
    assert all(end in there or end not in merged for end in ends.values())
    for id in rings:
        met, now = set(), id
        while now not in met:
            met.add(now)
            assert now == id or now not in there
            now = merged[now]
