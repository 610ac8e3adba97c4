"""The plain system on the other side of each vendor of the catalogue."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cases.served import Asked

from catalogue.vendor import Book, Entry

HUB = """\
connector: hub
environments: { production: "{url}/hub" }
auth: { bearer: {} }
resources:
  people:
    path: /people
    records: items
    fields:
      id: { type: string, read_only: true }
      email: { type: string }
      name: { type: string }
      updated_at: { type: datetime, read_only: true, precision: 1ms }
    list:
      paging: { style: offset, param: offset, size: 500, size_param: limit, until: short }
      changed_since: { param: since, field: updated_at, precision: 1ms }
    find: { email: { params: { email: "{value}" } } }
    deleted:
      path: /gone
      records: items
      changed_since: { param: since, field: updated_at, precision: 1ms }
"""


class Hub:
    """Answers below `/hub`."""

    def __init__(self) -> None:
        self.book = Book(lambda number: f"h{number}")
        self.writes = 0

    def answer(self, asked: Asked) -> tuple[Any, ...]:
        """Answer a request."""
        self.writes += asked.method != "GET"
        parts = asked.path.strip("/").split("/")[1:]
        query = asked.query
        since = dt.datetime.fromisoformat(query["since"]) if "since" in query else None
        if parts == ["gone"]:
            return 200, {"items": [self._shown(entry) for entry in self.book.since(since, self.book.deleted)]}
        if len(parts) == 1 and asked.method == "POST":
            return 201, self._shown(self.book.add(asked.json["email"], asked.json["name"]))
        if len(parts) == 1:
            found = [entry for entry in self.book.since(since) if query.get("email", entry.email) == entry.email]
            offset, limit = int(query.get("offset", 0)), int(query.get("limit", 1000))
            return 200, {"items": [self._shown(entry) for entry in found[offset : offset + limit]]}
        entry = self.book.get(parts[1])
        if entry is None:
            return 404, {"error": "not found"}
        if asked.method == "PATCH":
            self.book.edit(entry, email=asked.json.get("email"), name=asked.json.get("name"))
        if asked.method == "DELETE":
            self.book.delete(entry)
            return 204, None
        return 200, self._shown(entry)

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {"id": entry.id, "email": entry.email, "name": entry.name, "updated_at": entry.updated.isoformat()}
