"""Freshdesk's contacts: basic authentication, `Link` headers, a PUT that takes some fields, deleted ones by `state`."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class Freshdesk(FakeVendor):
    connector, resource, email, name = "freshdesk", "contacts", "email", "name"
    connection = 'auth: { basic: { username: "${env:KEY}", password: "${env:KEY}" } }, variables: { domain: acme }'
    seeds = 12

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Basic "):
            raise Refused(401, {"code": "invalid_credentials", "message": "You have to be logged in to perform this action."})
        match asked.method, asked.path.removeprefix("/api/v2").strip("/").split("/"):
            case "GET", ["contacts"]:
                return self._list(asked)
            case "POST", ["contacts"]:
                sent = self._taken(asked)
                if "name" not in sent:
                    raise Refused(
                        400, {"description": "Validation failed", "errors": [{"field": "name", "message": "It should be a String"}]}
                    )
                return 201, self._shown(self.book.add(sent["email"], sent["name"]))
            case method, ["contacts", id] if (entry := self.book.get(id)) is not None:
                if method == "PUT":
                    sent = self._taken(asked)
                    self.book.edit(entry, name=sent.get("name"), email=sent.get("email"))
                if method == "DELETE":
                    self.book.delete(entry)
                    return 204, None
                return 200, self._shown(entry)
        return 404, None

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "page", "per_page", "_updated_since", "email", "state")
        size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
        if size > 100:
            raise Refused(400, {"description": "Validation failed", "errors": [{"field": "per_page", "message": "must be 100 or less"}]})
        since = dt.datetime.fromisoformat(query["_updated_since"]) if "_updated_since" in query else None
        found = self.book.since(since, self.book.deleted if query.get("state") == "deleted" else None)
        found = [entry for entry in found if query.get("email", entry.email) == entry.email]
        size = min(size, 5)
        page = found[(number - 1) * size : number * size]
        self.shown += len(page)
        headers = {}
        if number * size < len(found):
            address = f"http://{asked.headers['Host']}{asked.path}?{urlencode({**query, 'page': number + 1})}"
            headers["Link"] = f'<{address}>; rel="next"'
        return 200, [self._shown(entry) for entry in page], headers

    def _taken(self, asked: Asked) -> dict[str, Any]:
        sent = asked.json
        if unknown := set(sent) - {"name", "email", "phone", "mobile", "company_id", "description"}:
            errors = [{"field": field, "message": "Unexpected/invalid field in request"} for field in unknown]
            raise Refused(400, {"description": "Validation failed", "errors": errors})
        return sent

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {
            "id": int(entry.id),
            "name": entry.name,
            "email": entry.email,
            "phone": None,
            "mobile": None,
            "company_id": None,
            "description": None,
            "created_at": entry.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "updated_at": entry.updated.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
