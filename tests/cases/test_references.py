"""A reference to another record is spelled in another way than that record's own id: in capitals, or as an address. It is the same record."""

from pathlib import Path
from typing import Any

import pytest

from cases.served import Asked, Project

CONNECTOR = """\
connector: {name}
environments: {{ production: "{{url}}/{name}" }}
auth: {{ bearer: {{}} }}
resources:
  companies:
    path: /companies
    records: items
    id_form: guid
    id_part: last_segment
    fields: {{ id: {{ type: string, read_only: true }}, name: {{ type: string }} }}
  contacts:
    path: /contacts
    records: items
    fields: {{ id: {{ type: string, read_only: true }}, email: {{ type: string }}, company_id: {{ type: string }} }}
"""
INTEGRATION = """\
purpose: x
from: a.{resource}
to: b.{resource}
direction: {direction}
freshness: 1h
match: {{ {key}: {key} }}
unmatched: create
conflict: hold
deletes: ignore
unavailable: {{ keep: 7d }}
map: {rules}
"""
HERE = "7eb682f1-0000-4000-8000-000000000001"
THERE = "9ab682f1-0000-4000-8000-000000000002"


def capitals(id: str) -> str:
    return "{" + id.upper() + "}"


def as_address(id: str) -> str:
    return f"https://vendor.example.com/companies/{id}"


class TwoSystems:
    """A company on both sides, a contact on `a` that refers to it, and one on `b`; how references are spelled is `spell`."""

    def __init__(self, spell: Any) -> None:
        self.records: dict[str, dict[str, dict[str, Any]]] = {
            "a/companies": {HERE: {"id": HERE, "name": "Kookaburra"}},
            "b/companies": {THERE: {"id": THERE, "name": "Kookaburra"}},
            "a/contacts": {
                "1": {"id": "1", "email": "ann@example.com", "company_id": spell(HERE)},
                "2": {"id": "2", "email": "bob@example.com", "company_id": spell(HERE)},
            },
            "b/contacts": {"71": {"id": "71", "email": "bob@example.com", "company_id": spell(THERE)}},
        }

    def __call__(self, asked: Asked) -> tuple[Any, ...]:
        side, resource, *rest = asked.path.removeprefix("/").split("/")
        records, id = self.records[f"{side}/{resource}"], "".join(rest)
        if asked.method == "POST":
            made = {**asked.json, "id": f"7{len(records) + 1}"}
            records[made["id"]] = made
            return 201, made
        if not id:
            return 200, {"items": list(records.values())}
        if id not in records:
            return 404, {"error": "no such record"}
        if asked.method == "PATCH":
            records[id].update(asked.json)
        return 200, records[id]


@pytest.mark.parametrize("direction", ["one-way", "two-way"])
@pytest.mark.parametrize("spell", [capitals, as_address])
def test_a_reference_in_another_spelling_leads_to_the_same_record(served, tmp_path: Path, spell, direction):
    there = TwoSystems(spell)
    vendor = served(there)
    rules = "{ email: email, company_id: { from: company_id, lookup: companies } }"
    project = Project(
        tmp_path,
        vendor,
        {
            **{f"connectors/{name}.yaml": CONNECTOR.format(name=name) for name in "ab"},
            "integrations/companies.yaml": INTEGRATION.format(
                resource="companies", key="name", direction=direction, rules="{ name: name }"
            ),
            "integrations/contacts.yaml": INTEGRATION.format(resource="contacts", key="email", direction=direction, rules=rules),
        },
    )

    runs = [project.tieline("run", name) for name in ("companies", "contacts", "contacts")]
    verified = project.tieline("verify", "contacts")

    assert [0, 0, 0, 0] == [*(run.code for run in runs), verified.code], runs[1].out + runs[1].err + verified.out
    assert [THERE] == [record["company_id"] for id, record in there.records["b/contacts"].items() if id != "71"]
    assert ["/b/contacts"] == [asked.path for asked in vendor.writes], "what refers to it already is left as it is spelled there"
