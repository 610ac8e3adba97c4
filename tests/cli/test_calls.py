"""`tieline calls` and log lines, used as a person or a scheduler would."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cli.world import NAME


@pytest.fixture
def troubled(world):
    """A plan, a run, and a second one in which the email platform answers 500 once, and a record can't be sent."""
    world.tieline("plan", NAME)
    world.tieline("run", NAME)
    world.email.faults(fail=1)
    good, better, bad = [lead for lead in world.crm.records if lead["status"] == "qualified"][:3]
    world.crm.edit(good, phone="03 7010 4455")
    world.crm.edit(better, phone="03 7010 4456")
    world.crm.edit(bad, phone="call me")
    world.lead = str(bad["id"])
    world.ran = world.tieline("run", NAME, "--log", "json")
    return world


def lines(world, *options):
    """The calls that a search finds, as JSON lines."""
    found = world.tieline("calls", *options, "--json")
    assert 0 == found.code, found.said
    return [json.loads(line) for line in found.out.splitlines()]


def test_each_option_narrows_the_search(troubled):
    every = lines(troubled)
    failed = lines(troubled, "--failed")
    by_run = lines(troubled, "--run", "1")
    written = next(call for call in every if call["operation"] == "update" and call["run"] == 2 and call["status"] == 200)
    of_record = lines(troubled, "--record", "crm", "leads", written["records"][0])
    member = next(member for member in troubled.email.records if member["merge_fields"].get("COMPANY"))

    assert [("unavailable", 500)] == [(call["class"], call["status"]) for call in failed]
    assert {None, 1, 2} == {call["run"] for call in every}
    assert {1} == {call["run"] for call in by_run}
    assert sorted(call["at"] for call in every) == [call["at"] for call in every]
    assert [failed[0]["call"], written["call"]] == [call["call"] for call in of_record][-2:]
    assert all(written["records"][0] in call["records"] for call in of_record)
    assert lines(troubled, "--record", "email", "members", member["id"])
    assert {"email"} == {call["connection"] for call in lines(troubled, "--connection", "email")}
    assert every == lines(troubled, NAME, "--since", "1h")
    assert [] == lines(troubled, "--since", "2099-01-01")
    assert [] == lines(troubled, "--slow", "1h")
    assert failed == lines(troubled, "--status", "500")
    assert every[-2:] == lines(troubled, "--limit", "2")


def test_a_table_says_how_many_there_are_and_how_to_see_more(troubled):
    some = troubled.tieline("calls", "--limit", "2")
    none = troubled.tieline("calls", "--status", "418")
    heading, *rows = some.out.splitlines()

    assert ["no.", "at", "run", "status", "class", "took", "call"] == heading.split()
    assert rows[2].startswith("the latest 2 of ")
    assert "--limit N shows more" in rows[2]
    assert rows[3].startswith("calls are kept for 30 d; the oldest is of ")
    assert "there is no such call in the journal" in none.out


def test_one_call_is_shown_whole_with_what_came_of_it(troubled):
    (call,) = lines(troubled, "--failed")
    shown = troubled.tieline("calls", str(call["call"]))
    whole = troubled.tieline("calls", str(call["call"]), "--json").json
    masked = troubled.tieline("calls", str(call["call"]), "--mask")

    assert "class   unavailable: the system is overloaded" in shown.out
    assert "Content-Type: application/json" in shown.out
    assert '"merge_fields": {' in shown.out
    assert f"delivered by call {call['call'] + 1}" in shown.out
    assert "next    nothing; tieline tries again by itself" in shown.out
    assert len(call["records"]) == len(whole["deliveries"])
    assert {"delivered"} == {delivery["state"] for delivery in whole["deliveries"]}
    assert "+61370104455" in shown.out
    assert "+61370104455" not in masked.out


def test_what_is_made_of_personal_data_is_personal(troubled):
    """Also where only the other system's connector says so."""
    (call,) = lines(troubled, "--failed")
    connector = troubled.folder / "connectors/postbox.yaml"
    connector.write_text(connector.read_text("utf-8").replace("personal: true", "personal: false"), "utf-8")
    masked = troubled.tieline("calls", str(call["call"]), "--mask")

    assert "merge_fields" in masked.out
    assert "+61370104455" not in masked.out


def test_what_was_said_is_shown_on_request(troubled):
    plain = troubled.tieline("calls", "--failed")
    said = troubled.tieline("calls", "--failed", "--body")
    (line,) = lines(troubled, "--failed", "--body")

    assert "merge_fields" not in plain.out
    assert "merge_fields" in said.out
    assert "merge_fields" in line["said"]["request"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "there is no integration `nonsense`"),
        (["999999"], "there is no call 999999"),
        (["1", "--failed"], "a number shows one call whole"),
        (["--since", "yesterday"], "neither a length of time nor a moment"),
        (["--slow", "2"], "expected a duration with a unit"),
        (["--connection", "nowhere"], "there is no connection `nowhere`"),
        (["--record", "crm", "nothing", "1"], "`crm` has no resource `nothing`"),
    ],
)
def test_a_search_that_makes_no_sense_is_explained(world, arguments, said):
    refused = world.tieline("calls", *arguments)

    assert 2 == refused.code
    assert said in refused.err
    assert " next " in refused.err


def test_trying_the_connections_is_journaled(world):
    world.tieline("check", "--live")
    found = lines(world)

    assert {"crm", "email"} == {call["connection"] for call in found}
    assert {(None, None)} == {(call["integration"], call["run"]) for call in found}
    assert "no one's run: the connection was tried" in world.tieline("calls", "1").out


def test_log_lines_have_the_ids_of_the_journal(troubled):
    told = [json.loads(line) for line in troubled.ran.err.splitlines()]
    by_name = {line["event"]: line for line in told}
    failed = by_name["call.failed"]
    (call,) = lines(troubled, "--failed")
    (letter,) = troubled.tieline("dead-letters", "--json").json

    assert ("run.started", "run.ended") == (told[0]["event"], told[-1]["event"])
    assert (call["call"], "unavailable", NAME, 2) == (failed["call"], failed["kind"], failed["integration"], failed["run"])
    assert failed["records"] == call["records"][:10]
    assert by_name["delivery.retried"]["wait_seconds"] > 0
    assert troubled.lead == by_name["delivery.parked"]["record"]
    assert letter["id"] == by_name["delivery.parked"]["delivery"]
    assert "4455" not in troubled.ran.err
    assert 10 > len(told)


def test_log_lines_are_off_unless_they_are_asked_for(world):
    quiet = world.tieline("run", NAME)
    loud = world.tieline("run", NAME, environ={**world.environ, "TIELINE_LOG": "text"})

    assert "" == quiet.err
    assert loud.err.splitlines()[0].startswith("run.started timestamp=")
    assert f"integration={NAME} run=2" in loud.err
    assert "read=1 unchanged=1" in loud.err


def test_nothing_of_the_logs_is_imported_before_they_are_asked_for(world):
    code = "import sys, tieline.cli.commands, tieline.cli.operate; print('structlog' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], env=world.environ, capture_output=True, text=True, check=True).stdout

    assert "False" == said.strip()


def test_a_long_body_is_cut_where_many_calls_are_shown_and_whole_by_itself(world):
    """One batch would fill the screen otherwise, and hide the calls after it."""
    world.email.faults(lose_answer=1)
    world.tieline("run", NAME)
    many = world.tieline("calls", "--failed", "--body")
    (call,) = lines(world, "--failed", "--body")
    one = world.tieline("calls", str(call["call"]))
    said = [line for line in many.out.splitlines() if line.startswith("  request ")]
    whole = [line for line in one.out.splitlines() if line.startswith("  request ")]

    assert 20 < len(said) < 30
    assert f"  request … {len(whole) - len(said) + 1} more lines (--json)" == said[-1]
    assert "more lines" not in one.out
    assert 100 < len(whole)
