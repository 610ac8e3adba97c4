"""The sandbox systems of a demo, each in a process of its own, and the people who work in them.

They end with whoever started them, however that ends: their standard input is a pipe, and they stop at its end.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from tieline.model.errors import TielineError
from tieline.sandbox import CRM_TOKEN, LEDGERLY_KEY, POSTBOX_KEY

STATE: Final = ".tieline"
"""Where the systems keep their records, in the project folder."""


class SystemKind(NamedTuple):
    """A sandbox as the demo uses it."""

    title: str
    kind: str
    variable: str
    port: int
    state: str
    pace: tuple[str, ...]
    """Fewer calls than its documentation says, so that a limit is seen at work."""


CRM: Final = SystemKind("Acme CRM", "crm", "ACME_CRM_URL", 8081, f"{STATE}/acme-crm.jsonl", ("--rate", "5", "--burst", "5"))
POSTBOX: Final = SystemKind("Postbox", "email", "POSTBOX_URL", 8082, f"{STATE}/postbox.jsonl", ("--rate", "3", "--burst", "3"))
LEDGERLY: Final = SystemKind("Ledgerly", "erp", "LEDGERLY_URL", 8083, f"{STATE}/ledgerly.jsonl", ())
SYSTEMS: Final = (CRM, POSTBOX, LEDGERLY)


class Systems:
    """The systems. Use as a context: they run for the length of the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []
        self.addresses: list[str] = []

    def __enter__(self) -> Self:
        try:
            starting = [self._start(system, system.port) for system in SYSTEMS]
            for system, process in zip(SYSTEMS, starting, strict=True):
                self.addresses.append(_ready(process) or self._elsewhere(system, process))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Let them write down what they know, and end."""
        for process in self._processes:
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._processes.clear()

    def wait(self) -> None:
        """Return when one of them has ended."""
        while all(process.poll() is None for process in self._processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._processes[0].wait(1)

    @property
    def environ(self) -> dict[str, str]:
        """The variables that the project's files refer to."""
        addresses = {system.variable: address for system, address in zip(SYSTEMS, self.addresses, strict=True)}
        return {**addresses, "ACME_CRM_TOKEN": CRM_TOKEN, "POSTBOX_KEY": POSTBOX_KEY, "LEDGERLY_KEY": LEDGERLY_KEY}

    @property
    def arguments(self) -> list[list[str]]:
        """How each is started again, at the same address, as fast as its documentation says."""
        return [
            [system.kind, "--port", address.rpartition(":")[2], "--state", system.state]
            for system, address in zip(SYSTEMS, self.addresses, strict=True)
        ]

    def records(self, system: SystemKind) -> list[dict[str, Any]]:
        """Return every record, as a person sees them in the vendor's pages."""
        found: list[dict[str, Any]] = self._admin(system, "GET", "records")["records"]
        return found

    def overview(self, system: SystemKind) -> dict[str, Any]:
        """Return the counts, and how many calls were answered with which status."""
        found: dict[str, Any] = self._admin(system, "GET", "")
        return found

    def remove(self, system: SystemKind, id: int | str) -> None:
        """Delete a record, as a person would."""
        self._admin(system, "DELETE", f"records/{id}")

    def edit(self, system: SystemKind, id: int | str, fields: dict[str, Any]) -> None:
        """Change a record, as a person would."""
        self._admin(system, "PATCH", f"records/{id}", fields)

    def add_bad(self, system: SystemKind, kind: str) -> dict[str, Any]:
        """Put in a record that another system won't have, as a careless import would."""
        found: dict[str, Any] = self._admin(system, "POST", "bad", {"kind": kind})
        return found

    def set_faults(self, system: SystemKind, faults: dict[str, Any]) -> None:
        """Let things go wrong, or right again."""
        self._admin(system, "POST", "faults", faults)

    def _admin(self, system: SystemKind, method: str, path: str, body: Any = None) -> Any:
        return _ask(self.addresses[SYSTEMS.index(system)], method, path, body)

    def _start(self, system: SystemKind, port: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "tieline.sandbox", system.kind, "--port", str(port), "--state", system.state, *system.pace]
        process = subprocess.Popen(
            command, cwd=self._folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,  # a Ctrl-C is for the command that is being shown, not for the vendors
        )  # fmt: skip
        self._processes.append(process)
        return process

    def _elsewhere(self, system: SystemKind, ended: subprocess.Popen[str]) -> str:
        """Start a system whose usual port is taken at another one."""
        assert ended.stdout is not None
        ended.stdout.close()
        ended.wait()
        self._processes.remove(ended)
        if (address := _ready(self._start(system, 0))) is None:
            step = f"`python -m tieline.sandbox {system.kind}` says why"
            raise TielineError(f"the sandbox system {system.title} did not start", next_step=step)
        return address


def answers(address: str) -> bool:
    """Whether a sandbox is at work there."""
    try:
        return "sandbox" in _ask(address, "GET", "")
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return False


def _ready(process: subprocess.Popen[str]) -> str | None:
    assert process.stdout is not None
    word, _, address = process.stdout.readline().strip().partition(" ")
    return address if word == "READY" else None


def _ask(address: str, method: str, path: str, body: Any = None) -> Any:
    with contextlib.closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)) as connection:
        connection.request(method, f"/_sandbox/{path}", None if body is None else json.dumps(body))
        return json.loads(connection.getresponse().read() or "null")
