"""What is said when something is wrong: where, what, what to do next; and the exit code that a scheduler goes by."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from cli.world import MEMBERS, NAME, until
from tieline.cli import commands


def said(result, *words):
    """Return the words that are missing from what was said."""
    return [word for word in words if word not in result.said]


def test_no_project_here(world, tmp_path):
    result = world.tieline("status", cwd=tmp_path)

    assert 2 == result.code
    assert [] == said(result, "tieline.yaml", "tieline init")


def test_a_project_folder_that_is_misspelt_is_not_the_one_around_it(world):
    """A run of another project than was named would be a disaster."""
    result = world.tieline("run", "--project", "prodction")

    assert 2 == result.code
    assert [] == said(result, "prodction, and there is no such folder")


@pytest.mark.parametrize("command", [["schema", "--out"], ["init", "--template", "blank"], ["demo", "--folder"]])
def test_a_folder_that_can_not_be_made_is_named(world, command):
    result = world.tieline(*command, "tieline.yaml/inside", "--json")

    assert 2 == result.code
    assert {"error": "tieline.yaml/inside can't be written: Not a directory", "next": "choose another folder"} == result.json


@pytest.mark.parametrize("as_json", [True, False])
def test_an_error_in_tieline_itself_says_so(monkeypatch, capsys, as_json):
    """In a script's language too."""
    monkeypatch.setattr(commands, "asked_for", lambda _: [][0])
    monkeypatch.setattr(commands.output, "json_mode", False)
    monkeypatch.setattr(sys, "argv", ["tieline", "status", *(["--json"] if as_json else [])])
    code = commands.run_command_line()
    said = capsys.readouterr()

    assert 5 == code
    told = json.loads(said.out)["error"] if as_json else said.err
    assert "error in tieline itself" in told
    assert "IndexError: list index out of range" in told


def test_schemas_that_are_written_are_listed_as_json_too(world):
    assert {"files": ["new/tieline.schema.json"]} == world.tieline("schema", "tieline", "--out", "new", "--json").json


def test_an_integration_that_does_not_exist(world):
    result = world.tieline("run", "qualified")

    assert 2 == result.code
    assert [] == said(result, "there is no integration `qualified`", NAME)


def test_a_dead_letter_that_does_not_exist(world):
    """Whatever is asked about it, no run is made of it."""
    shown, redriven = world.both(["dead-letters", "show", "17", "--json"], ["dead-letters", "redrive", "17"])
    huge = world.tieline("dead-letters", "show", "9" * 20)

    assert (2, 2, 2) == (shown.code, redriven.code, huge.code)
    assert "there is no dead letter 17" == shown.json["error"]
    assert [] == said(redriven, "there is no open dead letter 17", "tieline dead-letters list")
    assert "Traceback" not in huge.said


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "words"),
    [
        ("connections.yaml", "connector: postbox", "connector: [postbox", None, ["connections.yaml:"]),
        ("connections.yaml", "connector: postbox", "connectr: postbox", "connectr", ["did you mean `connector`"]),
        (f"integrations/{NAME}.yaml", "freshness: 5m", "freshness: soon", "soon", ["5m"]),
        (f"integrations/{NAME}.yaml", "  merge_fields.LNAME: last_name", "  merge_fields.LNAME: lastname", "lastname", ["last_name"]),
    ],
)
def test_a_file_that_is_wrong(world, file, old, new, line, words):
    """File and line, and the nearest word that would have been right; nothing runs."""
    world.change(file, (old, new))
    check, run = world.both(["check"], ["run", NAME])
    if line is not None:
        text = (world.folder / file).read_text("utf-8").splitlines()
        words = [*words, f"{file}:{next(number for number, content in enumerate(text, 1) if line in content)}"]

    assert (2, 2) == (check.code, run.code)
    assert [] == said(check, *words)
    assert [] == said(run, *words)
    assert MEMBERS == len(world.members)


def test_an_environment_variable_that_is_not_set(world):
    """A check warns, because it may run where the secrets are not; a run stops before it does anything."""
    environ = world.without("POSTBOX_KEY")
    check, run = world.both(["check"], ["run", NAME], environ=environ)

    assert 0 == check.code
    assert [] == said(check, "connections.yaml:", "POSTBOX_KEY", "not set")
    assert 2 == run.code
    assert [] == said(run, "POSTBOX_KEY", "not set")


def test_no_secret_is_shown_whatever_is_wrong(world):
    """The key is good text, in the environment and nowhere else."""
    environ = {**world.environ, "POSTBOX_KEY": "canary-7f3a55"}
    run = world.tieline("run", NAME, environ=environ)
    status = world.tieline("status", "--json", environ=environ)

    assert 1 == run.code
    assert [] == said(run, "email", "401", "credentials")
    assert "canary-7f3a55" not in run.said + status.said
    assert b"canary-7f3a55" not in b"".join(path.read_bytes() for path in world.store.parent.iterdir())


def test_another_runner_holds_the_lease(world):
    world.slow_down(3)  # minutes of work are left to the first, however slow the machine is; it is let go below
    first = world.start("run", NAME)
    until(lambda: len(world.email.records) > MEMBERS, first)
    second, status = world.both(["run", NAME], ["status", "--json"])
    world.email.faults(latency=0)
    one = first.end()

    assert 4 == second.code
    assert [] == said(second, f"{NAME} is being run by process {first.pid}")
    assert f"process {first.pid}" in status.json[0]["running"]
    assert 0 == one.code
    assert world.qualified == world.members


def test_a_store_from_a_newer_tieline(world):
    world.tieline("status")
    with contextlib.closing(sqlite3.connect(world.store)) as store:
        store.execute("PRAGMA user_version = 999")
    before = world.store.read_bytes()
    result = world.tieline("run", NAME)

    assert 5 == result.code
    assert [] == said(result, "schema 999", "newer")
    assert before == world.store.read_bytes()


def test_a_store_that_is_damaged(world):
    """It is neither repaired nor replaced: someone may want it."""
    world.store.parent.mkdir()
    world.store.write_bytes(b"SQLite format 3\x00" + os.urandom(8192))
    before = world.store.read_bytes()
    results = world.both(["run", NAME], ["status"])

    assert [5, 5] == [result.code for result in results]
    assert [] == said(results[0], str(world.store), "damaged", "backup")
    assert before == world.store.read_bytes()


def test_a_source_that_is_down(world):
    environ = {**world.environ, "ACME_CRM_URL": "http://127.0.0.1:9"}
    live, run = world.both(["check", "--live"], ["run", NAME], environ=environ)
    status = world.tieline("status", NAME)

    assert (3, 3) == (live.code, run.code), "no one has to do anything about the files or the credentials"
    assert [] == said(live, "failed  crm", "ok      email")
    assert [] == said(run, "no connection to 127.0.0.1:9: connection refused\n", "nothing was lost")
    assert 3 == status.code


def test_a_destination_that_is_down_is_owed_everything(world):
    """And gets it as soon as it is back, without anybody's doing."""
    world.change(f"integrations/{NAME}.yaml", ("retry: { attempts: 3 }", "retry: {attempts: 2, base: 10ms}"))
    world.tieline("run", NAME)
    for lead in world.crm.records[:20]:
        world.crm.edit(lead, last_name="Rosenberg")
    world.email.faults(outage=True)
    down = world.tieline("run", NAME)
    status, shown = world.both(["status", NAME, "--json"], ["status", NAME])
    world.email.faults(outage=False)
    back = world.tieline("run", NAME)

    assert 3 == down.code
    assert [] == said(down, "503", "owed", "down: email (", "tries it again, `tieline check --live` does at once")
    assert 3 == status.code
    assert [] == said(shown, "down      email since", "`tieline check --live` does at once")
    assert 8 == status.json[0]["owed"]
    assert 0 == back.code
    assert "8 owed from earlier runs, now delivered" in back.out
    assert 8 == sum(member["merge_fields"]["LNAME"] == "Rosenberg" for member in world.email.records)


def test_an_option_that_does_not_exist(world):
    result = world.tieline("run", "--fast")

    assert 2 == result.code
    assert [] == said(result, "--fast")


def test_errors_in_json_are_json(world, tmp_path):
    """With what to do next, and the complaints one by one."""
    nowhere, unknown = world.both(["status", "--json", "--project", str(tmp_path)], ["plan", "nothing", "--json"])

    assert (2, 2) == (nowhere.code, unknown.code)
    assert "tieline.yaml" == nowhere.json["complaints"][0]["file"]
    assert NAME in unknown.json["next"]
    assert "" == nowhere.err + unknown.err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGPIPE")
def test_a_reader_that_has_seen_enough(world):
    """As in `tieline schema | head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tieline.cli.main", "schema"], cwd=world.folder, env=world.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    complaint = process.stderr.read()
    process.stderr.close()

    assert b"" == complaint
    assert process.wait(30) in (0, 1)


def test_an_error_of_our_own_says_so(world):
    """A store's file that is a folder, or whatever else no one thought of, ends in one sentence, not in a page of Python."""
    world.store.mkdir(parents=True)
    result = world.tieline("status")

    assert 5 == result.code
    assert "Traceback" not in result.said
    assert [] == said(result, "error", "next")
    assert json.dumps(str(world.store))[1:-1] in result.err


def test_a_wrong_option_is_json_as_well(world):
    """Whoever asks for JSON gets JSON, whatever is wrong."""
    number, missing = world.both(["calls", "--status", "1", "--json"], ["calls", "--json", "--record", "crm"])
    unknown = world.tieline("run", "--nope", "--json")

    assert (2, 2, 2) == (number.code, missing.code, unknown.code)
    assert "--status" in number.json["error"]
    assert "--record" in missing.json["error"]
    assert unknown.json["error"].startswith("No such option: --nope")
    assert "`tieline run --help` says what it takes" == unknown.json["next"]


def test_a_reader_that_has_enough_is_no_failure(world):
    """`tieline calls --json | head -1` in a script that heeds exit codes."""
    world.tieline("run", NAME)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "tieline.cli.main", "calls", "--json"]
        result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=world.folder, env=world.environ, check=False)
    finally:
        os.close(writing)

    assert (0, b"") == (result.returncode, result.stderr)


def test_a_connection_that_does_not_answer_is_not_called_fine(world):
    world.email.faults(outage=True)
    result = world.tieline("check", "--live")
    world.email.faults(outage=False, unauthorized=True)
    refused, plan = world.both(["check", "--live", "--json"], ["plan", NAME])
    world.email.faults(unauthorized=False)

    assert 3 == result.code
    assert [] == said(result, "failed", "the files are fine, but 1 connection can't be used now")
    assert (1, 1) == (refused.code, plan.code), "credentials need a person"
    asked = refused.json["connections"]
    assert {"crm", "email"} == {call["connection"] for call in asked}
    assert {"email"} == {call["connection"] for call in asked if call["error"]}
    assert {"connection", "asked", "error"} == {*refused.json["connections"][0]}
