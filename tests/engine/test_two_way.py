"""Two-way integrations: what once went wrong with two sides, each case by itself."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.world import NAME, World
from tieline.app import Tieline
from tieline.cli.verifying import next_steps
from tieline.engine.verify.pairs import UNTOLD
from tieline.model.verified import Verified
from tieline.observe.explain import Story
from tieline.testing import UNANSWERED, Collection
from tieline.testing.faults import error

FIELDS: dict[str, dict[str, Any]] = {"email": {"type": "string"}, "name": {"type": "string"}, "phone": {"type": "string"}}
NewWorld = Callable[..., World]


@pytest.fixture
def new(swift_path: Path) -> NewWorld:
    """Make a world in which both sides are written to; a person decides conflicts."""

    def new(left: Collection | None = None, right: Collection | None = None, **spec: Any) -> World:
        return World(
            swift_path,
            left or Collection("leads", FIELDS, find=("email",)),
            right or Collection("members", FIELDS, find=("email",)),
            **{"direction": "two-way", "conflict": "hold", "map": {field: field for field in FIELDS}, **spec},
        )

    return new


def _met(world: World) -> tuple[Any, Any]:
    """Let Ann be on both sides, and return her ids."""
    ann = world.leads.add(email="ann@x", name="Ann", phone="+61 2 0000 0001")
    world.run()
    return ann, world.members.records[0]["id"]


def test_what_is_owed_is_not_written_over_what_somebody_has_edited_since(new: NewWorld) -> None:
    """The other system was down for writes only; its people went on."""
    world = new()
    left, right = _met(world)
    world.leads.change(left, name="Anna")
    world.network.strike(error(503), system="mail", method="PATCH", times=20)
    world.run()
    world.network.strikes_end()
    world.members.change(right, name="Anne")

    world.clock.advance(3600)
    world.run()

    assert ("Anna", "Anne") == (world.leads.record(left)["name"], world.members.record(right)["name"])
    assert ["conflict"] == [letter.cause for letter in world.letters()]


def test_what_is_owed_goes_once_it_can(new: NewWorld) -> None:
    """It is decided again, and nothing speaks against it."""
    world = new()
    left, right = _met(world)
    world.leads.change(left, name="Anna")
    world.network.strike(error(503), system="mail", method="PATCH", times=20)
    world.run()
    world.network.strikes_end()

    world.clock.advance(3600)
    outcome = world.run()

    assert "Anna" == world.members.record(right)["name"]
    assert ("green", {}) == (outcome.state, outcome.open)


def test_an_update_without_an_answer_is_recognised_though_the_vendor_has_respelled_it(new: NewWorld) -> None:
    """It is no edit of theirs, and there is nothing to decide."""
    members = Collection("members", FIELDS, find=("email",), normalise=lambda record: {**record, "name": record["name"].lower()})
    world = new(right=members)
    left, right = _met(world)
    world.leads.change(left, name="Anna")
    world.network.strike(UNANSWERED, system="mail", method="PATCH", times=1)
    world.network.strike(error(503), system="mail", method="PATCH", after=1, times=20)
    world.run()
    world.network.strikes_end()

    world.clock.advance(3600)
    world.run()

    assert ("Anna", "anna") == (world.leads.record(left)["name"], world.members.record(right)["name"])
    assert [] == world.letters()


def test_a_second_conflict_joins_the_letter_of_the_first(new: NewWorld) -> None:
    """What is about other fields is another reason."""
    world = new()
    left, right = _met(world)
    world.leads.change(left, name="Anna")
    world.members.change(right, name="Anne")
    world.run()
    world.leads.change(left, phone="1")
    world.members.change(right, phone="2")

    world.run()

    (letter,) = world.letters()
    assert "`name`, `phone`" in letter.message


def test_what_is_edited_while_its_counterpart_is_made_is_sent_after_that(new: NewWorld) -> None:
    """The answer to the creation was lost; until that is known, the record has changed."""
    world = new()
    ann = world.leads.add(email="ann@x", name="Ann", phone="1")
    world.network.strike(UNANSWERED, system="mail", method="POST")
    world.network.strike(error(503), system="mail", path="search", times=20)
    world.run()
    world.network.strikes_end()
    world.leads.change(ann, name="Anna")

    world.clock.advance(3600)
    world.run()

    assert ["Anna"] == [member["name"] for member in world.members.records]


def test_who_is_made_anew_after_an_ignored_deletion_finds_the_old_counterpart(new: NewWorld) -> None:
    """A record that is gone is no one's counterpart."""
    world = new(brakes={"deletes": 10})
    left, right = _met(world)
    world.leads.remove(left)
    world.run()

    again = world.leads.add(email="ann@x", name="Ann", phone="+61 2 0000 0001")
    world.run()
    world.leads.change(again, name="Anna")
    world.run()

    assert ["Anna"] == [member["name"] for member in world.members.records]
    assert right == world.members.records[0]["id"]


def test_an_archived_counterpart_is_archived_once(new: NewWorld) -> None:
    """A further run finds nothing to do, whatever was written to the one that is gone."""
    world = new(deletes={"left": {"archive": {"phone": "archived"}}}, brakes={"deletes": 10})
    left, right = _met(world)
    world.members.change(right, name="Anna")
    world.run()
    world.leads.remove(left)
    world.run()
    before = len(world.mail.writes)

    world.run()

    assert "archived" == world.members.record(right)["phone"]
    assert before == len(world.mail.writes)
    (story,) = world.within(_explained("mail", "members", right))
    assert {"phone": "archived"} in [moment.fields for moment in story.moments], "what was written to it is told, though the pair is gone"
    assert f"create of {right} confirmed" in [moment.text for moment in story.moments]


def _explained(connection: str, resource: str, id: Any) -> Callable[[Tieline], Awaitable[list[Story]]]:
    async def explain(tieline: Tieline) -> list[Story]:
        return tieline.explain(connection, resource, str(id))

    return explain


def test_what_is_refused_is_not_tried_again_because_of_a_conflict_beside_it(new: NewWorld) -> None:
    """A pair that waits for a person is shown by every list, and has not changed by that."""
    members = Collection("members", FIELDS, find=("email",), refuses=lambda _, record: "no" if record.get("name") == "Bad" else None)
    world = new(right=members)
    left, right = _met(world)
    world.leads.change(left, phone="1")
    world.members.change(right, phone="2")
    world.run()
    world.leads.change(left, name="Bad")
    world.run()
    before = len(world.mail.writes)

    world.run()

    assert {"conflict", "rejected"} == {letter.cause for letter in world.letters()}
    assert before == len(world.mail.writes)


def test_a_time_without_an_offset_says_when_only_where_its_zone_is_declared(new: NewWorld) -> None:
    """Two systems' clocks are compared: by a guess, the wrong side could win."""
    world = new(left=Collection("leads", FIELDS, changed_since="time", order="changed"))

    def at(tieline: Any) -> list[float | None]:
        half = tieline.two_way(NAME).halves["left"]
        return [half.at({"updated_at": said}) for said in ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00", "2026-11-24", None)]

    async def asked(tieline: Any) -> list[float | None]:
        return at(tieline)

    assert [1795514400.0, None, None, None] == world.within(asked)


def test_a_creation_that_was_given_up_is_tried_again_once_the_record_changes(new: NewWorld) -> None:
    world = new()
    world.network.strike(error(422), system="mail", method="POST")
    ann = world.leads.add(email="ann@x", name="Ann")
    world.run()
    (letter,) = world.letters()

    async def discard(tieline: Any) -> None:
        tieline.discard_letters([letter.id], "not now")

    world.within(discard)
    unchanged = [world.run(), world.run(full=True)]
    before = len(world.members.records)
    world.leads.change(ann, name="Anna")
    world.run()

    assert (["green", "green"], 0) == ([outcome.state for outcome in unchanged], before)
    assert ["Anna"] == [member["name"] for member in world.members.records]


def test_one_record_of_either_side_is_run_by_itself(new: NewWorld) -> None:
    """Both systems number from 1: the side says whose number is meant."""
    world = new(*(Collection(name, FIELDS, ids="number", find=("email",)) for name in ("leads", "members")))
    for name in ("ann", "bob"):
        world.members.add(email=f"{name}@x", name=name, phone="")
    for name in ("bob", "ann"):
        world.leads.add(email=f"{name}@x", name=name, phone="")
    world.run()
    for member in list(world.members.records):
        world.members.change(member["id"], phone=f"of {member['name']}")
    (ann,) = world.members.where("email", "ann@x")
    new_one = world.members.add(email="cy@x", name="cy", phone="")

    of_right, entered = (world.run(only=str(id), side="right") for id in (ann["id"], new_one))
    wrong = world.run(only="99", side="right")

    assert {"ann@x": "of ann", "bob@x": "", "cy@x": ""} == {lead["email"]: lead["phone"] for lead in world.leads.records}
    assert (1, 1) == (of_right.counts.updated, entered.counts.created)
    assert ("failed", "mail.members has no record 99") == (wrong.state, wrong.error)


def test_an_edit_of_which_the_list_of_changes_does_not_tell_is_found_by_verify_and_by_reading_everything(new: NewWorld) -> None:
    """Someone edits by a bulk tool that leaves the time alone: no later run that asks for what has changed comes upon it."""
    world = new(*(Collection(name, FIELDS, find=("email",), changed_since="time") for name in ("leads", "members")))
    left, right = _met(world)
    world.clock.advance(600)
    world.leads.add(email="bob@x", name="Bob", phone="")
    world.run()
    world.run()
    world.members.entries[str(right)].record["name"] = "Anne"

    silent, advice = _verified(world)
    incremental = world.run()
    found, _ = _verified(world)
    full = world.run(full=True)

    assert ({f"differing: {UNTOLD}": 1}, 1, ["name"]) == (silent.why, silent.wrong_for_someone, [*silent.fields])
    assert (1, True) == (len(advice), f"`tieline run {NAME} --full`" in advice[0])
    assert (silent.why, 0) == (found.why, incremental.counts.written)
    assert (1, "Anne") == (full.counts.updated, world.leads.record(left)["name"])
    world.leads.change(left, name="Annie")
    told, advice = _verified(world)
    assert ({"differing: not read yet": 1}, 1, False) == (told.why, len(advice), "--full" in advice[0])


def _verified(world: World) -> tuple[Verified, list[str]]:
    async def verify(tieline: Tieline) -> Verified:
        with await tieline.verify(NAME) as verification:
            return verification.verified

    verified = world.within(verify)
    return verified, next_steps(verified)


def test_what_one_field_can_t_become_on_the_other_side_keeps_no_other_field_from_going(new: NewWorld) -> None:
    """Our own check refuses the phone. The name goes over, and the other side's edit comes; the phone waits, visibly, until it is corrected."""
    checked = {**FIELDS, "phone": {"type": "string", "max_length": 20}}
    world = new(right=Collection("members", checked, find=("email",)))
    ann, there = _met(world)
    world.run()
    world.leads.change(ann, phone="+61 2 0000 0001 or at her mother's", name="Anna")
    world.members.change(there, email="anna@x")
    first, still = world.run(), world.run()
    (letter,) = world.letters()
    sent = len(world.calls(method="PATCH"))
    world.members.change(there, name="Annabel")
    world.run()
    world.leads.change(ann, phone="+61 2 0000 0002")
    mended = world.run()
    lead, member = world.leads.record(ann), world.members.record(there)

    assert ("attention", "attention", "green") == (first.state, still.state, mended.state)
    assert ("refused by our check", "phone", 1) == (letter.cause, letter.field, sent)
    assert ("anna@x", "Annabel", "+61 2 0000 0002") == (lead["email"], lead["name"], lead["phone"])
    assert {k: lead[k] for k in FIELDS} == {k: member[k] for k in FIELDS}
    assert [] == list(world.letters())


def test_what_arrives_of_another_field_resolves_no_conflict_in_the_story(new: NewWorld) -> None:
    """The conflict is asked again, because a side was edited since; the telephone number went over."""
    world = new()
    left, right = _met(world)
    world.leads.change(left, name="Anna")
    world.members.change(right, name="Anne")
    world.run()
    world.leads.change(left, name="Annie", phone="1")
    world.run()

    assert "1" == world.members.record(right)["phone"]
    assert ["conflict"] == [letter.cause for letter in world.letters()]
    assert "resolved" not in [moment.what for moment in world.story(left).moments]
