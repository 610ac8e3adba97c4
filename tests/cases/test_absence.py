"""That a record is not shown proves no deletion: the vendor's `get` may be wrong, or its reads behind its writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.served import Answer, Asked, Project, Vendor

CONNECTOR = """\
connector: {name}
environments: {{ production: "{{url}}/{name}" }}
auth: {{ bearer: {{}} }}
resources:
  people:
    {lag}
    fields:
      id: {{ type: string, read_only: true }}
      email: {{ type: string }}
    list: {{ path: /people, records: items }}
    get: {{ path: "/people/{{id}}" }}
    find: {{ email: {{ path: /people, params: {{ email: "{{value}}" }}, records: items }} }}
    create: {{ path: /people }}
    update: {{ path: "/people/{{id}}", method: PATCH }}
    delete: {{ path: "/people/{{id}}", method: DELETE }}
"""
INTEGRATION = """\
purpose: x
from: a.people
to: b.people
direction: two-way
freshness: 1h
match: { email: email }
unmatched: create
conflict: left
deletes: { left: delete, right: delete, edited: delete }
unavailable: { keep: 7d }
map: { email: email }
"""


class Copies:
    """Two collections; `hidden` ids are neither listed nor found by id, `denied` ones are not found by id."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, Any]] = {"a": {f"a{n}": {"id": f"a{n}", "email": f"{n}@example.com"} for n in (1, 2, 3)}, "b": {}}
        self.behind = self.denied = False
        """Reads of b show nothing of what was made; its `get` shows nothing."""

    def __call__(self, asked: Asked) -> tuple[int, object]:
        side, _, rest = asked.path.strip("/").partition("/people")
        records, id = self.sides[side], rest.strip("/")
        if asked.method == "POST":
            id = f"{side}{len(records) + 101}"
            records[id] = {**asked.json, "id": id}
            return 201, records[id]
        shown = {} if side == "b" and self.behind else records
        if not id:
            return 200, {"items": [one for one in shown.values() if asked.query.get("email", one["email"]) == one["email"]]}
        if id not in (shown if asked.method == "GET" else records) or (side == "b" and self.denied and asked.method == "GET"):
            return 404, {"error": "none"}
        if asked.method == "DELETE":
            del records[id]
            return 204, None
        return 200, records[id]


@pytest.fixture
def copies() -> Copies:
    """Three records on the left, none on the right."""
    return Copies()


def project_of(folder: Path, vendor: Vendor, lag: str = "") -> Project:
    """Return a project between both."""
    files = {f"connectors/{name}.yaml": CONNECTOR.format(name=name, lag=lag) for name in "ab"}
    return Project(folder, vendor, {**files, "integrations/people.yaml": INTEGRATION})


def test_what_was_made_and_is_not_shown_yet_is_neither_deleted_nor_made_again(
    tmp_path: Path, served: Callable[[Answer], Vendor], copies: Copies
) -> None:
    """Whatever asks: a run, a whole one, one for a record, a verification, a repair."""
    vendor = served(copies)
    project = project_of(tmp_path, vendor)
    assert 0 == project.tieline("run", "people").code
    before = {side: dict(records) for side, records in copies.sides.items()}
    copies.behind = True
    for command in (["run", "people"], ["run", "people", "--full"], ["run", "people", "--only", "a1"]):
        project.tieline(*command)
    verified = project.tieline("verify", "people", "--repair")
    assert "too new to tell" in verified.said
    assert "gone there" not in verified.said
    copies.behind = False
    assert 0 == project.tieline("run", "people").code
    assert before == copies.sides
    assert 3 == len(vendor.writes)


def test_a_get_that_shows_nothing_proves_no_deletion(tmp_path: Path, served: Callable[[Answer], Vendor], copies: Copies) -> None:
    """A wrong path of `get`, or credentials that may not read single records, answer 404 for every record."""
    vendor = served(copies)
    project = project_of(tmp_path, vendor, "lag: 0s")
    assert 0 == project.tieline("run", "people").code
    assert 0 == project.tieline("run", "people").code
    copies.denied = True
    live = project.tieline("check", "--live")
    assert 2 == live.code
    assert "`get` does not" in live.said
    only = project.tieline("run", "people", "--only", "a1")
    assert 4 == only.code, only.said
    assert "proves no deletion" in only.said
    # One is gone for good, and no one can say so while `get` shows nothing.
    copies.sides["b"].pop(next(iter(copies.sides["b"])))
    assert 4 == project.tieline("run", "people").code
    assert 3 == len(copies.sides["a"])
    copies.denied = False
    assert 0 == project.tieline("run", "people").code
    assert 2 == len(copies.sides["a"])


def test_a_deletion_travels_at_once_where_reads_are_never_behind(
    tmp_path: Path, served: Callable[[Answer], Vendor], copies: Copies
) -> None:
    """`lag: 0s` says so, and nothing is kept waiting."""
    vendor = served(copies)
    project = project_of(tmp_path, vendor, "lag: 0s")
    assert 0 == project.tieline("run", "people").code
    copies.sides["b"].popitem()
    assert 0 == project.tieline("run", "people").code
    assert 2 == len(copies.sides["a"])
    live = project.tieline("check", "--live")
    assert 0 == live.code
    assert "answers without credentials" in live.said
