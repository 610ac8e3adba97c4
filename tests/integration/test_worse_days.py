"""The network on worse days, before a shop and an ERP, on both ends: black holes, answers that come too late, links that are slow.

`test_bad_days` has what is common, before a server that tells all; here it is seen that a real vendor's way of repeating a write (pretix:
keys that are replayed; Tryton: a look at its list) holds with what it really does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systems.faultproxy import Fault, FaultProxy
from systems.kinto import Collection
from systems.pretix import Organizer
from systems.tryton import Parties

from integration.customers import Customers
from integration.kinto import seed
from integration.parties import to_parties
from integration.projects import Project, told
from integration.test_pretix import from_orders, to_customers

Before = Callable[[Project, str], FaultProxy]

FAULTS: dict[str, dict[str, Any]] = {
    "reset": {"reset": True},
    "lost-answer": {"lose_answer": True},
    "cut-answer": {"reset_after_bytes": 150},
    "black-hole": {"black_hole": True},
    "answer-too-late": {"latency_seconds": 2.0},
    "slow-link": {"bytes_per_second": 3000.0},
}
"""What befalls an exchange. A slow link is within the deadlines: it costs time alone."""

every_fault = pytest.mark.parametrize("fault", list(FAULTS.values()), ids=list(FAULTS))


@pytest.fixture
def before(faultproxy: Callable[[str], FaultProxy]) -> Before:
    """Put a proxy before the server whose address an environment variable tells."""

    def put(project: Project, variable: str) -> FaultProxy:
        proxy = faultproxy(project.environ[variable])
        project.environ[variable] = proxy.url
        return proxy

    return put


def with_short_deadlines(project: Project, connector: str) -> Project:
    """Declare short deadlines for a connector."""
    file = project.folder / "connectors" / f"{connector}.yaml"
    text = file.read_text("utf-8")
    assert "timeouts:" not in text
    file.write_text(f"{text}\ntimeouts: {{connect: 1s, read: 1s, total: 5s}}\n", "utf-8")
    return project


class TestPretix:
    """Knows a write by its key, whatever became of the answer."""

    @every_fault
    def test_customers_are_there_once(
        self, tmp_path: Path, organizer: Organizer, collection: Collection, before: Before, fault: dict[str, Any]
    ) -> None:
        """Created, and changed: what is repeated comes under the same key, and its answer is the first one's, replayed."""
        seed(collection, 4)
        project = with_short_deadlines(to_customers(tmp_path / "p", organizer, collection), "pretix")
        proxy = before(project, "PRETIX_URL")
        proxy.strike(Fault(method="POST", times=2, **fault))
        created = project.run("copy")
        posts = [request for request in project.requests if request.method == "POST"]
        for number in (1, 2):
            collection.patch(f"c{number}", name="Renamed")
        proxy.strike(Fault(method="PATCH", times=2, **fault))
        updated = project.run("copy")

        assert 4 == proxy.counts.struck
        assert {"green": 4, "created": 4} == told(created)
        assert {"green": 2, "updated": 2} == told(updated)
        assert 4 == len({request.headers["X-Idempotency-Key"] for request in posts})
        assert len(posts) == (4 if "bytes_per_second" in fault else 6)
        found = {customer["external_identifier"]: (customer["identifier"], customer["name"]) for customer in organizer.customers()}
        assert ["Contact 0", "Renamed", "Renamed", "Contact 3"] == [found[f"c{number}"][1] for number in range(4)]
        assert 4 == len(organizer.customers())
        for id, (identifier, _) in found.items():
            assert identifier == project.explain("crm", "contacts", id)[0].target_id

    def test_a_key_is_replayed_in_a_run_that_comes_later(
        self, tmp_path: Path, organizer: Organizer, collection: Collection, before: Before
    ) -> None:
        """Neither a look nor a second customer: the shop says again what no one heard."""
        seed(collection, 2)
        project = to_customers(tmp_path / "p", organizer, collection, retry={"attempts": 1})
        proxy = before(project, "PRETIX_URL")
        proxy.strike(Fault(lose_answer=True, method="POST"))
        bad = project.run("copy")
        keys = {request.headers["X-Idempotency-Key"] for request in project.requests if request.method == "POST"}
        made = {customer["identifier"] for customer in organizer.customers()}
        proxy.heal()
        good = project.run("copy")
        again = {request.headers["X-Idempotency-Key"] for request in project.requests if request.method == "POST"}

        assert ("owed", 2) == (bad.state, bad.counts.owed)
        assert 0 < len(made)
        assert {"green": 0, "carried_delivered": 2} == told(good)
        assert keys <= again
        assert made <= {customer["identifier"] for customer in organizer.customers()}
        assert 2 == len(organizer.customers())

    @every_fault
    def test_orders_are_read_whole(
        self, tmp_path: Path, organizer: Organizer, collection: Collection, before: Before, fault: dict[str, Any]
    ) -> None:
        codes = [organizer.create_order(f"o{number}@example.com")["code"] for number in range(3)]
        project = from_orders(tmp_path / "p", organizer, collection, connector={"resources/orders/list/paging/size": 1})
        proxy = before(with_short_deadlines(project, "pretix"), "PRETIX_URL")
        proxy.strike(Fault(method="GET", times=2, **fault))

        assert {"green": 3, "created": 3} == told(project.run("copy"))
        assert 2 == proxy.counts.struck
        assert sorted(codes) == sorted(record["id"] for record in collection.records())


class TestTryton:
    """Knows no key, and lists what it has."""

    @every_fault
    def test_parties_are_there_once(
        self, tmp_path: Path, collection: Collection, parties: Parties, before: Before, fault: dict[str, Any]
    ) -> None:
        """Created, renamed and deleted."""
        for number in range(4):
            collection.put(f"c{number}", name="Jo", note=parties.code(str(number)))
        project = with_short_deadlines(to_parties(tmp_path / "p", collection, parties, deletes="delete"), "tryton")
        proxy = before(project, "TRYTON_URL")
        proxy.strike(Fault(method="POST", times=2, **fault))
        created = project.run("parties")
        collection.patch("c1", name="Renamed")
        proxy.strike(Fault(method="PUT", times=1, **fault))
        updated = project.run("parties")
        collection.delete("c2")
        proxy.strike(Fault(method="DELETE", times=1, **fault))
        deleted = project.run("parties")

        assert 4 == proxy.counts.struck
        assert {"green": 4, "created": 4} == told(created)
        assert {"green": 1, "updated": 1} == told(updated)
        assert {"green": 1, "deleted": 1} == told(deleted)
        there = sorted((party["code"].removeprefix(parties.prefix), party["name"]) for party in parties.all())
        assert [("0", "Jo"), ("1", "Renamed"), ("3", "Jo")] == there

    @every_fault
    def test_contacts_are_read_whole(self, customers: Customers, before: Before, fault: dict[str, Any]) -> None:
        """Page by page; each becomes a member once."""
        customers.change("connectors/tryton.yaml", ("size: 200", "size: 2"))
        emails = [customers.address(f"m{number}") for number in range(5)]
        for email in emails:
            customers.contact(email, email)
        proxy = before(with_short_deadlines(customers, "tryton"), "TRYTON_URL")
        proxy.strike(Fault(method="GET", times=2, **fault))

        assert {"green": 5, "created": 5} == told(customers.run("members"))
        assert 2 == proxy.counts.struck
        assert emails == customers.emails
