"""ActiveCampaign's contacts: totals as text, filters in brackets, a PUT that takes some fields."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class ActiveCampaign(FakeVendor):
    connector, resource, email, name = "activecampaign", "contacts", "email", "firstName"
    connection = 'auth: { api_key: "${env:KEY}" }, variables: { account: acme }'
    seeds = 12
    tells_deletions = False

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if asked.headers.get("Api-Token") is None:
            raise Refused(403, {"message": "You are not authorized to access this file"})
        match asked.method, asked.path.removeprefix("/api/3").strip("/").split("/"):
            case "GET", ["contacts"]:
                return self._list(asked)
            case "POST", ["contacts"]:
                sent = self._taken(asked)
                if sent["email"] in self.book.people:
                    raise Refused(422, {"errors": [{"title": "Email address already exists in the system", "code": "duplicate"}]})
                return 201, {"contact": self._shown(self.book.add(sent["email"], sent["firstName"]))}
            case method, ["contacts", id] if (entry := self.book.get(id)) is not None:
                if method == "PUT":
                    sent = self._taken(asked)
                    self.book.edit(entry, name=sent.get("firstName"), email=sent.get("email"))
                if method == "DELETE":
                    self.book.delete(entry)
                    return 200, {}
                return 200, {"contact": self._shown(entry), "fieldValues": [], "contactLists": []}
        return 404, {"message": "No Result found"}

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "limit", "offset", "filters[updated_after]", "orders[id]", "email")
        if int(query.get("limit", 20)) > 100:
            raise Refused(400, {"message": "limit"})
        moment = query.get("filters[updated_after]")
        found = self.book.since(dt.datetime.fromisoformat(moment) if moment else None, after=True)
        found = sorted((entry for entry in found if query.get("email", entry.email) == entry.email), key=lambda entry: int(entry.id))
        page = found[int(query.get("offset", 0)) :][: int(query.get("limit", 20))]
        self.shown += len(page)
        return 200, {"scoreValues": [], "contacts": [self._shown(entry) for entry in page], "meta": {"total": str(len(found))}}

    @staticmethod
    def _taken(asked: Asked) -> dict[str, Any]:
        sent = asked.json["contact"]
        if unknown := set(sent) - {"email", "firstName", "lastName", "phone", "fieldValues"}:
            raise Refused(400, {"errors": [{"title": f"unknown {sorted(unknown)}"}]})
        return sent

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {
            "id": entry.id,
            "email": entry.email,
            "firstName": entry.name,
            "lastName": "",
            "phone": "",
            "cdate": entry.created.strftime("%Y-%m-%dT%H:%M:%S-00:00"),
            "udate": entry.updated.strftime("%Y-%m-%dT%H:%M:%S-00:00"),
        }
