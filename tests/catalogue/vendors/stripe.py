"""Stripe's customers: forms, the last record's id as the mark of the next page, repeated keys, deleted ones shown by id."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class Stripe(FakeVendor):
    connector, resource, email, name = "stripe", "customers", "email", "name"
    seeds = 12
    tells_changes = False
    new_id = staticmethod(lambda number: f"cus_N{number:05}x")

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[str, tuple[Any, ...]] = {}

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise Refused(401, {"error": {"type": "invalid_request_error", "message": "You did not provide an API key."}})
        key = asked.headers.get("Idempotency-Key")
        if asked.method == "POST" and key in self._answers:
            return self._answers[key]
        answer = self._answer(asked)
        if asked.method == "POST" and key is not None:
            self._answers[key] = answer
        return answer

    def _answer(self, asked: Asked) -> tuple[Any, ...]:
        match asked.method, asked.path.removeprefix("/v1").strip("/").split("/"):
            case "GET", ["customers"]:
                query = self.only(asked, "limit", "starting_after", "email")
                if not 1 <= int(query.get("limit", 10)) <= 100:
                    raise Refused(400, {"error": {"message": "This value must be less than or equal to 100"}})
                found = [entry for entry in reversed(self.book.living) if query.get("email", entry.email) == entry.email]
                ids = [entry.id for entry in found]
                at = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
                page = found[at : at + 5]
                self.shown += len(page)
                return 200, {
                    "object": "list",
                    "data": [self._shown(entry) for entry in page],
                    "has_more": at + 5 < len(found),
                    "url": "/v1/customers",
                }
            case "POST", ["customers"]:
                sent = self._taken(asked)
                return 200, self._shown(self.book.add(sent["email"], sent["name"]))
            case method, ["customers", id] if (entry := self.book.get(id)) is not None:
                if method == "POST":
                    sent = self._taken(asked)
                    self.book.edit(entry, name=sent.get("name"), email=sent.get("email"))
                if method == "DELETE":
                    self.book.delete(entry)
                    return 200, {"id": id, "object": "customer", "deleted": True}
                return 200, self._shown(entry)
            case "GET", ["customers", id] if any(entry.id == id for entry in self.book.deleted):
                return 200, {"id": id, "object": "customer", "deleted": True}
        return 404, {"error": {"code": "resource_missing", "message": f"No such {asked.path}"}}

    @staticmethod
    def _taken(asked: Asked) -> dict[str, str]:
        if asked.headers.get("Content-Type") != "application/x-www-form-urlencoded":
            raise Refused(400, {"error": {"message": "Invalid request"}})
        sent = dict(parse_qsl(asked.body.decode(), keep_blank_values=True, strict_parsing=True))
        if unknown := {key.partition("[")[0] for key in sent} - {"email", "name", "phone", "description", "address", "metadata"}:
            raise Refused(400, {"error": {"code": "parameter_unknown", "message": f"Received unknown parameters: {sorted(unknown)}"}})
        return sent

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {
            "id": entry.id,
            "object": "customer",
            "email": entry.email,
            "name": entry.name,
            "phone": None,
            "description": None,
            "address": None,
            "metadata": {},
            "created": int(entry.created.timestamp()),
        }
