"""A write that left and was not plainly refused is uncertain: it is looked for before it is made again.

All answers there are, in all ways, are swept through in `engine/test_uncertain.py`; here is what a person sees of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cases.served import Answer, Asked, Project, Vendor

CONNECTOR = """\
connector: {name}
environments: {{ production: "{{url}}/{name}" }}
auth: {{ bearer: {{}} }}
max_answer_mib: 1
errors: {{ message: error }}
resources:
  contacts:
    id: id
    fields:
      id: {{ type: string, read_only: true }}
      email: {{ type: string }}
      name: {{ type: string }}
    lag: 0s
    list: {{ path: /contacts, records: items }}
    get: {{ path: "/contacts/{{id}}" }}
    find: {{ email: {{ path: /contacts, params: {{ email: "{{value}}" }}, records: items }} }}
    create: {{ path: /contacts }}
    update: {{ path: "/contacts/{{id}}", method: PATCH }}
"""
SYNC = """\
purpose: x
from: a.contacts
to: b.contacts
direction: one-way
freshness: 1h
match: { email: email }
unmatched: create
conflict: source
unavailable: { keep: 7d }
retry: { attempts: 2, base: 10ms, most: 20ms }
map: { email: email, name: name }
"""
ANN = {"id": "1", "email": "ann@x.example", "name": "Ann Example"}
PAGE = b"<html><body><h1>Not what you wanted</h1></body></html>"


class Bs:
    """The vendor whose answer to a creation is something else than what it did."""

    def __init__(self, status: int, body: Any, *, done: bool = True, renamed: bool = False) -> None:
        self.rows: list[dict[str, Any]] = []
        self._said, self._done, self._renamed, self._spoilt = (status, body), done, renamed, False

    def __call__(self, asked: Asked) -> tuple[Any, ...]:
        """Answer."""
        if asked.path.startswith("/a"):
            return 200, {"items": [ANN]}
        if asked.method == "POST":
            spoilt, self._spoilt = not self._spoilt, True
            if spoilt and not self._done:
                return self._answer()
            self.rows.append({**asked.json, "id": f"n{len(self.rows)}"})
            if spoilt:
                if self._renamed:
                    self.rows[-1]["email"] = "married@x.example"
                return self._answer()
            return 201, self.rows[-1]
        if asked.path == "/b/contacts":
            wanted = asked.query.get("email")
            return 200, {"items": [row for row in self.rows if wanted in (None, row["email"])]}
        row = next((row for row in self.rows if asked.path.endswith(f"/{row['id']}")), None)
        if row is None:
            return 404, {"error": "there is none"}
        if asked.method == "PATCH":
            row.update(asked.json)
        return 200, row

    def _answer(self) -> tuple[Any, ...]:
        status, body = self._said
        return status, body, {"Retry-After": "0"} if status == 503 else {}


def project_of(folder: Path, vendor: Vendor, sync: str = SYNC) -> Project:
    """Return a project that moves contacts from `a` to `b`."""
    files = {f"connectors/{name}.yaml": CONNECTOR.format(name=name) for name in "ab"}
    return Project(folder, vendor, {**files, "integrations/sync.yaml": sync})


def test_a_creation_whose_answer_is_too_large_is_looked_for(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    there = Bs(201, {"id": "n0", "blob": "x" * 1_500_000})
    project = project_of(tmp_path, served(there))
    assert 0 == project.tieline("run", "sync").code
    assert ["ann@x.example"] == [row["email"] for row in there.rows]


def test_what_may_be_it_under_another_name_is_shown_and_taken_by_hand(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    there = Bs(502, PAGE, renamed=True)
    project = project_of(tmp_path, served(there))
    assert 1 == project.tieline("run", "sync").code
    shown = project.tieline("dead-letters", "show", "1").said
    assert "n0" in shown
    assert "renamed since" in shown
    project.tieline("dead-letters", "redrive", "1")
    assert 1 == len(there.rows), "a redrive looks as well"
    number = json.loads(project.tieline("dead-letters", "list", "--json").out)[0]["id"]
    taken = project.tieline("dead-letters", "resolve", str(number), "--as", "n0", "--reason", "she married")
    assert 0 == taken.code, taken.said
    assert [{"id": "n0", "email": "ann@x.example", "name": "Ann Example"}] == there.rows


def test_it_is_made_again_once_a_person_says_that_it_was_not(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    there = Bs(502, PAGE, renamed=True)
    project = project_of(tmp_path, served(there))
    project.tieline("run", "sync")
    assert 0 == project.tieline("dead-letters", "resolve", "1", "--not-done", "--reason", "another Ann").code
    assert ["married@x.example", "ann@x.example"] == [row["email"] for row in there.rows]


def test_what_was_not_done_goes_again_once_reads_can_not_be_behind(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    there = Bs(502, PAGE, done=False)
    vendor = served(there)
    project = project_of(tmp_path, vendor)
    project.change("connectors/b.yaml", "    lag: 0s\n", "")
    runs = [project.tieline("run", "sync") for _ in range(2)]
    assert [3, 3] == [run.code for run in runs]
    assert "502: Not what you wanted: no record there has its match key yet, and reads may be behind what was made" in runs[0].said
    assert "say `lag: 0s` in the connector" in " ".join(runs[1].said.split())
    assert 1 == len(vendor.writes)
    assert "lag: 0s" in project.tieline("explain", "a", "contacts", "1").said
    project.change("connectors/b.yaml", "    id: id\n", "    id: id\n    lag: 0s\n")
    assert 0 == project.tieline("run", "sync").code
    assert ["ann@x.example"] == [row["email"] for row in there.rows]


def test_a_stranger_that_is_new_there_holds_nothing(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    there = Bs(502, PAGE, done=False)
    there.rows.append({"id": "s1", "email": "bob@x.example", "name": "Bob Other"})
    project = project_of(tmp_path, served(there))
    assert 0 == project.tieline("run", "sync").code
    assert ["bob@x.example", "ann@x.example"] == [row["email"] for row in there.rows]


def test_a_namesake_that_was_there_before_holds_nothing_where_the_list_was_read_first(
    tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    there = Bs(502, PAGE, done=False)
    there.rows.append({"id": "s1", "email": "ann@other.example", "name": ANN["name"]})
    project = project_of(tmp_path, served(there))
    project.change("connectors/b.yaml", '    find: { email: { path: /contacts, params: { email: "{value}" }, records: items } }\n', "")

    run = project.tieline("run", "sync")

    assert 0 == run.code, run.said
    assert ["ann@other.example", "ann@x.example"] == [row["email"] for row in there.rows]


def test_both_ways_a_renamed_record_is_neither_made_again_nor_copied_back(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    there = Bs(502, PAGE, renamed=True)
    written: list[Asked] = []

    def answer(asked: Asked) -> tuple[Any, ...]:
        if asked.path.startswith("/a") and asked.method != "GET":
            written.append(asked)
            return 201, {**asked.json, "id": "9"}
        if asked.path == "/a/contacts/1":
            return 200, ANN
        return there(asked)

    both = SYNC.replace("one-way", "two-way").replace("conflict: source", "conflict: left")
    project = project_of(tmp_path, served(answer), both)
    for _ in range(3):
        result = project.tieline("run", "sync")
    assert 1 == result.code
    assert [1, 0] == [len(there.rows), len(written)]
