"""A newsletter takes those who have agreed: what happens in it when someone does not any more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.served import Answer, Asked, Project, Vendor

CONNECTOR = """\
connector: {name}
environments: {{ production: "{{url}}/{name}" }}
auth: {{ bearer: {{}} }}
resources:
  contacts:
    fields:
      id: {{ type: string, read_only: true }}
      email: {{ type: string }}
      agreed: {{ type: boolean }}
      status: {{ type: string }}
    list: {{ path: /contacts, records: data }}
    get: {{ path: "/contacts/{{id}}" }}
    create: {{ path: /contacts }}
    update: {{ path: "/contacts/{{id}}", method: PATCH }}
    delete: {{ path: "/contacts/{{id}}", method: DELETE }}
"""
SYNC = """\
purpose: x
from: a.contacts
to: b.contacts
direction: one-way
freshness: 1h
when: {when}
otherwise: {otherwise}
match: {{ email: email }}
unmatched: create
conflict: source
unavailable: {{ keep: 7d }}
brakes: {{ deletes: 2 }}
map:
  email: email
  status: {{ const: subscribed }}
"""


class World:
    """Two systems, and the project between them."""

    def __init__(self, tmp_path: Path, served: Callable[[Answer], Vendor], otherwise: str, when: str = "new.agreed == True") -> None:
        self.left: dict[str, Any] = {str(i): {"id": str(i), "email": f"p{i}@example.com", "agreed": True} for i in range(1, 6)}
        self.right: dict[str, Any] = {}
        self._made = 0
        self.vendor = served(self.answer)
        files = {"connectors/a.yaml": CONNECTOR.format(name="a"), "connectors/b.yaml": CONNECTOR.format(name="b")}
        sync = SYNC.format(otherwise=otherwise, when=when)
        self.project = Project(tmp_path, self.vendor, {**files, "integrations/sync.yaml": sync})

    def answer(self, asked: Asked) -> tuple[int, object]:
        records = self.left if asked.path.startswith("/a") else self.right
        id = asked.path.rpartition("/contacts/")[2] if "/contacts/" in asked.path else None
        if asked.method == "POST":
            self._made += 1
            records[f"b{self._made}"] = {**asked.json, "id": f"b{self._made}"}
            return 201, records[f"b{self._made}"]
        if id is None:
            return 200, {"data": list(records.values())}
        if id not in records:
            return 404, {"error": "not there"}
        if asked.method == "PATCH":
            records[id] |= asked.json
        if asked.method == "DELETE":
            del records[id]
            return 204, None
        return 200, records[id]

    def run(self, *more: str, code: int = 0) -> str:
        result = self.project.tieline("run", "sync", *more)
        assert code == result.code, result.said
        return result.said

    @property
    def states(self) -> dict[str, tuple[str, str]]:
        """What the newsletter says: by e-mail address the id and the status."""
        return {one["email"][:2]: (id, one["status"]) for id, one in sorted(self.right.items())}


def test_fields_are_set_and_the_same_record_is_updated_when_the_condition_returns(
    tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    world = World(tmp_path, served, "{ set: { status: unsubscribed } }")
    world.run()
    before = world.states
    world.left["1"]["agreed"] = False

    plan = world.project.tieline("plan", "sync")
    world.run()
    gone = world.states
    writes = len(world.vendor.writes)
    world.run()
    verified = world.project.tieline("verify", "sync")

    assert "unsubscribed" in plan.said
    assert {**before, "p1": (before["p1"][0], "unsubscribed")} == gone
    assert writes == len(world.vendor.writes), "said once"
    assert 0 == verified.code, verified.said

    world.left["1"]["agreed"] = True
    world.run()

    assert before == world.states


def test_it_is_deleted_and_made_again(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    world = World(tmp_path, served, "delete")
    world.run()
    world.left["1"]["agreed"] = False
    world.run()
    world.run()

    assert ["p2", "p3", "p4", "p5"] == sorted(world.states)

    world.left["1"]["agreed"] = True
    world.run()
    world.run()

    assert ["p1", "p2", "p3", "p4", "p5"] == sorted(world.states)
    assert 6 == world._made


@pytest.mark.parametrize("otherwise", ["delete", "{ set: { status: unsubscribed } }"])
def test_many_at_once_are_held_by_the_brake(tmp_path: Path, served: Callable[[Answer], Vendor], otherwise: str) -> None:
    """A field that a release of the vendor renamed must not empty the newsletter."""
    world = World(tmp_path, served, otherwise)
    world.run()
    before = world.states
    for one in world.left.values():
        one["agreed"] = False

    halted = world.project.tieline("run", "sync")

    assert 0 != halted.code
    assert "--allow-deletes 5" in " ".join(halted.said.split())
    assert before == world.states

    world.run("--allow-deletes", "5")

    assert {status for _, status in world.states.values()} <= {"unsubscribed"}


def test_a_condition_over_changes_can_not_stop_holding(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    world = World(tmp_path, served, "delete", when='changed("agreed")')

    told = world.project.tieline("check")

    assert 0 != told.code
    assert "needs a condition over what a record says now" in " ".join(told.said.split())
