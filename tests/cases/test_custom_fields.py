"""A help desk whose custom fields are a list of `{id, value}`, as Zendesk's: each is a field of its own, and other people's stay."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cases.served import Answer, Asked, Project, Vendor

DESK = """\
connector: {name}
environments: {{ production: "{{url}}/{name}" }}
auth: {{ bearer: {{}} }}
resources:
  tickets:
    fields:
      id: {{ type: integer, read_only: true }}
      subject: {{ type: string }}
      custom_fields: {{ type: array{entries} }}
      vat: {{ type: string }}
      tags: {{ type: array }}
    list: {{ path: /tickets, records: tickets }}
    get: {{ path: "/tickets/{{id}}", record: ticket }}
    find: {{ subject: {{ path: /tickets, params: {{ subject: "{{value}}" }}, records: tickets }} }}
    create: {{ path: /tickets, wrap: ticket, record: ticket, id: {{ body: ticket.id }} }}
    update: {{ path: "/tickets/{{id}}", method: PUT, wrap: ticket, record: ticket }}
"""
SYNC = """\
purpose: x
from: a.tickets
to: b.tickets
direction: {direction}
freshness: 1h
match: {{ subject: subject }}
unmatched: create
conflict: {conflict}
unavailable: {{ keep: 7d }}
map:
  subject: subject
  custom_fields[id=7].value: vat
"""


def desk(name: str, records: dict[int, dict[str, Any]]) -> Callable[[Asked], tuple[int, object]]:
    """Return a desk that merges custom fields by their ids."""

    def answer(asked: Asked) -> tuple[int, object]:
        id = int(asked.path.rsplit("/", 1)[1]) if asked.path != f"/{name}/tickets" else 0
        if asked.method == "POST":
            id = len(records) + 1
            records[id] = {"id": id, "custom_fields": [{"id": 7, "value": None}, {"id": 9, "value": None}], "vat": None, "tags": []}
        if asked.method in ("POST", "PUT"):
            sent = dict(asked.json["ticket"])
            for field in sent.pop("custom_fields", []):
                next(one for one in records[id]["custom_fields"] if one["id"] == field["id"])["value"] = field["value"]
            records[id] |= sent
        if id:
            return 200, {"ticket": records[id]}
        wanted = asked.query.get("subject")
        return 200, {"tickets": [one for one in records.values() if wanted in (None, one.get("subject"))]}

    return answer


def project_of(tmp_path: Path, served: Callable[[Answer], Vendor], left: dict[int, Any], right: dict[int, Any], **more: str) -> Project:
    sides = {"a": desk("a", left), "b": desk("b", right)}
    files = {
        "connectors/a.yaml": DESK.format(name="a", entries=""),
        "connectors/b.yaml": DESK.format(name="b", entries=more.pop("entries", ", entries: kept")),
        "integrations/sync.yaml": SYNC.format(**{"direction": "one-way", "conflict": "source", **more}),
    }
    return Project(tmp_path, served(lambda asked: sides[asked.path[1]](asked)), files)


def test_a_custom_field_is_written_alone_and_others_stay(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    left = {1: {"id": 1, "subject": "One", "vat": "AU1"}, 2: {"id": 2, "subject": "Two", "vat": "AU2"}}
    right: dict[int, Any] = {1: {"id": 1, "subject": "One", "custom_fields": [{"id": 7, "value": "old"}, {"id": 9, "value": "theirs"}]}}
    project = project_of(tmp_path, served, left, right)

    first = project.tieline("run", "sync")
    assert 0 == first.code, first.said
    assert [{"id": 7, "value": "AU1"}, {"id": 9, "value": "theirs"}] == right[1]["custom_fields"]
    assert [{"id": 7, "value": "AU2"}, {"id": 9, "value": None}] == right[2]["custom_fields"]

    left[1]["vat"] = "AU3"
    second = project.tieline("run", "sync")
    third = project.tieline("run", "sync")

    assert "1 updated" in second.said
    assert "2 unchanged" in third.said
    assert [{"id": 7, "value": "AU3"}, {"id": 9, "value": "theirs"}] == right[1]["custom_fields"]


def test_both_ways_a_custom_field_goes_back_and_an_edit_of_another_is_none(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    left = {1: {"id": 1, "subject": "One", "vat": "AU1", "custom_fields": [], "tags": []}}
    right: dict[int, Any] = {}
    project = project_of(tmp_path, served, left, right, direction="two-way", conflict="hold")
    first = project.tieline("run", "sync")
    assert 0 == first.code, first.said

    right[1]["custom_fields"] = [{"id": 9, "value": "theirs"}, {"id": 7, "value": "AU9"}]
    second = project.tieline("run", "sync")

    assert 0 == second.code, second.said
    assert "AU9" == left[1]["vat"]
    assert [{"id": 9, "value": "theirs"}, {"id": 7, "value": "AU9"}] == right[1]["custom_fields"]


def test_where_nothing_says_that_others_are_kept_check_refuses(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    project = project_of(tmp_path, served, {}, {}, entries="")

    told = project.tieline("check")

    assert 0 != told.code
    assert "declare `entries: kept` for `custom_fields`" in " ".join(told.said.split())
