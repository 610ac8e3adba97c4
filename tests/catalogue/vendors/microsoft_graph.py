"""Microsoft Graph's contacts: whole addresses as marks, removed ones among the changes, ETags, lists that are replaced as a whole."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_KNOWN = {"displayName", "givenName", "surname", "emailAddresses", "businessPhones", "mobilePhone", "companyName", "jobTitle"}


class MicrosoftGraph(FakeVendor):
    connector, resource = "microsoft-graph", "contacts"
    email, name = "emailAddresses[0].address", "displayName"
    connection = 'auth: { bearer: "${env:KEY}" }, variables: { user: ann@example.com, folder: AAMkFolder= }'
    marks_expire = True
    seeds = 12
    new_id = staticmethod(lambda number: f"AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A{number:03}=")

    def __init__(self) -> None:
        super().__init__()
        self._moments: list[dt.datetime | None] = [None]
        """When the reads began that delta tokens speak of."""
        for entry in self.book.living:
            entry.more |= {"others": [{"name": "home", "address": f"home.{entry.email}"}], "mobile": "0142"}

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise self._no(401, "InvalidAuthenticationToken", "Access token is empty.")
        if 'IdType="ImmutableId"' not in asked.headers.get("Prefer", ""):
            raise self._no(400, "test", "ids of two kinds would be mixed")
        match asked.method, asked.path.removeprefix("/v1.0/users/ann@example.com/").split("/"):
            case "GET", ["contactFolders", "AAMkFolder=", "contacts", "delta"]:
                return self._delta(asked)
            case "GET", ["contactFolders", "AAMkFolder=", "contacts"]:
                condition = self.only(asked, "$filter", "$top", "$skip").get("$filter", "")
                same = re.fullmatch(r"emailAddresses/any\(a:a/address eq '((?:[^']|'')*)'\)", condition)
                if same is None:
                    raise self._no(400, "ErrorInvalidUrlQueryFilter", f"The query filter contains one or more invalid nodes: {condition}")
                email = same[1].replace("''", "'")
                return 200, {"value": [self._shown(entry) for entry in self.book.living if entry.email == email]}
            case "POST", ["contactFolders", "AAMkFolder=", "contacts"]:
                sent = self._sent(asked)
                return 201, self._shown(self.book.add(sent["emailAddresses"][0]["address"], sent["displayName"]))
            case method, ["contacts", id] if (entry := self.book.get(id)) is not None:
                if method != "GET" and asked.headers.get("If-Match") not in (None, self._etag(entry)):
                    raise self._no(412, "ErrorIrresolvableConflict", "The send or update operation could not be performed.")
                if method == "PATCH":
                    self._update(entry, self._sent(asked))
                if method == "DELETE":
                    self.book.delete(entry)
                    return 204, None
                return 200, self._shown(entry)
        return 404, {"error": {"code": "ErrorItemNotFound", "message": "The specified object was not found in the store."}}

    def _delta(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "$deltatoken", "$skiptoken", "$select")
        if len(query) > 1:
            raise self._no(400, "BadRequest", "a token speaks for itself")
        if "$skiptoken" in query:
            round_, at = (int(part) for part in query["$skiptoken"].split("."))
        else:
            round_, at = int(query.get("$deltatoken", 0)), 0
            if 0 < round_ < self.expired:
                return 410, {"error": {"code": "SyncStateNotFound", "message": "Sync state generation is not found; resync is needed."}}
        since = self._moments[round_]
        found = self.book.since(since, [*self.book.living, *(self.book.deleted if since else [])], after=True)
        page = found[at : at + 5]
        self.shown += len(page)
        here = f"http://{asked.headers['Host']}{asked.path}"
        answer: dict[str, Any] = {"@odata.context": "…", "value": [self._changed(entry) for entry in page]}
        if at + 5 < len(found):
            return 200, answer | {"@odata.nextLink": f"{here}?$skiptoken={round_}.{at + 5}"}
        self._moments.append(self.book.tick())
        return 200, answer | {"@odata.deltaLink": f"{here}?$deltatoken={len(self._moments) - 1}"}

    def _sent(self, asked: Asked) -> dict[str, Any]:
        if unknown := set(asked.json) - _KNOWN:
            raise self._no(400, "RequestBodyRead", f"The property '{sorted(unknown)}' does not exist on type 'microsoft.graph.contact'.")
        return asked.json

    def _update(self, entry: Entry, sent: dict[str, Any]) -> None:
        emails = sent.get("emailAddresses", [])
        self.book.edit(entry, name=sent.get("displayName"), email=emails[0]["address"] if emails else None)
        if "others" in entry.more and "emailAddresses" in sent:
            entry.more["others"] = emails[1:]
        if "mobilePhone" in sent and "mobile" in entry.more:
            entry.more["mobile"] = sent["mobilePhone"]

    @staticmethod
    def _no(status: int, code: str, message: str) -> Refused:
        return Refused(status, {"error": {"code": code, "message": message}})

    @staticmethod
    def _etag(entry: Entry) -> str:
        return f'W/"EQAAABYAAAAiIsqMbYjsT5e{entry.version}"'

    def _changed(self, entry: Entry) -> dict[str, Any]:
        return {"id": entry.id, "@removed": {"reason": "deleted"}} if entry.deleted else self._shown(entry)

    def _shown(self, entry: Entry) -> dict[str, Any]:
        return {
            "@odata.etag": self._etag(entry),
            "id": entry.id,
            "changeKey": f"EQAAABYAAAAiIsqMbYjsT5e{entry.version}",
            "parentFolderId": "AAMkFolder=",
            "createdDateTime": entry.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lastModifiedDateTime": entry.updated.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "displayName": entry.name,
            "mobilePhone": entry.more.get("mobile"),
            "emailAddresses": [{"name": entry.name, "address": entry.email}, *entry.more.get("others", [])],
        }
