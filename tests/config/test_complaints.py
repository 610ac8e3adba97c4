"""Each case in `cases/` spoils the valid project in one way and names every complaint that must follow, to the letter.

== what is wrong
~ FILE        an edit: `- ` lines are taken out, `+ ` lines put there (or at the end)
@ FILE        the whole file follows, each line after `| `
! FILE        the file is taken away
=> FILE:LINE: complaint        `=> warning: ...` for a warning
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from config.conftest import ENVIRON
from tieline.lint.project import read_project_with_complaints


@dataclass
class Case:
    title: str
    steps: list[tuple[str, str, list[str], list[str]]] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def spoil(self, folder: Path) -> None:
        for kind, name, out, put in self.steps:
            path = folder / name
            if kind == "!":
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "@":
                path.write_text("\n".join(put) + "\n" if put else "")
                continue
            text, new = path.read_text(), "\n".join(put)
            if out:
                old = "\n".join(out)
                assert text.count(old) == 1, f"{name} must hold once: {old}"
                path.write_text(text.replace(old, new))
            else:
                path.write_text(text + new + "\n")


def read_cases(path: Path) -> list[Case]:
    cases: list[Case] = []
    for line in path.read_text().splitlines():
        mark, _, rest = line.partition(" ")
        if mark == "==":
            cases.append(Case(rest))
        elif mark in ("~", "@", "!"):
            cases[-1].steps.append((mark, rest, [], []))
        elif mark == "-":
            cases[-1].steps[-1][2].append(rest)
        elif mark in ("+", "|"):
            cases[-1].steps[-1][3].append(rest)
        elif mark == "=>":
            cases[-1].expected.append(rest)
        else:
            assert not line.strip(), f"{path.name}: {line}"
    return cases


CASES = [
    pytest.param(case, id=f"{path.stem}: {case.title}")
    for path in sorted((Path(__file__).parent / "cases").glob("*.txt"))
    for case in read_cases(path)
]


@pytest.mark.parametrize("case", CASES)
def test_a_spoiled_project_is_complained_of_where_it_is_wrong(case: Case, project_folder: Path) -> None:
    case.spoil(project_folder)

    _, complaints = read_project_with_complaints(project_folder, ENVIRON)

    shown = [("warning: " if one.severity == "warning" else "") + str(one) for one in complaints]
    assert sorted(case.expected) == sorted(shown)
    assert shown == [line for _, line in sorted(zip(map(_place, complaints), shown, strict=True), key=lambda pair: pair[0])]


def _place(complaint) -> tuple[str, int]:
    return complaint.file, complaint.line or 0


def test_there_are_enough_cases() -> None:
    """Every complaint that we can make has a case; this only keeps the number from falling without anybody noticing."""
    assert len(CASES) >= 150


def test_titles_of_cases_differ() -> None:
    titles = [param.id for param in CASES]
    assert sorted(set(titles)) == sorted(titles)


def test_the_valid_project_has_no_complaints(project_folder: Path) -> None:
    project, complaints = read_project_with_complaints(project_folder, ENVIRON)

    assert [] == complaints
    assert project is not None
    assert re.fullmatch(r"[a-z-]+", project.file.project)
