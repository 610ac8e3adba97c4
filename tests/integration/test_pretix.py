"""pretix as destination (customers, with idempotency keys) and as source (orders, with the server's own clock)."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systems.faultproxy import Fault, FaultProxy
from systems.kinto import Collection
from systems.pretix import Organizer

from integration.kinto import content, seed
from integration.projects import Project, told
from integration.shop import shop

_CUSTOMER = {"email": "email", "external_identifier": "id", "name_parts.full_name": "name"}


def to_customers(folder: Path, organizer: Organizer, collection: Collection, **integration: Any) -> Project:
    """Return a project that makes customers of Kinto's contacts."""
    into = {"from": "crm.contacts", "to": "shop.customers", "match": {"email": "email"}, "map": _CUSTOMER}
    return shop(folder, organizer, collection, **{**into, **integration})


def from_orders(folder: Path, organizer: Organizer, collection: Collection, **integration: Any) -> Project:
    """Return a project that notes orders in Kinto, each under its code."""
    fields = {"id": "code", "email": "email", "balance": "total", "note": "status", "name": "comment"}
    into = {"from": "shop.orders", "to": "crm.contacts_by_id", "match": {"id": "code"}, "map": fields}
    return shop(folder, organizer, collection, **{**into, **integration})


class TestCustomers:
    """Contacts become customers."""

    def test_customers_are_created_once_and_changed_alone(self, tmp_path: Path, organizer: Organizer, collection: Collection) -> None:
        seed(collection, 3)
        project = to_customers(tmp_path / "p", organizer, collection)
        first, second = project.run("copy"), project.run("copy")
        collection.patch("c1", name="Renée 😀")
        third = project.run("copy")

        assert {"green": 3, "created": 3} == told(first)
        assert {"green": 0} == told(second)
        assert {"green": 1, "updated": 1} == told(third)
        assert {"c0": "Contact 0", "c1": "Renée 😀", "c2": "Contact 2"} == {
            customer["external_identifier"]: customer["name"] for customer in organizer.customers()
        }

    def test_a_customer_that_is_there_is_found_in_any_spelling(self, tmp_path: Path, organizer: Organizer, collection: Collection) -> None:
        organizer.create_customer("jo.bloggs@example.com", name_parts={"_scheme": "full", "full_name": "Jo"})
        collection.put("a", email="Jo.Bloggs@Example.com", name="Jo")
        project = to_customers(tmp_path / "p", organizer, collection, map={**_CUSTOMER, "email": {"from": "email", "as": "email"}})

        assert {"green": 1, "updated": 1, "matched": 1} == told(project.run("copy"))
        assert ["a"] == [customer["external_identifier"] for customer in organizer.customers()]

    def test_a_listing_is_not_shortened_by_the_shops_cap(self, tmp_path: Path, organizer: Organizer, collection: Collection) -> None:
        """A hundred are asked for, fifty come, and nothing says so. Who is on the second page is there all the same."""
        for number in range(53):
            organizer.create_customer(f"c{number}@example.com")
        seed(collection, 54)
        project = to_customers(
            tmp_path / "p", organizer, collection, connector={"resources/customers/list/paging/size": 100}, map={"email": "email"}
        )

        assert {"green": 54, "created": 1, "unchanged": 53, "matched": 53} == told(project.run("copy"))
        assert 54 == len(organizer.customers())

    def test_a_refusal_is_parked_with_the_shops_words_and_the_rest_arrive(
        self, tmp_path: Path, organizer: Organizer, collection: Collection
    ) -> None:
        """A refusal is remembered under its key: what is corrected must come with another one."""
        for number, locale in enumerate(("en", "xx", "de")):
            collection.put(f"c{number}", email=f"c{number}@example.com", note=locale)
        project = to_customers(tmp_path / "p", organizer, collection, map={"email": "email", "locale": "note"})

        outcome = project.run("copy")
        refused_keys = _keys(project)
        [letter] = project.letters()
        mended = project.mend(letter, note="fr")

        assert {"attention": 3, "created": 2, "parked": 1} == told(outcome)
        assert '{"locale":["\\"xx\\" is not a valid choice."]}' in letter.message
        assert {"green": 1, "created": 1} == told(mended)
        assert not refused_keys & _keys(project)
        assert ["de", "en", "fr"] == sorted(customer["locale"] for customer in organizer.customers())

    def test_a_customer_who_registers_in_that_very_moment_is_adopted(
        self, tmp_path: Path, organizer: Organizer, collection: Collection
    ) -> None:
        """An address is taken once; the refusal says so, and is what was wanted."""
        collection.put("a", email="jo@example.com", name="Jo")
        project = to_customers(tmp_path / "p", organizer, collection)

        def be_faster(requests: list[Any]) -> None:
            if requests[-1].method == "POST":
                organizer.create_customer("jo@example.com")

        project.before_each = be_faster
        outcome = project.run("copy")

        assert "green" == outcome.state
        assert [("a", "Jo")] == [(customer["external_identifier"], customer["name"]) for customer in organizer.customers()]

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(lose_answer=True, method="POST", times=2),
            Fault(reset=True, method="POST", times=2),
            Fault(hang_up=True, method="POST", times=2),
            Fault(reset_after_bytes=40, method="POST", times=2),
        ],
        ids=["lost-answer", "reset", "hang-up", "cut-answer"],
    )
    def test_a_lost_answer_makes_no_double(
        self,
        tmp_path: Path,
        organizer: Organizer,
        collection: Collection,
        faultproxy: Callable[[str], FaultProxy],
        fault: Fault,
    ) -> None:
        """The write is sent again under its key; no one needs to look."""
        seed(collection, 4)
        project = to_customers(tmp_path / "p", organizer, collection)
        proxy = faultproxy(project.environ["PRETIX_URL"])
        project.environ["PRETIX_URL"] = proxy.url
        proxy.strike(fault)

        outcome = project.run("copy")

        assert 2 == proxy.counts.struck
        assert {"green": 4, "created": 4} == told(outcome)
        assert 4 == len(organizer.customers())
        assert (6, 4) == (len(project.sent("POST")), len(_keys(project)))

    def test_a_lost_answer_is_made_up_for_by_the_next_run(
        self, tmp_path: Path, organizer: Organizer, collection: Collection, faultproxy: Callable[[str], FaultProxy]
    ) -> None:
        """The shop does its work, but none of its answers comes through for as long as the run tries."""
        seed(collection, 3)
        project = to_customers(tmp_path / "p", organizer, collection, retry={"attempts": 2, "base": "1s"})
        proxy = faultproxy(project.environ["PRETIX_URL"])
        project.environ["PRETIX_URL"] = proxy.url
        proxy.strike(Fault(lose_answer=True, method="POST"))

        bad = project.run("copy")
        proxy.heal()
        good = project.run("copy")

        assert ("owed", 3) == (bad.state, bad.counts.owed)
        assert {"green": 0, "carried_delivered": 3} == told(good)
        assert 3 == len(organizer.customers())

    def test_a_token_that_may_not_do_it_halts_the_run(self, tmp_path: Path, organizer: Organizer, collection: Collection) -> None:
        seed(collection, 2)
        project = to_customers(tmp_path / "p", organizer, collection)
        project.environ["PRETIX_TOKEN"] = organizer.weak_token

        outcome = project.run("copy")
        project.environ["PRETIX_TOKEN"] = organizer.token

        assert "failed" == outcome.state
        assert "403" in (outcome.error or "")
        assert organizer.weak_token not in (outcome.error or "")
        assert "green" == project.run("copy").state
        assert 2 == len(organizer.customers())

    def test_customers_can_be_read_past_the_cap(self, tmp_path: Path, organizer: Organizer, collection: Collection) -> None:
        for number in range(51):
            organizer.create_customer(f"c{number}@example.com")
        project = shop(
            tmp_path / "p", organizer, collection, connector={"resources/customers/list/paging/size": 100},
            **{"from": "shop.customers", "to": "crm.contacts", "match": {"email": "email"}, "map": {"email": "email"}},
        )  # fmt: skip

        assert {"green": 51, "created": 51} == told(project.run("copy"))
        assert 51 == collection.count()


class TestOrders:
    """Orders are noted elsewhere."""

    def test_orders_are_read_page_by_page_and_later_only_what_changed(
        self, tmp_path: Path, organizer: Organizer, collection: Collection
    ) -> None:
        codes = [organizer.create_order(f"o{number}@example.com")["code"] for number in range(3)]
        project = from_orders(
            tmp_path / "p", organizer, collection,
            connector={"resources/orders/list/paging/size": 2, "resources/orders/list/changed_since/overlap": "0s"},
        )  # fmt: skip
        first = project.run("copy")
        second = project.run("copy")
        [asked] = [request.url for request in project.requests if "/orders/" in request.url]
        organizer.call("POST", f"{organizer.event_path}/orders/{codes[1]}/mark_paid/", {}).expect(200)
        third = project.run("copy")

        assert {"green": 3, "created": 3} == told(first)
        assert {"green": 0} == told(second)
        assert "modified_since=20" in asked
        assert {"green": 1, "updated": 1} == told(third)
        assert sorted(codes) == sorted(record["id"] for record in collection.records())
        assert {"o0@example.com": "n", "o1@example.com": "p", "o2@example.com": "n"} == content(collection, "note")
        assert {"20.00"} == set(content(collection, "balance").values())

    def test_the_next_read_begins_at_the_servers_clock_and_a_little_earlier(
        self, tmp_path: Path, organizer: Organizer, collection: Collection
    ) -> None:
        """The page says when it was made; our own clock, which is far ahead here, has no say."""
        organizer.create_order("o@example.com")
        project = from_orders(tmp_path / "p", organizer, collection)
        before = dt.datetime.now(dt.UTC)
        project.run("copy")
        after = dt.datetime.now(dt.UTC)
        second = project.run("copy")

        [asked] = [request.url for request in project.requests if "/orders/" in request.url]
        since = dt.datetime.fromisoformat(asked.split("modified_since=")[1].split("&")[0].replace("%3A", ":"))
        overlap, tick = dt.timedelta(seconds=10), dt.timedelta(seconds=1)
        assert before - overlap - tick <= since <= after - overlap
        assert {"green": 1, "unchanged": 1} == told(second)

    def test_a_cancelled_order_is_a_change_like_any_other(self, tmp_path: Path, organizer: Organizer, collection: Collection) -> None:
        code = organizer.create_order("o@example.com")["code"]
        project = from_orders(tmp_path / "p", organizer, collection)
        project.run("copy")
        organizer.call("POST", f"{organizer.event_path}/orders/{code}/mark_canceled/", {"send_email": False}).expect(200)

        assert {"green": 1, "updated": 1} == told(project.run("copy"))
        assert {"o@example.com": "c"} == content(collection, "note")

    def test_a_page_that_breaks_off_is_read_again(
        self, tmp_path: Path, organizer: Organizer, collection: Collection, faultproxy: Callable[[str], FaultProxy]
    ) -> None:
        """Its address came from the shop, and goes through the proxy like the first one."""
        for number in range(3):
            organizer.create_order(f"o{number}@example.com")
        project = from_orders(tmp_path / "p", organizer, collection, connector={"resources/orders/list/paging/size": 1})
        proxy = faultproxy(project.environ["PRETIX_URL"])
        project.environ["PRETIX_URL"] = proxy.url
        pages = 0

        def break_the_second(requests: list[Any]) -> None:
            nonlocal pages
            pages += "/orders/" in requests[-1].url
            if pages == 2:
                proxy.strike(Fault(close_after_bytes=900, times=2))

        project.before_each = break_the_second

        assert {"green": 3, "created": 3} == told(project.run("copy"))
        assert 2 == proxy.counts.struck
        assert 3 == collection.count()

    def test_a_list_that_breaks_off_for_good_is_no_shorter_list(
        self, tmp_path: Path, organizer: Organizer, collection: Collection, faultproxy: Callable[[str], FaultProxy]
    ) -> None:
        """What came before is delivered, the run says what is missing, and the next one has it all."""
        for number in range(3):
            organizer.create_order(f"o{number}@example.com")
        project = from_orders(tmp_path / "p", organizer, collection, connector={"resources/orders/list/paging/size": 1})
        proxy = faultproxy(project.environ["PRETIX_URL"])
        project.environ["PRETIX_URL"] = proxy.url
        pages = 0

        def break_the_second(requests: list[Any]) -> None:
            nonlocal pages
            pages += "/orders/" in requests[-1].url
            if pages == 2:
                proxy.strike(Fault(reset=True))

        project.before_each = break_the_second
        bad = project.run("copy")
        proxy.heal()
        project.before_each = None
        good = project.run("copy")

        assert {"owed": 1, "created": 1} == told(bad)
        assert "shop" in (bad.error or "")
        assert {"green": 3, "created": 2, "unchanged": 1} == told(good)
        assert 3 == collection.count()

    def test_an_order_can_be_commented(self, tmp_path: Path, organizer: Organizer, collection: Collection) -> None:
        """Orders as a destination: what is there is matched and changed, nothing is created."""
        organizer.create_order("o@example.com")
        collection.put("a", email="o@example.com", note="VIP")
        collection.put("b", email="stranger@example.com", note="VIP")
        project = shop(
            tmp_path / "p", organizer, collection,
            **{"from": "crm.contacts", "to": "shop.orders", "match": {"email": "email"}, "unmatched": "hold", "map": {"comment": "note"}},
        )  # fmt: skip

        assert {"attention": 2, "updated": 1, "held": 1, "matched": 1} == told(project.run("copy"))
        assert ["VIP"] == [order["comment"] for order in organizer.orders()]


def _keys(project: Project) -> set[str]:
    """Return the idempotency keys of the last run's creations."""
    return {
        request.headers["X-Idempotency-Key"] for request in project.requests if request.method == "POST" and "/customers/" in request.url
    }
