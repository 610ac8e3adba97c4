"""The example of `examples/tryton-to-mailman`: contacts of an ERP become members of a mailing list."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from systems.faultproxy import FaultProxy
from systems.tryton import query

from integration.customers import Customers
from integration.projects import EXAMPLES, told
from tieline.model.errors import SafetyStop

FOLDER = EXAMPLES / "tryton-to-mailman"


class TestSubscribing:
    """The integration `members`."""

    def test_the_first_run_subscribes_everybody_and_the_second_sends_nothing(self, customers: Customers) -> None:
        emails = [customers.address(name) for name in ("ann", "bo", "cy")]
        for email in emails:
            customers.contact(email, email)

        first = customers.run("members")
        second = customers.run("members")

        assert {"green": 3, "created": 3} == told(first)
        assert emails == customers.emails
        assert {"green": 3, "unchanged": 3} == told(second)
        assert {"GET"} == {request.method for request in customers.requests}

    def test_only_what_is_new_is_sent(self, customers: Customers) -> None:
        customers.contact("1", customers.address("ann"))
        customers.run("members")
        customers.contact("2", customers.address("bo"))

        outcome = customers.run("members")

        assert {"green": 2, "created": 1, "unchanged": 1} == told(outcome)
        assert ["members"] == customers.sent("POST")
        assert 2 == customers.members.count()

    def test_more_contacts_than_fit_on_a_page_all_arrive(self, customers: Customers) -> None:
        customers.change("connectors/tryton.yaml", ("size: 200", "size: 2"))
        party = customers.parties.create("1", name="Jo")["id"]
        for number in range(5):
            customers.another(party, customers.address(f"m{number}"))

        assert {"green": 5, "created": 5} == told(customers.run("members"))
        assert 5 == customers.members.count()

    def test_whoever_is_a_member_already_is_matched_and_not_doubled(self, customers: Customers) -> None:
        """The two systems spell the address differently."""
        email = customers.address("jo.bloggs")
        customers.members.subscribe(email, "Jo").expect(201)
        customers.contact("1", email.replace("jo.bloggs", "Jo.Bloggs"))
        customers.contact("2", customers.address("ann"))

        outcome = customers.run("members")

        assert {"green": 2, "created": 1, "unchanged": 1, "matched": 1} == told(outcome)
        assert [customers.address("ann"), email] == customers.emails

    def test_a_mixed_case_address_is_subscribed_once_for_all_its_spellings(self, customers: Customers) -> None:
        """Two contacts with one address: which of them is the member is for a person to say."""
        customers.contact("1", customers.address("Info"))
        customers.contact("2", customers.address("INFO"))

        outcome = customers.run("members")

        assert {"attention": 2, "created": 1, "held": 1} == told(outcome)
        assert [customers.address("info")] == customers.emails
        assert "has the same match key" in customers.letters()[0].message

    def test_what_is_no_address_is_parked_before_a_call_is_spent_and_the_rest_arrive(self, customers: Customers) -> None:
        customers.contact("1", customers.address("ann"))
        wrong = customers.contact("2", "ask reception")
        customers.contact("3", customers.address("cy"))

        outcome = customers.run("members")
        [letter] = customers.letters()

        assert {"attention": 3, "created": 2, "parked": 1} == told(outcome)
        assert 2 == customers.members.count() == len(customers.sent("POST"))
        assert (str(wrong), "subscriber") == (letter.source_id, letter.field)
        assert letter.why["rule"].startswith("integrations/members.yaml:")

    def test_an_address_that_mailman_refuses_is_parked_with_its_words_and_the_rest_arrive(self, customers: Customers) -> None:
        """A list may not be a member of itself: no check of ours knows that."""
        own_address = customers.members.list_id.replace(".", "@", 1)
        customers.contact("1", customers.address("ann"))
        customers.contact("2", own_address)
        customers.contact("3", customers.address("cy"))

        outcome = customers.run("members")
        [letter] = customers.letters()

        assert {"attention": 3, "created": 2, "parked": 1} == told(outcome)
        assert "List posting address cannot subscribe" in letter.message
        assert own_address == letter.why["request"]["body"]["subscriber"]

    def test_a_contact_that_is_mended_in_the_erp_needs_nobody_else(self, customers: Customers) -> None:
        contact = customers.contact("1", "ask reception")
        customers.run("members")
        customers.change_contact(contact, value=customers.address("jo"))

        assert {"green": 1, "created": 1} == told(customers.run("members"))
        assert [] == customers.letters()

    def test_a_dead_letter_that_is_mended_by_hand_is_sent(self, customers: Customers) -> None:
        customers.contact("1", "ask reception")
        customers.run("members")
        [letter] = customers.letters()

        outcome = customers.mend(letter, value=customers.address("jo"))

        assert {"green": 1, "created": 1} == told(outcome)
        assert [customers.address("jo")] == customers.emails

    def test_a_new_address_of_a_member_is_left_to_a_person(self, customers: Customers) -> None:
        """Mailman can't change it in one call; the reason is its own."""
        contact = customers.contact("1", customers.address("old"))
        customers.run("members")
        customers.change_contact(contact, value=customers.address("new"))

        outcome = customers.run("members")
        [letter] = customers.letters()

        assert {"attention": 1, "parked": 1} == told(outcome)
        assert "Unexpected parameters: subscriber" in letter.message
        assert [customers.address("old")] == customers.emails

    def test_whoever_has_unsubscribed_is_left_alone(self, customers: Customers) -> None:
        customers.contact("1", customers.address("jo"))
        customers.run("members")
        [member] = customers.members.members()
        customers.members.server.call("DELETE", f"/members/{member['member_id']}").expect(204)

        assert {"green": 1, "unchanged": 1} == told(customers.run("members"))
        assert 0 == customers.members.count()

    def test_an_empty_erp_is_no_error(self, customers: Customers) -> None:
        assert {"green": 0} == told(customers.run("members"))


class TestNaming:
    """The integration `names`."""

    def test_new_members_have_their_names_from_the_beginning(self, customers: Customers) -> None:
        acme = customers.parties.create("1", name="Acme 😀")["id"]
        customers.another(acme, customers.address("info"))
        customers.another(acme, customers.address("Sue"), name="שרה")
        customers.run("members")

        assert {customers.address("info"): "Acme 😀", customers.address("sue"): "שרה"} == customers.names
        assert {"green": 2, "unchanged": 2, "matched": 2} == told(customers.run("names"))

    def test_those_who_were_there_before_get_the_names_of_the_erp(self, customers: Customers) -> None:
        customers.members.subscribe(customers.address("ann"), "annie42").expect(201)
        customers.contact("1", customers.address("Ann"), name="Ann")

        members = customers.run("members")
        names = customers.run("names")

        assert {"green": 1, "unchanged": 1, "matched": 1} == told(members)
        assert {"green": 1, "updated": 1, "matched": 1} == told(names)
        assert {customers.address("ann"): "Ann"} == customers.names

    def test_a_new_name_is_nothing_to_subscribe_for(self, customers: Customers) -> None:
        """Mailman would refuse it there: it is sent when someone is subscribed, and left alone from then on."""
        contact = customers.contact("1", customers.address("ann"))
        customers.run("members")
        customers.change_contact(contact, name="Ann")

        assert {"green": 1, "unchanged": 1} == told(customers.run("members"))
        assert [] == customers.sent("PATCH")

    def test_an_edit_sends_that_record_alone(self, customers: Customers) -> None:
        for name in ("ann", "bo", "cy"):
            customers.contact(name, customers.address(name), name=name)
        customers.run("members")
        customers.run("names")
        [bo] = [party for party in customers.parties.all() if party["name"] == "bo"]
        customers.parties.change(bo["id"], name="Bo Derek")

        outcome = customers.run("names")

        assert {"green": 3, "updated": 1, "unchanged": 2} == told(outcome)
        assert [customers.address("bo").replace("@", "%40")] == customers.sent("PATCH")
        assert "Bo Derek" == customers.names[customers.address("bo")]
        assert {"green": 3, "unchanged": 3} == told(customers.run("names"))

    def test_who_is_not_in_mailman_is_passed_over(self, customers: Customers) -> None:
        customers.contact("1", customers.address("stranger"))

        assert {"green": 1, "filtered": 1} == told(customers.run("names"))
        assert [] == customers.sent("PATCH")


class TestPlanning:
    """What would happen."""

    def test_a_plan_writes_nothing(self, customers: Customers) -> None:
        customers.contact("1", customers.address("ann"))
        customers.contact("2", "ask reception")

        assert {"create": 1, "dead": 1} == customers.plan("members")
        assert {"GET"} == {request.method for request in customers.requests}
        assert 0 == customers.members.count()
        assert [] == customers.letters()
        assert {"create": 1, "dead": 1} == customers.plan("members")

    def test_a_run_does_what_the_plan_said(self, customers: Customers, tmp_path: Path) -> None:
        customers.contact("1", customers.address("ann"))
        customers.plan("members", tmp_path / "plan")

        assert {"green": 1, "created": 1} == told(customers.run("members", plan=tmp_path / "plan"))
        assert 1 == customers.members.count()

    def test_a_run_refuses_a_plan_that_the_erp_has_overtaken(self, customers: Customers, tmp_path: Path) -> None:
        customers.contact("1", customers.address("ann"))
        customers.plan("members", tmp_path / "plan")
        late = customers.contact("2", customers.address("bo"))

        with pytest.raises(SafetyStop, match=f"the world has changed(.|\n)*{late}: not in the plan"):
            customers.run("members", plan=tmp_path / "plan")

        assert 0 == customers.members.count()

    def test_a_run_refuses_a_plan_that_the_list_has_overtaken(self, customers: Customers, tmp_path: Path) -> None:
        """Someone subscribed by themselves meanwhile: there is nothing to create any more."""
        contact = customers.contact("1", customers.address("ann"))
        customers.plan("members", tmp_path / "plan")
        customers.members.subscribe(customers.address("ann")).expect(201)

        with pytest.raises(SafetyStop, match=f"{contact}: planned: create(.|\n)*now: nothing to do"):
            customers.run("members", plan=tmp_path / "plan")


class TestExplaining:
    """What happened to one record."""

    def test_a_record_that_was_parked_created_and_renamed_tells_its_story(self, customers: Customers) -> None:
        contact = customers.contact("1", "ask reception", name="Jo")
        customers.run("members")
        customers.change_contact(contact, value=customers.address("jo"))
        customers.run("members")
        customers.run("names")
        customers.change_contact(contact, name="Jo Bloggs")
        customers.run("names")

        members, names = customers.explain("erp", "contacts", contact)
        [member] = customers.members.members()

        told = ["accepted", "set aside", "superseded", "accepted", "look-up", "delivered", "resolved"]
        assert told == [moment.what for moment in members.moments]
        assert "is not an e-mail address" in members.moments[1].text
        assert 201 == members.moments[-2].call.status  # type: ignore[union-attr]
        assert member["member_id"] == members.target_id
        assert {"list_id": customers.members.list_id, "subscriber": customers.address("jo"), "display_name": "Jo"} == members.last_agreed
        renamed = [moment for moment in names.moments if moment.what != "look-up"]
        assert ["matched", "accepted", "delivered"] == [moment.what for moment in renamed]
        assert ({"display_name": "Jo"}, {"display_name": "Jo Bloggs"}) == (renamed[1].before, renamed[1].fields)
        assert {"display_name": "Jo Bloggs"} == names.last_agreed

    def test_the_story_is_told_from_the_other_side_too(self, customers: Customers) -> None:
        contact = customers.contact("1", customers.address("jo"))
        customers.run("members")
        [member] = customers.members.members()

        [story] = customers.explain("lists", "members", member["member_id"])

        assert str(contact) == story.source_id


class TestMistakes:
    """What a connector or a connection can have wrong."""

    def test_an_unknown_field_ends_the_run_with_the_erps_words(self, customers: Customers) -> None:
        """It is a 500 with an HTML page: an outage by its look, so it is tried again, and not for ever."""
        customers.contact("1", customers.address("ann"))
        customers.change("connectors/tryton.yaml", ("comment, party.code", "nosuch, party.code"))

        outcome = customers.run("members")

        assert {"owed": 0} == told(outcome)
        assert "500" in (outcome.error or "")
        assert "nosuch" in (outcome.error or "")
        assert "<" not in (outcome.error or "")
        assert 5 == len(customers.requests)

    def test_a_wrong_key_ends_the_run_at_once(self, customers: Customers) -> None:
        customers.environ["TRYTON_KEY"] = "wrong"

        outcome = customers.run("members")

        assert {"failed": 0} == told(outcome)
        assert "401" in (outcome.error or "")
        assert 1 == len(customers.requests)

    def test_a_wrong_password_of_the_destination_leaves_everything_owed(self, customers: Customers) -> None:
        customers.contact("1", customers.address("ann"))
        right = customers.environ["MAILMAN_PASSWORD"]
        customers.run("members")
        customers.contact("2", customers.address("bo"))
        customers.environ["MAILMAN_PASSWORD"] = "wrong-password"

        outcome = customers.run("members")
        customers.environ["MAILMAN_PASSWORD"] = right

        assert "401" in (outcome.error or "")
        assert "wrong-password" not in (outcome.error or "")
        assert "failed" == outcome.state
        assert "green" == customers.run("members").state
        assert 2 == customers.members.count()

    def test_the_connectors_of_the_example_are_those_that_are_offered_for_use(self) -> None:
        for name in ("tryton.yaml", "mailman.yaml"):
            assert (EXAMPLES / "connectors" / name).read_text() == (FOLDER / "connectors" / name).read_text()


class TestTheCommandLine:
    """The same through commands, each a process of its own."""

    def test_an_hour_with_the_example(self, customers: Customers) -> None:
        ann = customers.contact("1", customers.address("ann"))
        customers.contact("2", "ask reception")

        check = customers.command("check", "--live")
        plan = customers.command("plan", "members", "--out", "plan.jsonl")
        run = customers.command("run", "members", "--plan", "plan.jsonl")
        again = customers.command("run", "members", "--json")
        stale = customers.command("run", "members", "--plan", "plan.jsonl")
        story = customers.command("explain", "erp", "contacts", str(ann))
        status = customers.command("status")

        assert (0, "") == (check.returncode, check.stderr)
        assert (0, "") == (plan.returncode, plan.stderr)
        assert "1 to create" in plan.stdout
        assert "nothing was written" in plan.stdout
        assert (1, "") == (run.returncode, run.stderr)
        assert "2 read = 1 created + 1 parked" in run.stdout
        assert (1, 2) == (again.returncode, json.loads(again.stdout)[0]["counts"]["unchanged"])
        assert 4 == stale.returncode
        assert "the world has changed" in stale.stderr
        assert 0 == story.returncode
        assert "confirmed" in story.stdout
        assert 1 == status.returncode
        assert 1 == customers.members.count()
        for said in (check, plan, run, again, stale, story, status):
            for secret in (customers.environ["TRYTON_KEY"], customers.environ["MAILMAN_PASSWORD"]):
                assert secret not in said.stdout + said.stderr

    def test_a_destination_that_is_down_leaves_changes_owed(self, customers: Customers, faultproxy: Callable[[str], FaultProxy]) -> None:
        """The exit code says so, and the next run delivers."""
        party = customers.parties.create("1", name="Jo")["id"]
        customers.another(party, customers.address("jo"))
        proxy = faultproxy(customers.environ["MAILMAN_URL"])
        customers.environ["MAILMAN_URL"] = proxy.url
        customers.run("members")
        customers.run("names")
        customers.parties.change(party, name="Joanna")
        customers.change("integrations/names.yaml", ("unavailable:", "retry: {attempts: 2, base: 10ms}\nunavailable:"))

        with proxy.refusing():
            down = customers.command("run", "names")
            status = customers.command("status", "names")
        up = customers.command("run", "names")

        assert 3 == down.returncode, down.stdout + down.stderr
        assert "1 read = 1 owed" in down.stdout
        assert "no connection to" in down.stdout
        assert 3 == status.returncode
        assert "1 owed, 0 held, 0 parked" in status.stdout
        assert 0 == up.returncode, up.stdout + up.stderr
        assert "1 owed from earlier runs, now delivered" in up.stdout
        assert {customers.address("jo"): "Joanna"} == customers.names

    def test_a_source_that_is_down_is_named(self, customers: Customers, faultproxy: Callable[[str], FaultProxy]) -> None:
        proxy = faultproxy(customers.environ["TRYTON_URL"])
        customers.environ["TRYTON_URL"] = proxy.url
        with proxy.refusing():
            outcome = customers.run("members")
            command = customers.command("run", "members", "--json")

        assert {"owed": 0} == told(outcome)
        assert "erp: " in (outcome.error or "")
        assert 3 == command.returncode


def test_tryton_says_how_many_there_are(customers: Customers) -> None:
    """In a header that is only there when it is asked for by another header: the connector can't use it."""
    customers.contact("1", customers.address("ann"))
    answer = customers.parties.server.call("GET", "/party.contact_mechanism" + query("value"), headers={"Range": "records=0-1"})

    assert answer.headers["Content-Range"].startswith("records 0-1/")
