"""Ids of one system mean other records in another: what is linked is carried over only when a person says that it is the same one."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cases.served import Answer, Asked, Project, Vendor

CONNECTOR = """\
connector: {name}
environments: {{ production: "{url}" }}
auth: {{ bearer: {{}} }}
{more}
resources:
  people:
    fields:
      id: {{ type: string, read_only: true }}
      email: {{ type: string }}
    list: {{ path: {path}, records: items }}
    get: {{ path: "{path}/{{id}}" }}
    create: {{ path: {path} }}
    update: {{ path: "{path}/{{id}}", method: PATCH }}
    delete: {{ path: "{path}/{{id}}", method: DELETE }}
"""
BOTH_WAYS = """\
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
ONE_WAY = """\
purpose: x
from: a.people
to: b.people
direction: one-way
freshness: 1h
match: { email: email }
unmatched: create
conflict: source
deletes: ignore
unavailable: { keep: 7d }
map: { email: email }
"""


class Place:
    """Collections by path, each of its own."""

    def __init__(self) -> None:
        self.collections: dict[str, dict[str, dict[str, str]]] = {}

    def __call__(self, asked: Asked) -> tuple[int, object]:
        path, _, id = asked.path.rpartition("/") if asked.path.rsplit("/", 1)[-1][1:].isdigit() else (asked.path, "", "")
        records = self.collections.setdefault(path, {})
        if asked.method == "POST":
            id = f"r{sum(map(len, self.collections.values()))}"
            records[id] = {**asked.json, "id": id}
            return 201, records[id]
        if not id:
            return 200, {"items": list(records.values())}
        if id not in records:
            return 404, {"error": "none"}
        if asked.method == "DELETE":
            return 204, records.pop(id) and None
        return 200, records[id]


def project_of(folder: Path, vendor: Vendor, place: Place, integration: str, url: str, path: str, more: str = "") -> Project:
    """Return a project with two linked records, whose right side is under an address as given."""
    place.collections["/a/left"] = {f"r{n}": {"id": f"r{n}", "email": f"{n}@example.com"} for n in (1, 2)}
    files = {
        "connectors/a.yaml": CONNECTOR.format(name="a", url=vendor.url + "/a", path="/left", more=""),
        "connectors/b.yaml": CONNECTOR.format(name="b", url=url, path=path, more=more),
        "integrations/people.yaml": integration,
    }
    return Project(folder, vendor, files, {"CRM_URL": vendor.url + "/sandbox"})


@pytest.mark.parametrize("integration", [BOTH_WAYS, ONE_WAY], ids=["both ways", "one way"])
@pytest.mark.parametrize("what", ["environment", "path", "variable", "literal"])
def test_another_system_is_not_taken_for_the_one_that_was_linked(
    integration: str, what: str, tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    """Whether a reference, a variable, the address or the path changed: nothing is read or written before a person says that it moved."""
    place = Place()
    vendor = served(place)
    url = {"environment": "${env:CRM_URL}", "variable": vendor.url + "/{list}"}.get(what, vendor.url + "/sandbox")
    more = "variables: { list: which one }" if what == "variable" else ""
    project = project_of(tmp_path, vendor, place, integration, url, "/right", more)
    connections = (tmp_path / "connections.yaml").read_text()
    if what == "variable":
        project.write("connections.yaml", connections.replace("connector: b,", "connector: b, variables: { list: sandbox },"))
    assert 0 == project.tieline("run", "people").code
    assert 0 == project.tieline("run", "people").code

    environ = {}
    match what:
        case "environment":
            environ = {"CRM_URL": vendor.url + "/production"}
        case "path":
            project.change("connectors/b.yaml", "/right", "/other")
        case "variable":
            project.change("connections.yaml", "list: sandbox", "list: production")
        case "literal":
            project.change("connectors/b.yaml", "/sandbox", "/production")
    vendor.asked.clear()
    for command in (["run", "people"], ["run", "people", "--full"], ["run", "people", "--only", "r1"], ["undo", "1"]):
        result = project.tieline(*command, **environ)
        assert 4 == result.code, result.said
        assert "--moved" in result.said
    assert not vendor.asked
    place.collections["/production/right"] = place.collections["/sandbox/other"] = place.collections["/sandbox/right"]
    result = project.tieline("run", "people", "--moved", **environ)
    assert 0 == result.code, result.said
    assert 0 == project.tieline("run", "people", **environ).code
    assert not vendor.writes


def test_the_text_tells_no_more_than_the_host_of_an_address_from_the_environment(
    tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    """A tenant's key may be a part of the address."""
    place = Place()
    vendor = served(place)
    project = project_of(tmp_path, vendor, place, BOTH_WAYS, "${env:CRM_URL}", "/right")
    assert 0 == project.tieline("run", "people").code
    said = project.tieline("run", "people", CRM_URL=vendor.url + "/hook-9f3a-secret").said
    assert "linked elsewhere" in said
    assert "secret" not in said
    assert "sandbox" not in said
    with sqlite3.connect(tmp_path / ".tieline" / "store.db") as store:
        kept = store.execute("SELECT value FROM state WHERE kind = 'places'").fetchall()
    assert "/sandbox" not in str(kept)


def test_a_store_of_an_earlier_version_is_learned_once(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """An upgrade refuses nothing without a reason; what the earlier words tell apart stays apart."""
    place = Place()
    vendor = served(place)
    project = project_of(tmp_path, vendor, place, BOTH_WAYS, vendor.url + "/sandbox", "/right")
    assert 0 == project.tieline("run", "people").code

    def as_before(words: list[str]) -> None:
        with sqlite3.connect(tmp_path / ".tieline" / "store.db") as store:
            store.execute("DELETE FROM state WHERE kind = 'places'")
            store.execute("INSERT OR REPLACE INTO state VALUES ('ends', 'people', ?)", (json.dumps(words).encode(),))

    as_before(["a.people of `production`", "b.people of `production`"])
    assert 0 == project.tieline("run", "people").code
    project.change("connectors/b.yaml", "/right", "/other")
    assert 4 == project.tieline("run", "people").code
    project.change("connectors/b.yaml", "/other", "/right")
    as_before(["a.people of `production`", "b.people of `sandbox`"])
    assert 4 == project.tieline("run", "people").code
    as_before(["b.people of `production`", "a.people of `production`"])
    assert "swapped" in project.tieline("run", "people").said
