"""Dataverse's contacts: OData filters, next addresses with blanks, ids in a header, and a PATCH that creates unless If-Match forbids it."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_WRITABLE = {"emailaddress1", "firstname", "lastname", "telephone1", "mobilephone", "jobtitle", "statecode"}
_FIELDS = _WRITABLE | {"contactid", "createdon", "modifiedon"}
_FILTER = re.compile(r"modifiedon ge (?P<since>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)|emailaddress1 eq '(?P<email>(?:[^']|'')*)'")


class Dynamics(FakeVendor):
    connector, resource, email, name = "dynamics", "contacts", "emailaddress1", "lastname"
    connection = 'auth: { bearer: "${env:KEY}" }, variables: { host: acme.crm4.dynamics.com }'
    seeds = 12
    tells_deletions = False
    new_id = staticmethod(lambda number: f"7eb682f1-ca75-e511-80d4-{number:012x}")

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise self._no(401, "0x80072560", "The user is not a member of the organization.")
        if asked.headers.get("OData-Version") != "4.0" or asked.headers.get("OData-MaxVersion") != "4.0":
            raise self._no(400, "0x80060888", "OData-Version")
        here = asked.path.removeprefix("/api/data/v9.2/")
        if here == "contacts" and asked.method == "GET":
            return self._list(asked)
        if here == "contacts" and asked.method == "POST":
            sent = self._sent(asked)
            entry = self.book.add(sent["emailaddress1"], sent["lastname"])
            address = f"http://{asked.headers['Host']}/api/data/v9.2/contacts({entry.id.upper()})"
            return 204, None, {"OData-EntityId": address, "Location": address}
        named = re.fullmatch(r"contacts\(([0-9a-fA-F-]{36})\)", here)
        if named is None:
            raise self._no(404, "0x80060888", f"Resource not found for the segment '{here}'.")
        entry = self.book.get(named[1].lower())
        if entry is None:
            return 404, {"error": {"code": "0x80040217", "message": f"Entity 'contact' With Id = {named[1]} Does Not Exist"}}
        if asked.method == "GET":
            return 200, {"@odata.context": "…", **self._shown(entry, self.only(asked, "$select")["$select"])}
        if (expected := asked.headers.get("If-Match")) is None:
            raise self._no(428, "test", "without If-Match this is an upsert")
        if expected not in ("*", self._etag(entry)):
            raise self._no(412, "0x80060882", "The version of the existing record doesn't match the RowVersion property provided.")
        if asked.method == "DELETE":
            self.book.delete(entry)
        elif asked.method == "PATCH":
            sent = self._sent(asked)
            self.book.edit(entry, name=sent.get("lastname"), email=sent.get("emailaddress1"))
        else:
            raise self._no(405, "0x80060888", "method")
        return 204, None

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "$select", "$filter", "$orderby", "$skiptoken")
        which = _FILTER.fullmatch(query["$filter"]) if "$filter" in query else None
        if "$filter" in query and which is None:
            raise self._no(400, "0x80060888", f"Syntax error in '{query['$filter']}'.")
        if query.get("$orderby", "modifiedon") != "modifiedon":
            raise self._no(400, "0x80060888", "Could not find a property")
        since = dt.datetime.fromisoformat(which["since"]) if which and which["since"] else None
        found = self.book.since(since)
        if which and which["email"] is not None:
            email = which["email"].replace("''", "'").lower()
            found = [entry for entry in found if entry.email.lower() == email]
        at = int(query.get("$skiptoken", 0))
        page = found[at : at + 5]
        self.shown += len(page)
        answer: dict[str, Any] = {"@odata.context": "…", "value": [self._shown(entry, query["$select"]) for entry in page]}
        if at + 5 < len(found):
            asks = "&".join(f"{name}={value}" for name, value in {**query, "$skiptoken": str(at + 5)}.items())
            answer["@odata.nextLink"] = f"http://{asked.headers['Host']}{asked.path}?{asks}"  # blanks and all
        return 200, answer

    def _sent(self, asked: Asked) -> dict[str, Any]:
        if unknown := set(asked.json) - _WRITABLE:
            raise self._no(400, "0x80048d19", f"Invalid property '{sorted(unknown)}' was found in entity 'Microsoft.Dynamics.CRM.contact'.")
        return asked.json

    @staticmethod
    def _no(status: int, code: str, message: str) -> Refused:
        return Refused(status, {"error": {"code": code, "message": message}})

    @staticmethod
    def _etag(entry: Entry) -> str:
        return f'W/"46864{entry.version}"'

    def _shown(self, entry: Entry, select: str) -> dict[str, Any]:
        known = {
            "contactid": entry.id,
            "emailaddress1": entry.email,
            "lastname": entry.name,
            "statecode": 0,
            "createdon": entry.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "modifiedon": entry.updated.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if unknown := set(select.split(",")) - _FIELDS:
            raise self._no(400, "0x80060888", f"Could not find a property named '{sorted(unknown)}'")
        return {"@odata.etag": self._etag(entry), **{field: known.get(field) for field in select.split(",")}}
