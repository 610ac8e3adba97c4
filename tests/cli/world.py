"""Two sandbox systems and a project between them, used through the command line as a person would."""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tieline.sandbox import CRM_TOKEN, POSTBOX_KEY

NAME = "qualified-leads"
LEADS = 200
QUALIFIED = 80
MEMBERS = 10
SRC = Path(__file__).parents[2] / "src"
ENOUGH_SECONDS = 900  # against what hangs; a busy machine only takes longer


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

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str = "", body: Any = None) -> Any:
        """Use the admin address."""
        with contextlib.closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=ENOUGH_SECONDS)) as connection:
            connection.request(method, f"/_sandbox/{path}", None if body is None else json.dumps(body))
            told = connection.getresponse().read()
            return json.loads(told) if told else None

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
        yield Sandbox(url)
    finally:
        process.stdin.close()
        process.wait(ENOUGH_SECONDS)
        process.stdout.close()


class Command:
    """A `tieline` command in a process and session of its own.

    The process is forked from one that has imported the libraries already: it begins in a few milliseconds instead of half a second, and
    is like any other from then on. `test_demo` and `test_tutorial` start theirs from a shell.
    """

    def __init__(self, arguments: tuple[str, ...], cwd: Path, environ: dict[str, str]) -> None:
        folder = tempfile.mkdtemp()
        self._clear_away = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)  # also when the test ends before the command
        self._files = [Path(folder) / name for name in ("out", "err")]
        for file in self._files:
            file.touch()
        self._process = _FORKS.Process(target=_run, args=(arguments, str(cwd), environ, *map(str, self._files)))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def out(self) -> str:
        """What it has said so far."""
        return self._files[0].read_text("utf-8")

    @property
    def err(self) -> str:
        """What it has said so far of what went wrong."""
        return self._files[1].read_text("utf-8")

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        return self._process.exitcode is not None

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def end(self) -> Result:
        """Wait for its end."""
        self._process.join(ENOUGH_SECONDS)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"it goes on for ever, and said: {self.out}{self.err}")
        result = Result(self._process.exitcode, self.out, self.err)
        self._process.close()
        self._clear_away()
        return result


_FORKS: Final = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
if sys.platform != "win32":
    # Not the command line itself: it looks at the terminal when it is imported.
    _FORKS.set_forkserver_preload(["tieline.app", "tieline.lint.linter", "typer", "rich.progress", "rich.table", "phonenumbers", "uvloop"])


def _run(arguments: tuple[str, ...], cwd: str, environ: dict[str, str], out: str, err: str) -> None:
    """Be the command."""
    if sys.platform != "win32":
        os.setsid()
    for number, path in ((0, os.devnull), (1, out), (2, err)):
        os.dup2(os.open(path, os.O_RDWR | os.O_APPEND), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, buffering=1) for number, mode in enumerate("rww"))
    sys.__stdout__ = sys.stdout
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["tieline", *arguments]
    from tieline.cli.main import main

    main()


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

    def start(self, *arguments: str, cwd: Path | None = None, environ: dict[str, str] | None = None) -> Command:
        """Start a command, with signals of its own."""
        return Command(arguments, cwd or self.folder, environ or self.environ)

    def tieline(self, *arguments: str, cwd: Path | None = None, environ: dict[str, str] | None = None) -> Result:
        """Run a command to its end."""
        return self.start(*arguments, cwd=cwd, environ=environ).end()

    def both(self, one: list[str], other: list[str], environ: dict[str, str] | None = None) -> list[Result]:
        """Run two commands side by side, to be done sooner."""
        return [command.end() for command in [self.start(*arguments, environ=environ) for arguments in (one, other)]]

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
        """Who is in the list, sorted; someone who is there twice is there twice."""
        return sorted(member["email_address"] for member in self.email.records)


def until(what: Callable[[], bool], command: Command) -> None:
    """Wait until something is so, or the command has ended."""
    limit = time.monotonic() + ENOUGH_SECONDS
    while not what() and not command.has_ended:
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
