"""The page of the worked example says what really happens: its commands are run, and what they print is compared."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from systems.server import is_required

from integration.projects import EXAMPLES, ROOT

PAGE = ROOT / "docs" / "examples" / "tryton-to-mailman.md"

_DIFFERS = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"the first run from TIME on tries", "the next run tries"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r" in [\d.]+ s(?:, [\d,]+ records/s)?", " in SECONDS"),
    (r"\b[\d.]+ (?:ms|s)\b", "SECONDS"),
    (r"\bcall \d+", "call N"),
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\b(?:dead letter|discarded:) \d+|(?:(?<=\n)|^) *\d+(?= +members)", "LETTER"),
    (r"\s+", " "),
)
"""What differs from run to run; and a table may be wrapped elsewhere."""


@pytest.mark.systems
def test_the_worked_example_happens_as_told(tmp_path: Path) -> None:
    """The page is run from top to bottom, against servers that `servers.py` starts; a line with `…` stands for what is left out.

    With TIELINE_WRITE_PAGES=1, what is printed is written into the page instead, but for what is told with a `…`.
    """
    folder = Path(shutil.copytree(EXAMPLES / "tryton-to-mailman", tmp_path / "p", ignore=shutil.ignore_patterns(".tieline", "servers.env")))
    page = PAGE.read_text("utf-8")
    commands = _commands(page)
    numbers: dict[str, str] = {}
    with _servers(folder / "servers.env", tmp_path / "log"):
        for command, told in commands:
            said = _run(_with_letters(command, numbers), folder)
            numbers.update(zip(_letters(told), _letters(said), strict=False))
            if os.environ.get("TIELINE_WRITE_PAGES") == "1" and "…\n" not in told:
                page = page.replace(f"$ {command}\n{told}", f"$ {_with_letters(command, numbers)}\n{_trimmed(said)}", 1)
            else:
                differs = (
                    f"$ {command}\n\nthe page says:\n{told}\nthe command says:\n{said}\nTIELINE_WRITE_PAGES=1 writes it into the page."
                )
                assert re.fullmatch(_pattern(told), _alike(said)), differs
    if page != PAGE.read_text("utf-8"):
        PAGE.write_text(page, "utf-8")

    assert len(commands) > 10


def _commands(page: str) -> list[tuple[str, str]]:
    """Return the page's commands, each with what it is told to print."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, told = entry.partition("\n")
            found.append((command, told))
    return found


def _run(command: str, folder: Path) -> str:
    ready = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "utf-8", "LC_ALL": "C.UTF-8"}
    shell = f'. ./servers.env; tieline() {{ "{sys.executable}" -m tieline.cli.main "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", shell], cwd=folder, env=ready, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
    )
    return done.stdout


def _pattern(told: str) -> str:
    return ".*".join(re.escape(_alike(part)) for part in re.split(r"^…\n", told, flags=re.MULTILINE))


def _alike(text: str) -> str:
    for differs, word in _DIFFERS:
        text = re.sub(differs, word, text)
    return text.strip()


def _trimmed(said: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in said.splitlines())


def _with_letters(command: str, numbers: Mapping[str, str]) -> str:
    """Return the command with the numbers that dead letters have here."""
    if "dead-letters" not in command:
        return command
    return re.sub(r"\b\d+\b", lambda number: numbers.get(number[0], number[0]), command)


def _letters(text: str) -> list[str]:
    """Return the numbers in a table of dead letters."""
    return re.findall(r"^ *(\d+) +members +\d+ +(?:parked|held) ", text, re.MULTILINE)


@contextlib.contextmanager
def _servers(environment: Path, log: Path) -> Iterator[None]:
    """Run the example's servers, until the block ends."""
    with log.open("wb") as output:
        script = EXAMPLES / "tryton-to-mailman" / "servers.py"
        servers = subprocess.Popen([sys.executable, script, environment], stdout=output, stderr=subprocess.STDOUT)
    try:
        while not environment.exists() and servers.poll() is None:
            time.sleep(0.1)
        if servers.poll() is not None:
            said = log.read_text("utf-8")
            pytest.fail(said, pytrace=False) if is_required() else pytest.skip(said)
        yield
    finally:
        servers.send_signal(signal.SIGTERM)
        servers.wait(timeout=60)
