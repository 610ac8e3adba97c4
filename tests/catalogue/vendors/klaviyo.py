"""Klaviyo's profiles: JSON:API with the id in the body too, filters as text, a revision in a header, no deletions."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any
from urllib.parse import urlencode

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_KNOWN = {"email", "phone_number", "external_id", "first_name", "last_name", "organization", "properties"}


class Klaviyo(FakeVendor):
    connector, resource, email, name = "klaviyo", "profiles", "attributes.email", "attributes.first_name"
    connection = 'auth: { api_key: "${env:KEY}" }'
    seeds = 12
    deletes = tells_deletions = False
    new_id = staticmethod(lambda number: f"01GDDKASAP8TKDDA2GRZDSV{number:03}")

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Klaviyo-API-Key "):
            raise self._no(401, "Missing or invalid authorization scheme")
        if asked.headers.get("revision") != "2025-10-15":
            raise self._no(400, "A valid revision header is needed")
        match asked.method, asked.path.removeprefix("/api").strip("/").split("/"):
            case "GET", ["profiles"]:
                return self._list(asked)
            case "POST", ["profiles"]:
                sent = self._taken(asked, {"type", "attributes"})
                if sent["email"] in self.book.people:
                    raise self._no(409, "A profile already exists with one of these identifiers.")
                return 201, {"data": self._shown(self.book.add(sent["email"], sent["first_name"]))}
            case method, ["profiles", id] if (entry := self.book.get(id)) is not None:
                if method == "PATCH":
                    sent = self._taken(asked, {"type", "id", "attributes"})
                    if asked.json["data"].get("id") != id:
                        raise self._no(400, "'id' is a required field for the resource 'profile'.")
                    self.book.edit(entry, name=sent.get("first_name"), email=sent.get("email"))
                return 200, {"data": self._shown(entry)}
        return 404, {"errors": [{"detail": "A profile with this id does not exist."}]}

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "page[size]", "page[cursor]", "sort", "filter")
        if int(query.get("page[size]", 20)) > 100:
            raise self._no(400, "Page size must be an integer between 1 and 100")
        found = self.book.since(None)
        condition = query.get("filter", "")
        if change := re.fullmatch(r"greater-than\(updated,([^,()]+)\)", condition):
            found = self.book.since(dt.datetime.fromisoformat(change[1]), after=True)
        elif same := re.fullmatch(r'equals\(email,("(?:[^"\\]|\\.)*")\)', condition):
            found = [entry for entry in found if entry.email == json.loads(same[1])]
        elif condition:
            raise self._no(400, f"Invalid filter: {condition}")
        at = int(query.get("page[cursor]", 0))
        page = found[at : at + 5]
        self.shown += len(page) if "equals" not in condition else 0
        following = None
        if at + 5 < len(found):
            following = f"http://{asked.headers['Host']}{asked.path}?{urlencode({**query, 'page[cursor]': at + 5})}"
        return 200, {"data": [self._shown(entry) for entry in page], "links": {"self": "…", "next": following, "prev": None}}

    def _taken(self, asked: Asked, members: set[str]) -> dict[str, Any]:
        data = asked.json.get("data", {})
        if set(asked.json) != {"data"} or set(data) != members or data.get("type") != "profile":
            raise self._no(400, f"The payload must be a JSON:API resource of type profile: {asked.json}")
        if unknown := set(data["attributes"]) - _KNOWN:
            raise self._no(400, f"{sorted(unknown)} is not a valid field for the resource 'profile'.")
        return data["attributes"]

    @staticmethod
    def _no(status: int, detail: str) -> Refused:
        return Refused(status, {"errors": [{"status": status, "code": "invalid", "title": "Invalid input.", "detail": detail}]})

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        attributes = dict.fromkeys(_KNOWN) | {"email": entry.email, "first_name": entry.name, "properties": {}}
        times = {name: at.strftime("%Y-%m-%dT%H:%M:%S+00:00") for name, at in (("created", entry.created), ("updated", entry.updated))}
        return {"type": "profile", "id": entry.id, "attributes": attributes | times, "links": {}}
