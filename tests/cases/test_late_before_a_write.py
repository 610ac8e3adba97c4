"""An update that is merged into what was read just before: a read that is behind our own last write must not put the old value back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.contacts import CONNECTORS, Contacts, integration
from cases.served import Answer, Asked, Project, Vendor

REPLACES = '    get: { path: "/contacts/{id}" }\n    update: { path: "/contacts/{id}", method: PUT, replaces: true }\n'


class Late(Contacts):
    """On the right an update replaces the record, and `get` shows a record as it was once."""

    shown: dict[str, Any] | None = None

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """Answer."""
        if asked.method == "GET" and self.shown is not None and asked.path.startswith("/b/contacts/"):
            return 200, self.shown
        if asked.method == "PUT":
            id = asked.path.split("/")[-1]
            self.records["b"][id] = {**asked.json, "id": id}
            return 200, self.records["b"][id]
        return super().answer(asked)


@pytest.mark.parametrize("direction", ["one-way", "two-way"])
@pytest.mark.parametrize("first", ["name", "status"])
def test_a_late_read_does_not_undo_our_last_write(first: str, direction: str, tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """What was changed, or was empty before, shows late; what someone wrote to another field there is kept."""
    there = Late(a=[{"id": "1", "email": "ann@x.example", "name": "Ann", "phone": "1", "status": ""}])
    said = {"map": "{ email: email, name: name, phone: phone, status: status }"}
    project = Project(
        tmp_path,
        served(there.answer),
        {
            "connectors/a.yaml": CONNECTORS["connectors/a.yaml"],
            "connectors/b.yaml": CONNECTORS["connectors/b.yaml"] + REPLACES,
            "integrations/sync.yaml": integration(direction, retry="{ attempts: 2, base: 10ms, most: 20ms }", **said),
        },
    )
    assert 0 == project.tieline("run", "sync").code
    (made,) = there.of("b")
    made["company_id"] = "7"
    there.shown = dict(made)
    there.records["a"]["1"][first] = "new"
    assert 0 == project.tieline("run", "sync").code
    there.records["a"]["1"]["phone"] = "2"
    late = project.tieline("run", "sync")

    assert (3, True) == (late.code, f"before our last write to `{first}`" in late.said), late.said
    there.shown = None
    assert 0 == project.tieline("run", "sync").code
    wanted = {"email": "ann@x.example", "name": "Ann", "phone": "2", "status": ""} | {first: "new"}
    assert wanted.items() <= there.of("b")[0].items()
    assert "7" == there.of("b")[0]["company_id"]
    assert wanted.items() <= there.of("a")[0].items()
