"""Odoo 19's contacts, JSON-2: every call is a POST to a method, empty texts are `false`, a creation answers a list of ids."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_WRITABLE = {"name", "email", "phone", "function", "ref", "is_company", "active"}
_FIELDS = _WRITABLE | {"create_date", "write_date"}


class Odoo(FakeVendor):
    connector, resource, email, name = "odoo", "partners", "email", "name"
    connection = 'auth: { bearer: "${env:KEY}" }, variables: { host: acme.odoo.com }'
    seeds = 12
    tells_deletions = False

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").lower().startswith("bearer "):
            raise self._no(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")
        model, _, called = asked.path.removeprefix("/json/2/").partition("/")
        if asked.method != "POST" or model != "res.partner" or self.only(asked):
            raise self._no(404, "werkzeug.exceptions.NotFound", f"the model {model!r} does not exist")
        sent = asked.json
        match called:
            case "search_read":
                self._takes(sent, "domain", "fields", "order", "offset", "limit", "context")
                return 200, self._search(sent)
            case "create":
                self._takes(sent, "vals_list", "context")
                for one in sent["vals_list"]:
                    self._takes(one, *_WRITABLE)
                return 200, [int(self.book.add(one["email"], one["name"]).id) for one in sent["vals_list"]]
            case "write" | "unlink":
                self._takes(sent, "ids", *(["vals"] if called == "write" else []), "context")
                for id in sent["ids"]:
                    entry = self.book.get(str(id)) if isinstance(id, int) else None
                    if entry is None:
                        return 404, self._no(404, "odoo.exceptions.MissingError", "Record does not exist or has been deleted.").answer[1]
                    if called == "unlink":
                        self.book.delete(entry)
                    else:
                        self._takes(sent["vals"], *_WRITABLE)
                        self.book.edit(entry, name=sent["vals"].get("name"), email=sent["vals"].get("email"))
                return 200, True
        raise self._no(404, "builtins.AttributeError", f"The method 'res.partner.{called}' does not exist")

    def _search(self, sent: dict[str, Any]) -> list[dict[str, Any]]:
        self._takes(dict.fromkeys(sent.get("fields", ())), *_FIELDS)
        if sent.get("order", "write_date, id") != "write_date, id":
            raise self._no(422, "builtins.ValueError", "Invalid order")
        found = self.book.since(None)
        for term in sent.get("domain", []):
            match term:
                case ["write_date", ">=", str() as moment]:
                    since = dt.datetime.strptime(moment, "%Y-%m-%d %H:%M:%S").replace(tzinfo=dt.UTC)
                    found = [entry for entry in found if entry.updated >= since]
                case ["email", "=", str() as email]:
                    found = [entry for entry in found if entry.email == email]
                case ["id", "=", int() as id]:
                    found = [entry for entry in found if entry.id == str(id)]
                case _:
                    raise self._no(422, "builtins.ValueError", f"Invalid leaf {term}")
        at, limit = sent.get("offset", 0), sent.get("limit")
        if not isinstance(at, int) or not isinstance(limit, int | None):
            raise self._no(422, "builtins.TypeError", "offset and limit are numbers")
        page = found[at : None if limit is None else at + limit]
        self.shown += len(page)
        return [self._shown(entry, sent["fields"]) for entry in page]

    def _takes(self, sent: dict[str, Any], *known: str) -> None:
        if unknown := set(sent) - set(known):
            raise self._no(422, "builtins.TypeError", f"got an unexpected keyword argument {sorted(unknown)}")

    @staticmethod
    def _no(status: int, name: str, message: str) -> Refused:
        return Refused(status, {"name": name, "message": message, "arguments": [message], "context": {}, "debug": "Traceback …"})

    @staticmethod
    def _shown(entry: Entry, fields: list[str]) -> dict[str, Any]:
        known = {
            "name": entry.name,
            "email": entry.email,
            "is_company": False,
            "active": True,
            "create_date": entry.created.strftime("%Y-%m-%d %H:%M:%S"),
            "write_date": entry.updated.strftime("%Y-%m-%d %H:%M:%S"),
        }
        return {"id": int(entry.id), **{field: known.get(field, False) for field in fields}}
