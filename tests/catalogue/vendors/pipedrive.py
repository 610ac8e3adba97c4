"""Pipedrive's people, API v2: cursors, RFC 3339 times, `success` beside `data`, lists of addresses."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class Pipedrive(FakeVendor):
    connector, resource, email, name = "pipedrive", "persons", "emails[0].value", "name"
    connection = 'auth: { api_key: "${env:KEY}" }, variables: { company: acme }'
    seeds = 12
    tells_deletions = False

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if asked.headers.get("x-api-token") is None:
            raise Refused(401, {"success": False, "error": "unauthorized access"})
        match asked.method, asked.path.removeprefix("/api/v2").strip("/").split("/"):
            case "GET", ["persons"]:
                return self._list(asked)
            case "POST", ["persons"]:
                sent = self._taken(asked)
                entry = self.book.add(sent["emails"][0]["value"], sent["name"])
                return 201, {"success": True, "data": self._shown(entry)}
            case method, ["persons", id]:
                entry = self.book.get(id)
                if entry is None:
                    return 404, {"success": False, "error": "Person not found"}
                if method == "PATCH":
                    sent = self._taken(asked)
                    self.book.edit(entry, name=sent.get("name"), email=sent["emails"][0]["value"] if "emails" in sent else None)
                if method == "DELETE":
                    self.book.delete(entry)
                    return 200, {"success": True, "data": {"id": int(id)}}
                return 200, {"success": True, "data": self._shown(entry)}
        raise Refused(404, {"success": False, "error": "no such method"})

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "limit", "cursor", "updated_since", "sort_by", "sort_direction")
        limit = int(query.get("limit", 100))
        if limit > 500:
            raise Refused(400, {"success": False, "error": "limit: must be at most 500"})
        since = dt.datetime.fromisoformat(query["updated_since"]) if "updated_since" in query else None
        if since is not None and since.tzinfo is None:
            raise Refused(400, {"success": False, "error": "updated_since: RFC3339"})
        found = self.book.since(since)
        at = int(query.get("cursor", "0"))
        page = found[at : at + min(limit, 5)]  # shorter pages than asked for: a cursor, not their length, tells that there are more
        self.shown += len(page)
        following = str(at + len(page)) if at + len(page) < len(found) else None
        return 200, {"success": True, "data": [self._shown(entry) for entry in page], "additional_data": {"next_cursor": following}}

    def _taken(self, asked: Asked) -> dict[str, Any]:
        sent = asked.json
        if unknown := set(sent) - {"name", "emails", "phones", "org_id", "owner_id"}:
            raise Refused(400, {"success": False, "error": f"{sorted(unknown)} is not allowed"})
        for address in sent.get("emails", []):
            if set(address) - {"value", "primary", "label"} or not isinstance(address.get("value"), str):
                raise Refused(400, {"success": False, "error": "emails: bad entry"})
        return sent

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {
            "id": int(entry.id),
            "name": entry.name,
            "emails": [{"value": entry.email, "primary": True, "label": "work"}],
            "phones": [],
            "org_id": None,
            "owner_id": 1,
            "add_time": entry.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "update_time": entry.updated.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
