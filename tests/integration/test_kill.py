"""The real process, killed at any instant, again and again, while people edit and the network loses answers: nothing is missing, nothing twice.

Two integrations live through it, each between two sandbox systems of its own: one into an email platform that knows a repeated write by its
key and can't be asked for anything; one into a CRM that knows no keys, takes any record twice without a word, and can be searched.
`TIELINE_KILLS` says how often a process is killed; forty times are for every day, two hundred for CI.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from cli.world import World, sandbox

from tieline.sandbox import CRM_TOKEN

KILLS = int(os.environ.get("TIELINE_KILLS", "200" if os.environ.get("CI") == "true" else "40"))
LEADS = 200
TEMPLATE = Path(str(resources.files("tieline.templates") / "demo"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


class ByKey:
    """Into lists of members: single creations, each under its key; no search, no list, only a look at a record whose id is known."""

    systems: ClassVar[tuple[str, ...]] = ("email", "--members", "0")
    target = "email.members"
    integration: ClassVar[dict[str, Any]] = {
        "match": {},
        "map": {
            "email_address": "email",
            "status": {"const": "subscribed"},
            "merge_fields.FNAME": "first_name",
            "merge_fields.LNAME": "last_name",
        },
    }

    @staticmethod
    def connector() -> dict[str, Any]:
        """Return the destination's connector."""
        connector = _template("postbox")
        for what in ("list", "find", "batch"):
            connector["resources"]["members"].pop(what)
        return connector

    @staticmethod
    def values(record: dict[str, Any]) -> tuple[Any, ...]:
        """Return what a member says."""
        return record["email_address"], record["merge_fields"]["FNAME"], record["merge_fields"]["LNAME"]


class ByLooking:
    """Into another CRM, which makes a lead of whatever it is sent, however often."""

    systems: ClassVar[tuple[str, ...]] = ("crm", "--leads", "0")
    target = "email.leads"
    integration: ClassVar[dict[str, Any]] = {
        "match": {"email": "email"},
        "map": {"email": "email", "first_name": "first_name", "last_name": "last_name"},
    }

    @staticmethod
    def connector() -> dict[str, Any]:
        """Return the destination's connector."""
        connector = _template("acme-crm")
        connector["environments"]["sandbox"] = "${env:POSTBOX_URL}/{version}"
        return connector

    @staticmethod
    def values(record: dict[str, Any]) -> tuple[Any, ...]:
        """Return what a lead says."""
        return record["email"], record["first_name"], record["last_name"]


@dataclass
class Lives:
    """An integration that is killed, and the people who work in its source meanwhile."""

    way: type[ByKey | ByLooking]
    world: World
    chance: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    """How often, by what it was at."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    leads: list[dict[str, Any]] = field(default_factory=list)

    def add(self, count: int) -> None:
        """Make leads."""
        for number in itertools.islice(self.numbers, count):
            lead = {
                "email": f"p{number}@example.com",
                "first_name": f"First {number}",
                "last_name": f"Last {number}",
                "status": "qualified",
            }
            self.leads.append(self.world.crm.ask("POST", "records", lead))

    def edit(self, count: int) -> None:
        """Change leads."""
        for lead in self.chance.sample(self.leads, count):
            lead["first_name"] = f"Edited {self.chance.randint(0, 10**6)}"
            self.world.crm.edit(lead, first_name=lead["first_name"])

    def weather(self) -> None:
        """Let some things go wrong."""
        chance = self.chance
        self.world.email.faults(
            latency=chance.choice([0.0, 0.02]),
            answer_latency=chance.choice([0.0, 0.03, 0.15]),
            lose_answer=chance.choice([0, 1, 3]),
            lose_request=chance.choice([0, 0, 2]),
            fail=chance.choice([0, 0, 2]),
            garble=chance.choice([0, 0, 1]),
        )
        self.world.crm.faults(latency=chance.choice([0.0, 0.005, 0.05]), fail=chance.choice([0, 0, 1]))

    def live(self) -> None:
        """Start a run, edit a little, and kill it at some instant, unless it has ended: while it starts, or once it is at work."""
        self.weather()
        known, left = self._latest_run(), self._on_their_way()
        process = self.world.start("run", "copy")
        until = time.monotonic() + self.chance.uniform(0.0, 0.5)
        if self.chance.random() < 0.75:
            while self._latest_run() == known and not process.has_ended:
                time.sleep(0.01)
            until = time.monotonic() + self.chance.uniform(0.0, 0.6)
        self.edit(self.chance.randint(0, 5))
        time.sleep(max(0.0, until - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        ended = process.end()
        assert "Traceback" not in ended.err, ended.err
        latest = self._latest_run()
        if ended.code != -signal.SIGKILL or (latest is not None and latest[1] is not None and latest != known):
            self.killed["too late"] += 1
        elif latest == known:
            self.killed["while it started"] += 1
        else:
            self.killed["while it read" if self._on_their_way() == left else "while it wrote"] += 1

    def calm_down(self) -> None:
        """Let all be well, and run until nothing is owed."""
        for system in (self.world.crm, self.world.email):
            system.ask("DELETE", "faults")
        for _ in range(3):
            run = self.world.tieline("run", "copy", "--json")
            if run.code == 0:
                return
        raise AssertionError(run.said)

    def missing_and_wrong(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Return what should be there and is not, and what is there and should not be: once too often, too."""
        wanted = Counter((lead["email"], lead["first_name"], lead["last_name"]) for lead in self.leads)
        there = Counter(map(self.way.values, self.world.email.records))
        return sorted((wanted - there).elements()), sorted((there - wanted).elements())

    def stories(self, records: list[tuple[Any, ...]]) -> str:
        """Return what tieline knows of some records, for whoever has to find out what went wrong."""
        ids = {lead["email"]: lead["id"] for lead in self.leads}
        return "\n".join(self.world.tieline("explain", "crm", "leads", str(ids[email])).said for email, *_ in records[:3] if email in ids)

    def _latest_run(self) -> tuple[Any, ...] | None:
        rows = self._ask("SELECT id, ended_at FROM run ORDER BY id DESC LIMIT 1")
        return rows[0] if rows else None

    def _on_their_way(self) -> list[tuple[Any, ...]]:
        return self._ask("SELECT id, state, attempts FROM delivery WHERE state IN ('sending', 'unknown') ORDER BY id")

    def _ask(self, statement: str) -> list[tuple[Any, ...]]:
        if not self.world.store.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.world.store)) as connection:
            try:
                return connection.execute(statement).fetchall()
            except sqlite3.OperationalError:  # it was killed before it had made its tables
                return []


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where processes keep their compiled modules."""
    return tmp_path_factory.mktemp("pycache")


@pytest.fixture(params=[ByKey, ByLooking], ids=["by-key", "by-looking"])
def lives(request: pytest.FixtureRequest, tmp_path: Path, cache: Path) -> Iterator[Lives]:
    """An integration, and its two systems."""
    way = request.param
    with sandbox("crm", "--leads", "0") as crm, sandbox(*way.systems) as email:
        _write_project(tmp_path / "project", way)
        world = World(tmp_path / "project", crm, email, cache)
        world.environ["THEIR_TOKEN"] = CRM_TOKEN
        yield Lives(way, world, random.Random(f"kill {way.__name__}"))


def test_whatever_instant_it_is_killed_at(lives: Lives) -> None:
    """Promises 1 and 2, with nothing simulated."""
    lives.add(LEADS)
    for _ in range(KILLS // 2):
        lives.add(lives.chance.randint(0, 6))
        lives.edit(lives.chance.randint(0, 10))
        lives.live()
    lives.calm_down()
    again = lives.world.tieline("run", "copy", "--json")
    [status] = lives.world.tieline("status", "--json").json
    verified = lives.world.tieline("verify", "copy", "--json")

    missing, wrong = lives.missing_and_wrong()
    assert ([], []) == (missing, wrong), lives.stories(missing + wrong)
    assert 0 == again.code
    assert (0, 0, 0) == tuple(again.json[0]["counts"][name] for name in ("created", "updated", "carried_delivered"))
    assert (0, 0, 0) == tuple(status["open"].get(name, 0) for name in ("owed", "held", "dead"))
    assert len(lives.leads) == status["linked"]
    assert (0, len(lives.leads)) == (verified.code, verified.json.get("in_sync")), verified.said
    assert "ok" == lives._ask("PRAGMA integrity_check")[0][0]
    assert all(lives.killed[when] for when in ("while it started", "while it read", "while it wrote")), lives.killed


def _template(name: str) -> dict[str, Any]:
    connector: dict[str, Any] = yaml.safe_load((TEMPLATE / "connectors" / f"{name}.yaml").read_text("utf-8"))
    connector["limits"] = [{"requests": 100_000, "per": "1s"}]
    connector["concurrency"] = 8
    return connector


def _write_project(folder: Path, way: type[ByKey | ByLooking]) -> None:
    source, target = _template("acme-crm"), {**way.connector(), "connector": "there"}
    source["resources"]["leads"]["list"]["paging"]["size"] = 20
    connections = {
        "crm": {"connector": "acme-crm", "environment": "sandbox", "auth": {"bearer": "${env:ACME_CRM_TOKEN}"}},
        "email": {
            "connector": "there",
            "environment": "sandbox",
            **(
                {"auth": {"api_key": "${env:POSTBOX_KEY}"}, "variables": {"list": "nurture"}}
                if way is ByKey
                else {"auth": {"bearer": "${env:THEIR_TOKEN}"}}
            ),
        },
    }
    integration = {
        "purpose": "a test", "from": "crm.leads", "to": way.target, "direction": "one-way", "freshness": "5m", "unmatched": "create",
        "conflict": "source", "unavailable": {"keep": "7d"}, "retry": {"base": "100ms", "most": "1s"}, **way.integration,
    }  # fmt: skip
    files = {
        "tieline": {"project": "test", "owner": "test@example.com"},
        "connections": connections,
        "connectors/acme-crm": source,
        "connectors/there": target,
        "integrations/copy": integration,
    }
    for name, content in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
