"""What a run wrote is put back, except where someone has written since."""

import pytest
from tests.engine.world import NAME, World, leads, members, told

from tieline.engine.runs.undo import LEFT_ALONE
from tieline.model.errors import Refused
from tieline.store import journal
from tieline.testing import Collection, error

FIELDS = {"email": {"type": "string"}, "name": {"type": "string"}, "phone": {"type": "string"}}


def two_way(tmp_path, **integration):
    """Return two sides with the same people, and an integration both ways."""
    world = World(
        tmp_path, Collection("leads", FIELDS), Collection("members", FIELDS),
        **{"direction": "two-way", "conflict": "hold", "map": {"email": "email", "name": "name", "phone": "phone"}, **integration},
    )  # fmt: skip
    world.leads.add(email="ann@x", name="Ann", phone="1")
    world.leads.add(email="bob@x", name="Bob", phone="2")
    world.run()
    return world


def left_alone(world, run):
    with world.store() as db:
        return [(event.source_id, event.detail) for event in journal.events_of_run(db, run, LEFT_ALONE)]


def of(collection, email):
    (record,) = collection.where("email", email)
    return record


def test_updates_go_back_to_what_was_there_and_stay_so_until_the_source_changes_in_that_field(tmp_path):
    world = World(tmp_path, leads(), members())
    ann = world.leads.add(email="ann@x", name="Ann", rev=1)
    world.run()
    world.leads.change(ann, name="Anna", rev=2)
    second = world.run()

    undone = world.run(undo=second.run)
    again = world.run()
    world.leads.change(ann, rev=3)
    world.run()

    assert {"green": 1, "updated": 1} == told(undone)
    assert {"green": 1, "unchanged": 1} == told(again)
    assert {"email": "ann@x", "name": "Ann", "rev": 3} == {k: v for k, v in of(world.members, "ann@x").items() if k != "id"}


def test_what_was_created_is_deleted_and_not_made_again_by_itself(tmp_path):
    world = World(tmp_path, leads(), members())
    ann = world.leads.add(email="ann@x", name="Ann", rev=1)
    first = world.run()

    assert {"green": 1, "deleted": 1} == told(world.run(undo=first.run))
    assert [] == world.members.records
    world.run(full=True)
    assert [] == world.members.records
    world.leads.change(ann, name="Anna")
    world.run()
    assert ["Anna"] == [record["name"] for record in world.members.records]


def test_what_was_deleted_is_made_again(tmp_path):
    world = World(tmp_path, leads(tombstones=True, changed_since="time"), members(), deletes="delete")
    ann = world.leads.add(email="ann@x", name="Ann", rev=1)
    world.run()
    world.leads.remove(ann)
    second = world.run()
    assert [] == world.members.records

    world.run(undo=second.run)

    assert [("ann@x", "Ann", 1)] == [(r["email"], r["name"], r["rev"]) for r in world.members.records]


def test_a_field_that_somebody_edited_since_is_left_alone_and_told_while_the_others_go_back(tmp_path):
    world = World(tmp_path, leads(), members())
    ann = world.leads.add(email="ann@x", name="Ann", rev=1)
    world.run()
    world.leads.change(ann, name="Anna", rev=2)
    second = world.run()
    member = of(world.members, "ann@x")["id"]
    world.members.change(member, name="Anne")

    undone = world.run(undo=second.run)

    assert ("Anne", 1) == (of(world.members, "ann@x")["name"], of(world.members, "ann@x")["rev"])
    ((record, why),) = left_alone(world, undone.run)
    assert str(ann) == record
    assert "edited since: `name`" in why


def test_an_undo_can_be_undone(tmp_path):
    world = World(tmp_path, leads(), members())
    ann = world.leads.add(email="ann@x", name="Ann", rev=1)
    world.run()
    world.leads.change(ann, name="Anna")
    second = world.run()
    undone = world.run(undo=second.run)

    world.run(undo=undone.run)

    assert "Anna" == of(world.members, "ann@x")["name"]


def test_both_ways_each_side_gets_back_what_the_run_wrote_there_and_verify_knows_that_it_is_meant(tmp_path):
    world = two_way(tmp_path)
    ann, bob = of(world.leads, "ann@x")["id"], of(world.members, "bob@x")["id"]
    world.leads.change(ann, name="Anna")
    world.members.change(bob, phone="22")
    second = world.run()
    assert {"green": 4, "updated": 2} == {k: v for k, v in told(second).items() if k in ("green", "updated")}

    world.run(undo=second.run)
    world.run()

    assert ("Anna", "Ann") == (of(world.leads, "ann@x")["name"], of(world.members, "ann@x")["name"])
    assert ("2", "22") == (of(world.leads, "bob@x")["phone"], of(world.members, "bob@x")["phone"])

    async def verified(tieline):
        with await tieline.verify(NAME) as verification:
            return verification.verified

    found = world.within(verified)
    assert (2, 2, 0) == (found.in_sync, found.kept, found.wrong)

    world.leads.change(ann, name="Annette")
    world.run()
    assert "Annette" == of(world.members, "ann@x")["name"]


def test_both_ways_a_counterpart_that_was_made_is_deleted_and_not_made_again(tmp_path):
    world = two_way(tmp_path)
    world.members.add(email="cy@x", name="Cy", phone="3")
    second = world.run()
    assert 1 == len(world.leads.where("email", "cy@x"))

    world.run(undo=second.run)
    world.run()
    world.run(full=True)

    assert [] == world.leads.where("email", "cy@x")
    assert 1 == len(world.members.where("email", "cy@x"))


def test_a_run_of_another_integration_or_none_is_refused(tmp_path):
    world = World(tmp_path, leads(), members())
    world.run()
    with pytest.raises(Refused, match="has no run 99"):
        world.run(undo=99)


def test_what_an_undo_leaves_owed_is_sent_as_it_was_meant_but_not_over_what_was_edited_meanwhile(tmp_path):
    """Both sides agree by then, so that nothing would come of deciding it again."""
    world = two_way(tmp_path, deletes={"left": "delete", "right": "ignore"})
    ann, bob = (of(world.leads, f"{name}@x")["id"] for name in ("ann", "bob"))
    cy = world.leads.add(email="cy@x", name="Cy", phone="3")
    world.run()
    world.leads.change(ann, name="Anna")
    world.leads.change(bob, name="Bobby")
    world.leads.remove(cy)
    world.leads.add(email="di@x", name="Di", phone="4")
    second = world.run()
    for method in ("PATCH", "POST", "DELETE"):
        world.network.strike(error(503), system="mail", method=method, times=4000)
    undone = world.run(undo=second.run)
    world.clock.elapsed_seconds += 3600
    still = world.run()
    world.network.strikes_end()
    world.members.change(of(world.members, "bob@x")["id"], name="Robert")
    after = world.run()
    again = world.run(undo=second.run)

    assert ("owed", 4) == (undone.state, undone.counts.owed)
    assert ("owed", 4) == (still.state, sum(number for state, number in still.open.items() if state in ("owed", "unknown")))
    assert ("green", 3) == (after.state, after.counts.carried_delivered)
    names = {member["email"]: member["name"] for member in world.members.records}
    assert {"ann@x": "Ann", "bob@x": "Robert", "cy@x": "Cy"} == names
    ((record, why),) = left_alone(world, after.run)
    assert (str(bob), True) == (record, "edited since" in why)
    assert {"green", "unchanged", "filtered"} >= told(again).keys(), "nothing is put back twice"


def test_a_field_that_the_answer_to_a_creation_shows_is_nobody_s_work(tmp_path):
    """A vendor's default does not keep a record from being deleted again; what someone filled in does, until a person says otherwise."""
    world = two_way(tmp_path, map={"email": "email", "name": "name"})
    world.members.normalise = lambda record: {"phone": "none", **record}
    for name in ("cy", "di"):
        world.leads.add(email=f"{name}@x", name=name)
    second = world.run()
    world.members.change(of(world.members, "di@x")["id"], phone="4")
    undone = world.run(undo=second.run)
    ((_, why),) = left_alone(world, undone.run)
    there = {member["email"] for member in world.members.records}
    forced = world.run(undo=second.run, delete_filled=True)

    assert {"ann@x", "bob@x", "di@x"} == there
    assert "`phone`" in why
    assert 1 == forced.counts.deleted
