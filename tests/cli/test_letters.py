"""Dead letters on the command line: what a person sees, and what they can do about one or about all that are alike."""

from __future__ import annotations

import re
import signal
import time

import pytest

from cli.conftest import project_of_one
from cli.world import MEMBERS, NAME, QUALIFIED, World, until

INTEGRATION = f"integrations/{NAME}.yaml"
CONNECTOR = "connectors/postbox.yaml"
REASON = ("--reason", "looked it up")


@pytest.fixture
def refused(world):
    """A world in which the email platform has refused everybody: the mapping says a word that it does not know."""
    world.change(INTEGRATION, ("status: { const: subscribed }", "status: { const: welcome }"), ("      status: subscribed\n", ""))
    world.change(CONNECTOR, (", enum: [subscribed, unsubscribed, cleaned]", ""))
    assert 1 == world.tieline("run").code
    world.mend = lambda: world.change(INTEGRATION, ("status: { const: welcome }", "status: { const: subscribed }"))
    return world


@pytest.fixture
def conflicts(world):
    """A world in which both sides differ about everybody who is there already, and a person decides."""
    world.change(INTEGRATION, ("conflict: source", "conflict: hold"))
    assert 1 == world.tieline("run").code
    return world


@pytest.fixture
def in_doubt(world):
    """A world in which the answer to the first creation was lost, and the email platform can't be asked."""
    path = world.folder / CONNECTOR
    text = re.sub(r"    (list|find):.*?(?=\n    \w)", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"\n    batch:.*", "\n", text, flags=re.DOTALL).replace("idempotency: {", "# idempotency: {")
    path.write_text(text)
    world.change(INTEGRATION, ("match: { email_address: email }", "match: {}"))
    members = {member["email_address"] for member in world.email.records}
    lead = next(lead for lead in world.crm.records if lead["status"] == "qualified" and lead["email"].lower() not in members)
    world.lead = str(lead["id"])
    world.email.faults(lose_answer=1)
    assert 1 == world.tieline("run", NAME, "--only", world.lead).code
    (world.letter,) = [str(letter["id"]) for letter in world.tieline("dead-letters", "--json").json]
    world.there = next(member["id"] for member in world.email.records if member["email_address"] == lead["email"].lower())
    return world


def test_the_list_begins_with_the_groups(refused):
    refused.crm.ask("POST", "bad", {"kind": "phone"})
    refused.tieline("run")
    said = refused.tieline("dead-letters", "--limit", "5")
    groups = refused.tieline("dead-letters", "list", "--groups", "--json").json
    by_cause = refused.tieline("dead-letters", "list", NAME, "--cause", "mapping", "--json").json
    by_field = refused.tieline("dead-letters", "list", "--field", "merge_fields.PHONE", "--json").json
    everything = refused.tieline("dead-letters", "list", "--json").json
    some = refused.tieline("dead-letters", "list", "--json", "--limit", "3").json
    lines = said.out.splitlines()

    assert 1 == said.code
    assert lines[0].startswith(f"{QUALIFIED} × {NAME}: rejected, since ")
    assert any(f"tieline dead-letters redrive --integration {NAME} --cause rejected" in line for line in lines)
    assert any(line.startswith(f"1 × {NAME}: mapping of `merge_fields.PHONE`, since ") for line in lines)
    assert f"… and {QUALIFIED + 1 - 5} more" in said.out
    assert [(QUALIFIED, "rejected", None), (1, "mapping", "merge_fields.PHONE")] == [
        (group["number"], group["cause"], group["field"]) for group in groups
    ]
    assert by_cause == by_field
    assert (1, QUALIFIED + 1, 3) == (len(by_cause), len(everything), len(some))


def test_a_letter_is_shown_with_all_that_led_to_it(refused):
    letter = refused.tieline("dead-letters", "--json").json[0]
    shown = refused.tieline("dead-letters", "show", str(letter["id"]))
    in_json = refused.tieline("dead-letters", "show", str(letter["id"]), "--json").json
    masked = refused.tieline("dead-letters", "show", str(letter["id"]), "--mask")
    history = re.search(r"history (tieline explain crm leads \d+)", shown.out)

    assert re.search(r"request (create|update).*(POST|PATCH) http://127.0.0.1:\d+/3.0/lists/nurture/members", shown.out)
    assert 'status: "welcome"' in shown.out
    assert "  status  400" in shown.out
    assert re.search(r"answer  .*status", shown.out)
    assert f'email: "{letter["record"]["email"]}"' in shown.out
    assert history is not None
    assert letter["source_id"] in refused.tieline(*history[1].split()[1:]).out
    assert in_json["sent"]["url"].startswith("http://127.0.0.1")
    assert letter["record"] == in_json["record"]
    assert letter["record"]["email"].lower() not in masked.out.lower()
    assert "•••" in masked.out


def test_a_field_that_the_source_does_not_have_is_not_set(world):
    """It would be written into a record that no rule reads, and the letter would come back as it was."""
    world.crm.ask("POST", "bad", {"kind": "phone"})
    world.tieline("run")
    (letter,) = world.tieline("dead-letters", "--json").json
    wrong, unlike = world.both(
        ["dead-letters", "edit", str(letter["id"]), "--set", "fone=02 5550 0001", "--json"],
        ["dead-letters", "edit", str(letter["id"]), "--set", "nofield=1"],
    )
    (after,) = world.tieline("dead-letters", "--json").json
    right = world.tieline("dead-letters", "edit", str(letter["id"]), "--set", "phone=02 5550 0001")

    assert (2, 2, 0) == (wrong.code, unlike.code, right.code)
    assert "crm.leads: there is no field `fone`; nothing was changed" == wrong.json["error"]
    assert wrong.json["next"].startswith("did you mean `phone`? it has: ")
    assert "first_name" in wrong.json["next"]
    assert "next it has: " in unlike.err
    assert letter["record"] == after["record"]


def test_a_delivery_that_is_no_letter_is_not_shown_as_one(refused):
    letter = refused.tieline("dead-letters", "--json").json[0]
    refused.mend()
    refused.tieline("dead-letters", "redrive", str(letter["id"]))
    (story,) = refused.tieline("explain", "crm", "leads", letter["source_id"], "--json").json
    delivered = next(moment["delivery"] for moment in story["moments"] if moment["what"] == "delivered")
    shown, was = refused.both(["dead-letters", "show", str(delivered)], ["dead-letters", "show", str(letter["id"])])

    assert (2, 0) == (shown.code, was.code)
    assert f"{delivered} is no dead letter, but a delivery of record {letter['source_id']}: delivered" in shown.err
    assert f"next tieline explain crm leads {letter['source_id']}" in shown.err
    assert f"dead letter {letter['id']}" in was.out


def test_a_letter_shows_the_rule_as_it_stands_now(world):
    world.crm.ask("POST", "bad", {"kind": "phone"})
    world.tieline("run")
    (letter,) = world.tieline("dead-letters", "--json").json
    world.change(
        INTEGRATION,
        ("map:\n", "# moved\nmap:\n"),
        ("{ from: phone, as: phone, region: AU }", "{ from: phone, as: phone, region: AU, default: null }"),
    )
    shown = world.tieline("dead-letters", "show", str(letter["id"]))
    then, now = (int(line) for line in re.findall(rf"rule +{INTEGRATION}:(\d+) (?:then|now)", shown.out))

    assert then + 1 == now
    assert "merge_fields.PHONE: { from: phone, as: phone, region: AU, default: null }" in shown.out


def test_a_few_are_tried_first_and_then_all(refused):
    refused.mend()
    few = refused.tieline("dead-letters", "redrive", "--cause", "rejected", "--limit", "3")
    rest = refused.tieline("dead-letters", "redrive", "--cause", "rejected", "--json")
    none = refused.tieline("dead-letters", "redrive", "--cause", "rejected")

    assert "3 read = " in few.out
    assert f"{QUALIFIED - 3} of these are open; the same command goes on with the oldest" in few.out
    assert QUALIFIED - 3 == rest.json[0]["counts"]["read"]
    assert 0 == rest.code
    assert refused.qualified == refused.members
    assert 2 == none.code
    assert "there is no dead letter of cause `rejected`" in none.err


def test_a_redrive_at_a_rate_is_interrupted_and_goes_on(refused):
    """What it had not come to is open as before; nothing is sent twice."""
    refused.mend()
    command = refused.start("dead-letters", "redrive", "--cause", "rejected", "--rate", "2/s")
    began = time.monotonic()
    until(lambda: len(refused.members) >= MEMBERS + 4, command)
    took = time.monotonic() - began
    command.send_signal(signal.SIGINT)
    stopped = command.end()
    left = len(refused.tieline("dead-letters", "--json").json)
    rest = refused.tieline("dead-letters", "redrive", "--integration", NAME, "--rate", "1000/s")

    assert 130 == stopped.code
    assert took > 0.5
    assert QUALIFIED // 2 < left < QUALIFIED
    assert 0 == rest.code
    assert f"{left} read = " in rest.out
    assert refused.qualified == refused.members


def test_conflicts_are_settled_all_at_once(conflicts):
    said = conflicts.tieline("dead-letters")
    settled = conflicts.tieline("dead-letters", "resolve", "--cause", "conflict", "--keep", "source", *REASON)
    again = conflicts.tieline("run")

    assert f"{MEMBERS} × {NAME}: conflict of `" in said.out
    assert "--cause conflict" in said.out
    assert "--keep source (or target)" in said.out
    assert 0 == settled.code
    assert f"{MEMBERS} updated" in settled.out
    assert 0 == again.code
    assert "1 read = 1 unchanged" in again.out


def test_a_lost_answer_is_settled_by_the_record_s_id(in_doubt):
    shown = in_doubt.tieline("dead-letters", "show", in_doubt.letter)
    blind = in_doubt.tieline("dead-letters", "redrive", in_doubt.letter)
    (letter,) = [str(letter["id"]) for letter in in_doubt.tieline("dead-letters", "--json").json]
    wrong = in_doubt.tieline("dead-letters", "resolve", letter, "--as", "nobody", *REASON)
    settled = in_doubt.tieline("dead-letters", "resolve", letter, "--as", in_doubt.there, *REASON)
    told = in_doubt.tieline("explain", "crm", "leads", in_doubt.lead)

    assert f"resolve {in_doubt.letter} --as ID" in shown.out
    assert 1 == blind.code
    assert 2 == wrong.code
    assert "has no record nobody; nothing was changed" in wrong.err
    assert 0 == settled.code
    assert MEMBERS + 1 == len(in_doubt.members)
    assert "settled by hand" in told.out
    assert "looked it up" in told.out
    assert 0 == in_doubt.tieline("status").code


def test_what_was_never_done_is_sent_again(in_doubt):
    in_doubt.email.ask("DELETE", f"records/{in_doubt.there}")
    settled = in_doubt.tieline("dead-letters", "resolve", in_doubt.letter, "--not-done", *REASON)

    assert 0 == settled.code
    assert "1 created" in settled.out
    assert MEMBERS + 1 == len(in_doubt.members)


def test_all_of_a_kind_are_given_up(refused):
    given_up = refused.tieline("dead-letters", "discard", "--cause", "rejected", *REASON)
    after = refused.tieline("status")

    assert f"discarded: {QUALIFIED}" in given_up.out
    assert 0 == after.code
    assert [] == refused.tieline("dead-letters", "--json").json


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("redrive", "which ones?"),
        ("redrive 1 --cause mapping", "not both"),
        ("redrive --cause nothing", "there are: rejected"),
        ("redrive --cause rejected --rate fast", "`fast` is no rate"),
        ("redrive --cause rejected --rate 0/s", "`0/s` is no rate"),
        ("redrive --integration nobody", "there is no integration `nobody`"),
        ("resolve NO", "a reason is needed"),
        ("resolve NO --reason x", "what became of it?"),
        ("resolve NO --as 1 --not-done --reason x", "what became of it?"),
        ("resolve --cause rejected --not-done --reason x", "name them by number"),
        ("resolve NO --not-done --reason x", "no one doubts that it was not done"),
        ("resolve NO --keep target --reason x", "is no conflict between two records"),
        ("discard NO", "a reason is needed"),
        ("discard --reason x", "which ones?"),
        ("show 999999", "there is no dead letter 999999"),
    ],
)
def test_what_makes_no_sense_is_refused(refused_once, arguments, words):
    """With exit code 2, and nothing is changed."""
    world, letter = refused_once
    before = world.store.stat().st_size
    said = world.tieline("dead-letters", *[letter if word == "NO" else word for word in arguments.split()])

    assert 2 == said.code, said.said
    assert words in said.err
    assert " next " in said.err
    assert before <= world.store.stat().st_size
    assert QUALIFIED == len(world.tieline("dead-letters", "--json").json)


@pytest.fixture(scope="module")
def refused_once(tmp_path_factory, systems, cache):
    """A world in which everybody was refused, for those who change nothing."""
    for system in systems:
        system.ask("POST", "reset")
    world = World(project_of_one(tmp_path_factory.mktemp("refused") / "project"), *systems, cache)
    world.change(INTEGRATION, ("status: { const: subscribed }", "status: { const: welcome }"), ("      status: subscribed\n", ""))
    world.change(CONNECTOR, (", enum: [subscribed, unsubscribed, cleaned]", ""))
    world.tieline("run")
    return world, str(world.tieline("dead-letters", "--json").json[0]["id"])


def test_a_run_that_owes_and_has_letters_says_both(world):
    world.crm.ask("POST", "bad", {"kind": "phone"})
    world.tieline("run")
    lead = next(lead for lead in world.crm.records if lead["status"] == "qualified")
    world.crm.edit(lead, first_name="Ingrid")
    world.email.faults(outage=True)
    said = world.tieline("run")

    assert 1 == said.code
    assert "1 owed" in said.out
    assert "1 parked" in said.out
    assert re.search(r"next: see `tieline dead-letters`; .*owed", said.out)


def test_deletions_are_allowed_one_integration_at_a_time(world):
    said = world.tieline("run", "--allow-deletes", "5")

    cleared = world.tieline("run", NAME, "--allow-clears", "5")
    sided = world.tieline("run", NAME, "--only", "1", "--side", "right")

    assert 2 == said.code
    assert "--allow-deletes needs the integration's name" in said.err
    assert (2, True) == (sided.code, "goes one way, and is run for records of its source" in sided.err)
    assert (2, True) == (cleared.code, "goes one way, where no brake is on emptied fields" in cleared.err)
