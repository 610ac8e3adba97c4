"""Google's contacts: a sync token on the last page, deleted people in reads of changes, etags in bodies, fields that are replaced as a whole."""

from __future__ import annotations

import datetime as dt
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_MASK = {"names", "emailAddresses", "phoneNumbers", "organizations", "metadata"}
_SET_BY_GOOGLE = {"displayName", "displayNameLastFirst"}


class GooglePeople(FakeVendor):
    connector, resource = "google-people", "contacts"
    email, name = "emailAddresses[0].value", "names[0].givenName"
    marks_expire = True
    seeds = 12
    new_id = staticmethod(lambda number: f"c{7_000_000_000 + number}")

    def __init__(self) -> None:
        super().__init__()
        self._moments: list[dt.datetime] = []
        for entry in self.book.living:
            entry.more |= {"family": "Müller", "others": [{"value": f"home.{entry.email}", "type": "home"}]}

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise self._no(401, "UNAUTHENTICATED", "Request is missing required authentication credential.")
        match asked.method, asked.path.removeprefix("/v1/").split("/"):
            case "GET", ["people", "me", "connections"]:
                return self._list(asked)
            case "POST", ["people:createContact"]:
                self._mask(self.only(asked, "personFields").get("personFields"))
                names, emails = self._sent(asked, set(asked.json))
                entry = self.book.add(emails[0]["value"], names[0]["givenName"])
                return 200, self._shown(entry)
            case method, ["people", target]:
                id, _, verb = target.partition(":")
                if (entry := self.book.get(id)) is None:
                    return self._no(404, "NOT_FOUND", "Requested entity was not found.").answer
                match method, verb:
                    case "GET", "":
                        self._mask(self.only(asked, "personFields").get("personFields"))
                    case "PATCH", "updateContact":
                        self._update(asked, entry)
                    case "DELETE", "deleteContact":
                        self.book.delete(entry)
                        return 200, {}
                    case _:
                        raise self._no(404, "NOT_FOUND", "Method not found.")
                return 200, self._shown(entry)
        return 404, {"error": {"code": 404, "message": "Method not found.", "status": "NOT_FOUND"}}

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "personFields", "pageSize", "pageToken", "syncToken", "requestSyncToken", "sortOrder", "sources")
        self._mask(query.get("personFields"))
        if not 1 <= int(query.get("pageSize", 100)) <= 1000:
            raise self._no(400, "INVALID_ARGUMENT", "Page size must be from 1 to 1000.")
        first = str(sorted((key, value) for key, value in query.items() if key != "pageToken"))
        if int(query.get("syncToken", self.expired)) < self.expired:
            reason = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "EXPIRED_SYNC_TOKEN",
                "domain": "people.googleapis.com",
            }
            error = {"code": 400, "message": "Sync token is expired.", "status": "FAILED_PRECONDITION", "details": [reason]}
            return 400, {"error": error}
        since = self._moments[int(query["syncToken"])] if "syncToken" in query else None
        known = [*self.book.living, *(self.book.deleted if since else [])]
        found = self.book.since(since, known, after=True)
        at, of = query.get("pageToken", f"0|{first}").split("|", 1)
        if of != first:
            raise self._no(400, "INVALID_ARGUMENT", "Request parameters must match the call that gave the page token.")
        page = found[int(at) : int(at) + 5]
        self.shown += len(page)
        answer: dict[str, Any] = {"connections": [self._shown(entry) for entry in page]} if page else {}
        if int(at) + 5 < len(found):
            answer["nextPageToken"] = f"{int(at) + 5}|{first}"
        elif query.get("requestSyncToken") == "true":
            self._moments.append(self.book.tick())
            answer["nextSyncToken"] = str(len(self._moments) - 1)
        return 200, answer | {"totalItems": len(found)}

    def _update(self, asked: Asked, entry: Entry) -> None:
        query = self.only(asked, "updatePersonFields", "personFields", "sources")
        fields = self._mask(query.get("updatePersonFields"))
        if asked.json.get("etag") is None:
            raise self._no(400, "INVALID_ARGUMENT", "Request must set person.etag or person.metadata.sources.etag.")
        if asked.json["etag"] != self._etag(entry):
            raise self._no(400, "FAILED_PRECONDITION", "Request person.etag is different than the current person.etag.")
        names, emails = self._sent(asked, fields)
        if "names" in fields:
            self.book.edit(entry, name=names[0]["givenName"])
            entry.more |= {"family": names[0]["familyName"]} if "familyName" in names[0] else {}
        if "emailAddresses" in fields:
            self.book.edit(entry, email=emails[0]["value"])
            entry.more |= {"others": emails[1:]} if len(emails) > 1 or "others" in entry.more else {}

    def _sent(self, asked: Asked, fields: set[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        if unknown := set(asked.json) - _MASK - {"etag", "resourceName"}:
            raise self._no(400, "INVALID_ARGUMENT", f"Invalid JSON payload received. Unknown name {sorted(unknown)}")
        names, emails = asked.json.get("names", []), asked.json.get("emailAddresses", [])
        if len(names) > 1 or ("names" in fields and any(set(name) & _SET_BY_GOOGLE for name in names)):
            raise self._no(400, "INVALID_ARGUMENT", "names is a singleton, and its displayName is output only.")
        return names, emails

    def _mask(self, mask: str | None) -> set[str]:
        if not mask or set(mask.split(",")) - _MASK:
            raise self._no(400, "INVALID_ARGUMENT", f"Invalid personFields mask path: {mask}")
        return set(mask.split(","))

    @staticmethod
    def _no(status: int, kind: str, message: str) -> Refused:
        return Refused(status, {"error": {"code": status, "message": message, "status": kind}})

    @staticmethod
    def _etag(entry: Entry) -> str:
        return f"%EgUBAi43PRo{entry.version}="

    def _shown(self, entry: Entry) -> dict[str, Any]:
        source = {"type": "CONTACT", "id": entry.id}
        about = {"resourceName": f"people/{entry.id}", "etag": self._etag(entry)}
        if entry.deleted:
            return about | {"metadata": {"deleted": True, "objectType": "PERSON"}}
        name = {"metadata": {"primary": True, "source": source}, "displayName": entry.name, "givenName": entry.name}
        name |= {"familyName": entry.more["family"]} if "family" in entry.more else {}
        email = {"metadata": {"primary": True, "source": source}, "value": entry.email}
        emails = [email, *entry.more.get("others", [])]
        return about | {"metadata": {"sources": [source], "objectType": "PERSON"}, "names": [name], "emailAddresses": emails}
