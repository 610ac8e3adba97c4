"""QuickBooks' customers: SQL that counts from one, no member where there are none, versions in the body, and nothing is ever deleted."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_TEXT = r"'((?:[^'\\]|\\['\\])*)'"
_SQL = re.compile(
    r"select[ ]\* from Customer where (?:Active IN \(true, false\)(?: and MetaData\.LastUpdatedTime >= '(?P<since>[0-9T:.Z+-]+)')?"
    rf"|(?P<field>DisplayName|PrimaryEmailAddr) = {_TEXT})"
    r"(?: ORDERBY MetaData\.LastUpdatedTime)?(?: STARTPOSITION (?P<start>[1-9]\d*) MAXRESULTS (?P<size>[1-9]\d{0,2}|1000))?"
)
_WRITABLE = {"DisplayName", "PrimaryEmailAddr", "PrimaryPhone", "GivenName", "FamilyName", "CompanyName", "Notes", "Active"}


class QuickBooks(FakeVendor):
    connector, resource, email, name = "quickbooks", "customers", "PrimaryEmailAddr.Address", "DisplayName"
    connection = 'auth: { bearer: "${env:KEY}" }, variables: { company: "4620816365" }'
    seeds = 12

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise self._no(401, "3200", "AuthenticationFailed")
        if asked.headers.get("Accept") != "application/json":
            raise self._no(400, "test", "the answer would be XML")
        match asked.method, asked.path.removeprefix("/v3/company/4620816365/").split("/"):
            case "GET", ["query"]:
                return self._query(self.only(asked, "query", "minorversion")["query"])
            case "GET", ["customer", id]:
                self.only(asked, "minorversion")
                return self._one(self._entry(id))
            case "POST", ["customer"]:
                self.only(asked, "minorversion")
                return self._write(asked.json)
        raise self._no(404, "120", "Unsupported operation")

    def _query(self, text: str) -> tuple[Any, ...]:
        sql = _SQL.fullmatch(text)
        if sql is None:
            raise self._no(400, "4000", f"QueryParserError: {text}")
        if sql["field"] is None:
            found = [*self.book.living, *self.book.deleted]
        else:
            wanted = re.sub(r"\\(.)", r"\1", sql[3])
            found = [one for one in self.book.living if wanted == (one.name if sql["field"] == "DisplayName" else one.email)]
        found = self.book.since(dt.datetime.fromisoformat(sql["since"]) if sql["since"] else None, found)
        start, size = int(sql["start"] or 1), int(sql["size"] or 100)
        page = found[start - 1 : start - 1 + size]
        self.shown += len(page)
        answer = {"Customer": [self._shown(one) for one in page], "startPosition": start, "maxResults": len(page)} if page else {}
        return 200, {"QueryResponse": answer, "time": "2026-12-01T00:00:00.000-08:00"}

    def _entry(self, id: str) -> Entry:
        entry = next((one for one in [*self.book.living, *self.book.deleted] if one.id == id), None)
        if entry is None:
            raise self._no(400, "610", "Object Not Found")
        return entry

    def _write(self, sent: dict[str, Any]) -> tuple[Any, ...]:
        if unknown := set(sent) - _WRITABLE - {"Id", "SyncToken", "sparse"}:
            raise self._no(400, "2010", f"Request has invalid or unsupported property {sorted(unknown)}")
        if "Id" not in sent:
            return self._one(self.book.add(sent["PrimaryEmailAddr"]["Address"], self._free(sent["DisplayName"], None)))
        entry = self._entry(sent["Id"])
        if sent.get("SyncToken") != str(entry.version - 1):
            raise self._no(400, "5010", "Stale Object Error : You and someone else were working on this at the same time.")
        if sent.get("sparse") is not True:
            raise self._no(400, "test", "a full update empties what is not sent")
        if sent.get("Active") is False:
            self.book.delete(entry)
        else:
            name = self._free(sent["DisplayName"], entry) if "DisplayName" in sent else None
            self.book.edit(entry, name=name, email=sent.get("PrimaryEmailAddr", {}).get("Address"))
        return self._one(entry)

    def _free(self, name: str, entry: Entry | None) -> str:
        if any(one.name == name and one is not entry for one in self.book.living):
            raise self._no(400, "6240", f"Duplicate Name Exists Error: {name}")
        return name

    def _one(self, entry: Entry) -> tuple[Any, ...]:
        return 200, {"Customer": self._shown(entry), "time": "2026-12-01T00:00:00.000-08:00"}

    @staticmethod
    def _no(status: int, code: str, message: str) -> Refused:
        return Refused(status, {"Fault": {"Error": [{"Message": message, "Detail": message, "code": code}], "type": "ValidationFault"}})

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        west = dt.timezone(dt.timedelta(hours=-8))
        return {
            "Id": entry.id,
            "SyncToken": str(entry.version - 1),
            "domain": "QBO",
            "sparse": False,
            "DisplayName": entry.name,
            "PrimaryEmailAddr": {"Address": entry.email},
            "Active": not entry.deleted,
            "MetaData": {
                "CreateTime": entry.created.astimezone(west).isoformat(timespec="seconds"),
                "LastUpdatedTime": entry.updated.astimezone(west).isoformat(timespec="seconds"),
            },
        }
