"""Each command, as a person uses it: what it says, what it returns, in words and in JSON."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shlex
import shutil
import sqlite3
import subprocess
import sys

import pytest

from cli.conftest import project_of_one
from cli.world import LEADS, MEMBERS, NAME, QUALIFIED, World, sandbox

ESCAPE = "\x1b"
COMMANDS = {
    "check --live": 0,
    f"plan {NAME} --only ID": 0,
    "run": 1,
    "status": 1,
    f"verify {NAME}": 1,
    "explain crm leads ID": 0,
    "dead-letters": 1,
    "dead-letters list --cause mapping": 1,
    "dead-letters show NO": 0,
    "dead-letters edit NO --set 'phone=02 5550 0001'": 0,
    "dead-letters redrive NO": 1,
    "dead-letters discard NO --reason 'a test record'": 0,
    f"links list {NAME} --limit 3": 0,
    f"links list {NAME} --unlinked": 0,
    f"links unlink {NAME} LINKED --reason 'a test'": 0,
    f"links link {NAME} LINKED OTHER --reason 'a test'": 2,
    "schema integration": 0,
    "version": 0,
    "init NEW --template blank": 0,
}
"""Exit codes in a project with one record that is parked."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, cache):
    """A world of its own in which one record is parked, to look at; what changes the store is undone by whoever does it."""
    folder = project_of_one(tmp_path_factory.mktemp("prepared") / "project")
    with sandbox("crm", "--leads", "50") as crm, sandbox("email", "--members", "3") as email:
        yield with_one_parked(World(folder, crm, email, cache))


@pytest.fixture
def parked(world):
    """A world in which one record is parked."""
    return with_one_parked(world)


def with_one_parked(world):
    """Run with a bad record; keep its id and the dead letter's number."""
    world.id = str(world.crm.ask("POST", "bad", {"kind": "phone"})["id"])
    world.run = world.tieline("run")
    with contextlib.closing(sqlite3.connect(world.store)) as store:
        ((letter,),) = store.execute("SELECT id FROM delivery WHERE state = 'dead'").fetchall()
        world.linked, world.other = (row[0] for row in store.execute("SELECT source_id FROM link WHERE target_id IS NOT NULL LIMIT 2"))
    world.letter = str(letter)
    return world


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_speaks_plainly_or_in_json(prepared, command):
    """The same exit code both ways; no escape codes where no one sees them; one JSON value and nothing else."""
    new = prepared.folder.parent / "new"
    gaps = {"ID": prepared.id, "NO": prepared.letter, "NEW": str(new), "LINKED": prepared.linked, "OTHER": prepared.other}
    arguments = [gaps.get(word, word) for word in shlex.split(command)]
    before = prepared.store.read_bytes()
    said = []
    for options in ([], ["--json"]):
        said.append(prepared.tieline(*arguments, *options))
        prepared.store.write_bytes(before)
        shutil.rmtree(new, ignore_errors=True)
    plain, in_json = said

    assert COMMANDS[command] == plain.code, plain.said
    assert ESCAPE not in plain.said
    assert plain.out if plain.code < 2 else plain.err
    assert COMMANDS[command] == in_json.code, in_json.said
    assert in_json.json is not None
    assert "" == in_json.err


def test_what_a_run_says_balances(world):
    run = world.tieline("run", NAME)
    again = world.tieline("run", NAME)

    assert 0 == run.code
    assert f"{LEADS} read = {QUALIFIED - MEMBERS} created + {MEMBERS} updated + {LEADS - QUALIFIED} filtered" in run.out
    assert f"{MEMBERS} matched with records that were there already" in run.out
    assert 0 == again.code
    assert "1 read = 1 unchanged" in again.out
    assert world.qualified == world.members


def test_a_plan_writes_nothing_and_says_what_the_run_then_does(world):
    before = world.email.records
    plan = world.tieline("plan", NAME, "--json").json
    run = world.tieline("run", NAME, "--json").json[0]

    assert {"create": QUALIFIED - MEMBERS, "update": MEMBERS, "delete": 0, "held": 0, "dead": 0} == plan["plan"]
    assert len(before) == MEMBERS
    assert plan["plan"]["create"] == run["counts"]["created"]
    assert plan["plan"]["update"] == run["counts"]["updated"]


def test_a_saved_plan_is_refused_when_the_world_has_changed(world):
    """And nothing is written then: not even what has not changed."""
    world.tieline("plan", NAME, "--out", "plan.jsonl")
    lead = _qualified(world)[0]
    world.crm.edit(lead, last_name="Rosenberg")
    refused = world.tieline("run", NAME, "--plan", "plan.jsonl")
    members = len(world.members)
    world.crm.edit(lead, last_name=lead["last_name"])
    done = world.tieline("run", NAME, "--plan", "plan.jsonl")

    assert 4 == refused.code
    assert str(lead["id"]) in refused.err
    assert MEMBERS == members
    assert 0 == done.code
    assert world.qualified == world.members


def test_edits_are_all_that_the_next_run_sends(world):
    world.tieline("run", NAME)
    first, second = _qualified(world)[:2]
    promoted = next(lead for lead in world.crm.records if lead["status"] == "working")
    world.crm.edit(first, phone="03 7010 4455")
    world.crm.edit(second, first_name="Ingrid")
    world.crm.edit(promoted, status="qualified")
    run = world.tieline("run", NAME, "--json").json[0]["counts"]

    assert (1, 2, 0, 0) == (run["created"], run["updated"], run["parked"], run["filtered"])
    assert world.qualified == world.members


def test_a_parked_record_is_explained_mended_and_redriven(parked):
    shown = parked.tieline("dead-letters", "show", parked.letter)
    parked.tieline("dead-letters", "edit", parked.letter, "--set", "phone=02 5550 0001")
    redriven = parked.tieline("dead-letters", "redrive", parked.letter)
    after = parked.tieline("status", NAME)
    whole = parked.tieline("explain", "crm", "leads", parked.id)
    (member,) = [member for member in parked.email.records if member["email_address"] == "jo.careless@example.com"]

    assert 1 == parked.run.code
    rule = re.search(r"integrations/qualified-leads.yaml:(\d+)", shown.out)
    line = parked.folder.joinpath("integrations", f"{NAME}.yaml").read_text().splitlines()[int(rule[1]) - 1]
    assert "merge_fields.PHONE" in line
    assert "`phone` is not a phone number" in shown.out
    assert 0 == redriven.code
    assert "1 read = 1 created" in redriven.out
    assert 0 == after.code
    assert "+61255500001" == member["merge_fields"]["PHONE"]
    assert re.search(f"is not a phone number.*edited by hand.*delivered  create of {member['id']} confirmed", whole.out, re.DOTALL)


def test_what_went_astray_is_found_and_sent_again(world):
    world.tieline("run", NAME)
    changed, *gone = world.email.records[-8:]
    world.email.edit(changed, vip=not changed["vip"])
    for member in gone:
        world.email.ask("DELETE", f"records/{member['id']}")
    found = world.tieline("verify", NAME, "--json")
    unmended = world.tieline("status", NAME)
    refused = world.tieline("verify", NAME, "--repair", "--allow", "6")
    mended = world.tieline("verify", NAME, "--repair", "--allow", "7")
    status = world.tieline("status", NAME)
    after = world.tieline("verify", NAME)

    assert (1, 1, 7) == (found.code, found.json["differing"], found.json["missing"])
    assert (1, 0) == (unmended.code, status.code), "status calls for someone until it is corrected"
    assert {"vip": [changed["vip"], not changed["vip"]]} == found.json["findings"][0]["fields"]
    assert 4 == refused.code
    assert "7 records are gone" in refused.said
    assert "--repair --allow 7" in refused.said
    assert 0 == mended.code, mended.said
    assert "8 read = 7 created + 1 updated" in mended.out
    assert 0 == after.code
    assert f"{QUALIFIED} in sync" in after.out
    assert "every record is accounted for" in after.out
    assert "8 not as they should be; run 3 has sent again since what went astray" in status.out
    assert "--repair" not in mended.out
    assert world.qualified == world.members
    assert 2 == world.tieline("verify", NAME, "--allow", "3").code


def test_a_record_is_explained_from_either_side(world):
    world.tieline("run", NAME)
    lead = _qualified(world)[0]
    (member,) = [member for member in world.email.records if member["email_address"] == lead["email"].lower()]
    here = world.tieline("explain", "crm", "leads", str(lead["id"]))
    there = world.tieline("explain", "email", "members", member["id"])

    assert here.out == there.out
    assert f"update of {member['id']} confirmed" in here.out


def test_a_discarded_record_stays_away_until_it_changes(parked):
    parked.tieline("dead-letters", "discard", parked.letter, "--reason", "a test record")
    quiet = parked.tieline("run", NAME)
    told = parked.tieline("explain", "crm", "leads", parked.id)
    parked.crm.ask("PATCH", f"records/{parked.id}", {"phone": "02 5550 0002"})
    changed = parked.tieline("run", NAME, "--json").json[0]["counts"]

    assert 0 == quiet.code
    assert "given up by hand: a test record" in told.out
    assert 1 == changed["created"]


def test_only_one_record_is_run(world):
    lead = _qualified(world)[-1]
    run = world.tieline("run", NAME, "--only", str(lead["id"]), "--json").json[0]["counts"]

    assert (1, 1) == (run["read"], run["created"])
    assert MEMBERS + 1 == len(world.members)


def test_a_new_project_is_a_good_one(world, tmp_path):
    made = world.tieline("init", "shop", "--template", "blank", cwd=tmp_path)
    again = world.tieline("init", "shop", "--template", "blank", cwd=tmp_path)
    check = world.tieline("check", "--json", cwd=tmp_path / "shop")

    assert 0 == made.code
    assert 2 == again.code
    assert "nothing was written" in again.err
    assert 0 == check.code
    assert [] == [complaint for complaint in check.json["complaints"] if complaint["severity"] == "error"]


def test_schemas_are_written_for_an_editor(world, tmp_path):
    world.tieline("schema", "--out", str(tmp_path / "schemas"))

    names = sorted(path.name for path in (tmp_path / "schemas").iterdir())
    assert ["connections.schema.json", "connector.schema.json", "integration.schema.json", "tieline.schema.json"] == names
    assert all(json.loads((tmp_path / "schemas" / name).read_text())["$schema"] for name in names)


def test_version_answers_before_anything_heavy_is_imported(world):
    code = "import sys; sys.argv = ['tieline', 'version']; from tieline.cli.main import main; main(); print(sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], env=world.environ, capture_output=True, text=True, check=True).stdout

    assert said.startswith("tieline ")
    assert not {"typer", "rich", "pydantic", "aiohttp"} & set(re.findall(r"'(\w+)'", said))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
def test_a_terminal_gets_colours_and_progress(world):
    """A run is long enough to be looked at when the email platform takes its time."""
    world.slow_down()
    ours, theirs = pty.openpty()
    environ = {**world.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    command = [sys.executable, "-m", "tieline.cli.main", "run", NAME]
    process = subprocess.Popen(command, cwd=world.folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        shown += part
    os.close(ours)
    text = shown.decode()

    assert 0 == process.wait(30)
    assert ESCAPE in text
    assert f"{LEADS} read" in text
    assert " written · " in text


def _qualified(world):
    return [lead for lead in world.crm.records if lead["status"] == "qualified"]
