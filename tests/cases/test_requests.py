"""A request is well formed, and says only what was meant: small vendors that take a request at its word."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from cases.served import Answer, Asked, Project, Vendor

SOURCE = """\
connector: a
environments: { production: "{url}/a" }
auth: { bearer: {} }
resources:
  people:
    fields:
      id: { type: string, read_only: true }
      email: { type: string }
      name: { type: string }
      city: { type: string }
      tags: { type: array }
    list: { path: /people, params: { $filter: "state eq 0 & more#1" }, records: items, paging: { style: next_url, at: next } }
"""
TARGET = """\
connector: b
environments: { production: "{url}/b" }
auth: { bearer: {} }
resources:
  people:
"""
INTEGRATION = """\
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
map: { email: email, name: name }
"""
FIELDS = """\
    fields:
      id: { type: string, read_only: true }
      email: { type: string }
      name: { type: string }
"""


class Two:
    """People on one side; what the other side holds, and how it answers, is a test's to say."""

    def __init__(self, answer: Callable[[Two, Asked], tuple[Any, ...]], *people: dict[str, Any]) -> None:
        self.people, self.there, self._answer = list(people), dict[str, dict[str, Any]](), answer

    def __call__(self, asked: Asked) -> tuple[Any, ...]:
        return (200, {"items": self.people}) if asked.path.startswith("/a/") else self._answer(self, asked)


@pytest.fixture
def make(served: Callable[[Answer], Vendor], tmp_path: Path) -> Callable[..., tuple[Vendor, Project]]:
    def made(answer: Answer, target: str, integration: str = INTEGRATION) -> tuple[Vendor, Project]:
        vendor = served(answer)
        files = {"connectors/a.yaml": SOURCE, "connectors/b.yaml": TARGET + target, "integrations/sync.yaml": integration}
        return vendor, Project(tmp_path, vendor, files)

    return made


def person(n: int, **more: Any) -> dict[str, Any]:
    return {"id": str(n), "email": f"{n}@example.com", "name": f"N{n}", **more}


# -- a request is well formed


def test_literal_text_and_addresses_of_next_pages_are_encoded(make):
    """A service that repeats the caller's filter in the address of the next page, with its blanks as they are."""
    pages = [[person(1)], [person(2)]]

    def answer(asked: Asked) -> tuple[Any, ...]:
        if asked.path == "/b/people":
            return 200, []
        assert asked.query["$filter"] == "state eq 0 & more#1"
        page = int(asked.query.get("skip", "0"))
        more = {"next": "people?$filter=state eq 0 %26 more#1&skip=1"} if page == 0 else {}
        return 200, {"items": pages[page], **more}

    vendor, project = make(answer, FIELDS + "    list: { path: /people }\n    create: { path: /people }\n")

    planned = project.tieline("plan", "sync")

    assert planned.code == 0, planned.out + planned.err
    assert "2" in planned.out
    assert all(re.fullmatch(r"[!-~]+", asked.target) for asked in vendor.asked)
    assert len(vendor.calls("GET", "/a/people")) == 2


EVIL = "' or '1' eq '1"


def test_no_value_can_change_the_question(make):
    """An apostrophe has to be doubled in a filter, or the filter is refused, or finds everything."""

    def answer(two: Two, asked: Asked) -> tuple[Any, ...]:
        if asked.method == "GET":
            found = re.fullmatch(r"name eq '((?:[^']|'')*)'", asked.query.get("$filter", ""))
            if found is None:
                return 400, {"error": "the filter is not understood"}
            return 200, [one for one in two.there.values() if one["name"] == found[1].replace("''", "'")]
        if asked.method == "POST":
            id = str(len(two.there) + 1)
            two.there[id] = {"id": id, **asked.json}
            return 201, two.there[id]
        two.there[asked.path.rsplit("/", 1)[1]].update(asked.json)
        return 200, {}

    two = Two(answer, person(1, name="Pat O'Brien"), person(2, name=EVIL), person(3, name="'"))
    two.there["9"] = {"id": "9", "name": "Pat O'Brien", "email": "old"}
    target = (
        FIELDS
        + """\
    find: { name: { path: /people, params: { $filter: "name eq '{value|odata}'" } } }
    create: { path: /people }
    update: { path: "/people/{id}", method: PATCH }
"""
    )
    _, project = make(two, target, INTEGRATION.replace("match: { email: email }", "match: { name: name }"))

    run = project.tieline("run", "sync")

    assert run.code == 0, run.out + run.err
    assert sorted((one["name"], one["email"]) for one in two.there.values()) == [
        ("'", "3@example.com"), (EVIL, "2@example.com"), ("Pat O'Brien", "1@example.com"),
    ]  # fmt: skip


# -- a write says only what was meant


def test_a_form_says_what_is_inside_objects_and_lists(make):
    def answer(two: Two, asked: Asked) -> tuple[Any, ...]:
        if asked.method == "GET":
            return 200, list(two.there.values())
        record = dict(parse_qsl(asked.body.decode(), keep_blank_values=True))
        return 200, two.there.setdefault("cus_1", {"id": "cus_1", **record})

    two = Two(answer, person(1, city="Perth", tags=["a", "b"]))
    target = """\
    fields:
      id: { type: string, read_only: true }
      email: { type: string }
      address.city: { type: string }
      metadata.crm_id: { type: string }
      tags: { type: array }
    list: { path: /people }
    create: { path: /people, form: true, form_lists: brackets, wrap: customer }
"""
    mapped = "map: { email: email, address.city: city, metadata.crm_id: { from: id }, tags: tags }"
    vendor, project = make(two, target, INTEGRATION.replace("map: { email: email, name: name }", mapped))

    run = project.tieline("run", "sync")

    assert run.code == 0, run.out + run.err
    assert sorted(parse_qsl(vendor.writes[0].body.decode())) == [
        ("customer[address][city]", "Perth"), ("customer[email]", "1@example.com"), ("customer[metadata][crm_id]", "1"),
        ("customer[tags][]", "a"), ("customer[tags][]", "b"),
    ]  # fmt: skip


PUT_WHOLE = (
    FIELDS
    + """\
      phone: { type: string }
      created: { type: string, read_only: true }
    list: { path: /people }
    get: { path: "/people/{id}" }
    create: { path: /people }
    update: { path: "/people/{id}", method: PUT, whole: true }
"""
)


def replacing(two: Two, asked: Asked) -> tuple[Any, ...]:
    """Answer as a vendor whose PUT empties what is not sent, and refuses what it sets itself; with `If-Match` it refuses an older version."""
    id = asked.path.rpartition("/")[2]
    if asked.method == "GET":
        return (200, list(two.there.values())) if id == "people" else (200, two.there[id]) if id in two.there else (404, {})
    if "created" in asked.json or "id" in asked.json:
        return 400, {"error": "read only"}
    if (match := asked.headers.get("If-Match")) is not None and match != two.there[id]["etag"]:
        return 412, {"error": "someone was faster"}
    two.there[id] = {"id": id, "email": None, "name": None, "phone": None, "created": "c", "etag": "e9"} | asked.json
    return 200, two.there[id]


def held(**more: Any) -> dict[str, Any]:
    return {"id": "5", "email": "1@example.com", "name": "old", "phone": "0142", "created": "c", "etag": "e1", **more}


def test_what_is_not_mapped_survives_an_update_that_replaces_the_record(make):
    two = Two(replacing, person(1))
    two.there["5"] = held()
    vendor, project = make(two, PUT_WHOLE)

    run = project.tieline("run", "sync")

    assert run.code == 0, run.out + run.err
    assert two.there["5"]["phone"] == "0142"
    assert two.there["5"]["name"] == "N1"
    assert vendor.writes[0].json == {"email": "1@example.com", "name": "N1", "phone": "0142", "etag": "e1"}


def test_entries_of_a_list_that_are_not_mapped_survive_an_update_that_replaces_the_record(make):
    """A mapping of the first address writes the first address: others, and what else the entry holds, are as they were."""
    two = Two(replacing, person(1))
    two.there["5"] = held(names=[{"first": "old", "shown": "old B", "last": "B"}, {"first": "second"}])
    vendor, project = make(two, PUT_WHOLE)
    project.change(
        "connectors/b.yaml",
        "      name: { type: string }",
        '      "names[0].first": { type: string }\n      "names[].shown": { read_only: true }',
    )
    project.change("integrations/sync.yaml", "name: name", '"names[0].first": name')

    run = project.tieline("run", "sync")

    assert run.code == 0, run.out + run.err
    assert vendor.writes[0].json["names"] == [{"first": "N1", "last": "B"}, {"first": "second"}]


def test_what_is_edited_between_our_read_and_our_write_survives_where_the_vendor_can_refuse(make):
    edited = iter(["0999"])

    def answer(two: Two, asked: Asked) -> tuple[Any, ...]:
        if asked.method == "PUT" and (phone := next(edited, None)) is not None:
            two.there["5"] |= {"phone": phone, "etag": "e2"}
        return replacing(two, asked)

    two = Two(answer, person(1))
    two.there["5"] = held()
    target = PUT_WHOLE.replace("whole: true", "replaces: true, condition: { field: etag, header: If-Match }")
    vendor, project = make(
        two, target.replace("created: { type: string, read_only: true }", "created: { read_only: true }\n      etag: { read_only: true }")
    )

    run = project.tieline("run", "sync")

    assert run.code == 0, run.out + run.err
    assert (two.there["5"]["phone"], two.there["5"]["name"]) == ("0999", "N1")
    assert [asked.headers["If-Match"] for asked in vendor.writes] == ["e1", "e2"]


def test_an_update_that_would_empty_what_nobody_can_read_is_refused_by_check(make):
    target = PUT_WHOLE.replace('    get: { path: "/people/{id}" }\n', "")
    _, project = make(Two(replacing), target)

    checked = project.tieline("check")

    assert checked.code != 0
    assert "would empty what is not mapped: `phone`" in re.sub(r"\s+", " ", checked.out + checked.err)


ACCOUNTING = """\
    id: Id
    fields:
      Id: { type: string, read_only: true }
      SyncToken: { type: string, read_only: true }
      email: { type: string }
      name: { type: string }
    list: { path: /query }
    get: { path: "/customer/{id}", record: Customer }
    create: { path: /customer, record: Customer }
    update:
      path: /customer
      method: POST
      record: Customer
      constants: { Id: "{id}", sparse: true }
      params: { mask: "{changed_fields}" }
      condition: { field: SyncToken, body: SyncToken, stale: ["5010"], always: true }
"""


def accounting(two: Two, asked: Asked) -> tuple[Any, ...]:
    """Answer as QuickBooks does: id and version of an update are in its body, and none is taken without."""
    if asked.method == "GET":
        id = asked.path.rpartition("/")[2]
        return (200, list(two.there.values())) if id == "query" else (200, {"Customer": two.there[id]})
    there = two.there.get(asked.json.get("Id"))
    if there is None or there["SyncToken"] != asked.json.get("SyncToken") or not asked.json.get("sparse"):
        return 400, {"Fault": {"Error": [{"Message": "Stale Object Error", "code": "5010"}]}}
    there |= {key: value for key, value in asked.json.items() if key != "sparse"} | {"SyncToken": str(int(there["SyncToken"]) + 1)}
    return 200, {"Customer": there}


def test_id_and_version_go_into_the_body_of_an_update_one_way_too(make):
    two = Two(accounting, person(1))
    two.there["58"] = {"Id": "58", "SyncToken": "3", "email": "1@example.com", "name": "old"}
    vendor, project = make(two, ACCOUNTING)

    run = project.tieline("run", "sync")
    two.people[0]["name"] = "Again"
    again = project.tieline("run", "sync")

    assert (run.code, again.code) == (0, 0), run.out + again.out
    assert two.there["58"] == {"Id": "58", "SyncToken": "5", "email": "1@example.com", "name": "Again"}
    assert vendor.writes[0].json == {"Id": "58", "SyncToken": "3", "sparse": True, "name": "N1"}
    assert vendor.writes[0].query == {"mask": "name"}


def test_an_undo_sends_the_version_too(make):
    two = Two(accounting, person(1))
    two.there["58"] = {"Id": "58", "SyncToken": "3", "email": "1@example.com", "name": "old"}
    _, project = make(two, ACCOUNTING)
    assert project.tieline("run", "sync").code == 0

    undone = project.tieline("undo", "1")

    assert undone.code == 0, undone.out + undone.err
    assert (two.there["58"]["name"], two.there["58"]["SyncToken"]) == ("old", "5")


def test_an_entry_that_lacks_a_field_is_parked_and_the_others_go(make):
    def answer(two: Two, asked: Asked) -> tuple[Any, ...]:
        if asked.method == "GET":
            return 200, list(two.there.values())
        results = []
        for entry in asked.json["items"]:
            id = str(500 + len(two.there))
            two.there[id] = {"id": id, **entry}
            results.append({"id": id, "key": entry["key"]})
        return 200, {"results": results}

    nameless = {"id": "2", "name": "Bob"}
    two = Two(answer, person(1, email="ann+x@example.com"), nameless, person(3))
    target = (
        FIELDS
        + """\
    list: { path: /people }
    batch:
      create:
        path: /people/batch
        wrap: items
        item: { key: "{email}", "...": "{record}", kind: "person {name}" }
        results: { records: results, by: id, key: key, field: email, id: id }
"""
    )
    vendor, project = make(two, target, INTEGRATION.replace("match: { email: email }", "match: { name: name }"))

    run = project.tieline("run", "sync")

    assert [write.json for write in vendor.writes] == [
        {
            "items": [
                {"email": "ann+x@example.com", "name": "N1", "key": "ann+x@example.com", "kind": "person N1"},
                {"email": "3@example.com", "name": "N3", "key": "3@example.com", "kind": "person N3"},
            ]
        }
    ]
    assert "`email` has no value" in re.sub(r"\s+", " ", project.tieline("dead-letters", "list").out)
    assert run.code == project.tieline("status", "sync").code or run.code in (0, 1)


def test_what_an_earlier_run_has_queued_is_checked_before_it_is_sent(make):
    """The connector's check came after the write was queued; the write is parked, not sent."""
    down = [True]

    def answer(two: Two, asked: Asked) -> tuple[Any, ...]:
        if asked.method == "GET":
            return 200, list(two.there.values())
        if down[0]:
            return 503, {}
        return 201, two.there.setdefault("1", {"id": "1", **asked.json})

    two = Two(answer, person(1, name=None))
    target = FIELDS + "    list: { path: /people }\n    create: { path: /people }\n"
    vendor, project = make(two, target, INTEGRATION + "retry: { attempts: 5, base: 1ms, most: 2ms }\n")
    project.tieline("run", "sync")
    sent = len(vendor.writes)
    assert sent > 0
    down[0] = False
    project.change("connectors/b.yaml", "name: { type: string }", "name: { type: string, nullable: false }")

    project.tieline("run", "sync")

    assert len(vendor.writes) == sent
    assert two.there == {}
