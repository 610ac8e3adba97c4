"""The network on a bad day, before servers whose own state tells what arrived."""

from collections.abc import Callable

import pytest

from integration.customers import Customers
from integration.projects import told
from systems.faultproxy import Fault, FaultProxy


class TestMailman:
    """A destination that makes ids and knows no idempotency key; that it has one member for each address is all it offers."""

    @pytest.fixture
    def proxy(self, customers: Customers, faultproxy: Callable[[str], FaultProxy]) -> FaultProxy:
        """What stands before Mailman."""
        proxy = faultproxy(customers.environ["MAILMAN_URL"])
        customers.environ["MAILMAN_URL"] = proxy.url
        return proxy

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(reset=True, method="POST", times=3),
            Fault(hang_up=True, method="POST", times=3),
            Fault(lose_answer=True, method="POST", times=3),
            Fault(close_after_bytes=10, method="POST", times=3),
        ],
        ids=["reset", "hang-up", "lost-answer", "cut-answer"],
    )
    def test_nobody_is_missing_and_nobody_is_there_twice(self, customers: Customers, proxy: FaultProxy, fault: Fault) -> None:
        emails = [customers.address(f"m{number}") for number in range(6)]
        for email in emails:
            customers.contact(email, email.upper())
        proxy.strike(fault)

        outcome = customers.run("members")

        assert 3 == proxy.counts.struck
        assert {"green": 6, "created": 6} == told(outcome)
        assert emails == customers.emails
        assert {"green": 6, "unchanged": 6} == told(customers.run("members"))
