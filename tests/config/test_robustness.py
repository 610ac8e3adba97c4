"""Whatever is in the files, reading ends with a project or with complaints; and no complaint shows a secret."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.conftest import ENVIRON, VALID
from config.spoiling import FILES, TEXTS, VALUES, spoiled_text, spoiled_value, write
from tieline.lint.project import read_project, read_project_with_complaints
from tieline.model.errors import Complaint, SpecError

often = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CANARY = "canary-4f7a91c2"


def _read_both_ways(name: str, text: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), name, text)
        project, complaints = read_project_with_complaints(Path(folder), ENVIRON)
        errors = [complaint for complaint in complaints if complaint.severity == "error"]
        raised: list[Complaint] = []
        try:
            read_project(Path(folder), environ=ENVIRON)
        except SpecError as error:
            raised = error.complaints
        assert errors == raised
    assert project is not None or errors
    for complaint in complaints:
        assert complaint.file
        assert complaint.line is None or 1 <= complaint.line <= text.count("\n") + 2 or complaint.file != name
        assert complaint.message
        assert complaint.severity in ("error", "warning")
    return [str(complaint) for complaint in complaints]


@often
@given(spoiled_text())
def test_no_slip_of_the_fingers_does_more_than_make_complaints(spoiled: tuple[str, str]) -> None:
    _read_both_ways(*spoiled)


@often
@given(spoiled_value())
def test_no_wrong_idea_does_more_than_make_complaints(spoiled: tuple[str, Any]) -> None:
    name, value = spoiled
    _read_both_ways(name, json.dumps(value))


@often
@given(st.sampled_from(FILES), st.binary(max_size=200))
def test_no_bytes_do_more_than_make_complaints(name: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), name, "")
        (Path(folder) / name).write_bytes(data)
        _, complaints = read_project_with_complaints(Path(folder), ENVIRON)
    assert all(complaint.file for complaint in complaints)


def _places(value: Any, keys: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [keys, *(place for key, item in value.items() for place in _places(item, (*keys, key)))]
    if isinstance(value, list):
        return [keys, *(place for index, item in enumerate(value) for place in _places(item, (*keys, index)))]
    return [keys]


def _with(value: Any, keys: tuple[str | int, ...], put: Any) -> Any:
    if not keys:
        return put
    key, rest = keys[0], keys[1:]
    if isinstance(value, dict):
        return {k: _with(v, rest, put) if k == key else v for k, v in value.items()}
    return [_with(item, rest, put) if index == key else item for index, item in enumerate(value)]


SECRETS = [
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "https://user:" + CANARY + "@example.com",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "prefix xoxb-1234567890-abcdefghij and more",
    "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA0Z3VS5JJ\n-----END PRIVATE KEY-----",
]
FRAGMENTS = ["4eC39HqLyjWDarjtT1zdp7dc", CANARY, "0123456789abcdefghijABCDEFGHIJ", "1234567890-abcdefghij", "MIIEowIBAAKCAQEA"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("secret", SECRETS, ids=["stripe", "address", "github", "slack", "key"])
def test_a_secret_is_refused_wherever_it_stands_and_never_shown(name: str, secret: str, project_folder: Path) -> None:
    """In place of every value of every file: of texts, numbers, maps and lists."""
    for keys in _places(VALUES[name]):
        text = json.dumps(_with(json.loads(json.dumps(VALUES[name], default=str)), keys, secret))
        (project_folder / name).write_text(text)
        _, complaints = read_project_with_complaints(project_folder, ENVIRON)
        shown = list(map(str, complaints))
        assert any("secret" in line or "password" in line for line in shown), keys
        assert not [fragment for fragment in FRAGMENTS if fragment in "\n".join(shown)], keys


@pytest.mark.parametrize("value", [CANARY, [CANARY], {"x": CANARY}, f"Bearer {CANARY}", CANARY * 30])
@pytest.mark.parametrize("method", ["bearer", "api_key", "basic", "baisc"])
def test_credentials_are_never_shown_whatever_else_is_wrong_with_them(method: str, value: Any) -> None:
    connections = {"crm": {"connector": "crm", "auth": {method: value}, "variables": {"region": "eu"}}}

    shown = _read_both_ways("connections.yaml", json.dumps(connections))

    assert shown
    assert CANARY not in "\n".join(shown)


def test_values_of_references_are_never_shown(project_folder: Path) -> None:
    """Neither when they are bad, nor when they make a bad address."""
    path = project_folder / "connectors" / "mail.yaml"
    path.write_text(TEXTS["connectors/mail.yaml"].replace("https://api.mail.example.com/v2", "${env:MAIL_URL}"))
    urls = [f"http://{CANARY}", f"https://{CANARY}:x@host", CANARY, f"https://{CANARY}\n", f"\0{CANARY}", f"\udcff{CANARY}"]
    for url in urls:
        project, complaints = read_project_with_complaints(project_folder, {**ENVIRON, "MAIL_URL": url})
        shown = "\n".join(map(str, complaints)) + repr(project)
        assert complaints
        assert CANARY not in shown
        assert not [value for value in ENVIRON.values() if value in shown]


def test_the_valid_project_is_what_these_tests_spoil() -> None:
    assert {"tieline.yaml", "connections.yaml"} < set(FILES)
    assert VALID.is_dir()
