"""Two-way, a point that means nothing any more loses no deletion: everything is read, and what is gone is found by its absence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.served import Answer, Asked, Project, Vendor

SIDE = """\
connector: NAME
environments: { production: "{url}/NAME" }
auth: { bearer: {} }
resources:
  people:
    lag: 0s
    fields:
      id: { type: integer, read_only: true }
      email: { type: string }
      at: { type: datetime, read_only: true }
    list: { path: /people, records: data, CHANGES }
    get: { path: "/people/{id}" }
    create: { path: /people }
    update: { path: "/people/{id}", method: PATCH }
    delete: { path: "/people/{id}", method: DELETE }
DELETED"""
SYNC = """\
purpose: x
from: a.people
to: b.people
direction: two-way
freshness: 1h
match: { email: email }
unmatched: create
conflict: left
deletes: { left: delete, right: delete }
unavailable: { keep: 7d }
map: { email: email }
"""
SINCE = "changed_since: { param: since, field: at }"
FEED = "    deleted: { path: /gone, records: data, id: id, changed_since: { param: since, field: at } }\n"


class TwoSides:
    """Two systems of people. `expired` are the paths whose points are too old."""

    def __init__(self) -> None:
        self.people: dict[str, dict[int, dict[str, Any]]] = {"a": {}, "b": {}}
        self.expired: set[str] = set()
        for id in (1, 2, 3):
            self.add("a", id)

    def add(self, side: str, id: int) -> None:
        self.people[side][id] = {"id": id, "email": f"p{id}@example.com", "at": f"2026-01-01T00:00:0{id}Z"}

    def answer(self, asked: Asked) -> tuple[Any, ...]:
        _, side, what, *rest = asked.path.split("/")
        people = self.people[side]
        if "since" in asked.query and asked.path in self.expired:
            return 410, {"message": "too old"}
        if what == "gone":
            return 200, {"data": [{"id": 99, "at": "2026-01-01T00:00:00Z"}]}  # it does not remember the others
        if rest:
            id = int(rest[0])
            if id not in people:
                return 404, {}
            if asked.method == "DELETE":
                del people[id]
                return 204, None
            people[id].update(asked.json or {})
            return 200, people[id]
        if asked.method == "POST":
            id = max(people, default=100) + 1
            people[id] = {**asked.json, "id": id, "at": "2026-01-02T00:00:00Z"}
            return 201, people[id]
        since = asked.query.get("since", "")
        return 200, {"data": [person for person in people.values() if person["at"] >= since]}


@pytest.mark.parametrize("why", ["taken out", "asked otherwise", "expired", "the feed's expired", "the feed taken out"])
def test_a_deletion_is_found_when_the_point_means_nothing_any_more(tmp_path: Path, served: Callable[[Answer], Vendor], why: str) -> None:
    there = TwoSides()
    vendor = served(there.answer)
    left = SIDE.replace("CHANGES", SINCE).replace("DELETED", FEED if "feed" in why else "")
    files = {
        "connectors/a.yaml": left.replace("NAME", "a"),
        "connectors/b.yaml": SIDE.replace("NAME", "b").replace("CHANGES", SINCE).replace("DELETED", ""),
        "integrations/sync.yaml": SYNC,
    }
    project = Project(tmp_path, vendor, files)
    assert 0 == project.tieline("run", "sync").code
    assert 0 == project.tieline("run", "sync").code
    del there.people["a"][2]
    match why:
        case "taken out":
            project.change("connectors/a.yaml", f", {SINCE} }}", " }")
        case "asked otherwise":
            project.change(
                "connectors/a.yaml", "records: data, changed_since: { param: since", "records: data, changed_since: { param: from"
            )
        case "expired":
            there.expired.add("/a/people")
        case "the feed's expired":
            there.expired.add("/a/gone")
        case "the feed taken out":
            project.change("connectors/a.yaml", FEED, "")
    third = project.tieline("run", "sync")
    there.expired.clear()
    fourth = project.tieline("run", "sync")

    assert (0, 0) == (third.code, fourth.code), third.out + third.err
    assert ["p1@example.com", "p3@example.com"] == sorted(person["email"] for person in there.people["b"].values())
    assert "so everything was read" in third.out
    assert "everything was read" not in fourth.out
