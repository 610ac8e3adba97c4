"""What a connection gives (its time zone), how one record is asked for by a POST, and how long an idempotency key is good for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.contacts import integration
from cases.served import Answer, Asked, Project, Vendor

SOURCE = """\
connector: a
environments: { production: "{url}/a" }
auth: { bearer: {} }
variables: { zone: "The account's time zone" }
resources:
  people:
    fields:
      id: { type: integer, read_only: true }
      email: { type: string }
      changed: { type: datetime, read_only: true }
    list:
      path: /people
      records: items
      changed_since: { param: since, field: changed, format: "%Y-%m-%d %H:%M:%S", field_format: rfc3339, zone: "{zone}" }
    get:
      path: /query
      method: POST
      body: { ids: ["{id}"], q: "SELECT * FROM people WHERE id = {id|number}", account: "{zone}" }
      record: "items[0]"
"""
TARGET = """\
connector: b
environments: { production: "{url}/b" }
auth: { bearer: {} }
idempotency: { header: Idempotency-Key }
errors: { passing: [423] }
resources:
  people:
    fields:
      id: { type: string, read_only: true }
      email: { type: string }
    create: { path: /people }
    update: { path: "/people/{id}", method: PATCH }
"""
CONNECTIONS = """\
a: { connector: a, auth: { bearer: "${env:KEY}" }, owner: me@example.com, variables: { zone: "${env:ZONE}" } }
b: { connector: b, auth: { bearer: "${env:KEY}" }, owner: me@example.com }
"""
SYNC = integration(
    resource="people",
    match="{}",
    retry="{ attempts: 3, base: 0.01s, most: 0.02s }",
    map="{ email: email }",
)
FILES = {"connectors/a.yaml": SOURCE, "connectors/b.yaml": TARGET, "connections.yaml": CONNECTIONS, "integrations/sync.yaml": SYNC}
ANN = {"id": 7, "email": "ann@example.com", "changed": "2026-01-02T03:04:05Z"}


class Replaying:
    """A source with one record, and a vendor that gives the first answer to a key to all that come with it, refusals as well."""

    def __init__(self, *refusals: int) -> None:
        self.refusals, self.kept, self.made = list(refusals), dict[str, tuple[int, Any]](), list[Any]()

    def __call__(self, asked: Asked) -> tuple[int, object]:
        if asked.path.startswith("/a"):
            return 200, {"items": [ANN]}
        key = asked.headers["Idempotency-Key"]
        if key not in self.kept:
            if self.refusals:
                self.kept[key] = self.refusals.pop(0), {"error": "locked"}
            else:
                self.made.append(asked.json)
                self.kept[key] = 201, {**asked.json, "id": f"b{len(self.made)}"}
        return self.kept[key]


def test_a_zone_is_the_connections(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """Points are written in the account's own time; a zone that there is none of is told by `check`, and a run does not begin."""
    vendor = served(Replaying())
    project = Project(tmp_path, vendor, FILES, {"ZONE": "America/New_York"})
    for _ in range(2):
        assert 0 == project.tieline("run", "sync").code
    assert "2026-01-01 22:04:04" == vendor.calls("GET", "/a")[-1].query["since"]
    checked = project.tieline("check", ZONE="America/Neverland")
    assert 0 != checked.code
    assert "no time zone `America/Neverland`" in checked.said
    assert "connections.yaml" in checked.said
    asked = len(vendor.asked)
    assert 0 != project.tieline("run", "sync", ZONE="America/Neverland").code
    assert asked == len(vendor.asked)


def test_another_zone_is_another_declaration_of_the_mark(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    vendor = served(Replaying())
    project = Project(tmp_path, vendor, FILES, {"ZONE": "America/New_York"})
    assert 0 == project.tieline("run", "sync").code
    assert 0 == project.tieline("run", "sync", "--moved", ZONE="Asia/Tokyo").code
    assert "since" not in vendor.calls("GET", "/a")[-1].query


def test_a_variable_that_is_none_is_told(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    project = Project(tmp_path, served(Replaying()), FILES, {"ZONE": "UTC"})
    project.change("connectors/a.yaml", 'zone: "{zone}" }', 'zone: "{zoone}" }')
    checked = project.tieline("check")
    assert 0 != checked.code
    assert "zoone" in checked.said


def test_one_record_is_asked_for_by_a_post(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    vendor = served(Replaying())
    project = Project(tmp_path, vendor, FILES, {"ZONE": "UTC"})
    assert 0 == project.tieline("run", "sync", "--only", "7").code
    (asked,) = vendor.calls("POST", "/a/query")
    assert {"ids": [7], "q": "SELECT * FROM people WHERE id = 7", "account": "UTC"} == asked.json
    assert "application/json" == asked.headers["Content-Type"]
    refused = project.tieline("run", "sync", "--only", "7 OR 1=1")
    assert 0 != refused.code
    assert 1 == len(vendor.calls("POST", "/a/query"))


def test_a_get_has_no_body(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    project = Project(tmp_path, served(Replaying()), FILES, {"ZONE": "UTC"})
    project.change("connectors/a.yaml", "method: POST\n      body: { ids", "body: { ids")
    checked = project.tieline("check")
    assert 0 != checked.code
    assert "a GET has no body" in checked.said


@pytest.mark.parametrize("refusals", [(423,), (423, 423)])
def test_a_refusal_is_asked_about_once_more_and_then_left_with_its_key(
    refusals: tuple[int, ...], tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    """A lock passes, and the vendor says `locked` for ever under the same key."""
    answer = Replaying(*refusals)
    vendor = served(answer)
    project = Project(tmp_path, vendor, FILES, {"ZONE": "UTC"})
    project.change("integrations/sync.yaml", "attempts: 3", "attempts: 5")
    run = project.tieline("run", "sync")
    assert 0 == run.code, run.said
    assert [{"email": "ann@example.com"}] == answer.made
    keys = [asked.headers["Idempotency-Key"] for asked in vendor.calls("POST", "/b")]
    assert keys[:-1:2] == keys[1::2], "a network may have sent it twice, and the other one may have been done"
    assert len(refusals) + 1 == len(set(keys))


def test_nor_in_a_later_run(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    answer = Replaying(423, 423)
    vendor = served(answer)
    project = Project(tmp_path, vendor, FILES, {"ZONE": "UTC"})
    project.tieline("run", "sync")
    project.tieline("run", "sync")
    assert [{"email": "ann@example.com"}] == answer.made
    keys = [asked.headers["Idempotency-Key"] for asked in vendor.calls("POST", "/b")]
    assert (3, 4) == (len(set(keys)), len(keys))
