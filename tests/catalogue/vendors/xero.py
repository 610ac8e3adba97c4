"""Xero's contacts: a point of time in a header, `/Date(…)/`, lists of one, a tenant in each call, archived instead of deleted."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_KNOWN = {"ContactID", "Name", "EmailAddress", "FirstName", "LastName", "ContactNumber", "AccountNumber", "TaxNumber", "ContactStatus"}


class Xero(FakeVendor):
    connector, resource, email, name = "xero", "contacts", "EmailAddress", "Name"
    connection = 'auth: { bearer: "${env:KEY}" }, variables: { tenant: 45e4708e-d862-4111-ab3a-dd8cd03913e1 }'
    seeds = 12
    new_id = staticmethod(lambda number: f"bd2270c3-8706-4c11-9cfb-{number:012x}")

    def __init__(self) -> None:
        super().__init__()
        self._answered: dict[str, tuple[bytes, tuple[Any, ...]]] = {}

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise Refused(401, {"Title": "Unauthorized", "Status": 401, "Detail": "AuthenticationUnsuccessful"})
        if asked.headers.get("xero-tenant-id") != "45e4708e-d862-4111-ab3a-dd8cd03913e1":
            raise Refused(403, {"Title": "Forbidden", "Status": 403, "Detail": "AuthenticationUnsuccessful"})
        if asked.headers.get("Accept") != "application/json":
            raise Refused(406, {"Message": "this would be XML"})
        if (key := asked.headers.get("Idempotency-Key")) is not None:
            body, answer = self._answered.get(key) or (asked.body, self._write(asked))
            if body != asked.body or len(key) > 128:
                raise self._no("Idempotency key was used with another body, or is too long")
            self._answered[key] = body, answer
            return answer
        return self._write(asked)

    def _write(self, asked: Asked) -> tuple[Any, ...]:
        match asked.method, asked.path.removeprefix("/api.xro/2.0").strip("/").split("/"):
            case "GET", ["Contacts"]:
                return self._list(asked)
            case "PUT" | "POST", ["Contacts"]:
                several = self.only(asked, "summarizeErrors").get("summarizeErrors") == "false"
                return self._answer([self._saved(one, refuse=not several) for one in self._sent(asked)])
            case method, ["Contacts", id] if (entry := self._any(id)) is not None:
                if method == "POST":
                    (one,) = self._sent(asked)
                    return self._answer([self._saved({**one, "ContactID": id}, refuse=True)])
                return self._answer([self._shown(entry)])
        return 404, "The resource you're looking for cannot be found"

    def _any(self, id: str) -> Entry | None:
        return next((entry for entry in [*self.book.living, *self.book.deleted] if entry.id == id), None)

    def _sent(self, asked: Asked) -> list[dict[str, Any]]:
        if set(asked.json) != {"Contacts"} or any(set(one) - _KNOWN for one in asked.json["Contacts"]):
            raise self._no(f"unknown elements: {asked.json}")
        return asked.json["Contacts"]

    def _saved(self, one: dict[str, Any], *, refuse: bool) -> dict[str, Any]:
        entry = self._any(one["ContactID"]) if "ContactID" in one else None
        taken = {other.name.casefold() for other in self.book.living if other is not entry}
        problem = f"The contact name {one.get('Name')} is already assigned to another contact."
        if "Name" not in one and entry is None:
            problem = "The contact name must be specified."
        elif one.get("Name", "").casefold() not in taken:
            problem = ""
        if problem and refuse:
            raise self._no(problem)
        if problem:
            return {**one, "StatusAttributeString": "ERROR", "ValidationErrors": [{"Message": problem}]}
        if entry is None:
            entry = self.book.add(one["EmailAddress"], one["Name"])
        elif one.get("ContactStatus") == "ARCHIVED":
            self.book.delete(entry)
        else:
            self.book.edit(entry, email=one.get("EmailAddress"), name=one.get("Name"))
        return {**self._shown(entry), "StatusAttributeString": "OK"}

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "page", "pageSize", "includeArchived", "order", "where")
        if not 1 <= int(query.get("pageSize", 100)) <= 1000 or query.get("order", "UpdatedDateUTC") != "UpdatedDateUTC":
            raise self._no("pageSize is from 1 to 1000")
        known = [*self.book.living, *(self.book.deleted if query.get("includeArchived") == "true" else [])]
        since = asked.headers.get("If-Modified-Since")
        if since is not None and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", since):
            raise self._no(f"If-Modified-Since {since}")
        found = self.book.since(dt.datetime.fromisoformat(f"{since}+00:00") if since else None, known)
        if "where" in query:
            same = re.fullmatch(r'EmailAddress=="((?:[^"]|"")*)"', query["where"])
            if same is None:
                raise self._no(f"Invalid where clause: {query['where']}")
            found = [entry for entry in found if entry.email == same[1].replace('""', '"')]
            return self._answer([self._shown(entry) for entry in found])
        page, size = int(query["page"]), min(int(query["pageSize"]), 5)
        shown = found[(page - 1) * size : page * size]
        self.shown += len(shown)
        about = {"page": page, "pageSize": size, "pageCount": -(-len(found) // size), "itemCount": len(found)}
        return self._answer([self._shown(entry) for entry in shown], pagination=about)

    @staticmethod
    def _answer(contacts: list[dict[str, Any]], **more: Any) -> tuple[Any, ...]:
        return 200, {"Id": "e997d6d7-6dad-4458-beb8-d9c1bf7f2edf", "Status": "OK", "Contacts": contacts, **more}

    @staticmethod
    def _no(message: str) -> Refused:
        elements = [{"ValidationErrors": [{"Message": message}]}]
        return Refused(
            400, {"ErrorNumber": 10, "Type": "ValidationException", "Message": "A validation exception occurred", "Elements": elements}
        )

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {
            "ContactID": entry.id,
            "ContactStatus": "ARCHIVED" if entry.deleted else "ACTIVE",
            "Name": entry.name,
            "EmailAddress": entry.email,
            "Addresses": [],
            "UpdatedDateUTC": f"/Date({int(entry.updated.timestamp() * 1000)}+0000)/",
            "HasValidationErrors": False,
        }
