"""What a person says about a pair of a two-way integration, and how long it holds."""

from __future__ import annotations

import pytest

from engine.world import NAME, World, leads, members
from tieline.engine.review import conflicts, unmatched
from tieline.engine.runs.passes import Restoring
from tieline.model.errors import Refused
from tieline.testing import UNANSWERED

TWO_WAY = {"direction": "two-way", "conflict": "hold", "unmatched": "create", "map": {"email": "email", "name": "name"}}


@pytest.fixture
def held(tmp_path):
    """A world in which both sides have renamed Ann, and no one has said who is right."""
    world = World(tmp_path, leads(), members(), **TWO_WAY)
    world.ann = world.leads.add(email="ann@x", name="Ann")
    world.run()
    (world.there,) = (member["id"] for member in world.members.records)
    world.run()
    world.leads.change(world.ann, name="Anna")
    world.members.change(world.there, name="Anne")
    world.run()
    return world


def rule(world, keep):
    """Write a ruling down; the process ends before it is carried out."""
    with world.store() as db:
        (one,) = conflicts.held(db)
        conflicts.rule(db, [one.id], keep, "Ann says so", now=world.clock.now())


def names(world):
    """Return what either side calls Ann."""
    return {record["name"] for record in (*world.leads.records, *world.members.records)}


def test_a_ruling_is_carried_out_by_the_next_run_though_its_own_never_came(held):
    rule(held, "right")
    outcome = held.run(full=True)
    with held.store() as db:
        (decided,) = conflicts.decided(db)

    assert ("green", {"Anne"}) == (outcome.state, names(held))
    assert ("right", {"name": "Anna"}, "Ann says so") == (decided.kept, decided.lost, decided.by)


def test_a_ruling_does_not_hold_once_a_side_says_something_else(held):
    """Whoever ruled had not seen it."""
    rule(held, "right")
    held.leads.change(held.ann, name="Annabel")
    outcome = held.run()
    with held.store() as db:
        (one,) = conflicts.held(db)

    assert ("attention", {"Annabel", "Anne"}) == (outcome.state, names(held))
    assert ({"name": "Annabel"}, None) == (one.left, one.ruling)


def test_who_gives_up_on_a_conflict_lets_both_sides_differ_and_verify_knows_that_it_is_meant(held):
    (letter,) = held.letters()

    async def verified(tieline):
        tieline.discard_letters([letter.id], "both names are right")
        with await tieline.verify(NAME) as verification:
            return verification.verified

    found = held.within(verified)
    held.run(full=True)
    assert (1, 1, 0) == (found.in_sync, found.kept, found.wrong)
    assert {"Anna", "Anne"} == names(held)

    held.leads.change(held.ann, name="Annabel")
    held.run()
    assert {"Annabel"} == names(held)


def test_what_is_given_back_overwrites_nothing_unseen(held):
    """An edit that no one has read yet is decided first; while it waits for someone, nothing is given back."""
    rule(held, "right")
    held.run()
    with held.store() as db:
        (decided,) = conflicts.decided(db)
    held.leads.change(held.ann, name="Annabel")
    held.members.change(held.there, name="Annika")
    with pytest.raises(Refused, match="open dead letter"):
        held.run(restore=Restoring((decided.event,), "it was right"))
    rule(held, "left")
    held.run(redrive=tuple(letter.id for letter in held.letters()))
    outcome = held.run(restore=Restoring((decided.event,), "it was right"))

    assert ("green", {"Anna"}) == (outcome.state, names(held))
    assert [{"Anna"}, {"Anna"}] == [(held.run(full=True), names(held))[1] for _ in range(2)]
    assert 0 == len(list(held.letters()))


def test_what_is_given_back_overwrites_no_edit_that_only_this_run_has_read(held):
    """Whoever gave the order had not seen it; having been told, they may give it again."""
    rule(held, "right")
    held.run()
    with held.store() as db:
        (decided,) = conflicts.decided(db)
    held.leads.change(held.ann, name="Annabel")
    restoring = Restoring((decided.event,), "it was right")
    with pytest.raises(Refused, match='edited since the run before: `name` says "Annabel"'):
        held.run(restore=restoring)

    assert {"Annabel"} == names(held)
    assert ("green", {"Anna"}) == (held.run(restore=restoring).state, names(held))


@pytest.fixture
def in_doubt(tmp_path):
    """A world in which the counterpart of someone without a match key was made, and the answer was lost."""
    world = World(tmp_path, leads(), members(), **TWO_WAY)
    world.ann = str(world.leads.add(email=None, name="Ann"))
    assert "attention" == world.run().state
    with world.store() as db:
        letters = [one.id for one in unmatched.every(db) if one.id is not None]
        unmatched.rule(db, letters, "create", "she has none", now=world.clock.now())
    world.network.strike(UNANSWERED, system="mail", method="POST")
    outcome = world.run(redrive=tuple(letters))
    (world.letter,) = world.letters()

    assert ("attention", "unknown") == (outcome.state, world.letter.cause)
    assert 1 == len(world.members.records), "it is not made again: what can't be looked for may be there"
    return world


def test_a_creation_in_doubt_that_was_done_is_linked_by_a_person(in_doubt):
    (there,) = (member["id"] for member in in_doubt.members.records)
    in_doubt.within(lambda tieline: tieline.link("leads", in_doubt.ann, str(there), "looked it up"))
    outcome = in_doubt.run()

    assert ("green", 1, 1) == (outcome.state, len(in_doubt.leads.records), len(in_doubt.members.records))


def test_a_creation_in_doubt_that_was_not_done_is_done_on_a_persons_word(in_doubt):
    in_doubt.members.remove(in_doubt.members.records[0]["id"])
    with in_doubt.store() as db:
        unmatched.never_made(db, in_doubt.letter.id, "looked, it is not there", now=in_doubt.clock.now())
    outcome = in_doubt.run(redrive=(in_doubt.letter.id,))

    assert ("green", 1) == (outcome.state, len(in_doubt.members.records))
