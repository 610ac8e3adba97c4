"""What people are told while nothing may leave for a system: until when, why, and that there is nothing to be run."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from datetime import datetime

import msgspec

from cli.world import NAME, World

WHY = "the vendor asked for it (429, Retry-After)"


def pause(world: World, until: float) -> None:
    """Let the email platform have asked to be left alone, in an earlier run."""
    value = msgspec.json.encode({"seen_at": time.time(), "pause": {"until": until, "why": WHY}})
    with contextlib.closing(sqlite3.connect(world.store)) as db, db:
        db.execute("INSERT OR REPLACE INTO state VALUES ('budget', 'email', ?)", (value,))


def test_a_wait_that_the_vendor_ordered_is_named_with_its_end_and_nobody_is_told_to_run(world: World) -> None:
    """`status` used to call it late and advise to run it, although no run could do anything before that time."""
    world.change(f"integrations/{NAME}.yaml", ("freshness: 5m", "freshness: 10ms"))
    world.tieline("run", NAME)
    world.crm.edit(next(lead for lead in world.crm.records if lead["status"] == "qualified"), last_name="Rosenberg")
    until = time.time() + 2000
    pause(world, until)

    run = world.tieline("run", NAME)
    again = world.tieline("run", NAME, "--json")
    status, data = world.both(["status", NAME], ["status", NAME, "--json"])

    moment = datetime.fromtimestamp(until).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert (3, 3, 1) == (run.code, again.code, status.code)
    assert f"  waiting until {moment} for email: {WHY}\n" in run.out
    assert [{"connection": "email", "until": until, "why": WHY, "down": False}] == again.json[0]["waiting"]
    assert "late" == data.json[0]["state"], "the promise is not kept, whoever is to blame"
    assert [{"connection": "email", "until": until, "why": WHY}] == data.json[0]["waiting"]
    assert f"nothing can leave for email before {moment}: {WHY}; a run after that goes on" in status.out
    assert "run it (" not in status.out
