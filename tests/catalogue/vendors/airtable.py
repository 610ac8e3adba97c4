"""Airtable's rows: formulas as filters, marks called `offset`, ten rows a call, fields that are empty left out."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class Airtable(FakeVendor):
    connector, resource, email, name = "airtable", "rows", "fields.Email", "fields.Name"
    connection = 'auth: { bearer: "${env:KEY}" }, variables: { base: app1, table: People }'
    seeds = 12
    tells_deletions = False
    new_id = staticmethod(lambda number: f"rec{number:014}")

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise Refused(401, {"error": {"type": "AUTHENTICATION_REQUIRED", "message": "Authentication required"}})
        match asked.method, asked.path.removeprefix("/v0/app1").strip("/").split("/"):
            case "GET", ["People"]:
                return self._list(asked)
            case "POST", ["People"]:
                if set(asked.json) == {"fields"}:
                    return 200, self._made(asked.json)
                return 200, {"records": [self._made(row) for row in self._rows(asked.json)]}
            case "PATCH", ["People"]:
                rows = self._rows(asked.json)
                if any(self.book.get(row["id"]) is None for row in rows):
                    raise self._no(422, "Record ID does not exist in this table")
                return 200, {"records": [self._changed(row["id"], row["fields"]) for row in rows]}
            case method, ["People", id] if (entry := self.book.get(id)) is not None:
                if method == "PATCH":
                    return 200, self._changed(id, asked.json["fields"])
                if method == "DELETE":
                    self.book.delete(entry)
                    return 200, {"id": id, "deleted": True}
                return 200, self._shown(entry)
        return 404, {"error": "NOT_FOUND"}

    def _rows(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        rows = body.get("records", [])
        if set(body) != {"records"} or not 1 <= len(rows) <= 10 or any(set(row) - {"id", "fields"} for row in rows):
            raise self._no(422, f"Invalid request body: {body}")
        return rows

    def _made(self, row: dict[str, Any]) -> dict[str, Any]:
        self._known(row["fields"])
        return self._shown(self.book.add(row["fields"]["Email"], row["fields"]["Name"]))

    def _changed(self, id: str, fields: dict[str, Any]) -> dict[str, Any]:
        self._known(fields)
        entry = self.book.get(id)
        assert entry is not None
        self.book.edit(entry, name=fields.get("Name"), email=fields.get("Email"))
        return self._shown(entry)

    def _known(self, fields: dict[str, Any]) -> None:
        if unknown := set(fields) - {"Email", "Name"}:
            raise self._no(422, f"Unknown field name: {sorted(unknown)}")

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "pageSize", "offset", "filterByFormula")
        formula = query.get("filterByFormula", "")
        found = self.book.since(None)
        if change := re.fullmatch(r"IS_AFTER\(\{Modified\},'([^']+)'\)", formula):
            found = self.book.since(dt.datetime.fromisoformat(change[1]), after=True)
        elif same := re.fullmatch(r"\{Email\}='((?:[^'\\]|\\.)*)'", formula):
            email = re.sub(r"\\(.)", r"\1", same[1])
            found = [entry for entry in found if entry.email == email]
        elif formula:
            raise self._no(422, f"The formula for filtering records is invalid: {formula}")
        at = int(query.get("offset", "itr/0").removeprefix("itr/"))
        page = found[at : at + 5]
        self.shown += len(page) if "Email" not in formula else 0
        answer: dict[str, Any] = {"records": [self._shown(entry) for entry in page]}
        if at + 5 < len(found):
            answer["offset"] = f"itr/{at + 5}"
        return 200, answer

    @staticmethod
    def _no(status: int, message: str) -> Refused:
        return Refused(status, {"error": {"type": "INVALID_REQUEST", "message": message}})

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        changed = entry.updated.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"id": entry.id, "createdTime": changed, "fields": {"Email": entry.email, "Name": entry.name, "Modified": changed}}
