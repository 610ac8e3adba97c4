"""A field that an integration reads and no record has is told; one that is empty, or comes seldom, is not."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine.world import FIELDS, World, leads
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from cases.contacts import CONNECTORS, Contacts, integration
from cases.served import Answer, Project, Vendor

Served = Callable[[Answer], Vendor]
PEOPLE = [{"id": f"l{n}", "email": f"p{n}@example.com", "name": "Ann", "statuss": "open", "phone": None} for n in range(3)]


@pytest.mark.parametrize(
    ("said", "key", "field"),
    [
        ({"when": "new.status == 'open'"}, "when", "status"),
        ({"match": "{ email: company_id }"}, "match", "company_id"),
        ({"map": "{ email: email, name: name, status: status }"}, "map", "status"),
    ],
)
def test_what_no_record_has_is_told_with_the_line_that_reads_it(
    tmp_path: Path, served: Served, said: dict[str, str], key: str, field: str
) -> None:
    text = integration(**said)
    project = Project(tmp_path, served(Contacts(a=PEOPLE).answer), {**CONNECTORS, "integrations/people.yaml": text})

    ran, status = project.tieline("run", "people"), project.tieline("status")

    line = next(number for number, one in enumerate(text.splitlines(), 1) if one.startswith(f"{key}:"))
    words = " ".join(ran.said.split())
    assert 1 == ran.code, ran.said
    assert f"`{field}` of a.contacts" in words
    assert f"integrations/people.yaml:{line}" in words
    assert ("did you mean `statuss`?" in words) == (field == "status")
    assert "sparse: true" in words
    assert 1 == status.code
    assert "attention" in status.out
    again = project.tieline("run", "people")
    assert 1 == again.code, "it is so still"
    for name in "ab":
        project.change(f"connectors/{name}.yaml", f"{field}: {{ type: string", f"{field}: {{ type: string, sparse: true")
    last = project.tieline("run", "people")
    assert field not in last.said
    assert field not in project.tieline("status").out
    assert 0 == last.code or key == "match", "without a match key they are held"


def test_a_plan_is_made_and_tells_what_no_record_has(tmp_path: Path, served: Served) -> None:
    """Nothing is left undone because of it, so a plan says what would be written."""
    text = integration(map="{ email: email, name: name, status: status }")
    project = Project(tmp_path, served(Contacts(a=PEOPLE).answer), {**CONNECTORS, "integrations/people.yaml": text})

    plan, as_json = project.tieline("plan", "people"), project.tieline("plan", "people", "--json")

    assert 0 == plan.code, plan.said
    assert "3 to create" in plan.said
    assert "attention: `map.status` reads `status` of a.contacts" in " ".join(plan.said.split())
    assert ["`map.status` reads `status`"] == [one[:27] for one in json.loads(as_json.out)["wrong"]]


def test_what_is_null_or_in_one_record_alone_is_not_told(tmp_path: Path, served: Served) -> None:
    people = [*PEOPLE[:2], {**PEOPLE[2], "status": "open"}]
    contacts = Contacts(a=people)
    text = integration(map="{ email: email, phone: phone, status: status }", when="new.name != 'Bob'")
    project = Project(tmp_path, served(contacts.answer), {**CONNECTORS, "integrations/people.yaml": text})

    assert 0 == project.tieline("run", "people").code
    del contacts.records["a"]["l2"]["status"]

    assert 0 == project.tieline("run", "people").code, "it was seen once"


@pytest.mark.parametrize(("number", "code"), [(3, 0), (19, 0), (20, 1)])
def test_a_declared_field_that_few_records_lack_and_none_resembles_is_no_wolf(
    tmp_path: Path, served: Served, number: int, code: int
) -> None:
    """Optional, and filled in none of the few records of a first read: nothing is wrong. In twenty records it is no chance."""
    people = [{"id": f"l{n}", "email": f"p{n}@example.com", "name": "Ann"} for n in range(number)]
    text = integration(map="{ email: email, name: name, phone: phone }")
    project = Project(tmp_path, served(Contacts(a=people).answer), {**CONNECTORS, "integrations/people.yaml": text})

    ran = project.tieline("run", "people")

    assert code == ran.code, ran.said
    assert ("`phone` of a.contacts" in " ".join(ran.said.split())) == bool(code)


@profile(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=30), min_size=1, max_size=3), st.booleans())
def test_a_declared_field_is_told_once_enough_records_have_not_shown_it(batches: list[list[Any]], changes: bool) -> None:
    """`True`: a record has it; `None`: it is null; `False`: it is left out. Reads of changes add up until they are enough."""
    with tempfile.TemporaryDirectory() as folder:
        source = leads(changed_since="time") if changes else leads()
        source.fields = {**FIELDS, "note": {"type": "string"}}
        world = World(Path(folder), source, map={"email": "email", "name": "note"})
        seen, told, without, number = False, False, 0, 0
        for batch in batches:
            for has in batch:
                number += 1
                more = {} if has is False else {"note": "x" if has else None}
                world.leads.add(email=f"p{number}@example.com", name="n", rev=1, **more)
                seen = seen or has is not False
                without += has is False
            world.clock.advance(10.0)
            outcome = world.run()
            told = not seen and (told or without >= 20)
            assert ("attention" if told else "green") == outcome.state, outcome.error
            assert (outcome.error is not None) == told
            assert without >= 0
