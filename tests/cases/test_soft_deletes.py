"""A shop that keeps deleted contacts in its list, with `deleted_at` filled."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.served import Answer, Asked, Project, Vendor

SHOP = """\
connector: a
environments: { production: "{url}/a" }
auth: { bearer: {} }
resources:
  contacts:
    fields:
      id: { type: integer, read_only: true }
      name: { type: string }
      email: { type: string }
      status: { type: string }
      updated_at: { type: datetime }
      deleted_at: { type: datetime }
    list:
      path: /contacts
      records: data
      changed_since: { param: updated_since, field: updated_at }
      tombstone: TOMBSTONE
"""
BOOK = """\
connector: b
environments: { production: "{url}/b" }
auth: { bearer: {} }
resources:
  contacts:
    fields:
      id: { type: string, read_only: true }
      name: { type: string }
      email: { type: string }
    list: { path: /contacts, records: data }
    create: { path: /contacts }
    update: { path: "/contacts/{id}", method: PATCH }
    delete: { path: "/contacts/{id}", method: DELETE }
"""
SYNC = (
    "purpose: x\nfrom: a.contacts\nto: b.contacts\ndirection: one-way\nfreshness: 1h\nmatch: { email: email }\nunmatched: create\n"
    "conflict: source\ndeletes: delete\nunavailable: { keep: 7d }\nmap: { name: name, email: email }\n"
)


@pytest.mark.parametrize(
    ("tombstone", "mark"),
    [
        ("{ field: deleted_at, present: true }", {"deleted_at": "2026-10-09T08:00:00Z"}),
        ("{ field: status, equals: [deleted, spam] }", {"status": "spam"}),
        ("{ field: status, not_equals: active }", {"status": "closed"}),
    ],
)
def test_a_record_that_is_marked_as_deleted_is_deleted_over_there(
    tmp_path: Path, served: Callable[[Answer], Vendor], tombstone: str, mark: dict[str, str]
) -> None:
    shop: list[dict[str, Any]] = [
        {
            "id": i,
            "name": f"N{i}",
            "email": f"n{i}@example.com",
            "status": "active",
            "updated_at": f"2026-10-0{i}T00:00:00Z",
            "deleted_at": none,
        }
        for i, none in ((1, None), (2, None), (3, ""))
    ]
    book: dict[str, Any] = {}

    def answer(asked: Asked) -> tuple[int, object]:
        if asked.path == "/a/contacts":
            since = re.sub(r"\.\d+", "", asked.query.get("updated_since", ""))
            return 200, {"data": [record for record in shop if record["updated_at"] >= since]}
        if asked.method == "POST":
            id = f"b{len(book)}"
            book[id] = {**asked.json, "id": id}
            return 201, book[id]
        if asked.method == "DELETE":
            del book[asked.path.rsplit("/", 1)[1]]
            return 204, None
        return 200, {"data": list(book.values())}

    project = Project(
        tmp_path, served(answer),
        {"connectors/a.yaml": SHOP.replace("TOMBSTONE", tombstone), "connectors/b.yaml": BOOK, "integrations/sync.yaml": SYNC},
    )  # fmt: skip
    first = project.tieline("run", "sync")
    assert 0 == first.code, first.said
    assert 3 == len(book)

    shop[0] |= {**mark, "updated_at": "2026-10-09T08:00:00Z"}
    second = project.tieline("run", "sync")

    assert 0 == second.code, second.said
    assert ["N2", "N3"] == sorted(record["name"] for record in book.values())
