"""Control characters of a vendor's records, ids and error texts never reach the terminal or a log; JSON stays JSON that means the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cases.served import Answer, Asked, Project, Vendor
from tieline.model.shown import shown, shown_json

BAD = "\x1b[2J\x1b]0;pwned\x07\x9b31m\x7f\u202etxt.exe\u2028\u200b"
NEVER = [*map(chr, [*range(9), *range(11, 32), *range(127, 160)]), "\u202e", "\u2028", "\u200b"]
CONNECTOR = """\
connector: {name}
environments: {{ production: "{{url}}/{name}" }}
auth: {{ bearer: {{}} }}
resources:
  contacts:
    id: id
    fields: {{ id: {{ type: string, read_only: true }}, email: {{ type: string }}, first_name: {{ type: string }} }}
    list: {{ path: /contacts, records: items }}
    get: {{ path: "/contacts/{{id}}" }}
    find: {{ email: {{ path: /contacts, params: {{ email: "{{value}}" }}, records: items }} }}
    create: {{ path: /contacts }}
    update: {{ path: "/contacts/{{id}}", method: PATCH }}
"""
FILES = {
    "connectors/a.yaml": CONNECTOR.format(name="a"),
    "connectors/b.yaml": CONNECTOR.format(name="b"),
    "integrations/sync.yaml": "purpose: x\nfrom: a.contacts\nto: b.contacts\ndirection: one-way\nfreshness: 1h\nmatch: { email: email }\n"
    "unmatched: create\nconflict: source\nunavailable: { keep: 7d }\nmap: { email: email, first_name: first_name }\n",
}


def _answer(asked: Asked) -> tuple[Any, ...]:
    if asked.path.startswith("/a"):
        records = [
            {"id": "1", "email": "ann@x.example", "first_name": f"[red]x[/red]{BAD}"},
            {"id": "2", "email": "bob@x.example", "first_name": "b\r\nsync green\r\n"},
        ]
        return 200, {"items": records}
    if asked.method == "POST":
        return 422, {"error": f"no {BAD}\r\nfaked line"}
    return 200, {"items": []}


@pytest.fixture
def project(tmp_path: Path, served: Callable[[Answer], Vendor]) -> Project:
    return Project(tmp_path, served(_answer), FILES)


def test_nothing_that_a_vendor_says_moves_the_cursor_or_forges_a_line(project: Project) -> None:
    commands = [
        ["plan", "sync", "--show", "9"], ["run", "sync", "--log", "text"], ["run", "sync", "--log", "json"], ["status"], ["status", "sync"],
        ["dead-letters", "list"], ["dead-letters", "show", "1"], ["explain", "a", "contacts", "1"], ["calls"], ["calls", "3"], ["verify", "sync"],
    ]  # fmt: skip
    for command in commands:
        told = project.tieline(*command)
        assert not [char for char in NEVER if char in told.out + told.err], (command, told.said)
        assert not any(line.strip() in ("sync green", "faked line") for line in told.said.splitlines()), (command, told.said)
        assert "Traceback" not in told.said


def test_what_looks_like_markup_is_shown_as_it_is(project: Project) -> None:
    assert "[red]x[/red]" in project.tieline("plan", "sync", "--show", "9").out


def test_json_stays_json_and_keeps_every_character(project: Project) -> None:
    project.tieline("run", "sync")
    letter = project.tieline("dead-letters", "show", "1", "--json")
    calls = project.tieline("calls", "--json")

    assert not [char for char in NEVER if char in letter.out + calls.out]
    assert all(json.loads(line) for line in calls.out.splitlines())
    assert any(BAD in text for text in _texts(letter.json))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(part)


@given(st.text())
@example(BAD)
@example("\ud800 \U0001f468\u200d\U0001f469 \u0646\u0645\u06cc\u200c\u062e \U000e0041")
def test_what_is_shown_has_a_shape(text: str) -> None:
    """Whatever the text: nothing invisible is left but joiners between letters, what was visible stays, and JSON means the same."""
    told = shown(text)
    assert all(char.isprintable() or char in "\u200c\u200d" for char in told)
    left = iter(told)
    assert all(char in left for char in text if char.isprintable()), "what was visible is shown, in its order"
    written = json.dumps(text, ensure_ascii=False)
    assert text == json.loads(shown_json(written))
    assert shown_json(written).isprintable()
