"""Zendesk's users: an incremental export with a mark that is always there and a flag that ends it, deleted users among the others."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class Zendesk(FakeVendor):
    connector, resource, email, name = "zendesk", "users", "email", "name"
    connection = 'auth: { basic: { username: "${env:KEY}", password: "${env:KEY}" } }, variables: { subdomain: acme }'
    seeds = 12
    new_id = staticmethod(lambda number: str(360_000_000_000 + number))

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Basic "):
            raise Refused(401, {"error": "Couldn't authenticate you"})
        match asked.method, asked.path.removeprefix("/api/v2").strip("/").split("/"):
            case "GET", ["incremental", "users", "cursor.json"]:
                return self._export(asked)
            case "GET", ["users", "search.json"]:
                kind, _, email = self.only(asked, "query")["query"].partition(":")
                found = [entry for entry in self.book.living if kind == "email" and entry.email == email]
                return 200, {"users": [self._shown(entry) for entry in found], "count": len(found), "next_page": None}
            case "POST", ["users"]:
                sent = self._taken(asked)
                if sent["email"] in self.book.people:
                    details = {"email": [{"description": f"Email: {sent['email']} is already being used", "error": "DuplicateValue"}]}
                    raise Refused(422, {"error": "RecordInvalid", "description": "Record validation errors", "details": details})
                return 201, {"user": self._shown(self.book.add(sent["email"], sent["name"]))}
            case method, ["users", id]:
                entry = next((one for one in [*self.book.living, *self.book.deleted] if one.id == id), None)
                if entry is None or (entry.deleted and method != "GET"):
                    return 404, {"error": "RecordNotFound", "description": "Not found"}
                if method == "PUT":
                    sent = self._taken(asked)
                    self.book.edit(entry, name=sent.get("name"), email=sent.get("email"))
                if method == "DELETE":
                    self.book.delete(entry)
                return 200, {"user": self._shown(entry)}
        return 404, {"error": "InvalidEndpoint", "description": "Not found"}

    def _export(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "start_time", "cursor", "per_page")
        if "cursor" not in query and not query.get("start_time", "").isdigit():
            raise Refused(400, {"error": "InvalidValue", "description": "start_time must be an integer"})
        start, _, at = query.get("cursor", f"{query.get('start_time')}_0").partition("_")
        moment = dt.datetime.fromtimestamp(int(start), dt.UTC)
        found = self.book.since(moment, [*self.book.living, *self.book.deleted])
        page = found[int(at) : int(at) + 5]
        self.shown += len(page)
        ends = int(at) + len(page) >= len(found)
        answer = {"users": [self._shown(entry) for entry in page], "after_cursor": f"{start}_{int(at) + len(page)}", "end_of_stream": ends}
        return 200, {**answer, "before_cursor": None, "after_url": "https://acme.zendesk.com/…"}

    @staticmethod
    def _taken(asked: Asked) -> dict[str, Any]:
        sent = asked.json["user"]
        if unknown := set(sent) - {"name", "email", "phone", "notes", "external_id", "role", "user_fields"}:
            raise Refused(400, {"error": "InvalidAttribute", "description": f"unknown {sorted(unknown)}"})
        return sent

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {
            "id": int(entry.id),
            "name": entry.name,
            "email": entry.email,
            "phone": None,
            "notes": "",
            "external_id": None,
            "role": "end-user",
            "user_fields": {"tier": "gold"},
            "active": not entry.deleted,
            "created_at": entry.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "updated_at": entry.updated.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
