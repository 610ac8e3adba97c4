"""BigCommerce's customers, v3: one address for everything, lists as bodies, ids in the query, all or nothing."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class BigCommerce(FakeVendor):
    connector, resource, email, name = "bigcommerce", "customers", "email", "first_name"
    connection = 'auth: { api_key: "${env:KEY}" }, variables: { store: abc }'
    extra_map = "  last_name: { const: '-', only: create }\n"
    seeds = 12
    tells_deletions = False

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if asked.headers.get("X-Auth-Token") is None:
            raise Refused(401, {"status": 401, "title": "unauthorized"})
        if asked.path != "/stores/abc/v3/customers":
            return 404, {"status": 404, "title": "Not found"}
        match asked.method:
            case "GET":
                return self._list(asked)
            case "DELETE":
                query = self.only(asked, "id:in")
                for id in query["id:in"].split(","):
                    if (entry := self.book.get(id)) is not None:
                        self.book.delete(entry)
                return 204, None
        sent = self._taken(asked)
        if asked.method == "POST":
            addresses = [one["email"] for one in sent]
            if taken := set(addresses) & set(self.book.people):
                raise Refused(422, {"status": 422, "title": f"email {sorted(taken)} already in use", "errors": {".0.email": "in use"}})
            return 200, {"data": [self._shown(self.book.add(one["email"], one["first_name"])) for one in sent], "meta": {}}
        entries = [self.book.get(str(one["id"])) for one in sent]
        if None in entries:
            raise Refused(422, {"status": 422, "title": "customer not found"})
        for entry, one in zip(entries, sent, strict=True):
            assert entry is not None
            self.book.edit(entry, name=one.get("first_name"), email=one.get("email"))
        return 200, {"data": [self._shown(entry) for entry in entries if entry is not None], "meta": {}}

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "limit", "page", "date_modified:min", "sort", "email:in", "id:in")
        if int(query.get("limit", 50)) > 250:
            raise Refused(422, {"status": 422, "title": "limit"})
        since = dt.datetime.fromisoformat(query["date_modified:min"]) if "date_modified:min" in query else None
        found = [entry for entry in self.book.since(since) if query.get("email:in", entry.email) == entry.email]
        found = [entry for entry in found if query.get("id:in", entry.id) == entry.id]
        size, number = int(query.get("limit", 50)), int(query.get("page", 1))
        page = found[(number - 1) * size : number * size]
        self.shown += len(page)
        pages = {"total": len(found), "count": len(page), "per_page": size, "current_page": number, "total_pages": -(-len(found) // size)}
        return 200, {"data": [self._shown(entry) for entry in page], "meta": {"pagination": pages}}

    @staticmethod
    def _taken(asked: Asked) -> list[dict[str, Any]]:
        sent = asked.json
        if not isinstance(sent, list) or not 1 <= len(sent) <= 10:
            raise Refused(422, {"status": 422, "title": "a list of 1 to 10 customers"})
        for one in sent:
            if unknown := set(one) - {
                "email",
                "first_name",
                "last_name",
                "company",
                "phone",
                "notes",
                *(["id"] if asked.method == "PUT" else []),
            }:
                raise Refused(422, {"status": 422, "title": f"unknown {sorted(unknown)}"})
            if asked.method == "POST" and not {"email", "first_name", "last_name"} <= set(one):
                raise Refused(422, {"status": 422, "title": "missing field"})
        return sent

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {
            "id": int(entry.id),
            "email": entry.email,
            "first_name": entry.name,
            "last_name": "-",
            "company": "",
            "phone": "",
            "notes": "",
            "date_created": entry.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "date_modified": entry.updated.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
