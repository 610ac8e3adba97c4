"""What the connectors of Tryton and Mailman offer in addition to the example: contacts of Kinto become parties, and members."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systems.faultproxy import Fault, FaultProxy
from systems.kinto import Collection
from systems.mailman import MailingList
from systems.tryton import Parties

from integration.kinto import connection, environ, seed
from integration.parties import to_parties as project_to_parties
from integration.projects import Project, new_project, told


@pytest.fixture
def to_parties(tmp_path: Path, collection: Collection, parties: Parties) -> Callable[..., Project]:
    """Make a project in which contacts become parties, with their addresses when they are new."""
    mapped = {"code": "note", "name": "name", "email": {"from": "email", "only": "create"}}
    return lambda **integration: project_to_parties(tmp_path / "p", collection, parties, **{"map": mapped, **integration})


class TestParties:
    """Tryton as a destination. It can't be searched by what a connector can say, so it is listed."""

    def test_parties_are_created_matched_and_renamed(
        self, to_parties: Callable[..., Project], collection: Collection, parties: Parties
    ) -> None:
        parties.create("0", name="Old name")
        for number in range(3):
            collection.put(f"c{number}", email=f"c{number}@example.com", name=f"Contact {number}", note=parties.code(str(number)))
        project = to_parties()
        first, second = project.run("parties"), project.run("parties")
        collection.patch("c1", name="Zoë 😀")
        third = project.run("parties")

        assert {"green": 3, "created": 2, "updated": 1, "matched": 1} == told(first)
        assert {"green": 0} == told(second)
        assert {"green": 1, "updated": 1} == told(third)
        assert {
            parties.code("0"): ("Contact 0", ""),
            parties.code("1"): ("Zoë 😀", "c1@example.com"),
            parties.code("2"): ("Contact 2", "c2@example.com"),
        } == {party["code"]: (party["name"], party["email"]) for party in parties.all("email")}

    def test_a_deletion_is_carried_over(self, to_parties: Callable[..., Project], collection: Collection, parties: Parties) -> None:
        for number in range(2):
            collection.put(f"c{number}", name="Jo", note=parties.code(str(number)))
        project = to_parties(deletes="delete")
        project.run("parties")
        collection.delete("c0")

        assert {"green": 1, "deleted": 1} == told(project.run("parties"))
        assert [parties.code("1")] == [party["code"] for party in parties.all()]

    @pytest.mark.parametrize("fault", [Fault(lose_answer=True, method="POST", times=2), Fault(reset=True, method="POST", times=2)],
                             ids=["lost-answer", "reset"])  # fmt: skip
    def test_a_lost_answer_makes_no_double(
        self,
        to_parties: Callable[..., Project],
        collection: Collection,
        parties: Parties,
        faultproxy: Callable[[str], FaultProxy],
        fault: Fault,
    ) -> None:
        """A second try would be refused, because codes are unique; but no one needs to try."""
        for number in range(4):
            collection.put(f"c{number}", name="Jo", note=parties.code(str(number)))
        project = to_parties()
        proxy = faultproxy(project.environ["TRYTON_URL"])
        project.environ["TRYTON_URL"] = proxy.url
        proxy.strike(fault)

        assert {"green": 4, "created": 4} == told(project.run("parties"))
        assert 2 == proxy.counts.struck
        assert 4 == parties.count()

    def test_a_broken_rule_is_parked_with_the_erps_words(
        self, to_parties: Callable[..., Project], collection: Collection, parties: Parties
    ) -> None:
        """Tryton does not count a party that is switched off, and forbids a second one with its code all the same."""
        hidden = parties.create("0", name="Hidden")
        parties.change(hidden["id"], active=False)
        for number in range(3):
            collection.put(f"c{number}", name="Jo", note=parties.code(str(number)))
        project = to_parties()

        outcome = project.run("parties")

        assert {"attention": 3, "created": 2, "parked": 1} == told(outcome)
        assert "The code on party must be unique." in project.letters()[0].message


class TestMembers:
    """Mailman's members, with a setting that can be changed and a way out."""

    @pytest.fixture
    def project(self, tmp_path: Path, collection: Collection, mailing_list: MailingList) -> Project:
        """Kinto's contacts become members; their notes are the delivery modes."""
        mailman = mailing_list.server
        variables = {"MAILMAN_URL": mailman.url.removesuffix("/3.1"), "MAILMAN_PASSWORD": mailman.password}
        return new_project(
            tmp_path / "p",
            {**environ(collection.server), **variables},
            connectors={"kinto": None, "mailman": None},
            connections={
                "crm": connection(collection, "KINTO_URL"),
                "lists": {
                    "connector": "mailman",
                    "auth": {"basic": {"username": mailman.user, "password": "${env:MAILMAN_PASSWORD}"}},
                    "variables": {"list": mailing_list.list_id},
                },
            },
            members={
                "from": "crm.contacts",
                "to": "lists.members",
                "match": {"email": "email"},
                "unmatched": "create",
                "conflict": "target",
                "deletes": "delete",
                "map": {"list_id": {"const": mailing_list.list_id}, "subscriber": "email", "delivery_mode": "note"},
            },
        )

    def test_a_setting_is_changed_and_nothing_else(self, project: Project, collection: Collection, mailing_list: MailingList) -> None:
        seed(collection, 2, note="regular")
        project.run("members")
        collection.patch("c1", note="mime_digests")

        assert {"green": 1, "updated": 1} == told(project.run("members"))
        assert b'{"delivery_mode":"mime_digests"}' == next(request.body for request in project.requests if request.method == "PATCH")
        assert {"c0@example.com": "regular", "c1@example.com": "mime_digests"} == {
            member["email"]: member["delivery_mode"] for member in mailing_list.members()
        }

    def test_a_setting_that_mailman_does_not_have_is_parked_before_it_is_asked(self, project: Project, collection: Collection) -> None:
        seed(collection, 1, note="by_pigeon")

        assert {"attention": 1, "parked": 1} == told(project.run("members"))
        assert [] == project.sent("POST")

    def test_whoever_is_deleted_is_unsubscribed(self, project: Project, collection: Collection, mailing_list: MailingList) -> None:
        seed(collection, 3, note="regular")
        project.run("members")
        collection.delete("c1")

        assert {"green": 1, "deleted": 1} == told(project.run("members"))
        assert ["c0@example.com", "c2@example.com"] == sorted(member["email"] for member in mailing_list.members())

    def test_whoever_has_left_already_is_no_trouble(self, project: Project, collection: Collection, mailing_list: MailingList) -> None:
        seed(collection, 1, note="regular")
        project.run("members")
        [member] = mailing_list.members()
        mailing_list.server.call("DELETE", f"/members/{member['member_id']}").expect(204)
        collection.delete("c0")

        assert {"green": 1, "deleted": 1} == told(project.run("members"))

    def test_somebody_who_subscribes_by_themselves_in_that_very_moment_is_adopted(
        self, project: Project, collection: Collection, mailing_list: MailingList
    ) -> None:
        """Mailman says that they are a member already: that is what was wanted."""
        seed(collection, 1, note="regular")

        def be_faster(requests: list[Any]) -> None:
            if requests[-1].method == "POST":
                mailing_list.subscribe("c0@example.com").expect(201)

        project.before_each = be_faster

        assert {"green": 1, "created": 1} == told(project.run("members"))
        assert 1 == mailing_list.count()
        [member] = mailing_list.members()
        [story] = project.explain("crm", "contacts", "c0")
        assert member["member_id"] == story.target_id
        assert "it was there already" in [moment.what for moment in story.moments]
