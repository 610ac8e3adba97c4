"""By which calls a record is written, when the vendor does not have all of them, and in which system."""

from __future__ import annotations

from typing import Any

import pytest

from engine.world import World, leads, members, told
from tieline.model.records import decode_json
from tieline.testing import Collection
from tieline.testing.faults import answering

LISTED = {"email": {"type": "string"}, "tags[0].name": {"type": "any"}, "tags[1].name": {"type": "any"}}


def bodies(world: Any) -> list[Any]:
    return [decode_json(e.request.body) for e in world.network.exchanges if e.system == "mail" and e.request.method in ("PATCH", "PUT")]


@pytest.mark.parametrize("batch", [None, {"upsert": 10}])
@pytest.mark.parametrize("match", [{"email": "email"}, {"name": "name"}])
def test_an_upsert_creates_and_updates_where_the_vendor_has_nothing_else(new_world, batch, match):
    """All fields are sent, because no one knows what an upsert does with the others; but never another value of the field it goes by."""
    world = new_world(target=members(upsert="email", creates=False, update=None, batch=batch), match=match)
    ann = world.leads.add(email="ann@example.org", name="Ann", rev=1)
    bob = world.leads.add(email="bob@example.org", name="Bob", rev=1)

    assert {"green": 2, "created": 2} == told(world.run())
    world.leads.change(ann, rev=2)
    world.leads.change(bob, email="rob@example.org")
    assert {"attention": 2, "updated": 1, "parked": 1} == told(world.run())
    assert {("ann@example.org", 2), ("bob@example.org", 1)} == {(member["email"], member["rev"]) for member in world.members.records}
    (letter,) = world.letters()
    assert letter.message.startswith("`email`, by which the vendor knows the record, has changed")


def test_what_can_not_be_updated_is_parked(new_world):
    """An archive or a log takes records and never changes them. The others go on, and nothing is sent that can't arrive."""
    world = new_world(target=members(update=None))
    ann = world.leads.add(email="ann@example.org", name="Ann", rev=1)
    world.run()
    world.leads.change(ann, rev=2)
    world.leads.add(email="bob@example.org", name="Bob", rev=1)

    assert {"attention": 2, "created": 1, "parked": 1} == told(world.run())
    assert ["`mail.members` has it already, and the connector declares no `update` for it"] == [
        letter.message for letter in world.letters()
    ]


def test_the_entries_of_a_list_are_sent_together(new_world):
    """A vendor replaces a list as a whole (RFC 7396): of an entry that was left out nothing would remain."""
    target = Collection("members", LISTED, find=("email",))
    world = new_world(target=target, map={"email": "email", "tags[0].name": "name", "tags[1].name": "rev"})
    ann = world.leads.add(email="ann@example.org", name="Ann", rev=1)
    world.run()
    world.leads.change(ann, rev=2)
    world.run()
    world.leads.change(ann, name="Anna")
    world.run()
    world.leads.change(ann, email="anna@example.org")
    world.run()

    lists = [[{"name": "Ann"}, {"name": 2}], [{"name": "Anna"}, {"name": 2}]]
    assert [{"tags": lists[0]}, {"tags": lists[1]}, {"email": "anna@example.org"}] == bodies(world)


@pytest.mark.parametrize(("conflict", "tags"), [("source", ["Ann", 1]), ("fill_empty", ["old", 1])])
def test_the_entries_of_a_list_that_stay_are_sent_as_they_are_there(new_world, conflict, tags):
    """Where the destination's values are kept, the list that is sent must not bring others."""
    target = Collection("members", LISTED, find=("email",))
    world = new_world(target=target, map={"email": "email", "tags[0].name": "name", "tags[1].name": "rev"}, conflict=conflict)
    target.add(email="ann@example.org", tags=[{"name": "old"}])
    world.leads.add(email="ann@example.org", name="Ann", rev=1)
    world.run()

    assert [{"tags": [{"name": name} for name in tags]}] == bodies(world)


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        (b'[{"id": 1}]', "comes without that field"),
        (b'[{"id": 1, "email": null}, null]', "an entry of the answer is null, not an object"),
        (b'["ann@example.org"]', "an entry of the answer is a text, not an object"),
    ],
)
def test_a_search_whose_answer_can_not_be_compared_makes_nothing(new_world, shown, problem):
    """A search that shows ids alone, or a connector that looks in the wrong place: taken for *no one is there*, it would double everybody."""
    world = new_world(target=members(find=("email",), lists=False))
    world.leads.add(email="ann@example.org", name="Ann", rev=1)
    world.network.strike(answering(200, b'{"data": %s, "meta": {}}' % shown), system="mail", method="GET", times=99)
    for _ in range(10):  # such an answer says nothing: the next runs look again, as often as `retry` says
        outcome = world.run()
        world.clock.advance(61.0)

    assert "attention" == outcome.state, "one record stops only itself"
    (letter,) = world.letters()
    assert problem in letter.message
    assert [] == world.calls(method="POST")
    world.network.strikes_end()
    assert {"green": 1, "created": 1} == told(world.run(redrive=(letter.id,)))


@pytest.mark.parametrize("find", [("email",), ()])
def test_a_list_that_does_not_show_what_is_matched_proves_nothing(new_world, find):
    """A list of summaries, with the rest to be had one by one: it is searched instead, and where it can't be, nothing is made."""
    world = new_world(target=members(find=find))
    world.members.add(email="ann@example.org", name="Ann", rev=1)
    world.leads.add(email="ann@example.org", name="Ann", rev=2)
    world.network.strike(answering(200, b'{"data": [{"id": "1001"}], "meta": {}}'), system="mail", method="GET")
    outcome = world.run()

    assert ("green" if find else "failed") == outcome.state
    assert [] == world.calls(method="POST")
    assert find or "no record of its list has `email`" in (outcome.error or "")


def test_links_of_a_sandbox_are_not_taken_for_links_of_production(new_world):
    """What was tried in a sandbox has ids there. In production they would be other records, or no one's, and all would look done."""

    def two_places(declared: dict[str, Any]) -> None:
        declared["environments"]["sandbox"] = declared["environments"]["production"]

    world = new_world(connector=two_places, connection={"environment": "sandbox"})
    world.leads.add(email="ann@example.org", name="Ann", rev=1)
    world.run()
    before = len(world.network.exchanges)
    world.declare(connection={"environment": "production"})
    refused = world.run()

    assert "halted" == refused.state
    assert "`to` was mail.members of `sandbox`" in (refused.error or "")
    assert "--moved" in refused.next_step
    assert before == len(world.network.exchanges), "not a call is made"

    assert {"green": 1, "unchanged": 1} == told(world.run(moved=True))
    assert {"green": 1, "unchanged": 1} == told(world.run()), "it is remembered"


def test_sides_that_are_swapped_are_never_taken_for_systems_that_have_moved(tmp_path):
    """Both may number from 1: each record would be taken for another one, and written over it."""
    world = World(tmp_path, leads(), members(), direction="two-way", conflict="left", map={"email": "email", "name": "name"})
    world.leads.add(email="ann@example.org", name="Ann")
    world.run()
    world.declare(
        direction="two-way", conflict="left", map={"email": "email", "name": "name"}, **{"from": "mail.members", "to": "crm.leads"}
    )
    refused = [world.run(), world.run(moved=True)]

    assert ["halted", "halted"] == [outcome.state for outcome in refused]
    assert all("were swapped" in (outcome.error or "") for outcome in refused)


def test_a_system_may_be_declared_otherwise_while_nothing_is_linked(new_world):
    world = new_world(connector=lambda declared: declared["environments"].update(sandbox=declared["environments"]["production"]))
    world.run()
    world.declare(connection={"environment": "sandbox"})
    world.leads.add(email="ann@example.org", name="Ann", rev=1)

    assert {"green": 1, "created": 1} == told(world.run())
