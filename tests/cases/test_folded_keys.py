"""A vendor that can only be written to by a key, and takes two addresses for one: nothing is written over twice, or without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cases.served import Answer, Asked, Project, Vendor
from cases.test_lost_answers import CONNECTOR, SYNC

BOOK = """\
connector: b
environments: { production: "{url}/b" }
auth: { bearer: {} }
errors: { message: error }
resources:
  contacts:
    id: id
    fields: { id: { type: string, read_only: true }, email: { type: string }, name: { type: string } }
    upsert: { path: "/contacts/{email}", by: email, method: PUT }
"""


class Folding:
    """To whom points in an address say nothing."""

    def __init__(self) -> None:
        self.people = [{"id": "1", "email": "ann.b@x.example", "name": "One"}, {"id": "2", "email": "annb@x.example", "name": "Two"}]
        self.book: dict[str, dict[str, Any]] = {}

    def __call__(self, asked: Asked) -> tuple[Any, ...]:
        """Answer."""
        if asked.path.startswith("/a"):
            return 200, {"items": self.people}
        name, _, domain = unquote(asked.path.rpartition("/")[2]).partition("@")
        entry = self.book.setdefault(f"{name.replace('.', '')}@{domain}", {"id": f"n{len(self.book)}"})
        entry.update(asked.json)
        return 200, {"id": entry["id"]}


def test_what_is_known_to_hit_another_is_not_sent_again(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    there = Folding()
    vendor = served(there)
    files = {"connectors/a.yaml": CONNECTOR.format(name="a"), "connectors/b.yaml": BOOK}
    sync = SYNC.replace("match: { email: email }", "match: {}")
    project = Project(tmp_path, vendor, {**files, "integrations/sync.yaml": sync})
    run = project.tieline("run", "sync")
    assert (1, 2) == (run.code, len(vendor.writes))
    letters = project.tieline("dead-letters").said
    held = "1" if "record 1 " in letters else "2"
    owner = {"1": "2", "2": "1"}[held]
    assert f"is the counterpart of record {owner}. What that said was written over" in " ".join(letters.split())

    there.people[int(held) - 1]["name"] = "again"
    run = project.tieline("run", "sync")

    assert (1, 2) == (run.code, len(vendor.writes))
    assert "nothing was sent" in " ".join(project.tieline("dead-letters").said.split())
    there.people[int(owner) - 1]["name"] = "mine"
    project.tieline("run", "sync")
    assert ["mine"] == [one["name"] for one in there.book.values()]
    there.people[int(held) - 1]["email"] = "cy@x.example"
    assert 0 == project.tieline("run", "sync").code
    assert {"mine", "again"} == {one["name"] for one in there.book.values()}
