"""Notion's pages of a database: queries in the body, typed properties, times by the minute, deletion as archiving."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class Notion(FakeVendor):
    connector, resource = "notion", "pages"
    email, name = "properties.Email.email", "properties.Name.title[0].text.content"
    connection = 'auth: { bearer: "${env:KEY}" }, variables: { database: d1 }'
    seeds = 12
    tells_deletions = False
    new_id = staticmethod(lambda number: str(uuid.UUID(int=number)))

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise self._no(401, "unauthorized", "API token is invalid.")
        if asked.headers.get("Notion-Version") != "2022-06-28":
            raise self._no(400, "missing_version", "Notion-Version header should be defined")
        match asked.method, asked.path.removeprefix("/v1").strip("/").split("/"):
            case "POST", ["databases", "d1", "query"]:
                return self._query(asked.json)
            case "POST", ["pages"]:
                if asked.json.get("parent") != {"database_id": "d1"} or set(asked.json) != {"parent", "properties"}:
                    raise self._no(400, "validation_error", "body.parent should be defined")
                sent = self._properties(asked.json["properties"])
                return 200, self._shown(self.book.add(sent["email"], sent["name"]))
            case method, ["pages", id]:
                entry = next((one for one in [*self.book.living, *self.book.deleted] if one.id == id), None)
                if entry is None:
                    return 404, {"object": "error", "code": "object_not_found", "message": "Could not find page"}
                if method == "PATCH":
                    if set(asked.json) - {"properties", "archived"}:
                        raise self._no(400, "validation_error", f"body failed validation: {asked.json}")
                    if entry.deleted:
                        raise self._no(400, "validation_error", "Can't edit block that is archived.")
                    if asked.json.get("archived") is True:
                        self.book.delete(entry)
                    else:
                        self.book.edit(entry, **self._properties(asked.json["properties"]))
                return 200, self._shown(entry)
        return 404, {"object": "error", "code": "invalid_request_url", "message": "Invalid request URL."}

    def _query(self, body: dict[str, Any]) -> tuple[Any, ...]:
        if set(body) - {"filter", "sorts", "page_size", "start_cursor"} or not isinstance(body.get("page_size", 100), int):
            raise self._no(400, "validation_error", f"body failed validation: {body}")
        found, is_search = self.book.since(None), False
        match body.get("filter"):
            case {"timestamp": "last_edited_time", "last_edited_time": {"on_or_after": str(moment)}}:
                since = dt.datetime.fromisoformat(moment)
                found = [entry for entry in found if entry.updated.replace(second=0, microsecond=0) >= since]
            case {"property": "Email", "email": {"equals": str(email)}}:
                found, is_search = [entry for entry in found if entry.email == email], True
            case None:
                pass
            case other:
                raise self._no(400, "validation_error", f"body.filter: {other}")
        at = int(body.get("start_cursor", 0))
        page = found[at : at + 5]
        self.shown += 0 if is_search else len(page)
        more = at + 5 < len(found)
        return 200, {
            "object": "list",
            "results": [self._shown(one) for one in page],
            "next_cursor": str(at + 5) if more else None,
            "has_more": more,
        }

    def _properties(self, sent: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in sent.items():
            match name, value:
                case "Email", {"email": str(email)}:
                    found["email"] = email
                case "Name", {"title": [{"text": {"content": str(content)}}]}:
                    found["name"] = content
                case _:
                    raise self._no(400, "validation_error", f"{name} is not a property that exists, or is shaped otherwise: {value}")
        return found

    @staticmethod
    def _no(status: int, code: str, message: str) -> Refused:
        return Refused(status, {"object": "error", "status": status, "code": code, "message": message})

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        title = {"type": "text", "text": {"content": entry.name, "link": None}, "plain_text": entry.name, "href": None}
        return {
            "object": "page",
            "id": entry.id,
            "archived": entry.deleted,
            "last_edited_time": entry.updated.strftime("%Y-%m-%dT%H:%M:00.000Z"),
            "properties": {
                "Name": {"id": "title", "type": "title", "title": [title]},
                "Email": {"id": "a", "type": "email", "email": entry.email},
            },
        }
