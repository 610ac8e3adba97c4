"""HubSpot's contacts: a search that is a POST, milliseconds as a point, archived ones apart, an address as an id."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_KNOWN = {"email", "firstname", "lastname", "phone", "company", "lifecyclestage", "lastmodifieddate"}


class HubSpot(FakeVendor):
    connector, resource, email, name = "hubspot", "contacts", "properties.email", "properties.firstname"
    seeds = 12
    new_id = staticmethod(lambda number: str(51_000_000_000 + number))

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise Refused(401, {"status": "error", "message": "Authentication credentials not found."})
        match asked.method, asked.path.removeprefix("/crm/v3/objects").strip("/").split("/"):
            case "POST", ["contacts", "search"]:
                return self._search(asked.json)
            case "GET", ["contacts"]:
                query = self.only(asked, "limit", "after", "archived", "properties")
                found = self.book.deleted if query.get("archived") == "true" else self.book.living
                return self._page(found, query.get("after"), int(query.get("limit", 10)))
            case "POST", ["contacts"]:
                sent = self._taken(asked)
                if sent["email"] in self.book.people:
                    raise Refused(409, {"status": "error", "category": "CONFLICT", "message": "Contact already exists. Existing ID: 1"})
                return 201, self._shown(self.book.add(sent["email"], sent["firstname"]))
            case "POST", ["contacts", "batch", verb]:
                return self._batch(verb, asked.json)
            case method, ["contacts", key]:
                by_email = self.only(asked, "idProperty", "properties").get("idProperty") == "email"
                entry = next((one for one in self.book.living if one.email == key), None) if by_email else self.book.get(key)
                if entry is None:
                    return 404, {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "resource not found"}
                if method == "PATCH":
                    sent = self._taken(asked)
                    self.book.edit(entry, name=sent.get("firstname"), email=sent.get("email"))
                if method == "DELETE":
                    self.book.delete(entry)
                    return 204, None
                return 200, self._shown(entry)
        return 404, {"status": "error", "message": "no such path"}

    def _search(self, body: dict[str, Any]) -> tuple[Any, ...]:
        if unknown := set(body) - {"filterGroups", "sorts", "limit", "after", "properties", "query"}:
            raise Refused(400, {"status": "error", "message": f"unknown {sorted(unknown)}"})
        if not isinstance(body.get("limit", 10), int) or body.get("limit", 10) > 200:
            raise Refused(400, {"status": "error", "message": "limit must be a number of at most 200"})
        if not isinstance(body.get("after", ""), str | int):
            raise Refused(400, {"status": "error", "message": "after"})
        since = None
        for group in body.get("filterGroups", []):
            (one,) = group["filters"]
            if (one["propertyName"], one["operator"]) != ("lastmodifieddate", "GTE"):
                raise Refused(400, {"status": "error", "message": "filter"})
            since = dt.datetime.fromtimestamp(int(one["value"]) / 1000, dt.UTC)
        return self._page(self.book.since(since), body.get("after"), body.get("limit", 10))

    def _batch(self, verb: str, body: dict[str, Any]) -> tuple[Any, ...]:
        """Answer 207 where some are refused, results in an order of our own; without a mark on each entry, one refusal is that of all."""
        inputs = body["inputs"]
        if set(body) != {"inputs"} or not 1 <= len(inputs) <= 100:
            raise Refused(400, {"status": "error", "message": "Invalid input JSON"})
        if verb == "archive":
            for one in inputs:
                if (entry := self.book.get(one["id"])) is not None:
                    self.book.delete(entry)
            return 204, None
        marked = all(isinstance(one.get("objectWriteTraceId"), str) for one in inputs)
        results, errors = [], []
        for one in inputs:
            sent = self._known({key: value for key, value in one.items() if key not in ("id", "objectWriteTraceId")})
            entry = self.book.get(one["id"]) if verb == "update" else None
            problem = ("OBJECT_NOT_FOUND", "Could not get some CONTACT objects") if verb == "update" and entry is None else None
            if any(other.email == sent.get("email") and other is not entry for other in self.book.living):
                problem = "CONFLICT", "Contact already exists. Existing ID: 1"
            if problem and not marked:
                raise Refused(409, {"status": "error", "category": problem[0], "message": problem[1]})
            mark = one.get("objectWriteTraceId")
            if problem:
                context = {"ids": [one["id"]]} if verb == "update" else {"objectWriteTraceId": [mark]}
                errors.append({"status": "error", "category": problem[0], "message": problem[1], "context": context})
                continue
            if entry is None:
                entry = self.book.add(sent["email"], sent["firstname"])
            else:
                self.book.edit(entry, name=sent.get("firstname"), email=sent.get("email"))
            results.append({**self._shown(entry), **({"objectWriteTraceId": mark} if verb == "create" else {})})
        answer = {"status": "COMPLETE", "results": results[::-1]}
        return (207, answer | {"numErrors": len(errors), "errors": errors}) if errors else (200 if verb == "update" else 201, answer)

    def _page(self, found: list[Entry], after: str | int | None, limit: int) -> tuple[Any, ...]:
        at = int(after or 0)
        page = found[at : at + min(limit, 5)]
        self.shown += len(page)
        answer: dict[str, Any] = {"total": len(found), "results": [self._shown(entry) for entry in page]}
        if at + len(page) < len(found):
            answer["paging"] = {"next": {"after": str(at + len(page))}}
        return 200, answer

    def _taken(self, asked: Asked) -> dict[str, Any]:
        return self._known(asked.json)

    @staticmethod
    def _known(body: dict[str, Any]) -> dict[str, Any]:
        if set(body) - {"properties", "associations"}:
            raise Refused(400, {"status": "error", "message": "Invalid input JSON"})
        sent = body["properties"]
        if unknown := set(sent) - _KNOWN:
            raise Refused(400, {"status": "error", "message": f"Property values were not valid: {sorted(unknown)}"})
        return sent

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        changed = entry.updated.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        properties = dict.fromkeys(_KNOWN) | {"email": entry.email, "firstname": entry.name, "lastmodifieddate": changed}
        return {"id": entry.id, "properties": properties, "createdAt": changed, "updatedAt": changed, "archived": entry.deleted}
