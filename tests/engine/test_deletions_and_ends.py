"""The brake on deletions and how it lets go, records that were ignored, and which way a run says that it ended."""

from __future__ import annotations

import pytest

from engine.world import NAME, World, leads, members, told
from tieline.testing.faults import REFUSED, UNANSWERED

BAD = "refuse me"


def deleting(new_world, **more) -> World:
    """Return a world in which five records have arrived, of which four were deleted in the source, and one was changed."""
    source = leads(changed_since="version", order="changed", tombstones=True, page_size=2)
    world = new_world(source=source, deletes="delete", brakes={"deletes": 2}, **more)
    for n in range(5):
        world.leads.add(email=f"lead{n}@example.org", name="Lead", rev=1)
    world.run()
    for id in (1001, 1002, 1003, 1004):
        world.leads.remove(id)
    world.leads.change(1005, name="Changed")
    return world


def test_the_brake_holds_the_deletions_and_nothing_else(new_world):
    """It names how many there are, and what to do; the next run meets them again."""
    world = deleting(new_world)
    held = world.run()
    again = world.run()

    assert "halted" == held.state
    assert "4 records were deleted in the source, more than the 2" in held.error
    assert f"tieline run {NAME} --allow-deletes 4" in held.next_step
    assert 1 == held.counts.updated
    assert held.counts.balances
    assert "halted" == again.state
    assert 5 == len(world.members.records)
    assert "Changed" in [record["name"] for record in world.arrived]


@pytest.mark.parametrize(("allowed", "left"), [(3, 5), (4, 1), (100, 1)])
def test_so_many_deletions_are_allowed_once(new_world, allowed, left):
    """It is a ceiling, not a switch, and it is not remembered."""
    world = deleting(new_world)
    world.run(allow_deletes=allowed)
    told_so = world.deliveries(1001)[-1].operation
    world.leads.add(email="new@example.org", name="New", rev=1)
    world.run(allow_deletes=allowed)
    for lead in list(world.leads.records):
        world.leads.remove(lead["id"])
    for n in range(3):
        lead = world.leads.add(email=f"later{n}@example.org", name="Later", rev=1)
    world.run(allow_deletes=allowed)
    for lead in list(world.leads.records):
        world.leads.remove(lead["id"])
    last = world.run()

    assert ("delete" if left == 1 else "create") == told_so
    assert "halted" == last.state


def test_an_allowance_stands_in_the_journal(new_world):
    world = deleting(new_world)
    world.run(allow_deletes=4)
    with world.store() as db:
        events = db.read("SELECT kind, detail FROM event WHERE source_id IS NULL")

    assert [("deletions allowed by hand", '{"deletions":4,"allowed":4,"brake":2}')] == events


@pytest.mark.parametrize(("allowed", "brakes"), [(None, [(4, 2)]), (4, [])])
def test_a_plan_shows_what_the_brake_would_hold(new_world, allowed, brakes):
    """And the rest of the plan with it: a plan is such a run, on a copy of the store."""
    world = deleting(new_world)
    planned = world.run(send=False, allow_deletes=allowed)
    decided = [world.deliveries(id)[-1].operation for id in range(1001, 1006)]

    assert [*["delete"] * 4, "update"] == decided
    assert brakes == [(brake.deletions, brake.allowed) for brake in planned.brakes]
    assert planned.state == "green"
    assert 5 == len(world.members.records)


def test_more_deletions_than_a_statement_takes(new_world):
    """They go in portions."""
    source = leads(changed_since="version", order="changed", tombstones=True, page_size=500)
    world = new_world(source=source, target=members(batch={"create": 100, "delete": 100}), deletes="delete")
    for n in range(2500):
        world.leads.add(email=f"lead{n}@example.org", name="Lead", rev=1)
    world.run()
    for lead in list(world.leads.records):
        world.leads.remove(lead["id"])
    outcome = world.run(allow_deletes=10_000)

    assert {"green": 2500, "deleted": 2500} == told(outcome)
    assert [] == world.members.records


# -- ignored


@pytest.mark.parametrize("since", [None, "version"])
def test_an_ignored_record_is_looked_at_again_when_the_source_is_read_whole(new_world, since):
    """Its counterpart may have been made meanwhile. Where only changes are read, someone must ask for it."""
    world = new_world(source=leads(changed_since=since, order="changed" if since else "made"), unmatched="ignore", when="became('rev', 1)")
    world.leads.add(email="ann@example.org", name="Ann", rev=1)
    first = world.run()
    quiet = world.run()
    stories = len(world.story(1001).moments)
    world.members.add(email="ann@example.org", name="Someone", rev=0)
    plain = world.run()
    before = [record["name"] for record in world.arrived]
    world.run(full=True)

    assert {"green": 1, "filtered": 1} == told(first)
    assert 0 == quiet.counts.written
    assert 1 == stories
    assert (0 if since else 1) == plain.counts.updated
    assert (["Someone"] if since else ["Ann"]) == before
    assert ["Ann"] == [record["name"] for record in world.arrived]


def test_an_ignored_record_is_looked_at_again_by_name_and_with_another_match(new_world):
    source = leads(changed_since="version", order="changed")
    world = new_world(source=source, unmatched="ignore")
    world.leads.add(email="ann@example.org", name="Ann", rev=1)
    world.leads.add(email="bob@example.org", name="Bob", rev=1)
    world.run()
    for email, name in (("ann@example.org", "Someone"), ("robert@example.org", "Bob")):
        world.members.add(email=email, name=name, rev=0)
    one = world.run(only="1001")
    world.members.find = ("name",)
    world.declare(unmatched="ignore", match={"name": "name"})
    all_ = world.run()

    assert 1 == one.counts.updated
    assert 1 == all_.counts.updated
    assert ["ann@example.org", "bob@example.org"] == [record["email"] for record in world.arrived]


def test_a_changed_policy_reaches_ignored_records_with_a_full_read(new_world):
    world = new_world(source=leads(changed_since="version", order="changed"), unmatched="ignore")
    world.leads.add(email="ann@example.org", name="Ann", rev=1)
    world.run()
    world.declare(unmatched="create")
    world.run(full=True)

    assert ["Ann"] == [record["name"] for record in world.arrived]


# -- ends


def test_somebody_must_act_comes_before_owed_and_hides_nothing(new_world):
    world = new_world(target=members(refuses=lambda operation, record: "no" if record.get("name") == BAD else None), retry={"attempts": 1})
    world.leads.add(email="bad@example.org", name=BAD, rev=1)
    world.run()
    world.leads.add(email="ann@example.org", name="Ann", rev=1)
    world.network.strike(REFUSED, system="mail", method="POST", times=20)
    outcome = world.run()

    assert "attention" == outcome.state
    assert {"dead": 1, "owed": 1} == outcome.open
    assert "see `tieline dead-letters`" in outcome.next_step
    assert "owed" in outcome.next_step


def test_a_source_that_is_down_does_not_hide_that_somebody_must_act(new_world):
    world = new_world(target=members(refuses=lambda operation, record: "no" if record.get("name") == BAD else None))
    world.leads.add(email="bad@example.org", name=BAD, rev=1)
    world.run()
    world.network.strike(REFUSED, system="crm", times=100)
    outcome = world.run()

    assert "attention" == outcome.state
    assert outcome.error is not None
    assert "the next run goes on" in outcome.next_step


def test_a_deletion_reaches_a_creation_in_doubt_whose_later_version_was_filtered(new_world):
    """It was made, the answer was lost, it moved out of sight of `when`, and then it was deleted, all while no one could look."""
    source = leads(changed_since="version", order="changed", tombstones=True)
    world = new_world(source=source, deletes="delete", when="new.rev < 5", retry={"attempts": 1})
    lead = world.leads.add(email="ann@example.org", name="Ann", rev=1)
    world.network.strike(UNANSWERED, system="mail", method="POST")
    world.run()
    world.network.strike(REFUSED, system="mail", times=1000)
    world.leads.change(lead, rev=7)
    filtered = world.run()
    world.clock.advance(100)
    world.leads.remove(lead)
    world.run()
    world.network.strikes_end()
    world.clock.advance(10_000)
    world.run()

    assert 1 == filtered.counts.filtered
    assert [] == world.arrived
    assert ["delivered", "delivered"] == [delivery.state for delivery in world.deliveries(lead)]
