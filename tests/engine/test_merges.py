"""A record that was merged into another at the vendor: its pair goes on with the one that it is now."""

from engine.world import World, told
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
    world = world_of(tmp_path)
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
