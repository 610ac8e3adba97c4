"""Shopify's customers over REST: `Link` headers, wrapped records, a search that lags, an address that can be there once only."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class Shopify(FakeVendor):
    connector, resource, email, name = "shopify", "customers", "email", "first_name"
    connection = 'auth: { api_key: "${env:KEY}" }, variables: { shop: acme }'
    seeds = 12
    tells_deletions = False
    new_id = staticmethod(lambda number: str(6_917_529_027_641_080_000 + number))

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if asked.headers.get("X-Shopify-Access-Token") is None:
            raise Refused(401, {"errors": "[API] Invalid API key or access token"})
        parts = asked.path.removeprefix("/admin/api/2026-10").strip("/").split("/")
        match asked.method, parts:
            case "GET", ["customers.json"]:
                return self._list(asked)
            case "GET", ["customers", "search.json"]:
                query = self.only(asked, "query", "limit")
                email = query["query"].removeprefix("email:")
                return 200, {"customers": [self._shown(entry) for entry in self.book.living if entry.email == email]}
            case "POST", ["customers.json"]:
                sent = self._taken(asked)
                if sent["email"] in self.book.people:
                    raise Refused(422, {"errors": {"email": ["has already been taken"]}})
                return 201, {"customer": self._shown(self.book.add(sent["email"], sent["first_name"]))}
            case method, ["customers", name] if (entry := self.book.get(name.removesuffix(".json"))) is not None:
                if method == "PUT":
                    sent = self._taken(asked)
                    self.book.edit(entry, name=sent.get("first_name"), email=sent.get("email"))
                if method == "DELETE":
                    self.book.delete(entry)
                    return 200, {}
                return 200, {"customer": self._shown(entry)}
        return 404, {"errors": "Not Found"}

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "limit", "page_info", "updated_at_min", "order")
        if "page_info" in query and set(query) - {"limit", "page_info"}:
            raise Refused(400, {"errors": {"page_info": "no other parameter goes with it"}})
        if int(query.get("limit", 50)) > 250:
            raise Refused(400, {"errors": {"limit": "at most 250"}})
        at, _, moment = query.get("page_info", f"0|{query.get('updated_at_min', '')}").partition("|")
        found = self.book.since(dt.datetime.fromisoformat(moment) if moment else None)
        page = found[int(at) : int(at) + 5]
        self.shown += len(page)
        headers = {"X-Shopify-Shop-Api-Call-Limit": "1/40"}
        if int(at) + 5 < len(found):
            following = urlencode({"limit": query.get("limit", 50), "page_info": f"{int(at) + 5}|{moment}"})
            headers["Link"] = f'<http://{asked.headers["Host"]}{asked.path}?{following}>; rel="next"'
        return 200, {"customers": [self._shown(entry) for entry in page]}, headers

    def _taken(self, asked: Asked) -> dict[str, Any]:
        sent = asked.json["customer"]
        if unknown := set(sent) - {"email", "first_name", "last_name", "phone", "note", "tags"}:
            raise Refused(400, {"errors": {"customer": f"unknown {sorted(unknown)}"}})
        return sent

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {
            "id": int(entry.id),
            "email": entry.email,
            "first_name": entry.name,
            "last_name": None,
            "phone": None,
            "note": None,
            "tags": "",
            "created_at": entry.created.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
            "updated_at": entry.updated.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
        }
