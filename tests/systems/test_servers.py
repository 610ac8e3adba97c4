"""What connectors rely on, as the servers themselves tell it."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import monotonic
from urllib.parse import urlsplit

import pytest

from systems import calls
from systems.faultproxy import Fault, FaultProxy
from systems.kinto import Collection, Kinto
from systems.mailman import MailingList, Mailman
from systems.pretix import Organizer
from systems.tryton import Parties, Tryton, query


class TestKinto:
    """Kinto, a record store."""

    def test_the_next_page_stands_in_a_header_alone(self, collection: Collection) -> None:
        for number in range(3):
            collection.create(n=number)

        first = collection.call("GET", "?_limit=2")
        last = calls.call("GET", first.headers["Next-Page"], headers=_authorization(collection.server))

        assert ["data"] == list(first.json())
        assert first.headers.get("Link") is None
        assert 2 == len(first.json()["data"])
        assert 1 == len(last.json()["data"])
        assert last.headers.get("Next-Page") is None

    def test_next_pages_go_through_a_proxy_too(self, collection: Collection, faultproxy: Callable[[str], FaultProxy]) -> None:
        """The address is built from what the client called, so a fault can strike a later page."""
        collection.create(n=1)
        collection.create(n=2)
        proxy = faultproxy(collection.server.url)

        answer = replace(collection, server=replace(collection.server, url=proxy.url)).call("GET", "?_limit=1")

        assert answer.headers["Next-Page"].startswith(proxy.url)

    def test_the_etag_of_a_list_is_the_watermark(self, collection: Collection) -> None:
        collection.put("a", n=1)
        watermark = collection.call("GET").headers["ETag"].strip('"')

        assert [] == collection.records(_since=watermark)

        collection.put("b", n=2)

        assert ["b"] == [record["id"] for record in collection.records(_since=watermark)]

    def test_a_watermark_that_is_none_is_refused(self, collection: Collection) -> None:
        assert 400 == collection.call("GET", "?_since=yesterday").status

    def test_a_delete_is_seen_by_those_alone_who_ask_what_changed(self, collection: Collection) -> None:
        collection.put("a", n=1)
        watermark = collection.call("GET").headers["ETag"].strip('"')
        collection.delete("a")
        [tombstone] = collection.records(_since=watermark)

        assert {"id": "a", "deleted": True} == {name: tombstone[name] for name in ("id", "deleted")}
        assert {"id", "deleted", "last_modified"} == set(tombstone)
        assert [] == collection.records()
        assert collection.get("a") is None

    def test_a_create_is_refused_with_the_record_that_is_there(self, collection: Collection) -> None:
        existing = collection.put("a", n=1)

        answer = collection.call("PUT", "/a", {"data": {"n": 2}}, headers={"If-None-Match": "*"})

        assert 412 == answer.status
        assert existing == answer.json()["details"]["existing"]

    def test_a_write_over_an_unseen_change_is_refused(self, collection: Collection) -> None:
        seen = collection.put("a", n=1)
        changed = collection.put("a", n=2)

        answer = collection.call("PATCH", "/a", {"data": {"n": 3}}, headers={"If-Match": f'"{seen["last_modified"]}"'})

        assert 412 == answer.status
        assert changed == answer.json()["details"]["existing"]

    def test_each_part_of_a_batch_has_a_status_of_its_own(self, collection: Collection) -> None:
        collection.put("a", n=1)
        create = {"headers": {"If-None-Match": "*"}, "body": {"data": {"n": 2}}}
        requests = [
            {"method": "PUT", "path": f"/v1{collection.path}/a", **create},
            {"method": "PUT", "path": f"/v1{collection.path}/b", **create},
            {"method": "DELETE", "path": f"/v1{collection.path}/c"},
        ]

        answer = collection.server.call("POST", "/batch", {"requests": requests})

        assert 200 == answer.status
        assert [412, 201, 404] == [part["status"] for part in answer.json()["responses"]]

    def test_a_batch_of_more_than_25_is_refused(self, collection: Collection) -> None:
        requests = [{"method": "GET", "path": f"/v1{collection.path}"}] * 26

        assert 400 == collection.server.call("POST", "/batch", {"requests": requests}).status

    def test_a_filter_on_an_unknown_field_finds_nothing_and_says_nothing(self, collection: Collection) -> None:
        collection.create(n=1)

        assert [] == collection.records(nosuch=1)

    def test_a_filter_by_size_finds_records_without_the_field(self, collection: Collection) -> None:
        collection.put("without")
        collection.put("less", n=1)
        collection.put("more", n=3)

        assert {"more", "without"} == {record["id"] for record in collection.records(gt_n=2)}

    def test_wrong_credentials_are_refused(self, collection: Collection) -> None:
        stranger = replace(collection.server, password="wrong")

        answer = stranger.call("GET", collection.path)

        assert (401, 104) == (answer.status, answer.json()["errno"])
        assert "WWW-Authenticate" in answer.headers
        assert 200 == stranger.call("GET", "/").status

    def test_patience_and_an_end_of_life_are_announced_in_headers(self, kinto_with: Callable[..., Kinto]) -> None:
        in_a_month = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        kinto = kinto_with(backoff_seconds=7, ends=in_a_month)

        answer = kinto.fresh_collection().call("GET")

        assert "7" == answer.headers["Backoff"]
        assert "soft-eol" in answer.headers["Alert"]

    def test_after_its_end_of_life_everything_is_gone(self, kinto_with: Callable[..., Kinto]) -> None:
        answer = kinto_with(ends="2020-01-01").call("GET", "/buckets")

        assert 410 == answer.status
        assert "hard-eol" in answer.headers["Alert"]


class TestPretix:
    """pretix, a shop."""

    def test_a_list_says_how_many_there_are_and_where_to_go_on(self, organizer: Organizer) -> None:
        organizer.create_customer("a@example.com")
        organizer.create_customer("b@example.com")
        page = organizer.call("GET", f"{organizer.path}/customers/?page_size=1").json()

        assert {"count", "next", "previous", "results"} == set(page)
        assert (2, 1, None) == (page["count"], len(page["results"]), page["previous"])
        assert 200 == organizer.call("GET", page["next"].removeprefix(organizer.server.url)).status
        assert 404 == organizer.call("GET", f"{organizer.path}/customers/?page=9").status

    def test_a_page_has_50_records_at_most_and_does_not_say_so(self, organizer: Organizer) -> None:
        for number in range(51):
            organizer.create_customer(f"c{number}@example.com")

        answer = organizer.call("GET", f"{organizer.path}/customers/?page_size=100")

        assert 200 == answer.status
        assert 50 == len(answer.json()["results"])
        assert 51 == len(organizer.customers())

    def test_a_filter_that_does_not_exist_is_ignored(self, organizer: Organizer) -> None:
        organizer.create_customer("a@example.com")

        assert 1 == len(organizer.customers(modified_since="2099-01-01T00:00:00Z", nosuch="x"))

    def test_orders_since_a_time_begin_with_the_one_of_that_time(self, organizer: Organizer) -> None:
        organizer.create_order("a@example.com")
        last = organizer.create_order("b@example.com")

        found = organizer.orders(modified_since=last["last_modified"], ordering="last_modified")

        assert [last["code"]] == [order["code"] for order in found]
        assert 400 == organizer.call("GET", f"{organizer.event_path}/orders/?modified_since=yesterday").status

    def test_a_page_of_orders_carries_the_servers_clock(self, organizer: Organizer) -> None:
        order = organizer.create_order("a@example.com")

        generated = organizer.call("GET", f"{organizer.event_path}/orders/").headers["X-Page-Generated"]

        assert datetime.fromisoformat(order["last_modified"]) < datetime.fromisoformat(generated)
        assert [] == organizer.orders(modified_since=generated)
        assert organizer.call("GET", f"{organizer.path}/customers/").headers.get("X-Page-Generated") is None

    def test_an_idempotency_key_replays_the_stored_answer_whatever_is_sent(self, organizer: Organizer) -> None:
        key = {"X-Idempotency-Key": f"{organizer.slug}-1"}
        customers = f"{organizer.path}/customers/"

        first = organizer.call("POST", customers, {"email": "a@example.com"}, headers=key)
        again = organizer.call("POST", customers, {"email": "b@example.com"}, headers=key)
        stored = organizer.call("GET", f"/idempotency_query?key={key['X-Idempotency-Key']}")

        assert (201, 201, 201) == (first.status, again.status, stored.status)
        assert first.json() == again.json() == stored.json()
        assert ["a@example.com"] == [customer["email"] for customer in organizer.customers()]

    def test_a_refusal_is_replayed_too(self, organizer: Organizer) -> None:
        """A corrected body needs a key of its own."""
        key = {"X-Idempotency-Key": f"{organizer.slug}-1"}
        customers = f"{organizer.path}/customers/"

        refused = organizer.call("POST", customers, {"email": "nonsense"}, headers=key)
        corrected = organizer.call("POST", customers, {"email": "a@example.com"}, headers=key)

        assert (400, 400) == (refused.status, corrected.status)
        assert [] == organizer.customers()

    def test_a_customer_is_not_deleted_but_emptied(self, organizer: Organizer) -> None:
        customer = organizer.create_customer("a@example.com", name_parts={"_scheme": "full", "full_name": "Jo"})
        path = f"{organizer.path}/customers/{customer['identifier']}/"

        assert 405 == organizer.call("DELETE", path).status
        assert 200 == organizer.call("POST", f"{path}anonymize/").status
        assert [(None, "")] == [(found["email"], found["name"]) for found in organizer.customers()]

    def test_an_email_address_is_taken_once(self, organizer: Organizer) -> None:
        organizer.create_customer("a@example.com")

        answer = organizer.call("POST", f"{organizer.path}/customers/", {"email": "a@example.com"})

        assert 400 == answer.status
        assert "email" in answer.json()

    def test_a_stranger_is_not_known_and_a_guest_not_allowed(self, organizer: Organizer) -> None:
        customers = f"{organizer.path}/customers/"

        assert 401 == replace(organizer, token="wrong").call("GET", customers).status
        assert 403 == replace(organizer, token=organizer.weak_token).call("GET", customers).status

    def test_a_webhook_says_what_changed_and_nothing_of_it(self, organizer: Organizer) -> None:
        with _receiver() as (url, received):
            hook = {"target_url": url, "enabled": True, "all_events": True, "limit_events": []}
            actions = {"action_types": ["pretix.event.order.placed"]}
            organizer.call("POST", f"{organizer.path}/webhooks/", {**hook, **actions}).expect(201)
            order = organizer.create_order("a@example.com")

        [(headers, body)] = received
        assert {"notification_id", "organizer", "event", "code", "action"} == set(body)
        assert (order["code"], "pretix.event.order.placed") == (body["code"], body["action"])
        assert not [name for name in headers if "signature" in name.lower()]


class TestMailman:
    """Mailman, a mailing platform."""

    def test_a_subscription_is_answered_by_its_address_alone(self, mailing_list: MailingList) -> None:
        email = mailing_list.address("jo")
        answer = mailing_list.subscribe(email, "Jo")
        member = calls.call("GET", answer.headers["Location"], headers=_authorization(mailing_list.server)).json()

        assert (201, b"") == (answer.status, answer.body)
        assert (email, "Jo") == (member["email"], member["display_name"])

    def test_a_second_subscription_says_that_it_is_already_so(self, mailing_list: MailingList) -> None:
        email = mailing_list.address("jo")
        mailing_list.subscribe(email).expect(201)

        answer = mailing_list.subscribe(email)

        assert 409 == answer.status
        assert "Member already subscribed" == answer.json()["description"]
        assert 1 == mailing_list.count()

    def test_an_unconfirmed_subscription_waits(self, mailing_list: MailingList) -> None:
        body = {"list_id": mailing_list.list_id, "subscriber": mailing_list.address("jo")}

        answer = mailing_list.server.call("POST", "/members", body)

        assert 202 == answer.status
        assert "token" in answer.json()
        assert 0 == mailing_list.count()

    def test_an_empty_roster_has_no_entries_at_all(self, mailing_list: MailingList) -> None:
        answer = mailing_list.server.call("GET", f"/lists/{mailing_list.list_id}/roster/member")

        assert {"start": 0, "total_size": 0} == {name: answer.json()[name] for name in ("start", "total_size")}
        assert "entries" not in answer.json()

    def test_a_page_past_the_end_has_no_entries_either(self, mailing_list: MailingList) -> None:
        mailing_list.subscribe(mailing_list.address("jo")).expect(201)
        answer = mailing_list.server.call("GET", f"/lists/{mailing_list.list_id}/roster/member?count=1&page=2")

        assert 200 == answer.status
        assert "entries" not in answer.json()

    def test_a_change_and_a_removal_are_answered_by_nothing(self, mailing_list: MailingList) -> None:
        mailing_list.subscribe(mailing_list.address("jo")).expect(201)
        [member] = mailing_list.members()
        path = f"/members/{member['member_id']}"
        changed = mailing_list.server.call("PATCH", path, {"delivery_mode": "plaintext_digests"})

        assert (204, b"") == (changed.status, changed.body)
        assert ["plaintext_digests"] == [member["delivery_mode"] for member in mailing_list.members()]
        assert 204 == mailing_list.server.call("DELETE", path).status
        assert 404 == mailing_list.server.call("DELETE", path).status

    def test_a_removal_of_many_says_which_were_there(self, mailing_list: MailingList) -> None:
        there, absent = mailing_list.address("there"), mailing_list.address("absent")
        mailing_list.subscribe(there).expect(201)

        answer = mailing_list.server.call("DELETE", f"/lists/{mailing_list.list_id}/roster/member", {"emails": [there, absent]})

        assert 200 == answer.status
        assert {there: True, absent: False} == {name: answer.json()[name] for name in (there, absent)}

    def test_versions_stand_side_by_side_and_differ(self, mailing_list: MailingList) -> None:
        mailing_list.subscribe(mailing_list.address("jo")).expect(201)
        older = replace(mailing_list.server, url=mailing_list.server.url.replace("/3.1", "/3.0"))
        unknown = replace(mailing_list.server, url=mailing_list.server.url.replace("/3.1", "/9.9"))
        [member] = mailing_list.members()
        [older_member] = replace(mailing_list, server=older).members()

        assert isinstance(member["member_id"], str)
        assert isinstance(older_member["member_id"], int)
        assert 404 == unknown.call("GET", "/lists").status

    def test_wrong_credentials_are_refused_and_no_connection_is_kept(self, mailman: Mailman) -> None:
        answer = replace(mailman, password="wrong").call("GET", "/lists")

        assert 401 == answer.status
        assert "WWW-Authenticate" in answer.headers
        assert "close" == answer.headers["Connection"]


class TestTryton:
    """Tryton, an ERP."""

    def test_a_range_is_answered_by_how_many_there_are(self, parties: Parties) -> None:
        for number in range(3):
            parties.create(str(number), name="Jo")
        search = "/party.party" + query("code", domain=parties.domain, s=2, p=0)

        plain = parties.server.call("GET", search)
        ranged = parties.server.call("GET", search, headers={"Range": "records=0-2"})

        assert (200, 2) == (plain.status, len(plain.json()))
        assert plain.headers.get("Content-Range") is None
        assert "records 0-2/3" == ranged.headers["Content-Range"]

    def test_size_and_offset_page_through_a_search(self, parties: Parties) -> None:
        for number in range(3):
            parties.create(str(number), name="Jo")

        answer = parties.server.call("GET", "/party.party" + query("code", domain=parties.domain, s=2, p=2))

        assert 1 == len(answer.json())

    def test_without_a_domain_everything_is_found(self, parties: Parties) -> None:
        parties.create("1", name="Jo")

        names = [party["name"] for party in parties.server.call("GET", "/party.party" + query("name", s=1000)).json()]

        assert "Our Company" in names

    def test_a_created_record_is_answered_and_a_deleted_one_is_gone(self, parties: Parties) -> None:
        created = parties.create("1", name="Jo")

        parties.change(created["id"], name="Joanna")

        assert ["Joanna"] == [party["name"] for party in parties.all()]

        parties.delete(created["id"])

        assert 0 == parties.count()

    def test_an_unknown_field_is_a_server_error_in_html(self, tryton: Tryton) -> None:
        """The client's mistake looks like an outage: retries must come to an end."""
        answer = tryton.call("GET", "/party.party" + query("nosuch"))

        assert 500 == answer.status
        assert "text/html" == answer.headers["Content-Type"].split(";")[0]

    def test_a_stranger_and_a_record_that_is_not_there_are_refused_in_html(self, tryton: Tryton) -> None:
        stranger = replace(tryton, key="wrong").call("GET", "/party.party")
        absent = tryton.call("GET", "/party.party/99999")

        assert (401, 404) == (stranger.status, absent.status)
        for answer in (stranger, absent):
            assert "text/html" == answer.headers["Content-Type"].split(";")[0]

    def test_a_broken_rule_is_refused_in_json(self, parties: Parties) -> None:
        parties.create("1", name="Jo")

        answer = parties.server.call("POST", "/party.party", {"code": parties.code("1"), "name": "Jo"})

        assert 400 == answer.status
        assert {"status", "message", "description"} >= set(answer.json())

    def test_an_error_of_json_rpc_is_a_success_of_http(self, parties: Parties) -> None:
        parties.create("1", name="Jo")
        headers = {"Authorization": f"Session {parties.server.session}"}
        again = {"code": parties.code("1"), "name": "Jo"}
        body = {"id": 1, "method": "model.party.party.create", "params": [[again], {}]}

        answer = calls.call("POST", parties.server.rpc_url, body, headers=headers)

        assert 200 == answer.status
        assert {"id": 1, "error": ["UserError", ["The code on party must be unique.", "", None]]} == answer.json()

    def test_without_a_session_json_rpc_answers_401_and_nothing_else(self, tryton: Tryton) -> None:
        body = {"id": 1, "method": "model.party.party.search", "params": [[], 0, 1, None, {}]}

        answer = calls.call("POST", tryton.rpc_url, body)

        assert (401, b"") == (answer.status, answer.body)


class TestFaultProxy:
    """The proxy that makes bad days, before a server whose state tells what arrived."""

    def test_a_healthy_proxy_changes_nothing(self, collection: Collection, faultproxy: Callable[[str], FaultProxy]) -> None:
        _through(faultproxy(collection.server.url), collection).put("a", n=1)

        assert 1 == collection.count()

    def test_a_lost_answer_leaves_the_work_done(self, collection: Collection, faultproxy: Callable[[str], FaultProxy]) -> None:
        proxy = faultproxy(collection.server.url)
        proxy.strike(Fault(lose_answer=True, times=1))

        with pytest.raises(ConnectionResetError):
            _through(proxy, collection).put("a", n=1)

        assert 1 == collection.count()
        assert 1 == _through(proxy, collection).count()
        assert 1 == proxy.counts.struck

    @pytest.mark.parametrize(
        ("fault", "outcome"),
        [
            (Fault(reset=True), ConnectionResetError),
            (Fault(hang_up=True), http.client.RemoteDisconnected),
            (Fault(black_hole=True), TimeoutError),
        ],
    )
    def test_a_request_that_does_not_arrive_leaves_nothing_done(
        self,
        collection: Collection,
        faultproxy: Callable[[str], FaultProxy],
        fault: Fault,
        outcome: type[Exception],
    ) -> None:
        proxy = faultproxy(collection.server.url)
        proxy.strike(fault)

        with pytest.raises(outcome):
            calls.call("GET", proxy.url, timeout_seconds=0.5)

        assert 0 == collection.count()

    @pytest.mark.parametrize(
        ("fault", "outcome"),
        [
            (Fault(reset_after_bytes=300), ConnectionResetError),
            (Fault(close_after_bytes=300), http.client.IncompleteRead),
        ],
    )
    def test_an_answer_can_end_in_the_middle(
        self,
        kinto: Kinto,
        faultproxy: Callable[[str], FaultProxy],
        fault: Fault,
        outcome: type[Exception],
    ) -> None:
        proxy = faultproxy(kinto.url)
        proxy.strike(fault)

        with pytest.raises(outcome):
            replace(kinto, url=proxy.url).call("GET", "/")

    def test_a_refused_connection_is_accepted_later(self, kinto: Kinto, faultproxy: Callable[[str], FaultProxy]) -> None:
        proxy = faultproxy(kinto.url)

        with proxy.refusing(), pytest.raises(ConnectionRefusedError):
            calls.call("GET", proxy.url)

        assert 200 == calls.call("GET", f"{proxy.url}/").status

    def test_an_answer_can_be_late_or_slow(self, kinto: Kinto, faultproxy: Callable[[str], FaultProxy]) -> None:
        proxy = faultproxy(kinto.url)

        for fault in (Fault(latency_seconds=0.3), Fault(bytes_per_second=2000)):
            proxy.strike(fault)
            began = monotonic()

            assert 200 == calls.call("GET", f"{proxy.url}/").status
            assert monotonic() - began >= 0.3

    def test_a_fault_strikes_one_method_so_many_times_on_a_connection_that_is_kept(
        self, collection: Collection, faultproxy: Callable[[str], FaultProxy]
    ) -> None:
        proxy = faultproxy(collection.server.url)
        proxy.strike(Fault(hang_up=True, method="DELETE", times=1))
        address = urlsplit(proxy.url)

        with closing(http.client.HTTPConnection(address.hostname or "", address.port)) as connection:
            for _ in range(2):
                connection.request("GET", "/v1/")
                connection.getresponse().read()
            connection.request("DELETE", "/v1/")
            with pytest.raises(http.client.RemoteDisconnected):
                connection.getresponse()

        assert 405 == calls.call("DELETE", f"{proxy.url}/").status
        assert (2, 4, 1) == (proxy.counts.connections, proxy.counts.exchanges, proxy.counts.struck)


def _authorization(server: Kinto | Mailman) -> dict[str, str]:
    return {"Authorization": calls.basic(server.user, server.password)}


def _through(proxy: FaultProxy, collection: Collection) -> Collection:
    return replace(collection, server=replace(collection.server, url=proxy.url))


@contextmanager
def _receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], dict[str, str]]]]]:
    """Receive webhooks at a URL until the block ends."""
    received: list[tuple[dict[str, str], dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((dict(self.headers), json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", received
        server.shutdown()
        thread.join()
