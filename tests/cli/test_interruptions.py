"""A run that is ended in the middle, gently or not: nothing is lost, no one is in the list twice."""

from __future__ import annotations

import signal
import sys

import pytest

from cli.world import LEADS, MEMBERS, NAME, QUALIFIED, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")


def interrupt(world, number, *, when):
    """Start a run, send it a signal as soon as it has begun and the list has so many members, and return what it said."""
    process = world.start("run", NAME)
    until(lambda: world.store.exists() and len(world.email.records) >= when, process)
    process.send_signal(number)
    return process.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "the terminal is closed"])
def test_a_run_that_is_asked_to_end_ends_in_good_order(world, number):
    """What is under way is waited for and confirmed; the next run does the rest, and nothing twice."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("these tests were started with this signal ignored, as `nohup` does, and tieline respects that")
    world.slow_down()
    run = interrupt(world, number, when=MEMBERS + 5)
    there = len(world.members)
    status = world.tieline("status", "--json").json[0]
    world.email.faults(latency=0)
    rest = world.tieline("run", NAME, "--json")
    answered = world.email.ask("GET")["answered"]

    assert 130 == run.code
    assert "run 1: stopped" in run.out
    assert "run again: it goes on where it stopped" in run.out
    assert MEMBERS < there < QUALIFIED
    assert (there - MEMBERS, 0) == (status["counts"]["created"], status["open"].get("unknown", 0))
    assert "stopped" == status["state"]
    assert 0 == rest.code
    counts = rest.json[0]["counts"]
    assert QUALIFIED == status["delivered"] + counts["created"] + counts["updated"] + counts["carried_delivered"]
    assert world.qualified == world.members
    assert 0 == answered.get("repeated", 0)


def test_a_second_ctrl_c_ends_it_at_once(world):
    """And still nothing is lost or doubled."""
    world.slow_down(2.0)
    process = world.start("run", NAME)
    until(lambda: world.store.exists() and world.email.ask("GET")["most_at_once"] > 1, process)
    process.send_signal(signal.SIGINT)
    until(lambda: "press Ctrl-C again" in process.err, process)
    process.send_signal(signal.SIGINT)
    result = process.end()
    world.email.faults(latency=0)
    rest = world.tieline("run", NAME)

    assert 130 == result.code
    assert "Traceback" not in result.said
    assert 0 == rest.code, rest.said
    assert world.qualified == world.members


def test_kill_at_any_moment_loses_and_doubles_nothing(world):
    """Killed before it writes, several times between two writes, and while answers are on their way; then one run to the end."""
    world.slow_down()
    killed = [interrupt(world, signal.SIGKILL, when=when) for when in (MEMBERS, MEMBERS + 1, 45)]
    world.email.faults(latency=0)
    last = world.tieline("run", NAME, "--json")
    again = world.tieline("run", NAME, "--json")
    status = world.tieline("status", "--json").json[0]

    assert [-signal.SIGKILL] * len(killed) == [result.code for result in killed]
    assert 0 == last.code
    assert world.qualified == world.members
    assert (0, 0, 0) == tuple(again.json[0]["counts"][name] for name in ("created", "updated", "carried_delivered"))
    assert (QUALIFIED, QUALIFIED) == (status["linked"], status["delivered"])
    assert 0 == sum(status["open"].values())
    assert LEADS == len(world.crm.records)


def test_killed_while_an_answer_was_lost(world):
    """The list has them, the store does not know it: the next run finds out before it writes."""
    world.slow_down()
    world.change("connectors/postbox.yaml", ("idempotency: { header: X-Idempotency-Key }", ""))
    world.email.faults(lose_answer=2)
    interrupt(world, signal.SIGKILL, when=MEMBERS + 1)
    world.email.faults(latency=0)
    last = world.tieline("run", NAME)
    told = world.tieline("status", "--json").json[0]

    assert 0 == last.code, last.said
    assert world.qualified == world.members
    assert (0, 0, 0) == (told["held"], told["parked"], told["owed"])
