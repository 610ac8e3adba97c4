"""Credentials from `.env` and from files: found, read again before a refusal is believed, and kept out of the repository."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.served import Answer, Asked, Project, Vendor
from cases.test_escape_sequences import FILES
from tieline.config.loading.dotenv import Environment, read_dotenv

NEW = "new-0123456789-abcdef"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A = b c # said", "b c"),
        ("A=b#c", "b#c"),
        ("A=", ""),
        ("A='b # $c \\n'  # said", "b # $c \\n"),
        ('A="b\\n\\"c\\" # d"', 'b\n"c" # d'),
        ("A=b=c", "b=c"),
        ("\ufeffA=b\r", "b"),
    ],
)
def test_a_line_of_dotenv(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / ".env").write_text(f"{line}\n# A=no\n\n", "utf-8", newline="")
    assert ({"A": value}, []) == read_dotenv(tmp_path / ".env")


@pytest.mark.parametrize("line", ["A", "1A=b", "A='b", 'A="b" c', "=b"])
def test_a_line_that_is_none_is_told_without_its_value(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"B=c\n{line}\n", "utf-8")
    values, [complaint] = read_dotenv(tmp_path / ".env")
    assert {"B": "c"} == values
    assert 2 == complaint.line
    assert "b" not in complaint.message.replace("between", "").replace("NAME=value", "").split()


def test_the_environment_wins_and_the_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    environ = Environment(tmp_path, {"A": "set"})
    assert "B" not in environ
    (tmp_path / ".env").write_text("A=file\nB=file\n", "utf-8")
    assert ("set", "file") == (environ["A"], environ["B"])
    (tmp_path / ".env").write_text("B=other file\n", "utf-8")
    assert {"A": "set", "B": "other file"} == dict(environ)


@pytest.fixture
def project(tmp_path: Path, served: Callable[[Answer], Vendor]) -> Any:
    """Whose vendor accepts the key in `accepted`, and changes the `.env` when it is asked for the first time."""
    accepted = [NEW]

    def answer(asked: Asked) -> tuple[int, object]:
        if asked.headers["Authorization"] != f"Bearer {accepted[0]}":
            (tmp_path / ".env").write_text(f"TOKEN={rotated[0]}\n", "utf-8")
            return 401, {"error": "no such key"}
        return (201, {**asked.json, "id": "1"}) if asked.method == "POST" else (200, {"items": []})

    rotated = [NEW]
    vendor = served(answer)
    project = Project(tmp_path, vendor, FILES)
    project.change("connections.yaml", "${env:KEY}", "${env:TOKEN}")
    project.write(".env", "TOKEN=old-0123456789-abcdef\n")
    return project, vendor, rotated


def test_a_credential_that_was_renewed_meanwhile_is_found_without_a_restart(project: Any) -> None:
    run = project[0].tieline("run", "sync")
    assert 0 == run.code, run.said
    assert NEW not in run.said
    assert 1 == sum(
        asked.headers["Authorization"].endswith("old-0123456789-abcdef") for asked in project[1].asked if asked.path == "/a/contacts"
    )


def test_a_credential_that_stays_refused_is_tried_once_more_and_no_oftener(project: Any) -> None:
    project[2][0] = "wrong-0123456789-abcdef"
    run = project[0].tieline("run", "sync")
    assert 1 == run.code, run.said
    assert 2 == len(project[1].asked)
    again = project[0].tieline("run", "sync")
    assert 1 == again.code
    assert 3 == len(project[1].asked), "the file says the same as before: nothing is tried again"


def test_check_warns_of_a_dotenv_that_git_has_or_would_take(project: Any) -> None:
    git = ["git", "-C", str(project[0].folder), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    untracked = project[0].tieline("check")
    (project[0].folder / ".gitignore").write_text(".env\n")
    ignored = project[0].tieline("check")
    subprocess.run([*git, "add", "-f", ".env"], check=True)
    tracked = project[0].tieline("check")

    assert ".env is not ignored by git" in untracked.out
    assert "git" not in ignored.out
    assert ".env is tracked by git" in tracked.out
    assert "old-0123456789" not in tracked.said


def test_half_a_character_parks_its_record_alone(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    made: list[Any] = []

    def answer(asked: Asked) -> tuple[int, object]:
        if asked.path.startswith("/a"):
            return (
                200,
                b'{"items": [{"id": "1", "email": "a@x.example", "first_name": "cut \\ud83d"}, {"id": "2", "email": "b@x.example", "first_name": "b"}]}',
            )
        if asked.method == "POST":
            made.append(asked.json)
            return 201, {**asked.json, "id": "b1"}
        return 200, {"items": []}

    project = Project(tmp_path, served(answer), FILES)
    run = project.tieline("run", "sync")
    letters = project.tieline("dead-letters", "list")

    assert 1 == run.code, run.said
    assert ["b@x.example"] == [record["email"] for record in made]
    assert "can't be decoded" in letters.out
