"""Two sandbox systems and a project between them, used through the command line as a person would."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tieline.sandbox import CRM_TOKEN, POSTBOX_KEY

NAME = "qualified-leads"
LEADS = 200
QUALIFIED = 80
MEMBERS = 10
SRC = Path(__file__).parents[2] / "src"
ENOUGH_SECONDS = 120


@dataclass(frozen=True)
class Result:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it said, as JSON."""
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """All that it said."""
        return self.out + self.err


class Sandbox:
    """A system, and the people who work in it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process, self.url = process, url

    def ask(self, method: str, path: str = "", body: Any = None) -> Any:
        """Use the admin address."""
        with contextlib.closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)) as connection:
            connection.request(method, f"/_sandbox/{path}", None if body is None else json.dumps(body))
            return json.load(connection.getresponse())

    @property
    def records(self) -> list[dict[str, Any]]:
        """All records."""
        return self.ask("GET", "records")["records"]

    def edit(self, record: dict[str, Any], **fields: Any) -> None:
        """Change a record as a person would."""
        self.ask("PATCH", f"records/{record['id']}", fields)

    def faults(self, **faults: Any) -> None:
        """Make things go wrong."""
        self.ask("POST", "faults", faults)


@contextlib.contextmanager
def sandbox(*arguments: str) -> Iterator[Sandbox]:
    """Run a sandbox system, as fast as it can be."""
    command = [sys.executable, "-m", "tieline.sandbox", *arguments, "--rate", "100000", "--burst", "100000"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        word, url = process.stdout.readline().split()
        assert "READY" == word
        yield Sandbox(process, url)
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


class World:
    """A project folder, its two systems, and a shell in it."""

    def __init__(self, folder: Path, crm: Sandbox, email: Sandbox, cache: Path) -> None:
        self.folder, self.crm, self.email = folder, crm, email
        self.environ = {
            **{name: value for name, value in os.environ.items() if name not in _LEFT_OUT},
            "PYTHONPATH": str(SRC),
            "PYTHONPYCACHEPREFIX": str(cache),
            "ACME_CRM_URL": crm.url,
            "ACME_CRM_TOKEN": CRM_TOKEN,
            "POSTBOX_URL": email.url,
            "POSTBOX_KEY": POSTBOX_KEY,
        }

    def start(self, *arguments: str, cwd: Path | None = None, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command, with signals of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "tieline.cli.main", *arguments],
            cwd=cwd or self.folder, env=environ or self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip

    def tieline(self, *arguments: str, cwd: Path | None = None, environ: dict[str, str] | None = None) -> Result:
        """Run a command to its end."""
        return ended(self.start(*arguments, cwd=cwd, environ=environ))

    def both(self, one: list[str], other: list[str], environ: dict[str, str] | None = None) -> list[Result]:
        """Run two commands side by side, to be done sooner."""
        return [ended(process) for process in [self.start(*arguments, environ=environ) for arguments in (one, other)]]

    def without(self, *names: str) -> dict[str, str]:
        """Return the environment without some variables."""
        return {name: value for name, value in self.environ.items() if name not in names}

    def change(self, file: str, *replaced: tuple[str, str]) -> None:
        """Edit a file of the project."""
        path = self.folder / file
        text = path.read_text("utf-8")
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, "utf-8")

    def slow_down(self, latency: float = 0.1) -> None:
        """Make a run last long enough to be interrupted: small batches, few at once, an email platform that takes its time."""
        self.change("connectors/postbox.yaml", ("size: 100\n", "size: 5\n"), ("concurrency: 10", "concurrency: 2"))
        self.email.faults(latency=latency)

    @property
    def store(self) -> Path:
        """The store's file."""
        return self.folder / ".tieline" / "store.db"

    @property
    def qualified(self) -> list[str]:
        """Who must be in the list, sorted."""
        return sorted(lead["email"].lower() for lead in self.crm.records if lead["status"] == "qualified")

    @property
    def members(self) -> list[str]:
        """Who is in the list, sorted; somebody who is there twice is there twice."""
        return sorted(member["email_address"] for member in self.email.records)


def ended(process: subprocess.Popen[str]) -> Result:
    """Wait for a command's end."""
    try:
        out, err = process.communicate(timeout=ENOUGH_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Result(process.returncode, out, err)


def until(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something is so, or the process has ended."""
    limit = time.monotonic() + ENOUGH_SECONDS
    while not what() and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.01)


def says(expected: list[str], said: list[str]) -> str | None:
    """Return the first expected line that did not come; `…` stands for whatever was left out."""
    at = 0
    skipping = False
    for line in expected:
        if line == "…":
            skipping = True
            continue
        pattern = re.compile(re.escape(line.rstrip()).replace("…", ".*"))
        while skipping and at < len(said) and not pattern.fullmatch(said[at].rstrip()):
            at += 1
        if at >= len(said) or not pattern.fullmatch(said[at].rstrip()):
            return line
        at, skipping = at + 1, False
    return None if skipping or at == len(said) else f"nothing more, but it says: {said[at]}"


def console_blocks(text: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a page's console block, each with what it shows of the answer."""
    parts = [part.splitlines() for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]
    return [(command, shown) for command, *shown in parts]


_LEFT_OUT = ("FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "PYTHONDONTWRITEBYTECODE", "TIELINE_TRACE", "EDITOR", "VISUAL")
