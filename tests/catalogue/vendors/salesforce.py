"""Salesforce's contacts: SOQL in the query, pages at addresses of the host, the recycle bin among the others, answers of three fields."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_FIELDS = "Id, Email, FirstName, LastName, Phone, MobilePhone, Title, AccountId, IsDeleted, MasterRecordId, CreatedDate, SystemModstamp"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
_SOQL = re.compile(
    r"SELECT[ ](?P<fields>\w+(?:, \w+)*) FROM Contact"
    rf"(?: WHERE (?:SystemModstamp >= (?P<since>{_TIME})|Email = '(?P<email>(?:[^'\\\n]|\\[nrtbf\"'\\])*)'))?(?: ORDER BY SystemModstamp, Id)?"
)
_WRITABLE = {"Email", "FirstName", "LastName", "Phone", "MobilePhone", "Title", "AccountId"}
_LIMIT = {"Sforce-Limit-Info": "api-usage=18/5000"}


class Salesforce(FakeVendor):
    connector, resource, email, name = "salesforce", "contacts", "Email", "LastName"
    connection = 'auth: { bearer: "${env:KEY}" }, variables: { domain: acme }'
    seeds = 12
    new_id = staticmethod(lambda number: f"003Hs0000{number:06}IAA")

    def __init__(self) -> None:
        super().__init__()
        self._locators: dict[str, list[Entry]] = {}

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise self._no(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return *self._respond(asked), _LIMIT

    def _respond(self, asked: Asked) -> tuple[Any, Any]:
        match asked.method, asked.path.removeprefix("/services/data/v62.0/").split("/"):
            case "GET", ["query" | "queryAll" as kind]:
                return 200, self._query(self.only(asked, "q")["q"], whole=kind == "queryAll")
            case "GET", ["query", locator] if locator in self._locators:
                self.only(asked)
                return 200, self._page(locator)
            case "POST", ["sobjects", "Contact"]:
                done = self._write(None, asked.json)
                return (201, done) if done["success"] else (400, done["errors"])
            case "POST" | "PATCH" as method, ["composite", "sobjects"]:
                sent = asked.json
                if set(sent) != {"allOrNone", "records"} or not 1 <= len(sent["records"]) <= 200 or sent["allOrNone"] is not False:
                    raise self._no(400, "JSON_PARSER_ERROR", "Unrecognized field")
                return 200, [self._collected(one, new=method == "POST") for one in sent["records"]]
            case method, ["sobjects", "Contact", id]:
                entry = self._entry(id)
                if entry is None:
                    return 404, [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
                if method == "GET":
                    fields = self.only(asked, "fields").get("fields")
                    return 200, self._shown(entry, fields.split(",") if fields else _FIELDS.split(", "))
                if method == "PATCH":
                    done = self._write(entry, asked.json)
                    return (204, None) if done["success"] else (400, done["errors"])
                if method == "DELETE":
                    self.book.delete(entry)
                    return 204, None
        return 404, [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]

    def _entry(self, id: str) -> Entry | None:
        """Both spellings name a record; those of 15 characters tell large and small letters apart."""
        return next((entry for entry in self.book.living if id in (entry.id, entry.id[:15])), None)

    def _query(self, text: str, *, whole: bool) -> dict[str, Any]:
        soql = _SOQL.fullmatch(text)
        if soql is None or set(soql["fields"].split(", ")) - set(_FIELDS.split(", ")):
            raise self._no(400, "MALFORMED_QUERY", f"unexpected token: {text}")
        since = dt.datetime.fromisoformat(soql["since"]).replace(microsecond=0) if soql["since"] else None
        found = self.book.since(since, [*self.book.living, *(self.book.deleted if whole else [])])
        if soql["email"] is not None:
            email = re.sub(r"\\(.)", r"\1", soql["email"])
            found = [entry for entry in found if entry.email.lower() == email.lower()]
        locator = f"01gHs{len(self._locators)}"
        self._locators[f"{locator}-0"] = found
        return self._page(f"{locator}-0")

    def _page(self, locator: str) -> dict[str, Any]:
        found, (name, _, at) = self._locators[locator], locator.partition("-")
        page, following = found[int(at) : int(at) + 5], int(at) + 5
        self.shown += len(page)
        answer = {
            "totalSize": len(found),
            "done": following >= len(found),
            "records": [self._shown(one, _FIELDS.split(", ")) for one in page],
        }
        if not answer["done"]:
            self._locators[f"{name}-{following}"] = found
            answer["nextRecordsUrl"] = f"/services/data/v62.0/query/{name}-{following}"
        return answer

    def _collected(self, one: dict[str, Any], *, new: bool) -> dict[str, Any]:
        if one.pop("attributes") != {"type": "Contact"}:
            raise self._no(400, "INVALID_TYPE", "sObject type is not supported")
        entry = None if new else self._entry(one.pop("id"))
        if not new and entry is None:
            return self._failed("ENTITY_IS_DELETED", "entity is deleted")
        return self._write(entry, one)

    def _write(self, entry: Entry | None, sent: dict[str, Any]) -> dict[str, Any]:
        if unknown := set(sent) - _WRITABLE:
            return self._failed("INVALID_FIELD", f"No such column '{sorted(unknown)}' on sobject of type Contact")
        if entry is None and not sent.get("LastName"):
            return self._failed("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]")
        if entry is None:
            entry = self.book.add(sent["Email"], sent["LastName"])
        else:
            self.book.edit(entry, name=sent.get("LastName"), email=sent.get("Email"))
        return {"id": entry.id, "success": True, "errors": []}

    def _failed(self, code: str, message: str) -> dict[str, Any]:
        self.refused.append((code, message))
        return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}

    @staticmethod
    def _no(status: int, code: str, message: str) -> Refused:
        return Refused(status, [{"errorCode": code, "message": message}])

    @staticmethod
    def _shown(entry: Entry, fields: list[str]) -> dict[str, Any]:
        known = {
            "Id": entry.id,
            "Email": entry.email,
            "LastName": entry.name,
            "IsDeleted": entry.deleted,
            "CreatedDate": entry.created.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
            "SystemModstamp": entry.updated.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        }
        address = f"/services/data/v62.0/sobjects/Contact/{entry.id}"
        return {"attributes": {"type": "Contact", "url": address}, **{field: known.get(field) for field in fields}}
