"""A reason names the rule's own line, and the value that was bad: one way, both ways, and on the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cases.contacts import CONNECTORS, Contacts, integration
from cases.served import Answer, Project, Vendor

Served = Callable[[Answer], Vendor]
PEOPLE = [{"id": "l0", "email": "p0@example.com", "name": "P0", "phone": "1", "status": "a"}]
BACK = """
  email: email
  status:
    from: status
    values: { a: b }
  phone:
    expr: "'x' + phone"
    back:
      phone: { from: phone, as: integer }
"""


def lines(text: str) -> dict[str, int]:
    """Return the line of each key that is written once."""
    return {line.split(":")[0].strip(): number for number, line in enumerate(text.splitlines(), 1)}


@pytest.mark.parametrize(
    ("edit", "key", "field", "value"),
    [({"status": "zzz"}, "status", "status", "zzz"), ({"phone": "nine"}, "phone", "phone", "nine")],
)
def test_on_the_way_back(tmp_path: Path, served: Served, edit: dict[str, str], key: str, field: str, value: str) -> None:
    """The second rule has a table of its own for the way back: its line is that of the entry."""
    contacts = Contacts(a=PEOPLE)
    text = integration("two-way", map=BACK)
    project = Project(tmp_path, served(contacts.answer), {**CONNECTORS, "integrations/people.yaml": text})
    assert 0 == project.tieline("run", "people").code
    contacts.of("b")[0].update(edit)

    ran = project.tieline("run", "people")
    listed, shown = project.tieline("dead-letters"), project.tieline("dead-letters", "show", "17")

    assert 1 == ran.code, ran.said
    line = lines(text)[key]  # of `phone`, the last line that has it: the entry in `back`
    for said in (listed, shown):
        assert f"integrations/people.yaml:{line}" in said.out
        assert f'"{value}"' in said.out
        assert f"`{field}`" in said.out
    for said in (project.tieline("dead-letters", "list", "--mask"), project.tieline("dead-letters", "show", "17", "--mask")):
        assert (value in said.out) == (field != "phone"), said.out


def test_one_way(tmp_path: Path, served: Served) -> None:
    contacts = Contacts(a=[{**PEOPLE[0], "status": "zzz"}, {**PEOPLE[0], "id": "l1", "email": "no address", "status": "a"}])
    text = integration(map="\n  email: email\n  status:\n    from: status\n    values: { a: b }")
    project = Project(tmp_path, served(contacts.answer), {**CONNECTORS, "integrations/people.yaml": text})

    assert 1 == project.tieline("run", "people").code
    said = project.tieline("dead-letters").out

    assert f"integrations/people.yaml:{lines(text)['status']}" in said
    assert f"integrations/people.yaml:{text[: text.index('  email: email')].count(chr(10)) + 1}" in said
    assert '"zzz"' in said
    assert "no address" in said
    masked = project.tieline("dead-letters", "list", "--mask").out
    assert '"zzz"' in masked
    assert "no address" not in masked
