"""Mailchimp's members: offsets with a total, ids that are hashes of the address, archived ones in the list."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class Mailchimp(FakeVendor):
    connector, resource, email, name = "mailchimp", "members", "email_address", "merge_fields.FNAME"
    connection = 'auth: { bearer: "${env:KEY}" }, variables: { dc: us6, audience: a1b2 }'
    extra_map = "  status: { const: subscribed, only: create }\n"
    seeds = 12
    new_id = staticmethod(lambda number: f"c{number:031x}")

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise Refused(401, {"title": "API Key Invalid", "detail": "Your API key may be invalid"})
        match asked.method, asked.path.removeprefix("/3.0").strip("/").split("/"):
            case "GET", ["lists", "a1b2", "members"]:
                return self._list(asked)
            case "POST", ["lists", "a1b2"]:
                return self._batch(asked.json)
            case "POST", ["lists", "a1b2", "members"]:
                sent = self._taken(asked.json, new=True)
                if sent["email_address"] in self.book.people:
                    raise Refused(400, {"title": "Member Exists", "detail": f"{sent['email_address']} is already a list member."})
                return 200, self._shown(self.book.add(sent["email_address"], sent["merge_fields"]["FNAME"]))
            case method, ["lists", "a1b2", "members", key] if (entry := self._find(key)) is not None:
                if method == "PATCH":
                    sent = self._taken(asked.json, new=False)
                    self.book.edit(entry, name=sent.get("merge_fields", {}).get("FNAME"), email=sent.get("email_address"))
                if method == "DELETE":
                    self.book.delete(entry)
                    return 204, None
                return 200, self._shown(entry)
        return 404, {"title": "Resource Not Found", "detail": "The requested resource could not be found."}

    def _find(self, key: str) -> Entry | None:
        """Find a member by hash, address or contact id."""
        return next((entry for entry in self.book.living if key in (self._hash(entry), entry.email, entry.id)), None)

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "count", "offset", "since_last_changed", "sort_field", "sort_dir", "status")
        if int(query.get("count", 10)) > 1000:
            raise Refused(400, {"title": "Invalid Resource", "detail": "count must be at most 1000"})
        since = dt.datetime.fromisoformat(query["since_last_changed"]) if "since_last_changed" in query else None
        found = self.book.since(since, [*self.book.living, *self.book.deleted])
        page = found[int(query.get("offset", 0)) :][: int(query.get("count", 10))]
        self.shown += len(page)
        return 200, {"members": [self._shown(entry) for entry in page], "list_id": "a1b2", "total_items": len(found)}

    def _batch(self, body: dict[str, Any]) -> tuple[Any, ...]:
        if set(body) - {"members", "update_existing"} or not 1 <= len(body["members"]) <= 500:
            raise Refused(400, {"title": "Invalid Resource", "detail": "members"})
        made, errors = [], []
        for sent in [self._taken(one, new=True) for one in body["members"]]:
            email = sent["email_address"]
            if email in self.book.people:
                errors.append({"email_address": email, "error": f"{email} is already a list member", "error_code": "ERROR_CONTACT_EXISTS"})
            else:
                made.append(self._shown(self.book.add(email, sent["merge_fields"]["FNAME"])))
        counts = {"total_created": len(made), "total_updated": 0, "error_count": len(errors)}
        return 200, {"new_members": made, "updated_members": [], "errors": errors, **counts}

    @staticmethod
    def _taken(sent: dict[str, Any], *, new: bool) -> dict[str, Any]:
        known = {"email_address", "status", "merge_fields", "language", "vip"}
        if unknown := set(sent) - known or set(sent.get("merge_fields", {})) - {"FNAME", "LNAME", "PHONE"}:
            raise Refused(400, {"title": "Invalid Resource", "detail": f"Schema describes no {sorted(unknown)}"})
        if new and not sent.get("status"):
            raise Refused(400, {"title": "Invalid Resource", "detail": "status: This value should not be blank."})
        return sent

    @staticmethod
    def _hash(entry: Entry) -> str:
        return hashlib.md5(entry.email.lower().encode()).hexdigest()  # noqa: S324 - it is what the vendor does

    def _shown(self, entry: Entry) -> dict[str, Any]:
        return {
            "id": self._hash(entry),
            "contact_id": entry.id,
            "email_address": entry.email,
            "status": "archived" if entry.deleted else "subscribed",
            "merge_fields": {"FNAME": entry.name, "LNAME": "", "PHONE": ""},
            "language": "",
            "vip": False,
            "last_changed": entry.updated.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
        }
