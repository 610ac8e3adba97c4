"""The network on a bad day, before servers whose own state tells what arrived."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from systems.faultproxy import Fault, FaultProxy
from systems.kinto import Collection, Kinto

from integration.customers import Customers
from integration.kinto import SINGLY, content, copying, seed
from integration.projects import Project, told

FAULTS = {
    "reset": {"reset": True},
    "hang-up": {"hang_up": True},
    "lost-answer": {"lose_answer": True},
    "cut-answer": {"close_after_bytes": 20},
    "answer-reset-halfway": {"reset_after_bytes": 120},
}
"""What befalls a write: in the first two the server never sees it, in the others it has done its work."""

every_fault = pytest.mark.parametrize("fault", list(FAULTS.values()), ids=list(FAULTS))


class TestMailman:
    """A destination that makes ids and knows no idempotency key; that it has one member for each address is all it offers."""

    @pytest.fixture
    def proxy(self, customers: Customers, faultproxy: Callable[[str], FaultProxy]) -> FaultProxy:
        """What stands before Mailman."""
        proxy = faultproxy(customers.environ["MAILMAN_URL"])
        customers.environ["MAILMAN_URL"] = proxy.url
        return proxy

    @every_fault
    def test_nobody_is_missing_and_nobody_is_there_twice(self, customers: Customers, proxy: FaultProxy, fault: Mapping[str, Any]) -> None:
        emails = [customers.address(f"m{number}") for number in range(6)]
        for email in emails:
            customers.contact(email, email.upper())
        proxy.strike(Fault(method="POST", times=3, **fault))

        outcome = customers.run("members")

        assert 3 == proxy.counts.struck
        assert {"green": 6, "created": 6} == told(outcome)
        assert emails == customers.emails
        assert {"green": 6, "unchanged": 6} == told(customers.run("members"))

    def test_a_doubt_outlives_the_run_and_is_settled_by_the_next(self, customers: Customers, proxy: FaultProxy) -> None:
        """What the record was matched by is not among the fields that were sent: it is remembered with the link."""
        customers.change("integrations/members.yaml", ("unavailable:", "retry: {attempts: 1}\nunavailable:"))
        customers.contact("1", customers.address("Ann"))
        proxy.strike(Fault(lose_answer=True, method="POST"))

        bad = customers.run("members")
        proxy.heal()
        good = customers.run("members")

        assert ("owed", 1) == (bad.state, bad.counts.owed)
        assert {"green": 1, "unchanged": 1, "carried_delivered": 1} == told(good)
        assert [] == customers.sent("POST")
        assert [customers.address("ann")] == customers.emails

    @every_fault
    def test_a_name_arrives(self, customers: Customers, proxy: FaultProxy, fault: Mapping[str, Any]) -> None:
        """A change can be sent again without harm: no one needs to look."""
        customers.members.subscribe(customers.address("ann"), "annie42").expect(201)
        customers.contact("1", customers.address("ann"), name="Ann")
        proxy.strike(Fault(method="PATCH", times=2, **fault))

        assert {"green": 1, "updated": 1, "matched": 1} == told(customers.run("names"))
        assert {customers.address("ann"): "Ann"} == customers.names


class TestKinto:
    """A destination with ids of its own making or of ours, one by one or in batches."""

    @pytest.fixture
    def source(self, kinto: Kinto) -> Collection:
        """Where records come from."""
        source = kinto.fresh_collection()
        seed(source, 30)
        return source

    @pytest.fixture
    def target(self, kinto: Kinto) -> Collection:
        """Where they go."""
        return kinto.fresh_collection()

    @pytest.fixture
    def proxy(self, target: Collection, faultproxy: Callable[[str], FaultProxy]) -> FaultProxy:
        """What stands before it."""
        return faultproxy(target.server.url)

    @every_fault
    def test_ids_of_its_own_making(
        self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy, fault: Mapping[str, Any]
    ) -> None:
        """Kinto would create a record again without a word: tieline looks before it sends again."""
        project = through(proxy, tmp_path / "p", source, target, target_connector=SINGLY)
        proxy.strike(Fault(method="POST", times=8, **fault))

        assert {"green": 30, "created": 30} == told(project.run("copy"))
        assert 8 == proxy.counts.struck
        assert content(source) == content(target)
        assert 30 == target.count()

    @every_fault
    def test_ids_of_our_own(
        self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy, fault: Mapping[str, Any]
    ) -> None:
        fields = {"id": "id", "email": "email", "name": "name"}
        project = through(proxy, tmp_path / "p", source, target, resource="contacts_by_id", match={"id": "id"}, fields=fields)
        proxy.strike(Fault(method="PUT", times=8, **fault))

        assert {"green": 30, "created": 30} == told(project.run("copy"))
        assert 8 == proxy.counts.struck
        assert content(source) == content(target)
        assert 30 == target.count()

    @every_fault
    def test_batches(self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy, fault: Mapping[str, Any]) -> None:
        """Of an answer that is lost, all records are in doubt."""
        project = through(proxy, tmp_path / "p", source, target)
        proxy.strike(Fault(method="POST", times=1, **fault))

        assert {"green": 30, "created": 30} == told(project.run("copy"))
        assert 1 == proxy.counts.struck
        assert content(source) == content(target)
        assert 30 == target.count()

    @every_fault
    def test_changes(self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy, fault: Mapping[str, Any]) -> None:
        project = through(proxy, tmp_path / "p", source, target, target_connector=SINGLY)
        project.run("copy")
        for number in range(0, 30, 3):
            source.patch(f"c{number}", name="Renamed")
        proxy.strike(Fault(method="PATCH", times=5, **fault))

        assert {"green": 10, "updated": 10} == told(project.run("copy"))
        assert 5 == proxy.counts.struck
        assert content(source) == content(target)

    @every_fault
    def test_deletions(self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy, fault: Mapping[str, Any]) -> None:
        """The second time there is nothing to delete any more, and that is as it should be."""
        project = through(proxy, tmp_path / "p", source, target, target_connector=SINGLY, deletes="delete")
        project.run("copy")
        for number in range(4):
            source.delete(f"c{number}")
        proxy.strike(Fault(method="DELETE", times=2, **fault))

        assert {"green": 4, "deleted": 4} == told(project.run("copy"))
        assert content(source) == content(target)

    @every_fault
    def test_reads(self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy, fault: Mapping[str, Any]) -> None:
        """A page that did not come whole is asked for again."""
        project = copying(tmp_path / "p", replace(source, server=replace(source.server, url=proxy.url)), target,
                          connector={"resources/contacts/list/paging/size": 10})  # fmt: skip
        proxy.strike(Fault(method="GET", times=4, **fault))

        assert {"green": 30, "created": 30} == told(project.run("copy"))
        assert 4 == proxy.counts.struck
        assert 30 == target.count()

    def test_a_doubt_outlives_the_run_and_is_settled_by_the_next(
        self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy
    ) -> None:
        """The server does its work and says nothing, and no one looks before the run is over; what it did is not done again."""
        project = through(proxy, tmp_path / "p", source, target, target_connector=SINGLY, retry={"attempts": 1})
        proxy.strike(Fault(lose_answer=True, method="POST"))
        bad = project.run("copy")
        written = target.count()
        proxy.heal()
        good = project.run("copy")

        assert "owed" == bad.state
        assert bad.counts.created + bad.counts.owed == bad.counts.read == 30
        assert written > 0
        assert "green" == good.state
        assert bad.counts.owed == good.counts.carried_delivered
        assert content(source) == content(target)
        assert 30 == target.count()

    def test_a_destination_that_is_down_is_owed_its_changes(
        self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy
    ) -> None:
        project = through(proxy, tmp_path / "p", source, target)
        project.run("copy")
        for number in range(30):
            source.patch(f"c{number}", name="Renamed")

        with proxy.refusing():
            down = project.run("copy")
            still_down = project.run("copy")
        source.patch("c7", name="Renamed again")
        up = project.run("copy")

        assert ("owed", 30, 30) == (down.state, down.counts.read, down.counts.owed)
        assert ("owed", 0, 30) == (still_down.state, still_down.counts.read, still_down.counts.carried_owed)
        assert "green" == up.state
        assert content(source) == content(target)

    def test_a_destination_that_is_down_before_anything_is_linked_loses_nothing(
        self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy
    ) -> None:
        """Who is who can't be asked then: all is accepted undecided, stays owed, and is decided once it can be."""
        project = through(proxy, tmp_path / "p", source, target)

        with proxy.refusing():
            down = project.run("copy")
        up = project.run("copy")

        assert ("owed", 30, 30) == (down.state, down.counts.read, down.counts.owed)
        assert "green" == up.state
        assert 30 == target.count()

    def test_an_outage_in_the_middle_of_a_run_divides_it_cleanly(
        self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy
    ) -> None:
        project = through(proxy, tmp_path / "p", source, target, target_connector=SINGLY, retry={"attempts": 2})

        def break_down(requests: list[Any]) -> None:
            if len([request for request in requests if request.method == "POST"]) == 12:
                proxy.strike(Fault(lose_answer=True))

        project.before_each = break_down
        bad = project.run("copy")
        project.before_each = None
        proxy.heal()
        good = project.run("copy")

        assert "owed" == bad.state
        assert 0 < bad.counts.created < 30
        assert "green" == good.state
        assert 30 == bad.counts.created + good.counts.carried_delivered
        assert content(source) == content(target)
        assert 30 == target.count()

    def test_a_source_that_is_down_is_named_and_the_destination_gets_what_it_is_owed(
        self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy, faultproxy: Callable[[str], FaultProxy]
    ) -> None:
        before_source = faultproxy(source.server.url)
        project = through(proxy, tmp_path / "p", replace(source, server=replace(source.server, url=before_source.url)), target)
        project.run("copy")
        source.patch("c1", name="Renamed")
        with proxy.refusing():
            project.run("copy")

        with before_source.refusing():
            outcome = project.run("copy")
            status = project.command("status")

        assert {"owed": 0, "carried_delivered": 1} == told(outcome)
        assert "here: " in (outcome.error or "")
        assert "no connection to" in (outcome.error or "")
        assert "no connection to" in status.stdout
        assert "Renamed" == content(target, "name")["c1@example.com"]

    def test_an_answer_that_never_comes_is_given_up(
        self, tmp_path: Path, source: Collection, target: Collection, proxy: FaultProxy
    ) -> None:
        project = through(proxy, tmp_path / "p", source, target, target_connector={**SINGLY, "timeouts/read": "200ms", "concurrency": 30})
        proxy.strike(Fault(black_hole=True, method="POST", times=5))

        assert {"green": 30, "created": 30} == told(project.run("copy"))
        assert 30 == target.count()


def through(proxy: FaultProxy, folder: Path, source: Collection, target: Collection, **more: Any) -> Project:
    """Return a project that copies contacts to a collection behind a proxy."""
    return copying(folder, source, replace(target, server=replace(target.server, url=proxy.url)), **more)
