"""pretix tells of orders by webhooks, which it does not sign; `tieline receive` takes them, and the next run moves what they tell of."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from systems.kinto import Collection
from systems.pretix import Organizer
from web.served import Served

from integration.kinto import content
from integration.projects import Project
from integration.test_pretix import from_orders

SECRET = "8d0f6b2c4e9a17354f0d2a97c1e85b36"


@contextlib.contextmanager
def told_by(organizer: Organizer, project: Project, *actions: str) -> Iterator[Served]:
    """Receive the shop's webhooks of these kinds, until the block ends."""
    served = Served(project.folder, project.environ)
    try:
        assert served.said["connections"] == {"shop": f"{served.said['listens']}/hooks/shop/SECRET"}
        address = f"{served.said['listens']}/hooks/shop/{SECRET}"
        hook = {"target_url": address, "action_types": list(actions), "all_events": True, "limit_events": [], "enabled": True}
        organizer.call("POST", f"{organizer.path}/webhooks/", hook).expect(201)
        yield served
    finally:
        code, err = served.end()
    assert (0, False) == (code, SECRET in err)


@pytest.fixture
def project(tmp_path: Path, organizer: Organizer, collection: Collection) -> Project:
    """Orders are noted in Kinto. The shop's list is asked for those that are not paid, and shows no others."""
    pending = {"resources/orders/list/params": {"ordering": "last_modified", "status": "n"}}
    project = from_orders(tmp_path / "p", organizer, collection, connector=pending, deletes="delete")
    project.change("connections.yaml", ("environment: self_hosted", "environment: self_hosted\n  webhook_secret: ${env:SHOP_HOOK}"))
    project.environ["SHOP_HOOK"] = SECRET
    return project


def test_what_a_webhook_tells_of_is_moved_by_the_next_run(project: Project, organizer: Organizer, collection: Collection) -> None:
    """One order is paid, and one of the test mode is deleted: neither is in the list any more."""
    paid = organizer.create_order("ann@example.com")["code"]
    test = organizer.create_order("bob@example.com", testmode=True)["code"]
    first = project.run("copy")
    with told_by(organizer, project, "pretix.event.order.paid", "pretix.event.order.deleted"):
        organizer.call("POST", f"{organizer.event_path}/orders/{paid}/mark_paid/", {}).expect(200)
        organizer.call("DELETE", f"{organizer.event_path}/orders/{test}/").expect(204)
    waiting = project.command("status").stdout
    told = project.command("run", "copy").stdout
    again = project.run("copy")

    assert ("green", 2) == (first.state, first.counts.created)
    assert "2 wait for the next run" in waiting
    assert "2 told of by webhooks" in told
    assert {"ann@example.com": "p"} == content(collection, "note")
    assert (0, 0) == (again.counts.written, again.counts.webhooks)
    assert "pretix.event.order.paid" in project.command("explain", "shop", "orders", paid).stdout
    kept = (project.folder / ".tieline" / "store.db").read_bytes()
    assert SECRET.encode() not in kept


def test_whoever_does_not_know_the_address_tells_nothing(project: Project, organizer: Organizer) -> None:
    """The shop's own webhook is taken, one with another secret is not."""
    code = organizer.create_order("ann@example.com")["code"]
    with told_by(organizer, project, "pretix.event.order.paid") as served:
        body = b'{"notification_id": 1, "code": "%s", "action": "pretix.event.order.deleted"}' % code.encode()
        forged = [served.post(path, body, {}) for path in ("/hooks/shop", f"/hooks/shop/{SECRET[:-1]}0", "/hooks/crm")]
        organizer.call("POST", f"{organizer.event_path}/orders/{code}/mark_paid/", {}).expect(200)
    told = project.command("status", "--json").stdout

    assert [401, 401, 404] == forged
    assert '"waiting": 1' in told
    assert '"refused": 2' in told
