"""Intercom's contacts: a search with its query, mark and size in the body, seconds since 1970, a version in a header."""

from __future__ import annotations

from typing import Any

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class Intercom(FakeVendor):
    connector, resource, email, name = "intercom", "contacts", "email", "name"
    seeds = 12
    tells_deletions = False
    extra_map = "  role: { const: user, only: create }\n"
    new_id = staticmethod(lambda number: f"{number:024x}")

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Bearer "):
            raise Refused(401, {"type": "error.list", "errors": [{"code": "unauthorized", "message": "Access Token Invalid"}]})
        if asked.headers.get("Intercom-Version") != "2.11":
            raise Refused(400, {"type": "error.list", "errors": [{"code": "intercom_version_invalid", "message": "version"}]})
        match asked.method, asked.path.strip("/").split("/"):
            case "POST", ["contacts", "search"]:
                return self._search(asked.json)
            case "POST", ["contacts"]:
                sent = self._taken(asked.json)
                if sent["email"] in self.book.people:
                    raise Refused(
                        409,
                        {
                            "type": "error.list",
                            "errors": [{"code": "conflict", "message": "A contact matching those details already exists"}],
                        },
                    )
                return 200, self._shown(self.book.add(sent["email"], sent["name"]))
            case method, ["contacts", id] if (entry := self.book.get(id)) is not None:
                if method == "PUT":
                    sent = self._taken(asked.json)
                    self.book.edit(entry, name=sent.get("name"), email=sent.get("email"))
                if method == "DELETE":
                    self.book.delete(entry)
                    return 200, {"id": id, "type": "contact", "deleted": True}
                return 200, self._shown(entry)
        return 404, {"type": "error.list", "errors": [{"code": "not_found", "message": "User Not Found"}]}

    def _search(self, body: dict[str, Any]) -> tuple[Any, ...]:
        query, paging = body["query"], body.get("pagination", {})
        if (
            set(body) - {"query", "sort", "pagination"}
            or set(query) != {"field", "operator", "value"}
            or set(paging) - {"per_page", "starting_after"}
        ):
            raise Refused(400, {"type": "error.list", "errors": [{"code": "parameter_invalid", "message": "unknown member"}]})
        if not isinstance(paging.get("per_page", 50), int) or paging.get("per_page", 50) > 150:
            raise Refused(400, {"type": "error.list", "errors": [{"code": "parameter_invalid", "message": "per_page"}]})
        found = self.book.since(None)
        match query["field"], query["operator"], query["value"]:
            case "email", "=", str(value):
                found = [entry for entry in found if entry.email == value]
            case "created_at", ">", int(value):
                found = [entry for entry in found if int(entry.created.timestamp()) > value]
            case "updated_at", ">", int(value):
                found = [entry for entry in found if int(entry.updated.timestamp()) > value]
            case _:
                raise Refused(400, {"type": "error.list", "errors": [{"code": "invalid_field", "message": f"{query}"}]})
        at = int(paging.get("starting_after", 0))
        page = found[at : at + min(5, paging.get("per_page", 50))]
        if query["field"] != "email":
            self.shown += len(page)
        following = {"per_page": 5, "starting_after": str(at + len(page))} if at + len(page) < len(found) else None
        pages = {"type": "pages", "page": 1, **({"next": following} if following else {})}
        return 200, {"type": "list", "data": [self._shown(entry) for entry in page], "total_count": len(found), "pages": pages}

    @staticmethod
    def _taken(sent: dict[str, Any]) -> dict[str, Any]:
        if unknown := set(sent) - {"role", "external_id", "email", "name", "phone"}:
            raise Refused(400, {"type": "error.list", "errors": [{"code": "parameter_invalid", "message": f"{sorted(unknown)}"}]})
        return sent

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {
            "type": "contact",
            "id": entry.id,
            "role": "user",
            "external_id": None,
            "email": entry.email,
            "name": entry.name,
            "phone": None,
            "created_at": int(entry.created.timestamp()),
            "updated_at": int(entry.updated.timestamp()),
        }
