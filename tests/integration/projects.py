"""Projects for tests: a folder of files, run as a user would run it, by the library or by the command line."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tieline.app import Tieline
from tieline.config.models.limits import Timeouts
from tieline.engine.review.dead_letters import DeadLetter
from tieline.engine.runs.passes import Outcome, Wanted
from tieline.engine.runs.plan import Plan
from tieline.lint.project import read_project
from tieline.observe.explain import Story
from tieline.transport.http import AiohttpTransport, HttpRequest, HttpResponse

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

_KEPT = ("created", "updated", "deleted", "unchanged", "filtered", "held", "parked", "owed", "superseded", "matched")
_CARRIED = ("repeated", "carried_delivered", "carried_parked", "carried_owed")


class HurriedClock:
    """Time that passes a hundred times as fast: a wait of a minute is over in less than a second."""

    PACE = 100.0

    def __init__(self) -> None:
        self._began, self._began_at = time.monotonic(), time.time()
        self._random = random.Random(4)

    def now(self) -> float:
        """Return seconds since 1970 (UTC)."""
        return self._began_at + self.monotonic()

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return (time.monotonic() - self._began) * self.PACE

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()

    async def sleep(self, seconds: float) -> None:
        """Wait, but not for long."""
        await asyncio.sleep(seconds / self.PACE)


class Witness:
    """The real transport, with a list of what went through it."""

    def __init__(self, before_each: Callable[[list[HttpRequest]], None] | None) -> None:
        self._transport = AiohttpTransport()
        self._before_each = before_each
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest, timeouts: Timeouts, most_bytes: int) -> HttpResponse:
        """Send, and remember it."""
        self.requests.append(request)
        if self._before_each is not None:
            self._before_each(self.requests)
        return await self._transport.send(request, timeouts, most_bytes)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._transport.close()


@dataclass
class Project:
    """A project folder. Each call opens it again, as each command does."""

    folder: Path
    environ: dict[str, str]
    clock: HurriedClock = field(default_factory=HurriedClock)
    requests: list[HttpRequest] = field(default_factory=list)
    """What the last call to the library sent."""
    before_each: Callable[[list[HttpRequest]], None] | None = None
    """Called before each request with all so far: the world can change in the middle of a run."""

    def run(self, name: str, plan: Path | None = None, **wanted: Any) -> Outcome:
        """Run an integration, or carry out a saved plan of it."""

        async def work(tieline: Tieline) -> Outcome:
            return await (tieline.run(name, Wanted(**wanted)) if plan is None else tieline.run_plan(name, plan))

        return self.within(work)

    def plan(self, name: str, path: Path | None = None) -> dict[str, int]:
        """Return what a run would do, by count; save it in a file if there is one."""

        async def work(tieline: Tieline) -> dict[str, int]:
            plan: Plan
            with await tieline.plan(name) as plan:
                if path is not None:
                    plan.save(path)
                return {word: number for word, number in plan.counts().items() if number}

        return self.within(work)

    def letters(self, name: str | None = None) -> list[DeadLetter]:
        """Return what needs a person."""
        with self._open() as tieline:
            return tieline.dead_letters(name)

    def mend(self, letter: DeadLetter, **fields: Any) -> Outcome:
        """Edit the record that a dead letter keeps, and redrive it."""
        with self._open() as tieline:
            tieline.edit_letter(letter.id, fields)
        return self.run(letter.integration, redrive=(letter.id,))

    def explain(self, connection: str, resource: str, id: object) -> list[Story]:
        """Return what happened to a record."""
        with self._open() as tieline:
            return tieline.explain(connection, resource, str(id))

    def within(self, work: Callable[[Tieline], Awaitable[T]]) -> T:
        """Open the project, do some work, close it."""
        witness = Witness(self.before_each)

        async def closing() -> T:
            with self._open(witness) as tieline:
                try:
                    return await work(tieline)
                finally:
                    await tieline.aclose()

        try:
            return asyncio.run(closing())
        finally:
            self.requests = witness.requests

    def command(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a command of the command line in the project folder, in a process of its own."""
        environ = {**os.environ, **self.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "utf-8", "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-m", "tieline.cli.main", *map(str, arguments)],
            cwd=self.folder, env=environ, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def change(self, file: str, *replacements: tuple[str, str]) -> None:
        """Replace text in one of the files; what is replaced must be there."""
        path = self.folder / file
        text = path.read_text("utf-8")
        for old, new in replacements:
            assert old in text, f"{file} has no {old!r}"
            text = text.replace(old, new)
        path.write_text(text, "utf-8")

    def sent(self, method: str) -> list[str]:
        """Return the paths of the last call's requests of a method."""
        return [request.url.split("?")[0].rsplit("/", 1)[-1] for request in self.requests if request.method == method]

    def _open(self, witness: Witness | None = None) -> Tieline:
        return Tieline(read_project(self.folder, environ=self.environ), environ=self.environ, transport=witness, clock=self.clock)


def told(outcome: Outcome) -> dict[str, int]:
    """Return the counts of a run that are not zero, its state before them as a key of its own."""
    counts = {name: number for name in ("read", *_KEPT, *_CARRIED) if (number := getattr(outcome.counts, name))}
    return {outcome.state: counts.pop("read", 0), **counts}


def new_project(
    folder: Path,
    environ: Mapping[str, str],
    *,
    connectors: Mapping[str, Mapping[str, Any] | None],
    connections: Mapping[str, Any],
    **integrations: Mapping[str, Any],
) -> Project:
    """Write a project.

    A connector is one of `examples/connectors`, with changes: `{"resources/contacts/batch": None}` takes something out. `there=kinto`
    is one of them under another name.
    """
    (folder / "connectors").mkdir(parents=True)
    (folder / "integrations").mkdir()
    _write(folder / "tieline.yaml", {"project": "test", "owner": "test@example.com"})
    for name, changes in connectors.items():
        name, _, original = name.partition("=")
        connector = yaml.safe_load((EXAMPLES / "connectors" / f"{original or name}.yaml").read_text("utf-8"))
        for address, value in {"connector": name, **(changes or {})}.items():
            _put(connector, address.split("/"), value)
        _write(folder / "connectors" / f"{name}.yaml", connector)
    _write(folder / "connections.yaml", connections)
    for name, integration in integrations.items():
        answers = {"purpose": "a test", "direction": "one-way", "freshness": "5m", "unavailable": {"keep": "7d"}}
        _write(folder / "integrations" / f"{name}.yaml", {**answers, **integration})
    return Project(folder, dict(environ))


def _put(document: Any, keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        document = document.setdefault(key, {})
    if value is None:
        document.pop(keys[-1], None)
    else:
        document[keys[-1]] = value


def _write(path: Path, document: Any) -> None:
    path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), "utf-8")
