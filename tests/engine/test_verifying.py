"""`verify`: both systems are read, and every record of either side is accounted for."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from engine.world import NAME, World, leads, members
from tieline.engine.review import dead_letters
from tieline.engine.runs.passes import Outcome
from tieline.model.errors import Unavailable
from tieline.model.verified import Finding, Verified
from tieline.testing import REFUSED, Crash, Process, error


def verified(world: World) -> Verified:
    return look(world)[0]


def look(world: World) -> tuple[Verified, list[Finding]]:
    async def work(tieline: Any) -> tuple[Verified, list[Finding]]:
        with await tieline.verify(NAME) as verification:
            return verification.verified, list(verification.findings())

    found = world.within(work)
    adds_up(found[0])
    return found


def repair(world: World, process: Process | None = None, **more: Any) -> Outcome:
    async def work(tieline: Any) -> Outcome:
        with await tieline.verify(NAME) as verification:
            return await tieline.mend(NAME, verification, **more)

    return world.within(work, process)


def adds_up(v: Verified) -> None:
    """Every record is exactly one thing, on either side."""
    assert v.source_read == v.in_sync + v.differing + v.missing + v.excluded + v.unreadable
    if v.target_read is not None:
        assert v.target_read == v.counterparts + v.left_over + v.only_there + v.target_unreadable
    assert v.differing + v.missing + v.excluded + v.left_over == sum(v.why.values())


def people(world: World, number: int) -> list[Any]:
    return [world.leads.add(email=f"p{n}@example.com", name=f"P{n}", rev=0) for n in range(number)]


def test_what_was_changed_or_is_gone_there_is_found_and_mended(new_world):
    world = new_world()
    people(world, 30)
    world.run()
    assert 30 == verified(world).in_sync
    changed, gone = (world.members.where("email", f"p{n}@example.com")[0]["id"] for n in (3, 7))
    world.members.change(changed, name="Someone else")
    world.members.remove(gone)

    v, findings = look(world)
    outcome = repair(world)

    assert {"differing: changed there": 1, "missing: gone there": 1} == v.why
    assert [("differing", {"name": ("P3", "Someone else")}), ("missing", {})] == [(f.kind, f.fields) for f in findings]
    assert ("green", 1, 1) == (outcome.state, outcome.counts.updated, outcome.counts.created)
    assert 30 == verified(world).in_sync
    assert {f"P{n}" for n in range(30)} == {record["name"] for record in world.members.records}
    assert {"name": "P3"} == world.deliveries(findings[0].source_id)[-1].fields


def test_each_record_that_is_missing_or_left_out_has_its_reason(new_world):
    world = new_world(
        target=members(refuses=lambda operation, record: "no such name" if record.get("name") == "Bad" else None), when="new.rev < 9"
    )
    people(world, 5)
    world.leads.add(email="bad@example.com", name="Bad", rev=0)
    world.leads.add(email="worse@example.com", name="Bad", rev=0)
    world.leads.add(email="late@example.com", name="Late", rev=9)
    world.leads.add(email="same@example.com", name="One", rev=0)
    world.leads.add(email="SAME@example.com", name="Other", rev=0)
    world.members.add(email="stranger@example.com", name="Stranger", rev=0)
    world.run()
    (letter,) = [
        letter.id for letter in world.letters() if letter.source_id == str(world.leads.where("email", "worse@example.com")[0]["id"])
    ]
    with world.store() as db:
        dead_letters.discard(db, [letter], "not wanted", now=world.clock.now())
    world.leads.add(email="new@example.com", name="New", rev=0)
    world.leads.change(world.leads.where("email", "p1@example.com")[0]["id"], name="P1 again")

    v = verified(world)

    assert {
        "missing: parked": 1,
        "missing: held": 1,
        "missing: not read yet": 1,
        "differing: not read yet": 1,
        "excluded: `when` leaves it out": 1,
        "excluded: given up by hand": 1,
    } == v.why
    assert (5, 1, {"name": 1}) == (v.in_sync, v.only_there, v.fields)
    assert 2 == v.wrong_for_someone


def test_what_waits_for_a_system_that_is_down_is_owed_and_mended_by_nobody(new_world):
    world = new_world(target=members(gets=False), retry={"attempts": 1})
    people(world, 3)
    world.run()
    for lead in world.leads.records:
        world.leads.change(lead["id"], name="Changed")
    world.network.strike(REFUSED, system="mail", times=10_000)
    world.run()
    world.network.strikes_end()

    v, findings = look(world)

    assert {"differing: owed": 3} == v.why
    assert 0 == v.wrong_for_someone
    assert {"owed"} == {finding.why for finding in findings}
    with world.life() as life:
        assert 3 == life.tieline.status()[0].verified.differing


def test_what_the_destination_was_to_keep_is_in_sync_until_it_was_written(new_world):
    world = new_world(conflict="target")
    people(world, 2)
    world.members.add(email="p0@example.com", name="Their own", rev=0)
    world.run()
    assert (2, 1) == (verified(world).in_sync, verified(world).kept)

    world.leads.change(world.leads.records[0]["id"], name="Ours now")
    world.run()
    world.members.change(world.members.where("email", "p0@example.com")[0]["id"], name="Theirs again")

    assert {"differing: changed there": 1} == verified(world).why


def test_a_deletion_that_was_to_be_carried_out_and_one_that_was_not(new_world):
    for deletes, why, wrong in (("ignore", {"left over: deletions are ignored": 1}, 0), ("delete", {"left over: not read yet": 1}, 1)):
        world = new_world(source=leads(tombstones=True, changed_since="time"), deletes=deletes)
        person = world.leads.add(email=f"{deletes}@example.com", name="Gone", rev=0)
        world.run()
        world.leads.remove(person)
        v = verified(world)
        assert (why, wrong) == (v.why, v.wrong)
        world.run()
        assert (0, 0 if deletes == "delete" else 1) == (verified(world).wrong, verified(world).left_over)
        (world.folder / "store.db").unlink()


def test_a_destination_that_has_lost_too_many_is_not_believed(new_world):
    world = new_world(brakes={"deletes": 3})
    people(world, 10)
    world.run()
    for record in list(world.members.records)[:5]:
        world.members.remove(record["id"])

    halted = repair(world)
    assert ("halted", 5) == (halted.state, len(world.members.records))
    assert "--allow 5" in halted.next_step

    assert ("green", 5) == ((outcome := repair(world, allow=5)).state, outcome.counts.created)
    assert 10 == verified(world).in_sync


def test_a_destination_that_has_no_list_is_asked_record_by_record(new_world):
    world = new_world(target=members(lists=False))
    people(world, 4)
    world.run()
    world.members.remove(world.members.where("email", "p2@example.com")[0]["id"])
    v = verified(world)

    assert (3, {"missing: gone there": 1}, None) == (v.in_sync, v.why, v.target_read)


def test_a_destination_that_rewrites_what_it_gets_is_no_difference(new_world):
    world = new_world(
        target=members(normalise=lambda record: {**record, "email": str(record["email"]).upper(), "name": f" {record['name']} "})
    )
    people(world, 3)
    world.run()
    v = verified(world)

    assert (3, 3, {}) == (v.in_sync, v.respelled, v.why)


def test_before_the_first_run_nothing_is_there_yet_and_nothing_is_written(new_world):
    world = new_world()
    people(world, 3)

    assert {"missing: not read yet": 3} == verified(world).why
    assert [] == world.calls(method="POST")
    assert 3 == world.run().counts.created


@pytest.mark.parametrize("conflict", ["source", "target"])
def test_what_was_alike_when_both_met_and_was_changed_there_since_is_astray(new_world, conflict):
    """It was never written, because it did not have to be; that does not mean that the destination was to keep it."""
    world = new_world(conflict=conflict)
    people(world, 1)
    met = world.members.add(email="p0@example.com", name="P0", rev=0)
    world.run()
    world.members.change(met, name="Someone else")

    assert {"differing: changed there": 1} == verified(world).why


def test_what_the_destination_was_to_keep_outlives_the_history(new_world):
    world = new_world(conflict="target", file={"retention": {"history": "30d"}})
    people(world, 1)
    met = world.members.add(email="p0@example.com", name="Their own", rev=0)
    world.run()
    world.clock.advance(40 * 86_400)
    world.run()

    outcome = repair(world)

    assert (1, "Their own") == (verified(world).kept, world.members.record(met)["name"])
    assert 0 == outcome.counts.read


def test_what_a_person_sent_in_place_of_what_can_not_be_mapped_is_in_sync(new_world):
    """The source still says what no rule can translate; no run will ever send it."""
    world = new_world(map={"email": "email", "name": "name", "rev": {"from": "rev", "as": "integer"}})
    lead = world.leads.add(email="p@example.com", name="P", rev="seven")
    world.run()
    (letter,) = world.letters()
    with world.store() as db:
        dead_letters.edit(db, letter.id, {"rev": 7}, lambda record: str(record["id"]), now=world.clock.now())
    world.run(redrive=(letter.id,))
    v = verified(world)
    assert (1, 1, 0) == (v.in_sync, v.kept, v.wrong)

    world.members.change(world.members.records[0]["id"], name="Someone else")
    assert {"differing: changed there": 1} == verified(world).why
    world.leads.change(lead, rev="eight")
    assert {"differing: not read yet": 1} == verified(world).why


def test_a_repair_leaves_alone_what_has_moved_on_since_it_was_looked_at(new_world):
    """Another run may have sent a newer version meanwhile: what was seen before must not take its place, nor make a deleted record again."""
    world = new_world(source=leads(changed_since="time", tombstones=True), deletes="delete")
    people(world, 3)
    world.run()
    edited, deleted, _ = (lead["id"] for lead in world.leads.records)
    members_by_email = {record["email"]: record["id"] for record in world.members.records}
    for n in range(3):
        world.members.change(members_by_email[f"p{n}@example.com"], name="Someone else")
    world.members.remove(members_by_email["p1@example.com"])

    async def work(tieline: Any) -> Outcome:
        with await tieline.verify(NAME) as verification:
            world.leads.change(edited, name="Newer")
            world.leads.remove(deleted)
            await tieline.run(NAME)
            return await tieline.mend(NAME, verification)

    outcome = world.within(work)

    assert {"p0@example.com": "Newer", "p2@example.com": "P2"} == {record["email"]: record["name"] for record in world.members.records}
    assert ("green", 3, 1, 2) == (outcome.state, outcome.counts.read, outcome.counts.updated, outcome.counts.superseded)
    assert "not mended" in [moment.what for moment in world.story(edited).moments]


def test_a_repair_that_ends_at_any_moment_forgets_nothing(new_world):
    """What is gone there meets the destination again: half of that would be a record that no run sends, and that counts as not read yet."""
    for last in itertools.count(1):
        world = new_world()
        (world.folder / "store.db").unlink(missing_ok=True)
        people(world, 2)
        world.run()
        world.members.remove(world.members.where("email", "p1@example.com")[0]["id"])
        process = Process(lambda number, what, last=last: number == last)
        try:
            repair(world, process)
        except Crash:
            world.clock.advance(600)
            world.run()
            if verified(world).why:
                repair(world)
            assert 2 == verified(world).in_sync == len(world.members.records), f"it ended at {process.steps[-1]}"
        else:
            break


def test_what_the_list_does_not_show_is_asked_for_before_it_is_called_gone(new_world):
    """An archived record, perhaps: made again, it would be there twice."""
    world = new_world(target=members(find=()), match=None, conflict=None)
    people(world, 3)
    world.run()
    listed, hidden = world.members.listed, world.members.records[1]["id"]
    world.members.listed = lambda *args, **more: [entry for entry in listed(*args, **more) if entry.id != hidden]
    v = verified(world)

    assert (3, 1, {}) == (v.in_sync, v.unlisted, v.why)
    assert v.source_read == v.counterparts + v.unlisted
    world.network.strike(error(403), system="mail", path="items")
    assert {"missing: gone there": 1} == verified(world).why, "some vendors say so of what is deleted"


def test_what_an_older_mapping_left_out_is_not_read_yet(new_world):
    world = new_world(when="new.rev > 5")
    people(world, 3)
    world.run()
    assert {"excluded: `when` leaves it out": 3} == verified(world).why

    world.declare(when="new.rev < 5")

    assert {"missing: not read yet": 3} == verified(world).why
    world.run()
    assert 3 == verified(world).in_sync


@pytest.mark.parametrize("system", ["crm", "mail"])
def test_a_system_that_can_not_be_read_ends_it_and_nothing_is_said_to_go_on(new_world, system):
    world = new_world()
    people(world, 3)
    world.run()
    world.network.strike(error(500), system=system, times=100)

    with pytest.raises(Unavailable) as caught:
        verified(world)

    assert "by itself" not in caught.value.next_step
    assert f"`tieline verify {NAME}` again" in caught.value.next_step


def test_what_the_first_run_will_only_note_is_not_missing(new_world):
    world = new_world(start="now")
    people(world, 3)
    for _ in range(2):
        assert {"excluded: it was there at the start": 3} == verified(world).why
        world.run()
    world.leads.add(email="new@example.com", name="New", rev=0)

    assert 1 == verified(world).missing
