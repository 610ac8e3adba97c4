"""What a person says about a pair of a two-way integration, and how long it holds."""

from __future__ import annotations

import pytest

from engine.world import World, leads, members
from tieline.engine import conflicts
from tieline.engine.passes import Restoring
from tieline.model.errors import Refused

TWO_WAY = {"direction": "two-way", "conflict": "hold", "unmatched": "create", "map": {"email": "email", "name": "name"}}


@pytest.fixture
def held(tmp_path):
    """A world in which both sides have renamed Ann, and nobody has said who is right."""
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


def test_what_is_given_back_overwrites_nothing_unseen(held):
    """An edit that nobody has read yet is decided first; while it waits for somebody, nothing is given back."""
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
