"""What a person does with a two-way integration, on the command line: look ahead, decide conflicts, put right who is who."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cli.world import World

NAME = "people"
LEFT, RIGHT = "crm leads", "email members"
REASON = ("--reason", "Ann called them")
INTEGRATION = """
purpose: Whoever is changed in the CRM or in the list is the same in both.
owner: desk@example.com
from: crm.leads
to: email.members
direction: two-way
freshness: 10m
unavailable: { keep: 7d }
match: { email_address: email }
unmatched: { left: create, right: create }
conflict: hold
deletes: { left: ignore, right: delete, edited: hold }
map:
  email_address: { from: email, as: email }
  merge_fields.FNAME: first_name
  merge_fields.LNAME: { from: last_name, conflict: left }
  merge_fields.COMPANY: { from: company.name, only: forward }
  status: { const: subscribed, only: create }
"""
LEADS = [
    {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"},
    {"first_name": "Mary", "last_name": "Somerville", "email": "mary@example.com"},
    {"first_name": "Grace", "last_name": "Hopper", "email": "grace@example.com"},
    {"first_name": "Jean", "last_name": "Bartik", "email": "jean@example.com"},
]
MEMBERS = [
    {"email_address": "ada@example.com", "status": "subscribed", "merge_fields": {"FNAME": "Ada", "LNAME": "Lovelace"}},
    {"email_address": "mary@example.com", "status": "subscribed", "merge_fields": {"FNAME": "M.", "LNAME": "Somerville"}},
    {"email_address": "kay@example.com", "status": "subscribed", "merge_fields": {"FNAME": "Kay", "LNAME": "McNulty"}},
]


class TwoWay:
    """A CRM and a list that are kept the same, a few people in both."""

    def __init__(self, world: World) -> None:
        self.world, self.crm, self.email, self.tieline = world, world.crm, world.email, world.tieline
        for file in (world.folder / "integrations").glob("*.yaml"):
            file.unlink()
        # No one is ever shown so; who is gone is missing.
        paging = "      paging: { style: offset, param: offset, size: 500, size_param: count }\n"
        world.change("connectors/postbox.yaml", (paging, f"{paging}      tombstone: {{ field: status, equals: cleaned }}\n"))
        self.declare()
        for system, kept in ((world.crm, LEADS), (world.email, MEMBERS)):
            for record in system.records:
                system.ask("DELETE", f"records/{record['id']}")
            for record in kept:
                system.ask("POST", "records", record)

    def declare(self, *replaced: tuple[str, str]) -> None:
        """Write the integration, with some of it replaced."""
        text = INTEGRATION
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        (self.world.folder / f"integrations/{NAME}.yaml").write_text(text.lstrip(), "utf-8")

    def lead(self, name: str) -> dict[str, Any]:
        """Return someone's record in the CRM, by the beginning of the address."""
        return next(lead for lead in self.crm.records if lead["email"].startswith(name))

    def member(self, name: str) -> dict[str, Any]:
        """Return someone's record in the list."""
        return next(member for member in self.email.records if member["email_address"].startswith(name))

    def both(self, name: str) -> tuple[str, str]:
        """Return someone's first name, as either system says it."""
        return self.lead(name)["first_name"], self.member(name)["merge_fields"]["FNAME"]

    def edit(self, name: str, left: str | None = None, right: str | None = None, field: str = "first_name") -> None:
        """Let people change a name of someone."""
        if left is not None:
            self.crm.edit(self.lead(name), **{field: left})
        if right is not None:
            member, merge = self.member(name), {"first_name": "FNAME", "last_name": "LNAME"}[field]
            self.email.edit(member, merge_fields={**member["merge_fields"], merge: right})


@pytest.fixture
def people(world: World) -> TwoWay:
    """The world before anything has run."""
    return TwoWay(world)


@pytest.fixture
def met(people: TwoWay) -> TwoWay:
    """A world in which both sides have met, and no one waits for anything."""
    people.edit("mary", right="Mary")
    assert 0 == people.tieline("run").code
    return people


def test_a_plan_of_the_first_meeting_says_who_is_who_and_a_run_does_what_it_says(people):
    for first in ("Betty", "Elizabeth"):
        people.crm.ask("POST", "records", {"first_name": first, "last_name": "Holberton", "email": "betty@example.com"})
    shown = people.tieline("plan", NAME, "--out", "plan.jsonl")
    planned = people.tieline("plan", NAME, "--json").json
    masked = people.tieline("plan", NAME, "--mask")
    meeting, (conflict,) = planned["meeting"], planned["conflicts"]["records"]
    ran = people.tieline("run", NAME, "--plan", "plan.jsonl")
    later = people.tieline("plan", NAME, "--json").json
    people.edit("ada", right="Adele")
    people.tieline("plan", NAME, "--out", "later.jsonl")
    people.edit("ada", right="Adelaide")
    stale = people.tieline("run", NAME, "--plan", "later.jsonl")

    assert 0 == shown.code
    assert {"matched": 2, "ambiguous": 2, "only_left": 2, "only_right": 1} == {name: part["count"] for name, part in meeting.items()}
    assert {"create"} == {one["follows"] for side in ("only_left", "only_right") for one in meeting[side]["records"]}
    assert ({"first_name": "Mary"}, {"merge_fields.FNAME": "M."}) == (conflict["left"], conflict["right"])
    assert {"left": {"create": 1, "update": 0, "delete": 0}, "right": {"create": 2, "update": 0, "delete": 0}} == planned["to"]
    for line in ("matched: 2", "ambiguous: 2", "only in crm.leads: 2", "only in email.members: 1", "conflicts that would wait for you: 1"):
        assert line in shown.out
    assert re.search(r"\+ create \w+ → crm.leads", shown.out)
    assert "kay@example.com" not in masked.out
    assert 1 == ran.code
    assert ("Kay", "Kay") == people.both("kay")
    assert {0} == {part["count"] for part in later["meeting"].values()}
    assert 4 == stale.code
    assert "Adelaide" in stale.err


def test_a_conflict_is_looked_at_and_resolved_for_either_side(met):
    met.edit("ada", "Adah", "Adele")
    met.edit("jean", "Betty", "Jeanne")
    assert 1 == met.tieline("run").code
    shown = met.tieline("conflicts", "list")
    one, other = met.tieline("conflicts", "list", NAME, "--json").json
    whole = met.tieline("conflicts", "show", str(one["id"]))
    masked = met.tieline("conflicts", "show", str(one["id"]), "--mask")
    kept = met.tieline("conflicts", "resolve", str(one["id"]), "--keep", "right", *REASON)
    met.tieline("conflicts", "resolve", "--all", "--keep", "left", *REASON)

    assert 1 == shown.code
    assert '"Adah"' in shown.out
    assert '"Adele"' in shown.out
    assert ["merge_fields.FNAME"] == one["fields"] == other["fields"]
    assert ({"first_name": "Adah"}, {"merge_fields.FNAME": "Adele"}) == (one["left"], one["right"])
    assert "merge_fields.FNAME: first_name" in whole.out
    assert f"history tieline explain {LEFT} {one['left_id']}" in whole.out
    assert "Adele" not in masked.out
    assert 1 == kept.code, "the other one is open"
    assert ("Adele", "Adele") == met.both("ada")
    assert ("Betty", "Betty") == met.both("jean")
    assert 0 == met.tieline("conflicts", "list").code


def test_the_counts_of_a_plan_add_up_whatever_is_held(met):
    """Ada has a conflict, and another field that goes over; Mary had one before."""
    met.edit("mary", "Maria", "Marie")
    met.tieline("run")
    met.edit("mary", left="Smith", field="last_name")
    met.edit("ada", "Adah", "Adele")
    met.edit("ada", left="King", field="last_name")
    met.edit("jean", "Jane", "Jeanne")
    planned = met.tieline("plan", NAME, "--full").out
    counts = re.search(
        r"(\d+) read: (\d+) to create, (\d+) to update, (\d+) to delete .*?\), (\d+) unchanged, (\d+) filtered, (\d+) to hold", planned
    )
    read, *parts = map(int, counts.groups())

    assert read == sum(parts), planned
    assert "1 to hold, and 1 of those to write in a part" in planned, "Mary is held already, and counted as written"


def test_a_ruling_about_what_a_side_does_not_say_any_more_is_asked_again(met):
    met.edit("ada", "Adah", "Adele")
    met.edit("jean", "Betty", "Jeanne")
    met.tieline("run")
    ada, jean = met.tieline("conflicts", "list", "--json").json
    if "Adah" not in ada["left"].values():
        ada, jean = jean, ada
    met.edit("ada", right="Adelaide")
    said = met.tieline("conflicts", "resolve", str(ada["id"]), str(jean["id"]), "--keep", "left", *REASON)
    (again,) = met.tieline("conflicts", "list", "--json").json
    met.edit("ada", right="Adela")
    told = met.tieline("conflicts", "resolve", str(again["id"]), "--keep", "left", *REASON, "--json")

    assert (1, True) == (said.code, "1 conflict: left holds" in said.out)
    assert f'conflict {ada["id"]} is held again, as {again["id"]}: the right said "Adele", and says "Adelaide" now' in said.out
    assert (1, []) == (told.code, told.json["resolved"])
    assert [(again["id"], {"merge_fields.FNAME": "Adela"})] == [(one["was"], one["now"]["right"]) for one in told.json["held_again"]]
    assert ("Betty", "Betty") == met.both("jean")


def test_a_ruling_outlives_an_outage(met):
    met.edit("ada", "Adah", "Adele")
    met.tieline("run")
    (one,) = met.tieline("conflicts", "list", "--json").json
    met.email.faults(outage=True)
    down = met.tieline("conflicts", "resolve", str(one["id"]), "--keep", "left", *REASON)
    met.email.ask("DELETE", "faults")
    shown = met.tieline("conflicts", "show", str(one["id"]))
    again = met.tieline("run")

    assert (1, 0) == (down.code, again.code)
    assert "1 conflict: left holds as soon as a run gets through" in down.out
    assert "ruled   left holds" in shown.out
    assert ("Adah", "Adah") == met.both("ada")


def test_what_a_policy_overwrote_is_listed_and_given_back_to_both_sides(met):
    met.edit("ada", "Byron", "King", field="last_name")
    assert 0 == met.tieline("run").code
    listed = met.tieline("conflicts", "list", "--decided")
    (one,) = met.tieline("conflicts", "list", "--decided", "--json").json
    restored = met.tieline("conflicts", "restore", str(one["event"]), *REASON)
    met.tieline("run")
    met.tieline("run", "--full")
    twice = met.tieline("conflicts", "restore", str(one["event"]), *REASON)
    (after,) = met.tieline("conflicts", "list", "--decided", "--json").json
    told = met.tieline("explain", *RIGHT.split(), one["record"]).out
    mirrored = met.tieline("explain", *LEFT.split(), str(met.lead("ada")["id"])).out

    assert '"King"' in listed.out
    assert ("left", {"merge_fields.LNAME": "King"}, None) == (one["kept"], one["lost"], one["by"])
    assert 0 == restored.code
    assert ("King", "King") == (met.lead("ada")["last_name"], met.member("ada")["merge_fields"]["LNAME"])
    assert after["restored_at"] is not None
    assert (2, True) == (twice.code, "say that already" in twice.err)
    assert 1 == told.count("restored by hand")
    assert told == mirrored
    assert re.search(r"conflict decided .*restored by hand .*→ crm.leads.*→ email.members", told, re.DOTALL)
    assert 0 == met.tieline("status").code


def test_what_was_held_both_ways_is_given_up_once_it_goes_one_way(met):
    """No one can decide it any more, and whoever looks at it is told what works."""
    met.edit("ada", "Adah", "Adele")
    met.tieline("run")
    (one,) = met.tieline("conflicts", "list", "--json").json
    number = str(one["id"])
    met.declare(
        ("direction: two-way", "direction: one-way"), ("conflict: hold\n", "conflict: target\n"), ("{ left: create, right: create }", "create"),
        ("deletes: { left: ignore, right: delete, edited: hold }\n", ""), (", conflict: left", ""), (", only: forward", ""),
    )  # fmt: skip
    met.tieline("run")
    advice = f"{NAME} goes one way now"
    listed, letters, shown = (met.tieline(*words) for words in (("conflicts", "list"), ("dead-letters",), ("conflicts", "show", number)))
    refused = met.tieline("conflicts", "resolve", number, "--keep", "left", *REASON)
    status = met.tieline("status").out
    given_up = met.tieline("dead-letters", "discard", number, *REASON)

    assert (1, True, False) == (listed.code, advice in listed.out, "resolve NO" in listed.out)
    assert f"tieline dead-letters discard --integration {NAME} --cause conflict" in letters.out
    assert "conflicts resolve" not in letters.out
    assert f"`tieline dead-letters discard {number} --reason" in shown.out
    assert (2, True, True) == (refused.code, advice in refused.err, "two-way` again" in refused.err)
    assert (False, True) == ("in sync" in status, "see `tieline dead-letters`" in status)
    assert (0, 0) == (given_up.code, met.tieline("status").code), given_up.said


def test_a_deletion_against_an_edit_is_decided_either_way(met):
    for name in ("ada", "jean"):
        met.edit(name, left="Someone")
        met.email.ask("DELETE", f"records/{met.member(name)['id']}")
    assert 1 == met.tieline("run").code
    found = {one["left"]["first_name"] + one["left_id"]: one for one in met.tieline("conflicts", "list", "--json").json}
    ada, jean = (str(found[f"Someone{met.lead(name)['id']}"]["id"]) for name in ("ada", "jean"))
    met.tieline("conflicts", "resolve", ada, "--keep", "right", *REASON)
    last = met.tieline("conflicts", "resolve", jean, "--keep", "left", *REASON)

    assert {"right"} == {one["gone"] for one in found.values()}
    assert 0 == last.code
    assert not any(lead["email"] == "ada@example.com" for lead in met.crm.records)
    assert ("Someone", "Someone") == met.both("jean")


def test_wrong_use_of_conflicts_says_what_to_do(met):
    met.edit("ada", "Adah", "Adele")
    met.tieline("run")
    (one,) = met.tieline("conflicts", "list", "--json").json
    number = str(one["id"])
    assert met.tieline("conflicts").out == met.tieline("conflicts", "list").out
    assert 0 == met.tieline("unmatched").code
    for arguments, words in (
        (("resolve", number, *REASON), "which side holds"),
        (("resolve", number, "--keep", "left"), "a reason is needed"),
        (("resolve", "--keep", "left", *REASON), "which ones?"),
        (("resolve", number, "--all", "--keep", "left", *REASON), "not both"),
        (("resolve", "--all", "--field", "phone", "--keep", "left", *REASON), "there is no conflict of `phone`"),
        (("resolve", "999", "--keep", "left", *REASON), "999 is no conflict"),
        (("restore", "999999", *REASON), "no decided conflict"),
    ):
        said = met.tieline("conflicts", *arguments)
        assert (2, True) == (said.code, words in said.err), (arguments, said)


def test_records_without_a_counterpart_are_linked_created_or_ignored(people):
    people.declare(("{ left: create, right: create }", "hold"))
    people.edit("mary", right="Mary")
    people.email.ask(
        "POST",
        "records",
        {"email_address": "g.hopper@example.com", "status": "subscribed", "merge_fields": {"FNAME": "Grace", "LNAME": "Hopper"}},
    )
    people.tieline("run")
    listed = people.tieline("unmatched", "list", NAME, "--fuzzy")
    held = people.tieline("verify", NAME)
    found = {one["key"]: one for one in people.tieline("unmatched", "list", "--fuzzy", "--json").json}
    grace, there = found["grace@example.com"], found["g.hopper@example.com"]
    linked = people.tieline("unmatched", "link", str(grace["id"]), there["record"], *REASON)
    created = people.tieline("unmatched", "create", str(found["jean@example.com"]["id"]), *REASON)
    (conflict,) = people.tieline("conflicts", "list", "--json").json
    ignored = people.tieline("unmatched", "ignore", "--all", "--side", "right", *REASON)
    people.tieline("conflicts", "resolve", "--all", "--keep", "left", *REASON)
    people.edit("kay", right="Kathleen")
    quiet = people.tieline("run")
    (alone,) = people.tieline("unmatched", "list", "--all", "--json").json
    after_all = people.tieline("unmatched", "create", "--integration", NAME, "--side", "right", "--record", alone["record"], *REASON)

    assert 1 == listed.code
    assert "% like email.members" in listed.out
    assert f"`tieline unmatched list {NAME}`" in held.out, "verify names the lists in which what is held can be seen"
    assert [there["record"]] == [one["id"] for one in grace["alike"]]
    assert 80 < grace["alike"][0]["score"] < 100
    assert 1 == linked.code == created.code == ignored.code
    assert ["email_address"] == conflict["fields"], "what they matched in differs, and is a conflict as any other"
    assert ("Grace", "Grace") == people.both("grace")
    assert ("Jean", "Jean") == people.both("jean")
    assert ("alone", "Kathleen") == (alone["state"], alone["says"]["merge_fields.FNAME"])
    assert (0, 0) == (quiet.code, after_all.code)
    assert ("Kathleen", "Kathleen") == people.both("kay")


def test_explain_tells_of_a_deletion_from_the_side_that_it_was_made_on(met):
    ada = str(met.lead("ada")["id"])
    met.email.ask("DELETE", f"records/{met.member('ada')['id']}")
    met.tieline("run", NAME, "--full", "--allow-deletes", "1")
    told = met.tieline("explain", *LEFT.split(), ada).out

    assert f"delete of {ada} confirmed" in told


def test_each_brake_is_let_pass_by_an_option_of_its_own(met):
    """Whoever has looked at deletions has not looked at fields that are emptied."""
    met.declare(("conflict: hold", "conflict: hold\nbrakes: { deletes: 0, clears: 0 }"))
    met.edit("ada", left="")
    met.email.ask("DELETE", f"records/{met.member('jean')['id']}")
    planned = met.tieline("plan", NAME, "--full")
    halted = met.tieline("run", NAME, "--full")
    deleted = met.tieline("run", NAME, "--full", "--allow-deletes", "1")
    still = met.both("ada")
    cleared = met.tieline("run", NAME, "--allow-clears", "1")

    both = f"`tieline run {NAME} --allow-deletes 1 --allow-clears 1`"
    assert (4, True) == (planned.code, both in planned.out)
    assert (4, True) == (halted.code, both in halted.out)
    assert (4, True, False) == (deleted.code, f"`tieline run {NAME} --allow-clears 1`" in deleted.out, "--allow-deletes" in deleted.out)
    assert not any(lead["email"] == "jean@example.com" for lead in met.crm.records)
    assert (("", "Ada"), 0, "") == (still, cleared.code, met.both("ada")[1])


def test_options_that_have_no_place_in_a_two_way_integration_begin_no_run(met):
    last = met.tieline("status", "--json").json[0]["last_run"]
    refused = met.tieline("run", NAME, "--limit", "1")

    alone = met.tieline("run", NAME, "--side", "right")

    assert (2, True) == (refused.code, "`--limit` has no place here" in refused.err)
    assert (2, True) == (alone.code, "--side goes with --only" in alone.err)
    assert last == met.tieline("status", "--json").json[0]["last_run"]


def test_a_wrong_pair_is_taken_apart_and_put_together_again(met):
    ada, member = str(met.lead("ada")["id"]), met.member("ada")["id"]
    listed = met.tieline("links", "list", NAME, "--json").json
    apart = met.tieline("links", "unlink", NAME, ada, *REASON)
    met.edit("ada", "Adah", "Adele")
    still = met.tieline("run")
    unlinked = met.tieline("links", "list", NAME, "--unlinked", "--json").json
    twice = met.tieline("links", "link", NAME, ada, met.member("mary")["id"], *REASON)
    together = met.tieline("links", "link", NAME, ada, member, *REASON)
    met.tieline("run")
    (conflict,) = met.tieline("conflicts", "list", "--json").json

    assert {"left_id": ada, "right_id": member, "verdict": "linked"} in listed
    assert f"`tieline links link {NAME} {ada} {member}` puts them together again" in apart.out
    assert f"`tieline run {NAME} --only {ada}` lets both meet" in together.out
    assert (0, 0) == (apart.code, still.code), "no one is made, and no one is asked"
    assert {(ada, None), (None, member)} == {(one["left_id"], one["right_id"]) for one in unlinked}
    assert (2, True) == (twice.code, "is the counterpart of" in twice.err)
    assert 0 == together.code
    assert ({"first_name": "Adah"}, {"merge_fields.FNAME": "Adele"}) == (conflict["left"], conflict["right"])


def test_status_counts_pairs_and_says_what_waits_while_a_system_is_down(met):
    met.edit("ada", "Adah", "Adele")
    met.tieline("run")
    met.edit("jean", "Betty")
    met.email.faults(outage=True)
    owed = met.tieline("run")
    down = met.tieline("status", "--json").json[0]
    shown = met.tieline("status").out
    told = met.tieline("explain", *LEFT.split(), str(met.lead("jean")["id"])).out
    met.email.ask("DELETE", "faults")
    met.tieline("run")
    up = met.tieline("status", "--json").json[0]

    assert 1 == owed.code
    assert {"in_sync": 3, "excluded": 0, "held": 1, "failing": 0, "staged": 1} == {
        k: v for k, v in down["pairs"].items() if k != "staged_since"
    }
    assert down["watermark"] < down["pairs"]["staged_since"]
    assert "3 in sync, 0 excluded, 1 held, 0 failing" in shown
    assert "100.0% of what could be sent arrived" in shown
    assert "1 change read and not decided yet" in shown
    assert "staged  crm.leads was read, and is not decided yet" in told
    assert (4, 0) == (up["pairs"]["in_sync"], up["pairs"]["staged"])


def test_a_dead_letter_says_which_way_it_was_going_and_is_given_up_or_tried_again(met):
    met.edit("ada", left="A" * 60)
    met.edit("jean", left="J" * 60)
    assert 1 == met.tieline("run").code
    listed = met.tieline("dead-letters")
    ada, jean = (
        next(letter for letter in met.tieline("dead-letters", "--json").json if letter["source_id"] == str(met.lead(name)["id"]))
        for name in ("ada", "jean")
    )
    shown = met.tieline("dead-letters", "show", str(ada["id"]))
    edited = met.tieline("dead-letters", "edit", str(ada["id"]), "--set", "first_name=Ada")
    kept = met.tieline("dead-letters", "resolve", str(ada["id"]), "--keep", "source", *REASON)
    given_up = met.tieline("dead-letters", "discard", str(ada["id"]), *REASON)
    met.edit("jean", left="Betty")
    again = met.tieline("dead-letters", "redrive", str(jean["id"]))
    quiet = met.tieline("run", "--full")

    assert f"{NAME} (crm.leads → email.members): refused by our check of `merge_fields.FNAME`" in listed.out
    assert "way     crm.leads → email.members" in shown.out
    assert "/back" not in listed.out + shown.out + met.tieline("status").out
    assert (2, True) == (edited.code, f"correct it in crm.leads, record {ada['source_id']}" in edited.err)
    assert (2, True) == (kept.code, "tieline conflicts resolve" in kept.err)
    assert (0, 0, 0) == (given_up.code, again.code, quiet.code)
    assert ("A" * 60, "Ada") == met.both("ada"), "both stand as they are"
    assert ("Betty", "Betty") == met.both("jean"), "what it says now was sent"


def test_a_conflict_that_is_given_up_leaves_both_sides_as_they_are_until_one_changes(met):
    met.edit("ada", "Adah", "Adele")
    met.edit("jean", left="Someone")
    met.email.ask("DELETE", f"records/{met.member('jean')['id']}")
    met.tieline("run")
    numbers = [str(one["id"]) for one in met.tieline("conflicts", "list", "--json").json]
    given_up = met.tieline("dead-letters", "discard", *numbers, *REASON)
    quiet = met.tieline("run", "--full")
    differ = met.both("ada")
    met.edit("ada", right="Adelaide")
    met.tieline("run")

    assert (2, 0, 0) == (len(numbers), given_up.code, quiet.code)
    assert ("Adah", "Adele") == differ
    assert ("Adelaide", "Adelaide") == met.both("ada")
    assert "Someone" == met.lead("jean")["first_name"]
    assert not any(member["email_address"].startswith("jean") for member in met.email.records)
