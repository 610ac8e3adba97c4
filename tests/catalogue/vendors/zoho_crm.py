"""Zoho CRM's contacts: a point in a header answered with 304, marks beside a flag, refusals inside successes, deletions apart, 204 for none."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_KNOWN = {"id", "Email", "Secondary_Email", "First_Name", "Last_Name", "Phone", "Mobile", "Title", "Description", "Modified_Time"}


class ZohoCRM(FakeVendor):
    connector, resource, email, name = "zoho-crm", "contacts", "Email", "Last_Name"
    connection = 'auth: { bearer: "${env:KEY}" }'
    seeds = 12
    new_id = staticmethod(lambda number: str(410405000002264000 + number))

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Zoho-oauthtoken "):
            raise self._no(401, "INVALID_TOKEN", "invalid oauth token")
        match asked.method, asked.path.removeprefix("/crm/v8").strip("/").split("/"):
            case "GET", ["Contacts"]:
                return self._list(asked)
            case "GET", ["Contacts", "deleted"]:
                query = self.only(asked, "type", "page", "per_page", "page_token")
                found = self._changed(asked, self.book.deleted)
                return found or self._page(self._since(asked, self.book.deleted), int(query.get("page", 1)), self._grave, {})
            case "GET", ["Contacts", "search"]:
                email = self.only(asked, "email", "page", "per_page", "fields")["email"]
                same = [entry for entry in self.book.living if entry.email == email]
                return (200, {"data": [self._shown(entry) for entry in same], "info": {"more_records": False}}) if same else (204, None)
            case "POST" | "PUT", ["Contacts"]:
                return self._saved(self._sent(asked), known=asked.method == "PUT")
            case "PUT", ["Contacts", id]:
                return self._saved([{**one, "id": id} for one in self._sent(asked)], known=True)
            case "DELETE", ["Contacts", id]:
                if (entry := self.book.get(id)) is None:
                    raise Refused(400, {"data": [self._result("INVALID_DATA", "the id given seems to be invalid", id)]})
                self.book.delete(entry)
                return 200, {"data": [self._result("SUCCESS", "record deleted", id)]}
            case "GET", ["Contacts", id]:
                found = self.book.get(id)
                return (200, {"data": [self._shown(found)]}) if found else (204, None)
        return 404, {
            "code": "INVALID_URL_PATTERN",
            "message": "Please check if the URL trying to access is a correct one",
            "status": "error",
        }

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "fields", "per_page", "page", "page_token", "sort_by", "sort_order")
        if not query.get("fields") or {"page", "page_token"} <= set(query):
            raise self._no(400, "REQUIRED_PARAM_MISSING", "One of the expected parameter is missing")
        if unknown := set(query["fields"].split(",")) - _KNOWN:
            raise self._no(400, "INVALID_DATA", f"{sorted(unknown)}")
        if (query.get("sort_by"), query.get("sort_order")) != ("Modified_Time", "asc") or int(query.get("per_page", 200)) > 200:
            raise self._no(400, "INVALID_DATA", "sort_by, sort_order, per_page")
        if (unchanged := self._changed(asked, self.book.living)) is not None:
            return unchanged
        found = self._since(asked, self.book.living)
        rest = {key: value for key, value in query.items() if key != "page_token"}
        page = 1
        if "page_token" in query:
            number, of = query["page_token"].split("|", 1)
            if of != str(sorted(rest.items())):
                raise self._no(400, "INVALID_DATA", "the other parameters belong to the page_token")
            page = int(number)
        return self._page(found, page, self._shown, rest)

    def _since(self, asked: Asked, entries: list[Entry]) -> list[Entry]:
        since = asked.headers.get("If-Modified-Since")
        if since is not None and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", since):
            raise self._no(400, "INVALID_DATA", f"If-Modified-Since {since}")
        return self.book.since(dt.datetime.fromisoformat(since) if since else None, entries)

    def _changed(self, asked: Asked, entries: list[Entry]) -> tuple[Any, ...] | None:
        """Return what is answered where there is nothing to show; None where there is."""
        if self._since(asked, entries):
            return None
        return (304, None) if "If-Modified-Since" in asked.headers else (204, None)

    def _page(self, found: list[Entry], page: int, show: Any, asked: dict[str, str]) -> tuple[Any, ...]:
        shown = found[(page - 1) * 5 : page * 5]
        self.shown += len(shown) if asked else 0
        more = page * 5 < len(found)
        mark = f"{page + 1}|{sorted(asked.items())}" if more and asked else None
        info = {"per_page": 200, "count": len(shown), "page": page, "more_records": more, "next_page_token": mark}
        return 200, {"data": [show(entry) for entry in shown], "info": info}

    def _sent(self, asked: Asked) -> list[dict[str, Any]]:
        self.only(asked)
        rows = asked.json.get("data", [])
        if set(asked.json) - {"data", "trigger"} or not 1 <= len(rows) <= 100 or any(set(row) - _KNOWN for row in rows):
            raise self._no(400, "INVALID_DATA", f"invalid data {asked.json}")
        return rows

    def _saved(self, rows: list[dict[str, Any]], *, known: bool) -> tuple[Any, ...]:
        results = []
        for row in rows:
            entry = self.book.get(row["id"]) if known else None
            if known and entry is None:
                results.append(self._result("INVALID_DATA", "the id given seems to be invalid", row["id"]))
            elif any(other.email == row.get("Email") and other is not entry for other in self.book.living):
                results.append(self._result("DUPLICATE_DATA", "duplicate data", row.get("id")))
            elif entry is not None:
                self.book.edit(entry, email=row.get("Email"), name=row.get("Last_Name"))
                results.append(self._result("SUCCESS", "record updated", entry.id))
            elif not row.get("Last_Name"):
                results.append(self._result("MANDATORY_NOT_FOUND", "required field not found", None))
            else:
                results.append(self._result("SUCCESS", "record added", self.book.add(row["Email"], row["Last_Name"]).id))
        return 200 if known else 201, {"data": results}

    @staticmethod
    def _result(code: str, message: str, id: str | None) -> dict[str, Any]:
        return {"code": code, "details": {"id": id}, "message": message, "status": "success" if code == "SUCCESS" else "error"}

    @staticmethod
    def _no(status: int, code: str, message: str) -> Refused:
        return Refused(status, {"code": code, "details": {}, "message": message, "status": "error"})

    @staticmethod
    def _grave(entry: Entry) -> dict[str, Any]:
        return {"id": entry.id, "display_name": entry.name, "type": "recycle", "deleted_time": _time(entry.updated)}

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return dict.fromkeys(_KNOWN) | {
            "id": entry.id,
            "Email": entry.email,
            "Last_Name": entry.name,
            "Modified_Time": _time(entry.updated),
        }


def _time(moment: dt.datetime) -> str:
    """Return a time as the organisation's zone has it, to the second."""
    return moment.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30))).isoformat(timespec="seconds")
