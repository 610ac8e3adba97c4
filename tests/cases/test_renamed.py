"""An integration is its file's name: renamed, it is recognised, and goes on with what it has, before anything is made twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cases.contacts import CONNECTORS, Contacts, integration
from cases.served import Answer, Project, Vendor

Served = Callable[[Answer], Vendor]
PEOPLE = [{"id": f"l{n}", "email": f"p{n}@example.com", "name": f"P{n}", "phone": "1"} for n in range(3)]


def renamed(tmp_path: Path, served: Served, direction: str) -> tuple[Contacts, Project]:
    """Return a project in which people.yaml has become persons.yaml: one pair is linked by hand, and another's key has changed on both sides."""
    contacts = Contacts(a=PEOPLE)
    project = Project(tmp_path, served(contacts.answer), {**CONNECTORS, "integrations/people.yaml": integration(direction)})
    assert 0 == project.tieline("run", "people").code
    other = next(one for one in contacts.of("b") if one["email"] == "p0@example.com")
    contacts.records["a"]["l0"]["email"] = "new@example.com"
    other["email"] = "other@example.com"
    contacts.records["a"]["l1"]["phone"] = "2"
    project.tieline("run", "people")
    (tmp_path / "integrations/people.yaml").rename(tmp_path / "integrations/persons.yaml")
    contacts.records["a"]["l0"]["email"] = "newer@example.com"
    return contacts, project


@pytest.mark.parametrize("direction", ["one-way", "two-way"])
def test_a_renamed_integration_is_recognised_and_taken_over(tmp_path: Path, served: Served, direction: str) -> None:
    contacts, project = renamed(tmp_path, served, direction)

    for command in (("run", "persons"), ("plan", "persons"), ("run",)):
        stopped = project.tieline(*command)
        assert 4 == stopped.code, stopped.said
        assert "`tieline links adopt people persons`" in " ".join(stopped.said.split())
    checked, status = project.tieline("check"), project.tieline("status")
    assert "integrations/persons.yaml" in checked.out
    assert "links adopt people persons" in " ".join(checked.out.split())
    assert 1 == status.code
    assert "links adopt people persons" in " ".join(status.out.split())
    assert (3, 3) == (len(contacts.of("a")), len(contacts.of("b")))

    taken = project.tieline("links", "adopt", "people", "persons")
    ran = project.tieline("run", "persons")

    assert 0 == taken.code, taken.said
    assert ran.code == (1 if direction == "two-way" else 0), ran.said
    assert (3, 3) == (len(contacts.of("a")), len(contacts.of("b")))
    assert "people" not in project.tieline("status").out.replace("persons", "")
    assert 0 == project.tieline("check").code
    if direction == "two-way":
        number = next(word for word in project.tieline("conflicts").out.split() if word.isdigit())
        assert 0 == project.tieline("conflicts", "resolve", number, "--keep", "left", "--reason", "x").code
    assert {r["email"] for r in contacts.of("a")} == {r["email"] for r in contacts.of("b")}
    assert "newer@example.com" in {r["email"] for r in contacts.of("b")}


def test_what_is_open_of_one_without_a_file_is_listed_with_commands_that_work(tmp_path: Path, served: Served) -> None:
    contacts, project = renamed(tmp_path, served, "two-way")

    listed, resolved = (
        project.tieline("conflicts"),
        project.tieline("conflicts", "resolve", "--all", "--integration", "people", "--keep", "left", "--reason", "x"),
    )
    letters, one = project.tieline("dead-letters"), project.tieline("status", "people")

    for said in (listed, resolved, letters, one):
        assert "links adopt people persons" in " ".join(said.said.split()), said.said
    assert "resolve --all" not in letters.out
    retired = project.tieline("links", "retire", "people", "--reason", "another one goes on")
    assert 0 == retired.code, retired.said
    assert 0 == project.tieline("conflicts").code
    assert "people" not in project.tieline("status").out.replace("persons", "")
    assert 4 != project.tieline("run", "persons").code, "it is another integration, a person said so"
    assert len(contacts.of("a")) > 3, "which meets everything again"


def test_what_has_met_records_of_its_own_takes_nothing_over(tmp_path: Path, served: Served) -> None:
    _, project = renamed(tmp_path, served, "one-way")
    project.tieline("links", "retire", "people", "--reason", "x")
    project.tieline("run", "persons")
    project.write("integrations/others.yaml", integration())

    for old, new, said in (
        ("people", "persons", "has met records of its own"),
        ("persons", "others", "has a file"),
        ("nobody", "persons", "knows no integration"),
        ("people", "nobody", "there is no integration"),
    ):
        refused = project.tieline("links", "adopt", old, new)
        assert 2 == refused.code, refused.said
        assert said in " ".join(refused.said.split())


def test_an_integration_of_other_resources_is_no_renamed_one(tmp_path: Path, served: Served) -> None:
    """And two of the same resources, both with their files, are two."""
    contacts = Contacts(a=PEOPLE)
    project = Project(tmp_path, served(contacts.answer), {**CONNECTORS, "integrations/people.yaml": integration()})
    project.tieline("run", "people")
    project.write("integrations/same.yaml", integration())
    assert 0 == project.tieline("run", "same").code
    (tmp_path / "integrations/people.yaml").unlink()
    (tmp_path / "integrations/same.yaml").unlink()
    project.write("integrations/back.yaml", integration(**{"from": "b.contacts", "to": "a.contacts"}))

    assert 0 == project.tieline("run", "back").code
