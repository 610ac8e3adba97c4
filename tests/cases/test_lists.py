"""A list that people fill on both sides, tags: what the source adds is added, what it takes out is taken out, and the entries of others stay."""

from pathlib import Path
from typing import Any

import pytest

from cases.contacts import CONTACTS, integration
from cases.served import Asked, Project, Vendor

CONNECTOR = (
    CONTACTS
    + """\
      email: {{ type: string, format: email }}
      name: {{ type: string }}
      tags: {{ type: array }}
"""
)
ONE_CALL = """\
    lists:
      tags:
        add: { path: "/contacts/{id}/tags", body: { tags: "{entries}" }, entry: { name: "{entry}" } }
        remove: { path: "/contacts/{id}/untag", body: { tags: "{entries}" }, entry: { name: "{entry}" } }
"""
ONE_EACH = """\
    lists:
      tags:
        add: { path: "/contacts/{id}/tags", body: { tag: "{entry}" } }
        remove: { method: DELETE, path: "/contacts/{id}/tags/{entry}" }
"""
UNSEEN = ONE_EACH + "    get: false\n"
UNION = "{ email: email, name: name, tags: { from: tags, conflict: union } }"


class Tagged:
    """Two collections of contacts with tags. On `b`, a record's tags are written with it unless `apart`, which refuses that."""

    def __init__(self, a: list[dict[str, Any]], b: list[dict[str, Any]]) -> None:
        self.records = {"a": {r["id"]: r for r in a}, "b": {r["id"]: r for r in b}}
        self.apart = False
        self.refuse: set[str] = set()

    def tags(self, side: str, id: str) -> list[str]:
        tags: list[str] = self.records[side][id]["tags"]
        return tags

    def __call__(self, asked: Asked) -> tuple[Any, ...]:
        _, side, _, *rest = asked.path.split("/")
        records = self.records[side]
        if not rest and asked.method == "POST":
            made = {"tags": [], **asked.json, "id": f"{side}{len(records) + 1}"}
            if self.apart and side == "b" and "tags" in asked.json:
                return 422, {"error": "tags can't be written"}
            records[made["id"]] = made
            return 201, made
        if not rest:
            return 200, {"items": list(records.values())}
        if rest[0] not in records:
            return 404, {"error": "no such contact"}
        record = records[rest[0]]
        if len(rest) > 1:
            return self._tagged(record, asked, rest[1:])
        if asked.method == "PATCH":
            if self.apart and side == "b" and "tags" in asked.json:
                return 422, {"error": "tags can't be written"}
            record.update(asked.json)
        return 200, record

    def _tagged(self, record: dict[str, Any], asked: Asked, rest: list[str]) -> tuple[Any, ...]:
        if asked.method == "DELETE":
            if rest[1] not in record["tags"]:
                return 404, {"error": "no such tag"}
            record["tags"].remove(rest[1])
            return 204, None
        named = [entry["name"] for entry in asked.json["tags"]] if "tags" in asked.json else [asked.json["tag"]]
        if self.refuse.intersection(named):
            return 422, {"error": "there is no such tag"}
        if rest[0] == "untag":
            record["tags"] = [tag for tag in record["tags"] if tag not in named]
        else:
            record["tags"] += [tag for tag in named if tag not in record["tags"]]
        return 200, {"ok": True}


def person(id: str, name: str, *tags: str) -> dict[str, Any]:
    return {"id": id, "email": f"{name}@example.com", "name": name, "tags": [*tags]}


def project_of(tmp_path: Path, vendor: Vendor, lists: str = "", direction: str = "one-way", rules: str = UNION, **said: str) -> Project:
    files = {
        "connectors/a.yaml": CONNECTOR.format(name="a"),
        "connectors/b.yaml": CONNECTOR.format(name="b") + lists,
        "integrations/people.yaml": integration(direction, map=rules, **said),
    }
    return Project(tmp_path, vendor, files)


def in_step(project: Project, what: str) -> None:
    """A run is green, a second has nothing to do, and `verify` finds nothing."""
    for command in (("run", "people"), ("run", "people", "--full"), ("verify", "people")):
        said = project.tieline(*command)
        assert said.code == 0, f"{what}: {command}\n{said.out}{said.err}"


@pytest.mark.parametrize("lists", ["", ONE_CALL, ONE_EACH, UNSEEN], ids=["whole list", "one call", "one call each", "never read"])
def test_one_way_the_tags_of_others_stay_and_ours_come_and_go(served, tmp_path: Path, lists):
    there = Tagged([person("1", "ann", "vip", "press"), person("2", "bob", "new")], [person("71", "ann", "own", "vip")])
    there.apart = bool(lists)
    vendor = served(there)
    project = project_of(tmp_path, vendor, lists)

    planned = project.tieline("plan", "people")
    in_step(project, "a first meeting")
    assert (planned.code, ["own", "vip", "press"], ["new"]) == (0, there.tags("b", "71"), there.tags("b", "b2")), planned.out

    there.tags("b", "71").append("by hand")
    there.tags("b", "b2").append("by hand")
    there.records["a"]["1"]["tags"] = ["board"]
    there.records["a"]["1"]["name"] = "Anne"
    there.records["a"]["2"]["tags"] = []
    in_step(project, "the source has other tags")
    assert ["own", "vip", "by hand", "board"] == there.tags("b", "71"), "`vip` was there before the source had it"
    assert (["by hand"], "Anne") == (there.tags("b", "b2"), there.records["b"]["71"]["name"])

    writes = len(vendor.writes)
    there.records["a"]["2"]["name"] = "Bobby"
    in_step(project, "another field has changed")
    assert ([{"name": "Bobby"}], ["by hand"]) == ([asked.json for asked in vendor.writes[writes:]], there.tags("b", "b2"))

    there.tags("b", "71").remove("board")
    verified = project.tieline("verify", "people")
    assert verified.code == 1
    assert "tags" in verified.out
    assert project.tieline("verify", "people", "--repair").code == 0
    in_step(project, "repaired")
    assert ["own", "vip", "by hand", "board"] == there.tags("b", "71")


@pytest.mark.parametrize("lists", ["", ONE_EACH], ids=["whole list", "one call each"])
def test_entries_are_added_and_removed_whoever_has_put_them_there(served, tmp_path: Path, lists):
    there = Tagged([person("1", "ann"), person("2", "bob")], [person("71", "ann", "own", "lead"), person("72", "bob", "crm")])
    there.apart = bool(lists)
    vendor = served(there)
    project = project_of(tmp_path, vendor, lists, rules="{ email: email, tags: { add: [crm], remove: [lead] } }")

    in_step(project, "a first meeting")
    assert (["own", "crm"], ["crm"]) == (there.tags("b", "71"), there.tags("b", "72"))
    there.tags("b", "72").append("lead")
    assert project.tieline("verify", "people").code == 1
    assert project.tieline("verify", "people", "--repair").code == 0
    assert ["crm"] == there.tags("b", "72")

    project.change("integrations/people.yaml", "remove: [lead]", "remove: [lead, own]")
    in_step(project, "the rule has changed")
    assert (["crm"], ["crm"]) == (there.tags("b", "71"), there.tags("b", "72"))


def test_an_undo_takes_out_what_the_run_has_added_and_nothing_else(served, tmp_path: Path):
    there = Tagged([person("1", "ann", "vip", "press")], [person("71", "ann", "own", "vip")])
    project = project_of(tmp_path, served(there))
    in_step(project, "a first meeting")
    there.records["a"]["1"]["tags"] = ["vip", "board"]
    run = project.tieline("run", "people", "--json")
    there.tags("b", "71").append("by hand")

    undone = project.tieline("undo", str(run.json[0]["run"]))

    assert (run.code, undone.code) == (0, 0), undone.out + undone.err
    assert {"own", "vip", "press", "by hand"} == set(there.tags("b", "71"))
    assert project.tieline("verify", "people").code == 0
    assert project.tieline("run", "people", "--full").code == 0
    assert {"own", "vip", "press", "by hand"} == set(there.tags("b", "71"))


def test_a_link_by_hand_takes_nothing_out_of_a_list(served, tmp_path: Path):
    there = Tagged([person("1", "ann", "vip", "press")], [person("71", "anne", "own", "vip")])
    project = project_of(tmp_path, served(there), unmatched="hold")
    assert project.tieline("run", "people").code == 1
    (letter,) = project.tieline("dead-letters", "list", "--json").json

    resolved = project.tieline("dead-letters", "resolve", str(letter["id"]), "--as", "71", "--reason", "known")

    assert resolved.code == 0, resolved.said
    in_step(project, "linked")
    assert ["own", "vip", "press"] == there.tags("b", "71")
    there.records["a"]["1"]["tags"] = []
    in_step(project, "the source has none any more")
    assert ["own", "vip"] == there.tags("b", "71")


def test_what_is_set_when_the_condition_ends_takes_out_our_entries_alone(served, tmp_path: Path):
    there = Tagged([person("1", "ann", "vip", "press")], [person("71", "ann", "own", "vip")])
    project = project_of(tmp_path, served(there), when="new.name != 'left'", otherwise="{ set: { tags: [gone] } }")
    in_step(project, "a first meeting")
    there.records["a"]["1"]["name"] = "left"
    in_step(project, "it has left")
    assert ["own", "vip", "gone"] == there.tags("b", "71")

    there.records["a"]["1"]["name"] = "back"
    in_step(project, "it is back")
    assert {"own", "vip", "press"} == set(there.tags("b", "71"))


def test_a_tag_that_is_refused_parks_its_record_and_makes_none_twice(served, tmp_path: Path):
    there = Tagged([person("1", "ann", "none"), person("2", "bob", "vip")], [])
    there.apart, there.refuse = True, {"none"}
    project = project_of(tmp_path, served(there), ONE_EACH)

    run = project.tieline("run", "people")

    assert run.code == 1
    assert [[], ["vip"]] == sorted(record["tags"] for record in there.records["b"].values())
    assert "there is no such tag" in project.tieline("dead-letters", "list").out
    there.refuse = set()
    assert project.tieline("dead-letters", "redrive", "--integration", "people").code == 0
    in_step(project, "redriven")
    assert [["none"], ["vip"]] == sorted(record["tags"] for record in there.records["b"].values())


@pytest.mark.parametrize("lists", ["", ONE_CALL, ONE_EACH], ids=["whole list", "one call", "one call each"])
def test_both_ways_what_either_side_adds_and_takes_out_is_done_on_the_other(served, tmp_path: Path, lists):
    there = Tagged([person("1", "ann", "vip", "press"), person("2", "bob", "new")], [person("71", "ann", "own", "vip")])
    there.apart = bool(lists)
    project = project_of(tmp_path, served(there), lists, "two-way")

    in_step(project, "a first meeting")
    assert {"own", "vip", "press"} == set(there.tags("a", "1")) == set(there.tags("b", "71"))
    there.tags("a", "1").append("board")
    there.tags("a", "1").remove("own")
    there.tags("b", "71").append("by hand")
    there.tags("b", "71").remove("press")
    in_step(project, "both have changed")

    assert {"vip", "board", "by hand"} == set(there.tags("a", "1")) == set(there.tags("b", "71"))
    assert ["new"] == there.tags("b", "b2")


@pytest.mark.parametrize(
    ("rules", "lists", "complaint"),
    [
        ("{ email: email, name: { from: name, conflict: union } }", "", "joins lists, and `name` is none"),
        (UNION, "    get: false\n", "can't be read by its id"),
        ("{ email: email, tags: { add: [a], remove: [A] } }", "", "adds and removes the same"),
        ("{ email: email, tags: { add: [a], only: create } }", "", "has no place beside it"),
        ("{ email: email, name: { from: name, conflict: left } }", "", "two-way integrations"),
    ],
)
def test_what_can_not_be_merged_is_refused_by_check(served, tmp_path: Path, rules, lists, complaint):
    checked = project_of(tmp_path, served(Tagged([], [])), lists, rules=rules).tieline("check")

    assert checked.code != 0
    assert complaint in " ".join((checked.out + checked.err).split())
