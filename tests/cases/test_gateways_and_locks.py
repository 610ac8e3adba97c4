"""A gateway's word for an order that was stored, locks that ask to wait, waits that are too long to wait for, and tags that come back another way."""

from __future__ import annotations

import html
import json
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
resources:
  people:
    fields: { id: { type: string, read_only: true }, email: { type: string }, name: { type: string }, tags: { type: array } }
    list: { path: /people, records: items }
    get: { path: "/people/{id}" }
    find: { email: { path: /people, params: { email: "{value}" }, records: items } }
    create: { path: /people }
    update: { path: "/people/{id}", method: PATCH }
"""
TARGET = SOURCE.replace("connector: a", "connector: b").replace('/a"', '/b"')
BLIND = "\n".join(line for line in TARGET.splitlines() if not line.strip().startswith(("list:", "find:", "get:"))) + "\n"
SYNC = integration(
    resource="people",
    retry="{ attempts: 3, base: 0.01s, most: 0.02s }",
    map="{ email: email, name: name }",
)
BOTH = (
    SYNC.replace("one-way", "two-way")
    .replace("conflict: source", "conflict: hold")
    .replace("deletes: ignore", "deletes: { left: ignore, right: ignore }")
    .replace("name: name }", "name: name, tags: tags }")
)
GATEWAY = b"<html><h1>Bad gateway</h1></html>"


class Two:
    """Two collections of people; `before` may answer in the place of the vendor, `stored` says how b keeps what it is sent."""

    def __init__(self, *, count: int = 3) -> None:
        self.sides: dict[str, dict[str, dict[str, Any]]] = {
            "a": {f"a{n}": {"id": f"a{n}", "email": f"p{n}@x.example", "name": f"P {n}", "tags": ["VIP", "Lead"]} for n in range(count)},
            "b": {},
        }
        self.before: Callable[[str, Asked], tuple[Any, ...] | None] = lambda side, asked: None
        self.after: Callable[[str, Asked], tuple[Any, ...] | None] = lambda side, asked: None
        self.stored: Callable[[dict[str, Any]], dict[str, Any]] = lambda record: record

    def __call__(self, asked: Asked) -> tuple[Any, ...]:
        side, _, id = asked.path.strip("/").replace("/people", "", 1).partition("/")
        if (instead := self.before(side, asked)) is not None:
            return instead
        answer = self._answer(side, id, asked)
        return self.after(side, asked) or answer

    def _answer(self, side: str, id: str, asked: Asked) -> tuple[Any, ...]:
        records = self.sides[side]
        keep = self.stored if side == "b" else lambda record: record
        if asked.method == "POST":
            id = f"{side}{len(records) + 100}"
            records[id] = keep({**asked.json, "id": id})
            return 201, records[id]
        if not id:
            return 200, {"items": [one for one in records.values() if asked.query.get("email", one["email"]) == one["email"]]}
        if id not in records:
            return 404, {"error": "none"}
        if asked.method == "PATCH":
            records[id] = keep({**records[id], **asked.json})
        return 200, records[id]


def project_of(folder: Path, vendor: Vendor, target: str = TARGET, sync: str = SYNC) -> Project:
    return Project(folder, vendor, {"connectors/a.yaml": SOURCE, "connectors/b.yaml": target, "integrations/sync.yaml": sync})


@pytest.mark.parametrize("status", [500, 502, 504])
def test_what_was_stored_before_the_gateway_gave_up_is_found(status: int, tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    two = Two()
    two.after = lambda side, asked: (status, GATEWAY, {"Content-Type": "text/html"}) if asked.method == "POST" else None
    vendor = served(two)
    run = project_of(tmp_path, vendor).tieline("run", "sync")
    assert 0 == run.code, run.said
    assert 3 == len(vendor.calls("POST", "/b")) == len(two.sides["b"])


@pytest.mark.parametrize("status", [500, 502, 504])
def test_where_nobody_can_look_it_is_held_and_not_made_again(status: int, tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    two = Two()
    two.after = lambda side, asked: (status, GATEWAY, {"Content-Type": "text/html"}) if asked.method == "POST" else None
    vendor = served(two)
    project = project_of(tmp_path, vendor, BLIND, SYNC.replace("match: { email: email }", "match: {}\nunknown: hold"))
    for _ in range(2):
        run = project.tieline("run", "sync")
        assert 1 == run.code, run.said
        assert "3 held" in run.said
    assert 3 == len(vendor.calls("POST", "/b")) == len(two.sides["b"])


@pytest.mark.parametrize("status", [423, 420, 430, 477])
def test_a_lock_that_asks_to_wait_is_waited_for(status: int, tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """Of a write, and of the first read."""
    two = Two()
    project = project_of(tmp_path, served(two))
    assert 0 == project.tieline("run", "sync").code
    for record in two.sides["a"].values():
        record["name"] += " II"
    refused: set[str] = set()

    def once(side: str, asked: Asked) -> tuple[Any, ...] | None:
        what = f"{asked.method} {asked.path}"
        if what in refused or not (asked.method == "PATCH" or (side == "a" and asked.path.endswith("/people"))):
            return None
        refused.add(what)
        return status, {"error": "locked"}, {"Retry-After": "0"}

    two.before = once
    run = project.tieline("run", "sync")
    assert 0 == run.code, run.said
    assert 4 == len(refused)
    assert ["P 0 II", "P 1 II", "P 2 II"] == sorted(one["name"] for one in two.sides["b"].values())


@pytest.mark.parametrize("told", ["Infinity", "1e308", "9" * 400, "99999999"])
def test_a_wait_that_is_no_wait_fails_no_command(told: str, tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    two = Two()
    two.before = lambda side, asked: (429, {"error": "slow down"}, {"Retry-After": told})
    project = project_of(tmp_path, served(two))
    for _ in range(2):
        run = project.tieline("run", "sync")
        assert 3 == run.code, run.said
        assert "error in tieline" not in run.said
        assert project.tieline("status").code in (0, 1, 3)


def test_tags_that_come_back_sorted_and_in_small_letters_go_to_and_fro_no_more(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    two = Two(count=1)
    two.sides["a"]["a0"]["name"] = "Ann & Co"
    two.stored = lambda record: {
        **record,
        "name": html.escape(html.unescape(record["name"])),
        "tags": sorted(tag.lower() for tag in record.get("tags") or []),
    }
    vendor = served(two)
    project = project_of(tmp_path, vendor, sync=BOTH)
    for _ in range(3):
        run = project.tieline("run", "sync")
        assert 0 == run.code, run.said
    writes = len(vendor.writes)
    two.sides["a"]["a0"]["tags"] = ["VIP", "Lead", "New"]
    for _ in range(3):
        assert 0 == project.tieline("run", "sync").code
    assert writes + 1 == len(vendor.writes), [(asked.method, asked.path, json.dumps(asked.json)) for asked in vendor.writes]
    assert ["VIP", "Lead", "New"] == two.sides["a"]["a0"]["tags"]
    assert "Ann & Co" == two.sides["a"]["a0"]["name"]
    (there,) = two.sides["b"].values()
    assert ["lead", "new", "vip"] == there["tags"]
