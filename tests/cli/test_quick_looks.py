"""Commands that look import nothing that runs, nor what checks files: importing those takes longer than the answer.

What they know of the files is remembered (`lint.cache`), and holds as long as the files read the same.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from tieline.cli.commands import asked_for
from tieline.cli.quick import take_plainly
from tieline.lint import cache
from tieline.lint.project import read_project_in_part
from tieline.looking import Looking

HEAVY = {
    "tieline.app", "tieline.engine.runs.run", "tieline.engine.runs.passes", "tieline.dialects.rest.system", "tieline.transport.caller",
    "tieline.config.loading.loader", "tieline.lint.linter", "tieline.mapping", "asyncio", "aiohttp", "pydantic", "yaml",
}  # fmt: skip
LOOKS = (
    "status", "status qualified-leads", "status --json", "explain crm leads 7", "explain email members 7 --json", "calls",
    "calls qualified-leads --failed --limit 3 --status 404", "calls --record crm leads 7", "dead-letters", "dead-letters list --limit 2",
    "conflicts", "conflicts list --decided", "unmatched list --all", "links list qualified-leads", "links list customers --unlinked",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project of the demo, with a store: two integrations, one of them both ways."""
    shutil.copytree(Path(cache.__file__).parents[1] / "templates" / "demo", tmp_path / "shop")
    (tmp_path / "shop" / ".tieline").mkdir()
    return tmp_path / "shop"


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)


def look(folder: Path, arguments: str) -> tuple[str, set[str]]:
    """Return what a command says, and what was imported for it."""
    code = "import sys\nfrom tieline.cli.commands import run_command_line\n"
    code += f"sys.argv = ['tieline', *{arguments.split()!r}]\nrun_command_line()\nprint(*sys.modules, file=sys.stderr)"
    done = run(folder, code)
    return done.stdout, {*done.stderr.splitlines()[-1].split()}


@pytest.mark.parametrize("arguments", LOOKS)
def test_a_look_imports_nothing_heavy(folder: Path, arguments: str) -> None:
    """The first look after a change of the files reads them; it says the same as the ones after it."""
    first, imported = look(folder, arguments)
    assert "tieline.config.loading.loader" in imported
    again, imported = look(folder, arguments)

    assert first == again
    assert set() == HEAVY & imported


def test_help_imports_nothing_heavy(folder: Path) -> None:
    """Nothing of a project is needed for it."""
    for arguments in ("--help", "status --help", "version"):
        assert set() == HEAVY & look(folder, arguments)[1]


CHANGES = {
    "another word": ("integrations/qualified-leads.yaml", lambda text: text.replace("five minutes", "ten minutes")),
    "an integration more": ("integrations/more.yaml", lambda text: "purpose: nothing yet\n"),
    "a connector that is wrong": ("connectors/acme-crm.yaml", lambda text: text + "nonsense: 1\n"),
    "another owner": (
        "tieline.yaml",
        lambda text: text + "owner: other@example.com\n" if "owner" not in text else text.replace("@", "@x."),
    ),
    "a function": ("mappings.py", lambda text: "def one(value):\n    return 1\n"),
    "a file that is no text": ("connections.yaml", lambda text: "\0"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_remembered_is_what_the_files_say(folder: Path, change: str) -> None:
    """A change of any file is seen by the very next look."""
    Looking.at(folder).close()
    assert cache.recall(folder, {}) is not None
    name, edit = CHANGES[change]
    file = folder / name
    file.write_text(edit(file.read_text("utf-8") if file.exists() else ""), "utf-8")

    assert cache.recall(folder, {}) is None
    Looking.at(folder).close()
    known, read = cache.recall(folder, {}), read_project_in_part(folder)
    assert known is not None
    assert (read.errors, read.unusable, [*read.integrations]) == (known.errors, known.unusable, [*known.integrations])


def test_an_address_that_the_environment_makes_is_part_of_what_is_remembered(folder: Path) -> None:
    """With another one, it may not be an address at all."""
    project = read_project_in_part(folder, {"ACME_CRM_URL": "http://127.0.0.1:1"})
    cache.remember(project, cache.digest_of(folder), {"ACME_CRM_URL": "http://127.0.0.1:1"})

    assert cache.recall(folder, {"ACME_CRM_URL": "http://127.0.0.1:1"}) is not None
    assert cache.recall(folder, {"ACME_CRM_URL": "ftp://127.0.0.1"}) is None


def test_everything_that_is_declared_comes_back(folder: Path) -> None:
    """Attributes, properties, and what only the real class can tell."""
    read = read_project_in_part(folder)
    cache.remember(read, cache.digest_of(folder), {})
    known = cache.recall(folder, {})
    assert known is not None

    def same(real: Any, plain: Any) -> None:
        if hasattr(type(real), "model_fields"):
            for name in [*type(real).model_fields, *(name for name, each in vars(type(real)).items() if isinstance(each, property))]:
                same(getattr(real, name), getattr(plain, name))
        elif isinstance(real, dict):
            assert [*real] == [*plain]
            for key, value in real.items():
                same(value, plain[key])
        elif isinstance(real, (list, tuple)):
            assert len(real) == len(plain)
            for one, other in zip(real, plain, strict=True):
                same(one, other)
        else:
            assert real == plain

    for kind in ("file", "connectors", "connections", "integrations"):
        same(getattr(read, kind), getattr(known, kind))
    assert read.where("integration", "customers", "map") == known.where("integration", "customers", "map")
    assert known.file.model_dump() is not None
    with pytest.raises(AttributeError):
        _ = known.file.nonsense  # type: ignore[attr-defined]


@pytest.mark.parametrize("bytes_", [b"", b"short", b"x" * 100, b"cos\nsystem\n(S'exit 1'\ntR."])
def test_what_is_spoilt_is_not_believed(folder: Path, bytes_: bytes) -> None:
    """The files are read, and what was spoilt is replaced."""
    digest = cache.digest_of(folder) + b"-" * 16
    for spoilt in (bytes_, digest + bytes_):
        (folder / ".tieline" / cache.FILE).write_bytes(spoilt)
        assert cache.recall(folder, {}) is None
    Looking.at(folder).close()
    assert cache.recall(folder, {}) is not None


def test_nothing_is_remembered_of_files_with_a_secret_in_them_nor_where_there_is_no_store(folder: Path) -> None:
    """Looking makes no store, and a secret stays where it was written."""
    connections = folder / "connections.yaml"
    connections.write_text(connections.read_text("utf-8").replace("${env:ACME_CRM_TOKEN}", "a-secret-in-the-clear"), "utf-8")
    Looking.at(folder).close()
    assert [] == [*(folder / ".tieline").iterdir()]

    shutil.rmtree(folder / ".tieline")
    Looking.at(folder).close()
    assert not (folder / ".tieline").exists()


def test_a_value_of_the_command_line_is_taken_as_typer_takes_it() -> None:
    """What is plain is the same either way, and what is wrong is refused in the same words."""
    lines = [
        ["status", "name", "-p", "folder"], ["calls", "7", "--limit", "3", "--record", "a", "b", "c"], ["calls", "--limit", "0"],
        ["calls", "--limit", "٣"], ["calls", "--status", "1000"], ["conflicts", "resolve", "1", "2", "--keep", "left"],
        ["conflicts", "resolve", "x", "--keep", "left"], ["conflicts", "resolve", "1", "--keep", "middle"], ["dead-letters", "show"],
        ["dead-letters", "edit", "5", "--set", "a=1", "--set", "b=2"], ["calls", "--limit", "+3"], ["calls", "--limit", "99999999999999999999"],
    ]  # fmt: skip
    for line in lines:
        assert taken(line, plainly=False) == taken(line, plainly=True), line


def taken(line: list[str], *, plainly: bool) -> Any:
    """Return what the command would be called with, or why it would not be."""
    command: Any = typer.main.get_command(asked_for(line))
    if plainly:
        take_plainly(command)
    context = None
    try:
        while True:
            context = command.make_context("tieline", [*line], parent=context)
            if not hasattr(command, "commands"):
                return context.params
            line = [*context._protected_args, *context.args]
            command = command.commands[line.pop(0)]
    except Exception as error:  # noqa: BLE001 - whatever is said is compared
        return type(error), str(error)


def test_the_whole_tree_is_there_for_help_and_for_a_wrong_name() -> None:
    """Only what is asked for by name is built alone."""
    for line in ([], ["--help"], ["staus"], ["-h", "status"]):
        tree = asked_for(line)
        assert {"init", "run", "status", "version"} <= {one.callback.__name__ for one in tree.registered_commands if one.callback}
        assert {"conflicts", "unmatched", "links", "dead-letters", "connector"} == {one.name for one in tree.registered_groups}
    for name in ("init", "status", "version"):
        assert name in [one.callback.__name__ for one in asked_for([name]).registered_commands if one.callback]
        assert 2 == len(asked_for([name]).registered_commands)
