"""An OData service answers a creation with the address of the new record, and spells its GUIDs in large or small letters as it likes."""

from pathlib import Path
from typing import Any

import pytest

from cases.served import Asked, Project, Vendor

SOURCE = """\
connector: a
environments: { production: "{url}/a" }
auth: { bearer: {} }
resources:
  people: { path: /people, operations: [list], records: items, fields: { id: { type: string }, email: { type: string }, name: { type: string } } }
"""
DESTINATION = """\
connector: b
environments: { production: "{url}/b" }
auth: { bearer: {} }
resources:
  accounts:
    id: accountid
    id_form: guid
    fields: { accountid: { type: string, read_only: true }, email: { type: string }, name: { type: string } }
    list: { path: /accounts, records: value }
    get: { path: "/accounts({id})" }
    create: { path: /accounts, id: { header: OData-EntityId } }
    update: { path: "/accounts({id})", method: PATCH }
"""
INTEGRATION = """\
purpose: x
from: a.people
to: b.accounts
direction: one-way
freshness: 1h
match: { email: email }
unmatched: create
conflict: source
deletes: ignore
unavailable: { keep: 7d }
map: { email: email, name: name }
"""


class OData:
    """Three people on one side; the other answers a creation with an address, in small letters, and lists in large ones."""

    def __init__(self) -> None:
        self.people: list[dict[str, Any]] = [{"id": str(n), "email": f"{n}@example.com", "name": f"N{n}"} for n in range(3)]
        self.accounts: dict[str, dict[str, Any]] = {}

    def __call__(self, asked: Asked) -> tuple[Any, ...]:
        if asked.path.startswith("/a/"):
            return 200, {"items": self.people}
        if asked.method == "POST":
            guid = f"7EB682F1-0000-4000-8000-{int(asked.json['email'].split('@')[0]):012X}"
            self.accounts[guid] = {"accountid": guid, **asked.json}
            return 204, None, {"OData-EntityId": f"http://crm.example.com/b/accounts({guid.lower()})"}
        if asked.path == "/b/accounts":
            return 200, {"value": list(self.accounts.values())}
        guid = asked.path.removeprefix("/b/accounts(").removesuffix(")").upper()
        if guid not in self.accounts:
            return 404, {"error": {"message": f"Entity 'account' With Id = {guid} Does Not Exist"}}
        if asked.method == "PATCH":
            self.accounts[guid] |= asked.json
            return 204, None
        return 200, self.accounts[guid]


@pytest.fixture
def odata(served: Any, tmp_path: Path) -> tuple[OData, Vendor, Project]:
    odata = OData()
    vendor = served(odata)
    files = {"connectors/a.yaml": SOURCE, "connectors/b.yaml": DESTINATION, "integrations/sync.yaml": INTEGRATION}
    return odata, vendor, Project(tmp_path, vendor, files)


def test_a_record_that_a_header_named_is_changed_and_found_complete(odata):
    there, vendor, project = odata
    assert project.tieline("run", "sync").code == 0
    there.people[0]["name"] = "Renamed"

    run, verified = project.tieline("run", "sync"), project.tieline("verify", "sync")

    assert (run.code, verified.code) == (0, 0), run.out + verified.out
    assert [asked.path for asked in vendor.calls("PATCH")] == ["/b/accounts(7eb682f1-0000-4000-8000-000000000000)"]
    assert sorted(account["name"] for account in there.accounts.values()) == ["N1", "N2", "Renamed"]


def test_ids_spelled_another_way_than_what_is_linked_stop_the_run(odata):
    _, vendor, project = odata
    project.change("connectors/b.yaml", "    id_form: guid\n", "")
    assert project.tieline("run", "sync").code == 0
    project.change("connectors/b.yaml", "    id: accountid\n", "    id: accountid\n    id_form: guid\n")

    run = project.tieline("run", "sync")

    assert run.code != 0
    assert "ids: guid" in run.out + run.err
    assert len(vendor.writes) == 3
