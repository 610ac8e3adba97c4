"""One way, what a destination says in its own way is learned: from the answers to writes, else by the next look.

The rule: directly after a green run `verify` agrees; what a repair has sent is not sent again by the next one; an edit there still shows.
"""

from __future__ import annotations

import html
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.test_verifying import look, repair, verified
from engine.world import FIELDS, World, leads, members

MORE = {**FIELDS, "tags": {"type": "array"}, "phone": {"type": "string"}, "at": {"type": "any"}, "note": {"type": "string"}}
MAP = {address: address for address in MORE}
NewWorld = Callable[..., World]


def _with_ids(tags: list[Any]) -> list[Any]:
    return [tag if isinstance(tag, dict) else {"id": number, "name": tag} for number, tag in enumerate(tags)]


SPELLINGS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "phone": {"without blanks": lambda value: value.replace(" ", ""), "as it is": lambda value: value},
    "tags": {
        "sorted, in small letters": lambda tags: sorted({tag.lower() for tag in tags}),
        "with ids": _with_ids,
    },
    "rev": {"as text": str},
    "note": {
        "escaped": lambda value: value if "&amp;" in value else html.escape(value),
        "trimmed": str.strip,
        "cut": lambda value: value[:12],
    },
    "at": {
        "in seconds": lambda value: 1769853600 if isinstance(value, str) else value,
        "as a day": lambda value: value[:10],
    },
    "name": {"in capitals": str.upper},
}


def person(number: int) -> dict[str, Any]:
    return {
        "email": f"p{number}@example.com",
        "name": f"Ann Lee {number}",
        "rev": number,
        "phone": f"+61 400 000 {number:03}",
        "tags": ["VIP", "new"][: 1 + number % 2],
        "at": "2026-01-31T10:00:00Z",
        "note": f" Tom & Ann, at home {number}",
    }


def spelling(chosen: dict[str, Callable[[Any], Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def normalise(record: dict[str, Any]) -> dict[str, Any]:
        return {address: chosen[address](value) if address in chosen and value is not None else value for address, value in record.items()}

    return normalise


def world_of(folder: Path, chosen: dict[str, Callable[[Any], Any]], **habits: Any) -> World:
    source = leads()
    source.fields = MORE
    target = members(normalise=spelling(chosen), **habits)
    target.fields = MORE
    return World(folder, source, target, map=MAP)


WAYS = st.fixed_dictionaries({}, optional={field: st.sampled_from(sorted(ways)) for field, ways in SPELLINGS.items()})
HABITS = st.fixed_dictionaries(
    {"tells": st.sampled_from(["record", "location", "nothing"]), "update": st.sampled_from(["patch", "put"])},
    optional={"batch": st.just({"create": 3, "update": 2})},
)


@settings(max_examples=25, deadline=None)
@given(WAYS, HABITS, st.integers(0, 10**6))
def test_after_a_green_run_verify_agrees_and_repair_converges(ways: dict[str, str], habits: dict[str, Any], seed: int) -> None:
    chance = random.Random(seed)
    chosen = {field: SPELLINGS[field][way] for field, way in ways.items()}
    with tempfile.TemporaryDirectory() as folder:
        world = world_of(Path(folder), chosen, **habits)
        for number in range(4):
            world.leads.add(**person(number))
        for _ in range(2):
            assert "green" == world.run().state
            found = verified(world)
            assert ({}, len(world.leads.records)) == (found.why, found.in_sync)
            before = len(world.mail.writes)
            assert "green" == repair(world).state
            assert before == len(world.mail.writes), "there was nothing to repair"
            lead = chance.choice(world.leads.records)["id"]
            world.leads.change(lead, phone=f"+61 400 111 {chance.randint(0, 999):03}", rev=chance.randint(10, 99), tags=["Gold", "VIP"])
            world.leads.add(**person(len(world.leads.records)))
        world.run()
        # An edit there shows, and is gone after one repair.
        edited = chance.choice(world.members.records)["id"]
        field, value = chance.choice([("phone", "0299"), ("name", "Bob"), ("tags", ["other"]), ("note", "something else"), ("rev", 1000)])
        world.members.change(edited, **{field: value})
        found, findings = look(world)
        assert {"differing: changed there": 1} == found.why
        assert [field] == list(findings[0].fields)
        assert 1 == repair(world).counts.updated
        assert {} == verified(world).why
        assert 0 == repair(world).counts.updated


def test_what_was_learned_tells_an_edit_that_only_looks_like_a_spelling(tmp_path: Path) -> None:
    """The answer said how the number is kept there, so that a name in other letters is an edit."""
    world = world_of(tmp_path, {"name": str.upper})
    world.leads.add(**person(1))
    world.run()
    assert {"name": 1} == verified(world).spelled
    world.members.normalise = None
    world.members.change(world.members.records[0]["id"], name="Ann lee 1")

    assert {"differing: changed there": 1} == verified(world).why


@pytest.mark.parametrize("tells", ["record", "nothing"])
@pytest.mark.parametrize("kept", [None, "old"])
def test_a_field_that_is_taken_and_not_kept_is_told_and_not_sent_for_ever(tmp_path: Path, tells: str, kept: str | None) -> None:
    world = world_of(tmp_path, {"note": lambda value: kept}, tells=tells)
    world.leads.add(**person(1))
    world.run()
    if tells == "record" and kept is not None:  # another value in the answer is how the destination says it, as both ways
        assert {"note": 1} == verified(world).spelled
        return

    first = verified(world)
    writes = len(world.mail.writes)
    repair(world)
    second = verified(world)
    repair(world)

    assert 1 == first.differing
    assert {"differing: not taken there": 1} == second.why
    assert len(world.mail.writes) <= writes + 1
    assert 1 == second.wrong_for_someone


def test_a_field_that_was_not_taken_and_is_later_is_forgotten(tmp_path: Path) -> None:
    world = world_of(tmp_path, {"note": lambda value: None}, tells="nothing")
    world.leads.add(**person(1))
    world.run()
    repair(world)
    assert {"differing: not taken there": 1} == verified(world).why
    world.members.normalise = None
    id = world.members.records[0]["id"]
    world.members.change(id, note=person(1)["note"])
    assert {} == verified(world).why

    world.members.change(id, note=None)

    assert {"differing: changed there": 1} == verified(world).why


def test_what_a_destination_adds_to_what_it_was_sent_may_change_there(tmp_path: Path) -> None:
    """An enriched list says the same as long as what was sent says the same."""
    world = world_of(tmp_path, {"tags": lambda tags: [{**tag, "id": 7, "seen": 1} for tag in tags]})
    world.leads.add(**{**person(1), "tags": [{"value": "a"}]})
    world.run()
    assert {} == verified(world).why
    world.members.normalise = None
    id = world.members.records[0]["id"]
    world.members.change(id, tags=[{"value": "a", "id": 7, "seen": 2}])
    assert {} == verified(world).why

    world.members.change(id, tags=[{"value": "b", "id": 7, "seen": 2}])

    assert {"differing: changed there": 1} == verified(world).why
