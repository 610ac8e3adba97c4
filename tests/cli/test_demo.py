"""The demo, run for real: what it shows agrees, what it leaves works, and it touches no one's folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.world import Sandbox, console_blocks, says, until
from tieline.cli import demo as demonstration
from tieline.cli.demo_folder import clear_folder, make_folder
from tieline.model.errors import TielineError

ESCAPE = "\x1b"
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="what is left is for a Unix shell")


def test_the_demo_ends_in_agreement_and_leaves_a_folder_that_works(world, tmp_path):
    """Two at once, in words and in JSON, don't meet. What they say to try next is tried, in a shell; the README shows what came."""
    demos = [world.start("demo", "--folder", "shown", cwd=tmp_path), world.start("demo", "--folder", "told", "--json", cwd=tmp_path)]
    shown, told = (demo.end() for demo in demos)
    script = "set -e; . ./demo.env; python systems.py & systems=$!; trap 'kill $systems' EXIT; until tieline check --live >/dev/null; do sleep 0.2; done; tieline run qualified-leads; tieline status qualified-leads"
    after = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path / "shown", env=world.environ, capture_output=True, text=True, timeout=300, check=False
    )
    steps = [step for step in told.json["steps"] if {"run", "redrive"} & {*step["command"].split()}]
    runs = [step["output"][0]["counts"] for step in steps if "customers" not in step["command"]]
    both_ways = [step["output"][0] for step in steps if "customers" in step["command"]]

    assert 0 == told.code, told.said
    assert told.json["agree"]
    assert 808 == told.json["qualified"] == told.json["members"]
    # How many unchanged records a read meets again depends on how soon it follows the last one.
    assert [(2000, 740, 60, 0), (4, 1, 2, 1), (1, 1, 0, 0), (1, 0, 1, 0), (6, 0, 0, 0), (6, 6, 0, 0)] == [
        (counts["read"] - counts["unchanged"], counts["created"], counts["updated"], counts["parked"]) for counts in runs
    ]
    assert ["green", "attention", "halted", "green"] == [each["state"] for each in both_ways]
    assert [(2, 0, 0), (0, 4, 0), (0, 0, 0), (0, 0, 8)] == [
        (each["counts"]["created"], each["counts"]["updated"], each["counts"]["deleted"]) for each in both_ways
    ]
    assert 0 == shown.code, shown.said
    assert "808 qualified leads, the nurture list 808 members: the same addresses, each once" in shown.out
    assert ESCAPE not in shown.said
    assert 0 == after.returncode, after.stderr
    assert "green" in after.stdout
    assert "808 linked" in after.stdout
    assert [] == _not_shown(shown.out)


def _not_shown(out):
    """Return what the README shows of the demo and the demo did not say, or not in this order."""
    text = (ROOT / "README.md").read_text("utf-8")
    said = iter(console_blocks(out))
    missing = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for command, expected in console_blocks(block):
            for came, lines in said:
                if says([command], [came]) is None and says([*expected, "…"], lines) is None:
                    break
            else:
                missing.append(command)
    return missing


def test_the_demo_stops_at_ctrl_c_and_takes_its_systems_along(world, tmp_path):
    """The command that is being shown, a run, ends in good order."""
    process = world.start("demo", "--folder", "shown", cwd=tmp_path)
    until(lambda: "$ tieline run" in process.out, process)
    addresses = json.loads((tmp_path / "shown" / ".tieline" / "demo.json").read_text())["addresses"]
    postbox = Sandbox(addresses[1])
    until(lambda: len(postbox.records) > 60, process)
    os.killpg(process.pid, signal.SIGINT)
    result = process.end()

    assert 130 == result.code
    assert "qualified-leads run 1: stopped" in result.out
    assert "interrupted: the systems are stopped" in result.out
    assert "Traceback" not in result.said
    for address in addresses:
        with contextlib.closing(socket.socket()) as trying:
            assert trying.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) != 0


@pytest.mark.parametrize("code", [130, -signal.SIGINT])
def test_a_command_that_was_interrupted_ends_the_demo_as_if_it_were_interrupted_itself(code):
    """A Ctrl-C reaches both. The command may have ended before the demo hears of it, or the demo may have been told to ignore it."""
    with pytest.raises(KeyboardInterrupt):
        demonstration._expect(("run",), code, 0)


def test_a_folder_of_an_earlier_demo_is_made_anew(tmp_path):
    make_folder(tmp_path / "shown")
    (tmp_path / "shown" / ".tieline" / "store.db").write_bytes(b"state is not work")

    assert clear_folder(tmp_path / "shown")
    assert not (tmp_path / "shown").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "tieline.yaml").write_text("project: mine\n"),
        lambda folder: (folder / "notes.txt").write_text("remember the milk"),
        lambda folder: (folder / "connectors" / "mine.yaml").write_text("connector: mine\n"),
        lambda folder: (folder / "link").symlink_to("/"),
        lambda folder: (folder / ".git").mkdir() or (folder / ".git" / "HEAD").write_text("ref: refs/heads/main"),
        lambda folder: (folder / ".tieline" / "demo.json").unlink(),
        lambda folder: (folder / ".tieline" / "demo.json").write_text("{}"),
    ],
    ids=["a file was edited", "a file was added", "a connector was added", "a link", "a repository", "no mark", "a mark of something else"],
)
def test_a_folder_in_which_somebody_has_worked_is_left_alone(tmp_path, spoil):
    folder = tmp_path / "shown"
    make_folder(folder)
    spoil(folder)
    before = sorted(folder.rglob("*"))

    with pytest.raises(TielineError, match="nothing was written"):
        clear_folder(folder)
    assert before == sorted(folder.rglob("*"))


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path):
    """Nor is a file, nor a link to someone's folder."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "photos")

    for name in ("photos", "file", "link"):
        with pytest.raises(TielineError, match="nothing was written"):
            clear_folder(tmp_path / name)
    assert b"cat" == (tmp_path / "photos" / "cat.jpg").read_bytes()
