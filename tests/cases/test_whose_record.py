"""Which record an id, a search or an answer means: an empty id means none, and what can't be told of one record stops only that one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.served import Answer, Asked, Project, Vendor

CONNECTOR = """\
connector: {name}
environments: {{ production: "{{url}}/{name}" }}
auth: {{ bearer: {{}} }}
errors: {{ message: error }}
resources:
  contacts:
    id: id
    fields:
      id: {{ type: string, read_only: true }}
      email: {{ type: string }}
      name: {{ type: string }}
    list: {{ path: /contacts, records: items }}
    get: {{ path: "/contacts/{{id}}" }}
    find: {{ email: {{ path: /contacts/search, params: {{ email: "{{value}}" }}, records: items }} }}
    create: {{ path: /contacts }}
    update: {{ path: "/contacts/{{id}}", method: PATCH }}
    delete: {{ path: "/contacts/{{id}}", method: DELETE }}
"""
SYNC = """\
purpose: x
from: a.contacts
to: b.contacts
direction: {direction}
freshness: 1h
match: {{ email: email }}
unmatched: {unmatched}
conflict: {conflict}
unavailable: {{ keep: 7d }}
retry: {{ attempts: 2, base: 10ms, most: 20ms }}
map: {{ email: email, name: name }}
"""


class Two:
    """Two systems with records; `/contacts/` is the list, as routers have it."""

    def __init__(self, here: list[dict[str, Any]], there: list[dict[str, Any]]) -> None:
        self.rows = {"a": here, "b": there}
        self.searching: Callable[[str], tuple[int, Any] | None] = lambda email: None

    def __call__(self, asked: Asked) -> tuple[Any, ...]:
        """Answer."""
        _, side, _, *rest = asked.path.split("/")
        rows = self.rows[side]
        if rest == ["search"]:
            email = asked.query["email"]
            return self.searching(email) or (200, {"items": [row for row in rows if row["email"] == email]})
        if asked.method == "POST":
            rows.append({**asked.json, "id": f"{side}{len(rows) + 1}"})
            return 201, rows[-1]
        if not rest or rest == [""]:
            return 200, {"items": rows}
        row = next((row for row in rows if row["id"] == rest[0]), None)
        if row is None:
            return 404, {"error": "there is none"}
        if asked.method == "DELETE":
            rows.remove(row)
        row.update(asked.json or {})
        return 200, row


def project_of(folder: Path, vendor: Vendor, *, both: bool, unmatched: str = "create") -> Project:
    """Return a project between `a` and `b`, both ways or one."""
    sync = SYNC.format(direction="two-way" if both else "one-way", unmatched=unmatched, conflict="left" if both else "source")
    return Project(folder, vendor, {**{f"connectors/{n}.yaml": CONNECTOR.format(name=n) for n in "ab"}, "integrations/sync.yaml": sync})


@pytest.mark.parametrize("id", ["", " ", "..", "."])
def test_an_id_that_means_no_record_is_refused_wherever_a_person_gives_one(
    id: str, tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    """An unset variable of a shell must not link a record with the whole list."""
    vendor = served(Two([{"id": "1", "email": "ann@x", "name": "Ann"}], []))
    project = project_of(tmp_path, vendor, both=True, unmatched="hold")
    project.tieline("run", "sync")
    before = len(vendor.asked)
    for command in (
        ("unmatched", "link", "1", id, "--reason", "x"),
        ("links", "link", "sync", "1", id, "--reason", "x"),
        ("links", "link", "sync", id, "1", "--reason", "x"),
        ("run", "sync", "--only", id),
        ("explain", "a", "contacts", id),
        ("dead-letters", "resolve", "1", "--as", id, "--reason", "x"),
    ):
        result = project.tieline(*command)
        assert (2, True) == (result.code, "no record has such an id" in result.said), (command, result.said)
    assert before == len(vendor.asked)
    assert "nothing is linked yet" in project.tieline("links", "list", "sync").said


def test_an_answer_about_another_record_is_no_proof_that_one_is_gone(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """The list leaves a record out, and asked for it, the vendor shows another: neither deleted nor changed."""
    two = Two([{"id": "1", "email": "ann@x", "name": "Ann"}, {"id": "2", "email": "bob@x", "name": "Bob"}], [])
    project = project_of(tmp_path, (vendor := served(two)), both=True)
    project.tieline("run", "sync")
    ann, bob = two.rows["a"]

    def wrong(asked: Asked) -> tuple[Any, ...]:
        if asked.path == "/a/contacts":
            return 200, {"items": [bob]}
        return (200, bob) if asked.path == "/a/contacts/1" else two(asked)

    vendor.answer = wrong
    project.change("integrations/sync.yaml", "conflict: left", "conflict: left\ndeletes: { left: delete, right: delete }")
    for _ in range(2):
        result = project.tieline("run", "sync", "--full")
    assert 0 != result.code
    assert "1" in result.said
    assert ["Ann", "Bob"] == sorted(row["name"] for row in two.rows["b"])
    assert ann in two.rows["a"]


@pytest.mark.parametrize(
    "said",
    [(400, {"error": "unterminated text"}), (200, {"items": [{"email": "pat@x", "uuid": "7"}]}), (200, {"items": [7]}), (200, b"<html>")],
)
def test_a_search_that_tells_nothing_parks_its_record_alone(
    said: tuple[int, Any], tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    two = Two([{"id": str(n), "email": f"{name}@x", "name": name} for n, name in enumerate(("ann", "pat", "zoe"))], [])
    project = project_of(tmp_path, served(two), both=False)
    project.change("connectors/b.yaml", "    list: { path: /contacts, records: items }\n", "")
    two.searching = lambda email: said if email == "pat@x" else None
    for _ in range(3):
        result = project.tieline("run", "sync")
    letters = project.tieline("dead-letters").said
    assert 1 == result.code
    assert ["ann", "zoe"] == sorted(row["name"] for row in two.rows["b"])
    assert "1 × sync: look-up" in letters
    two.searching = lambda email: None
    assert 0 == project.tieline("dead-letters", "redrive", "--cause", "look-up").code
    assert ["ann", "pat", "zoe"] == sorted(row["name"] for row in two.rows["b"])


def test_a_search_that_is_refused_for_every_record_ends_the_run(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """Then it is not the records."""
    two = Two([{"id": str(n), "email": f"p{n}@x", "name": f"P {n}"} for n in range(40)], [])
    project = project_of(tmp_path, served(two), both=False)
    project.change("connectors/b.yaml", "    list: { path: /contacts, records: items }\n", "")
    two.searching = lambda email: (400, {"error": "no such parameter"})
    result = project.tieline("run", "sync")
    assert 1 == result.code
    assert "no such parameter" in result.said
    assert [] == two.rows["b"]


@pytest.mark.parametrize("both", [False, True])
def test_two_records_of_a_page_with_one_id_are_told_and_neither_is_lost_in_silence(
    both: bool, tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    """What the connector calls the id is none: it names the company, or the vendor joins tables. The same row twice is one record."""
    bob = {"id": "2", "email": "bob@x", "name": "Bob"}
    two = Two([{"id": "1", "email": "ann@x", "name": "Ann"}, {"id": "1", "email": "zoe@x", "name": "Zoe"}, bob, dict(bob)], [])
    project = project_of(tmp_path, served(two), both=both)
    for _ in range(2):
        assert 1 == project.tieline("run", "sync").code
    assert ["Bob"] == [row["name"] for row in two.rows["b"]]
    assert "has the id 1" in project.tieline("dead-letters").said
    two.rows["a"][1]["id"] = "3"
    project.tieline("run", "sync")
    assert ["Ann", "Bob", "Zoe"] == sorted(row["name"] for row in two.rows["b"])
