"""What `status` and `explain` say while something is on its way, waits, or was left by a process that was killed."""

from __future__ import annotations

import pytest

from engine.world import leads, told
from tieline.store import runs
from tieline.testing import Crash, Process, error, throttled


def test_status_counts_what_a_killed_process_had_on_its_way(new_world):
    """It is owed from the moment at which it was accepted, not only once the next run has found it."""
    world = new_world()
    world.leads.add(email="a@example.com", name="Ann", rev=0)
    world.run()
    world.clock.advance(1000)
    world.leads.add(email="b@example.com", name="Bob", rev=0)
    with pytest.raises(Crash):
        world.run(process=Process(lambda number, what: what.startswith("after POST")))
    world.clock.advance(600)

    with world.life() as life:
        (status,) = life.tieline.status()
    again = world.run()
    with world.life() as life:
        (after,) = life.tieline.status()

    assert (1, {"sending": 1}) == (status.owed, status.open)
    assert 590 < status.freshness_age
    assert {"green": 2, "unchanged": 2, "carried_delivered": 1} == told(again)
    assert (0, {}) == (after.owed, after.open)


def test_nothing_in_a_story_lies_in_the_future(new_world):
    """When a delivery is tried next is no time at which something happened, and what never arrived is not agreed."""
    world = new_world()
    world.leads.add(email="a@example.com", name="Ann", rev=0)
    world.network.strike(throttled(2000), system="mail", method="POST", times=99)

    assert "owed" == world.run().state
    story = world.story(1001)

    assert "owed" == story.moments[-1].what
    assert max(moment.at for moment in story.moments) <= world.clock.now()
    assert story.last_agreed is None


def test_what_stays_undecided_is_not_said_to_be_decided(new_world):
    """While the destination is down, a later version only takes the place of an earlier one."""
    world = new_world()
    world.leads.add(email="a@example.com", name="Ann", rev=0)
    world.network.strike(error(503), system="mail", times=999)
    world.run()
    world.leads.change(1001, name="Anna")
    world.run()
    before = [moment.text for moment in world.story(1001).moments if moment.what == "superseded"]
    world.network.strikes_end()
    world.clock.advance(100)
    world.run()
    after = [moment.text for moment in world.story(1001).moments if moment.what == "superseded"]

    assert ["a later version took its place"] == before
    assert ["a later version took its place", "it could be decided"] == after


def test_a_story_names_the_record_that_each_delivery_was_about(new_world):
    """Deleted by someone and made again on request, it has another id: the first creation was not of that one."""
    world = new_world()
    lead = world.leads.add(email="a@example.com", name="Ann", rev=0)
    world.run()
    (first,) = world.members.records
    world.members.remove(first["id"])
    world.leads.change(lead, name="Anna")
    world.run()
    world.run(redrive=tuple(letter.id for letter in world.letters()))
    (second,) = world.members.records

    confirmed = [moment.text for moment in world.story(lead).moments if moment.what == "delivered"]
    assert [f"create of {first['id']} confirmed", f"create of {second['id']} confirmed"] == confirmed


def test_status_says_what_a_run_has_done_so_far(new_world):
    """In records, while it is going on: read, written, held; not just that it is running."""
    world = new_world(source=leads(page_size=10))
    for number in range(60):
        world.leads.add(email=f"p{number}@example.com", name=f"P{number}", rev=0)
    seen: list[dict[str, int]] = []

    def look(exchange: object) -> None:
        world.clock.advance(0.5)
        with world.store() as db:
            (run,) = runs.latest(db, 1)
            if run.counts and run.counts not in seen:
                assert run.ended_at is None
                seen.append(run.counts)

    world.network.passing = look
    outcome = world.run()

    assert {"green": 60, "created": 60} == told(outcome)
    assert len(seen) > 3
    assert seen == sorted(seen, key=lambda counts: counts["read"])
    assert any(0 < counts.get("created", 0) < 60 for counts in seen)
