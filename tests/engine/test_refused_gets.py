"""A `get` that is refused for one record stops that record only, whoever asks: the others go on, and it is named and asked for again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.test_verifying import look, repair
from engine.world import World, leads, members
from tieline.model.errors import Forbidden
from tieline.testing import error, throttled

TWO_WAY: dict[str, Any] = {"direction": "two-way", "conflict": "left", "deletes": {"left": "delete", "right": "delete"}}
DIRECTIONS: dict[str, dict[str, Any]] = {"one way": {"deletes": "delete"}, "both ways": TWO_WAY}


def refuse(world: World, system: str, *ids: object, status: int = 403) -> None:
    """Let a system refuse from now on to show these records by their ids, and those alone."""
    ends = tuple(f"/items/{id}" for id in ids)
    world.network.weather = lambda name, request, now: (
        error(status, text="not yours") if name == system and request.method == "GET" and request.url.endswith(ends) else None
    )


def three(folder: Path, **more: Any) -> World:
    """Return a world in which three leads have arrived."""
    world = World(folder, **more)
    for name in ("ann", "bob", "cid"):
        world.leads.add(email=f"{name}@x", name=name, rev=1)
    assert "green" == world.run().state
    world.clock.advance(10_000.0)
    return world


def names(world: World) -> list[str]:
    return [record["name"] for record in world.arrived]


@pytest.mark.parametrize("status", [400, 403, 422])
@pytest.mark.parametrize("how", DIRECTIONS.values(), ids=DIRECTIONS)
def test_in_a_feed_of_deletions(how: dict[str, Any], status: int, swift_path: Path) -> None:
    world = three(swift_path, source=leads(changed_since="time", feed="version"), **how)
    ann, bob, _ = (record["id"] for record in world.leads.records)
    world.leads.remove(ann)
    world.leads.remove(bob)
    refuse(world, "crm", ann, status=status)
    ended = [world.run() for _ in range(2)]
    assert ["ann", "cid"] == names(world)
    for outcome in ended:
        assert "attention" == outcome.state
        assert outcome.counts.balances
        said = f"{outcome.error} {[letter.message for letter in world.letters()]}"
        assert str(ann) in said
        assert "not yours" in said
    refuse(world, "crm")
    world.clock.advance(10_000.0)
    world.run()
    world.clock.advance(10_000.0)
    assert "green" == world.run().state
    assert ["cid"] == names(world)


@pytest.mark.parametrize("how", DIRECTIONS.values(), ids=DIRECTIONS)
def test_in_the_search_for_what_a_list_does_not_show(how: dict[str, Any], swift_path: Path) -> None:
    world = three(swift_path, **how)
    ann, bob, _ = (record["id"] for record in world.leads.records)
    world.leads.remove(ann)
    world.leads.remove(bob)
    refuse(world, "crm", ann)
    for _ in range(3):
        outcome = world.run(full=True)
        world.clock.advance(10_000.0)
        assert "attention" == outcome.state
        assert str(ann) in f"{outcome.error} {[letter.message for letter in world.letters()]}"
    assert ["ann", "cid"] == names(world)


@pytest.mark.parametrize("how", DIRECTIONS.values(), ids=DIRECTIONS)
def test_in_the_look_before_a_deletion(how: dict[str, Any], swift_path: Path) -> None:
    """What a record says is not known, and could not be put back: it stays until a person says that it may go."""
    world = three(swift_path, source=leads(changed_since="version", order="changed", tombstones=True), **how)
    there = {record["name"]: record["id"] for record in world.members.records}
    refuse(world, "mail", there["ann"])
    for record in world.leads.records[:2]:
        world.leads.remove(record["id"])
    outcome = world.run()
    (letter,) = world.letters()
    assert ("attention", 1, 1, True) == (outcome.state, outcome.counts.deleted, outcome.counts.parked, outcome.counts.balances)
    assert ["ann", "cid"] == names(world)
    assert "not yours" in letter.message
    assert str(there["ann"]) in letter.message
    assert [letter.id] == [one.id for one in world.letters() if world.run()]
    refuse(world, "mail")
    world.run(redrive=(letter.id,))
    assert ["cid"] == names(world)
    assert [] == world.letters()


def test_in_a_verification_without_a_list(swift_path: Path) -> None:
    world = three(swift_path, target=members(lists=False))
    ann = world.members.where("name", "ann")[0]["id"]
    refuse(world, "mail", ann)
    verified, findings = look(world)
    assert (2, {"missing: `get` is refused for it": 1}) == (verified.in_sync, verified.why)
    assert [str(ann)] == [finding.target_id for finding in findings]
    assert 0 == repair(world).counts.created
    assert ["ann", "bob", "cid"] == names(world)


def test_refused_for_all_it_is_no_records_fault(swift_path: Path) -> None:
    world = World(swift_path, target=members(lists=False))
    for number in range(30):
        world.leads.add(email=f"p{number}@x", name=f"P {number}", rev=1)
    world.run()
    refuse(world, "mail", *(record["id"] for record in world.members.records))
    with pytest.raises(Forbidden, match="not yours"):
        look(world)


def test_among_dead_letters_that_are_decided_again(swift_path: Path) -> None:
    """Both ways, letters are read again one by one: the others are decided, and this one is named."""
    world = three(swift_path, **{**TWO_WAY, "conflict": "hold"})
    for name in ("ann", "bob"):
        world.leads.change(world.leads.where("name", name)[0]["id"], rev=2)
        world.members.change(world.members.where("name", name)[0]["id"], rev=3)
    assert "attention" == world.run().state
    ann = world.leads.where("name", "ann")[0]["id"]
    for member in world.members.records:
        world.members.change(member["id"], rev=2)  # a person settled it there
    refuse(world, "crm", ann)
    outcome = world.run(redrive=tuple(letter.id for letter in world.letters()))
    assert "attention" == outcome.state, outcome
    assert outcome.counts.balances
    assert {str(ann)} == {letter.source_id for letter in world.letters()}
    refuse(world, "crm")
    world.run()
    assert "green" == world.run(redrive=tuple(letter.id for letter in world.letters())).state


@pytest.mark.parametrize("how", DIRECTIONS.values(), ids=DIRECTIONS)
def test_in_an_undo(how: dict[str, Any], swift_path: Path) -> None:
    """The others are put back; this one is left alone, and it is said why."""
    world = three(swift_path, **how)
    for lead in world.leads.records:
        world.leads.change(lead["id"], name=f"new {lead['name']}")
    changed = world.run()
    ann = world.members.where("name", "new ann")[0]["id"]
    refuse(world, "mail", ann)
    outcome = world.run(undo=changed.run)
    assert outcome.counts.balances
    assert ["bob", "cid", "new ann"] == sorted(names(world))
    lead = world.leads.where("name", "new ann")[0]["id"]
    (told,) = [moment for moment in world.story(lead).moments if moment.what == "not undone"]
    assert "not yours" in told.text


def test_an_undo_that_is_owed_waits_for_what_is_refused_alone(swift_path: Path) -> None:
    world = three(swift_path, **TWO_WAY)
    for lead in world.leads.records:
        world.leads.change(lead["id"], name=f"new {lead['name']}")
    changed = world.run()
    world.network.strike(throttled(3600.0), system="mail", method="PATCH", times=99)
    assert "owed" == world.run(undo=changed.run).state
    world.network.strikes_end()
    world.clock.advance(10_000.0)
    refuse(world, "mail", world.members.where("name", "new ann")[0]["id"])
    outcome = world.run()
    assert "not yours" in (outcome.error or ""), outcome
    assert ["bob", "cid", "new ann"] == sorted(names(world))
    refuse(world, "mail")
    world.run()
    assert ["ann", "bob", "cid"] == sorted(names(world))
