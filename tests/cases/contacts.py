"""A vendor with two collections of contacts, `/a` and `/b`, each with all that a collection can do, and the connectors for it."""

from __future__ import annotations

from typing import Any

from cases.served import Asked

CONTACTS = """\
connector: {name}
environments: {{ production: "{{url}}/{name}" }}
auth: {{ bearer: {{}} }}
errors: {{ message: error }}
resources:
  contacts:
    path: /contacts
    records: items
    fields:
      id: {{ type: string, read_only: true }}
"""
"""A connector up to its fields, for `format`."""
CONNECTOR = (
    CONTACTS
    + """\
      email: {{ type: string, format: email, personal: true }}
      name: {{ type: string, personal: true }}
      phone: {{ type: string, personal: true }}
      status: {{ type: string }}
      company_id: {{ type: string }}
    list: {{ paging: {{ style: offset, size: 100 }}, total: total }}
    find: {{ email: {{ params: {{ email: "{{value}}" }} }} }}
"""
)
CONNECTORS = {f"connectors/{name}.yaml": CONNECTOR.format(name=name) for name in "ab"}


def integration(direction: str = "one-way", *, resource: str = "contacts", **said: str) -> str:
    """Return an integration of both collections; `said` are further lines, or other answers."""
    answers = {
        "purpose": "a contact says the same in both",
        "from": f"a.{resource}",
        "to": f"b.{resource}",
        "direction": direction,
        "freshness": "1h",
        "match": "{ email: email }",
        "unmatched": "create",
        "conflict": "hold" if direction == "two-way" else "source",
        "deletes": "ignore",
        "unavailable": "{ keep: 7d }",
        "map": "{ email: email, name: name, phone: phone }",
        **said,
    }
    return "".join(f"{key}: {value}\n" for key, value in answers.items())


class Contacts:
    """What the vendor has, by collection; `answer` is for `served`."""

    def __init__(self, **records: list[dict[str, Any]]) -> None:
        self.records = {side: {str(r["id"]): dict(r) for r in records.get(side, ())} for side in "ab"}
        self._made = 0

    def of(self, side: str) -> list[dict[str, Any]]:
        """The records of a collection."""
        return list(self.records[side].values())

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """Answer a request."""
        _, side, _, *rest = asked.path.split("/")
        records = self.records[side]
        if not rest:
            if asked.method == "POST":
                self._made += 1
                made = {**asked.json, "id": f"{side}{self._made}"}
                records[made["id"]] = made
                return 201, made
            found = [r for r in records.values() if asked.query.get("email", r.get("email")) == r.get("email")]
            offset = int(asked.query.get("offset", 0))
            return 200, {"items": found[offset : offset + 100], "total": len(found)}
        record = records.get(rest[0])
        if record is None:
            return 404, {"error": "there is no such contact"}
        if asked.method == "PATCH":
            record.update(asked.json)
        elif asked.method == "DELETE":
            del records[rest[0]]
        return 200, record
