"""Service Layer's customers: keys in quotes in the address, relative next addresses, filters on days, a user name that is JSON, 204 for a PATCH."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from typing import Any

from cases.served import KEY, Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_WRITABLE = {"CardName", "EmailAddress", "Phone1", "FederalTaxID"}
_SELECT = "CardCode,CardName,EmailAddress,Phone1,FederalTaxID,UpdateDate"
_FILTER = re.compile(r"CardType eq 'cCustomer'(?: and (?:UpdateDate ge '(\d{4}-\d\d-\d\d)'|EmailAddress eq '((?:[^']|'')*)'))?")


class SapBusinessOne(FakeVendor):
    connector, resource, email, name = "sap-business-one", "customers", "EmailAddress", "CardName"
    connection = (
        """auth: { basic: { username: '{"UserName": "manager", "CompanyDB": "ACME"}', password: "${env:KEY}" } }, """
        'variables: { host: "sap.acme.com:50000" }'
    )
    seeds = 12
    tells_deletions = False
    new_id = staticmethod(lambda number: f"C'{number:05}")

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(token).decode().rpartition(":") if scheme == "Basic" else ("{}", "", "")
        if json.loads(user) != {"UserName": "manager", "CompanyDB": "ACME"} or password != KEY:
            raise self._no(401, "301", "Invalid session or session already timeout.")
        here = asked.path.removeprefix("/b1s/v2/")
        if here == "BusinessPartners" and asked.method == "GET":
            return self._list(asked)
        if here == "BusinessPartners" and asked.method == "POST":
            sent = self._sent(asked, "CardType")
            if sent["CardType"] != "cCustomer":
                raise self._no(400, "-5002", "the manual numbering series of suppliers wants a code")
            return 201, {"@odata.context": "…", **self._shown(self.book.add(sent["EmailAddress"], sent["CardName"]))}
        named = re.fullmatch(r"BusinessPartners\('((?:[^']|'')*)'\)", here)
        entry = self.book.get(named[1].replace("''", "'")) if named else None
        if entry is None:
            return 404, self._no(404, "-2028", "No matching records found (ODBC -2028)").answer[1]
        if asked.method == "GET":
            self.only(asked, "$select")
            return 200, {"@odata.context": "…", **self._shown(entry)}
        if asked.method == "PATCH":
            sent = self._sent(asked)
            self.book.edit(entry, name=sent.get("CardName"), email=sent.get("EmailAddress"))
        elif asked.method == "DELETE":
            self.book.delete(entry)
        else:
            raise self._no(405, "-1", "method")
        return 204, None

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "$select", "$filter", "$orderby", "$skip")
        which = _FILTER.fullmatch(query["$filter"])
        if which is None or query["$select"] != _SELECT:
            raise self._no(400, "-1", f"Query string error: {query}")
        found = self.book.since(dt.datetime.fromisoformat(f"{which[1]}T00:00:00+00:00") if which[1] else None)
        if which[2] is not None:
            found = [entry for entry in found if entry.email == which[2].replace("''", "'")]
        at = int(query.get("$skip", 0))
        page = found[at : at + 5]
        self.shown += len(page) if which[2] is None else 0
        answer: dict[str, Any] = {"@odata.context": "…", "value": [self._shown(entry) for entry in page]}
        if at + 5 < len(found):
            more = "&".join(f"{name}={value}" for name, value in {**query, "$skip": str(at + 5)}.items())
            answer["@odata.nextLink"] = f"BusinessPartners?{more}"  # relative, and with blanks
        return 200, answer

    def _sent(self, asked: Asked, *more: str) -> dict[str, Any]:
        sent: dict[str, Any] = asked.json
        if unknown := set(sent) - _WRITABLE - set(more):
            raise self._no(400, "-1000", f"Property '{sorted(unknown)}' of 'BusinessPartner' is invalid")
        return sent

    @staticmethod
    def _no(status: int, code: str, message: str) -> Refused:
        return Refused(status, {"error": {"code": code, "message": message}})

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        known = {"CardCode": entry.id, "CardName": entry.name, "EmailAddress": entry.email, "Phone1": None, "FederalTaxID": None}
        return {**known, "UpdateDate": entry.updated.strftime("%Y-%m-%dT00:00:00Z")}
