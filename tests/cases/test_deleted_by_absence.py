"""A source whose list is complete and never says that a record was deleted: what it does not show is gone once that is proven."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.served import Answer, Asked, Project, Vendor

SHOP = """\
connector: a
environments: { production: "{url}/a" }
auth: { bearer: {} }
resources:
  contacts:
    LAG
    fields:
      id: { type: string, read_only: true }
      name: { type: string }
      email: { type: string }
    list: { path: /contacts, records: data }
    GET
"""
BOOK = """\
connector: b
environments: { production: "{url}/b" }
auth: { bearer: {} }
resources:
  contacts:
    fields:
      id: { type: string, read_only: true }
      name: { type: string }
      email: { type: string }
      archived: { type: boolean }
    list: { path: /contacts, records: data }
    get: { path: "/contacts/{id}" }
    create: { path: /contacts }
    update: { path: "/contacts/{id}", method: PATCH }
    delete: { path: "/contacts/{id}", method: DELETE }
"""
SYNC = """\
purpose: x
from: a.contacts
to: b.contacts
direction: one-way
freshness: 1h
match: { email: email }
unmatched: create
conflict: source
deletes: delete
brakes: { deletes: 2 }
unavailable: { keep: 7d }
map: { name: name, email: email }
"""
GET = 'get: { path: "/contacts/{id}" }'


class Both:
    """A shop with six contacts and a book with none; `hidden` ids of the shop are not listed, `denied` ones not found by id."""

    def __init__(self) -> None:
        self.shop: dict[str, dict[str, Any]] = {f"s{n}": {"id": f"s{n}", "name": f"N{n}", "email": f"{n}@example.com"} for n in range(1, 7)}
        self.book: dict[str, dict[str, Any]] = {}
        self.hidden: set[str] = set()
        self.denied: set[str] = set()

    def __call__(self, asked: Asked) -> tuple[int, object]:
        side, _, id = asked.path.strip("/").replace("/contacts", "", 1).partition("/")
        if side == "a":
            shown = {key: one for key, one in self.shop.items() if key not in (self.denied if id else self.hidden)}
        else:
            shown = self.book
        if asked.method == "POST":
            id = f"b{asked.json['email'].partition('@')[0]}"
            assert id not in self.book
            self.book[id] = {**asked.json, "id": id}
            return 201, self.book[id]
        if not id:
            return 200, {"data": list(shown.values())}
        if id not in shown:
            return 404, {"error": "none"}
        if asked.method == "DELETE":
            del self.book[id]
            return 204, None
        if asked.method == "PATCH":
            shown[id].update(asked.json)
        return 200, shown[id]

    def names(self) -> list[str]:
        return sorted(one["name"] for one in self.book.values())


@pytest.fixture
def both() -> Both:
    return Both()


def project_of(folder: Path, vendor: Vendor, *, get: bool = True, lag: str = "", sync: str = SYNC) -> Project:
    """Return the project, which has run once."""
    shop = SHOP.replace("    GET\n", f"    {GET}\n" if get else "").replace("    LAG\n", f"    lag: {lag}\n" if lag else "")
    project = Project(folder, vendor, {"connectors/a.yaml": shop, "connectors/b.yaml": BOOK, "integrations/sync.yaml": sync})
    assert 0 == project.tieline("run", "sync").code
    return project


def test_what_a_whole_list_and_get_do_not_show_is_deleted(tmp_path: Path, served: Callable[[Answer], Vendor], both: Both) -> None:
    vendor = served(both)
    project = project_of(tmp_path, vendor)
    del both.shop["s1"]
    assert "not read yet" in project.tieline("verify", "sync").said
    assert "delete s1 → b1" in project.tieline("plan", "sync").said
    assert 6 == len(both.book)
    assert 0 == project.tieline("run", "sync").code
    assert ["N2", "N3", "N4", "N5", "N6"] == both.names()
    writes = len(vendor.writes)
    assert 0 == project.tieline("run", "sync").code
    assert writes == len(vendor.writes)
    assert 0 == project.tieline("verify", "sync").code


def test_what_a_list_leaves_out_and_get_shows_stays(tmp_path: Path, served: Callable[[Answer], Vendor], both: Both) -> None:
    vendor = served(both)
    project = project_of(tmp_path, vendor)
    both.hidden = {"s1"}
    both.shop["s1"]["name"] = "Renamed"
    assert 0 == project.tieline("run", "sync").code
    assert 6 == len(both.book)
    assert "Renamed" in both.names()  # it was read by its id


def test_without_get_it_takes_two_lists_in_a_row(tmp_path: Path, served: Callable[[Answer], Vendor], both: Both) -> None:
    vendor = served(both)
    project = project_of(tmp_path, vendor, get=False)
    both.hidden = {"s1"}
    assert 0 == project.tieline("run", "sync").code
    both.hidden = set()
    assert 0 == project.tieline("run", "sync").code  # shown: the next absence is a first one
    both.hidden = {"s1"}
    assert 0 == project.tieline("run", "sync").code
    assert 6 == len(both.book)
    assert 0 == project.tieline("run", "sync").code
    assert 5 == len(both.book)
    both.hidden = set()  # it was late after all: it is made again
    assert 0 == project.tieline("run", "sync").code
    assert 6 == len(both.book)


def test_nothing_is_gone_within_the_lag(tmp_path: Path, served: Callable[[Answer], Vendor], both: Both) -> None:
    project = project_of(tmp_path, served(both), get=False, lag="1h")
    both.hidden = {"s1"}
    for _ in range(3):
        assert 0 == project.tieline("run", "sync").code
    assert 6 == len(both.book)


def test_a_get_that_finds_nothing_at_all_proves_nothing(tmp_path: Path, served: Callable[[Answer], Vendor], both: Both) -> None:
    project = project_of(tmp_path, served(both))
    both.hidden, both.denied = {"s1"}, set(both.shop)
    run = project.tieline("run", "sync")
    assert 4 == run.code, run.said
    assert "proves no deletion" in run.said
    assert 6 == len(both.book)


def test_an_empty_list_is_not_believed(tmp_path: Path, served: Callable[[Answer], Vendor], both: Both) -> None:
    project = project_of(tmp_path, served(both))
    shop, both.shop = both.shop, {}
    for arguments in ([], ["--full"], ["--allow-deletes", "5"]):
        run = project.tieline("run", "sync", *arguments)
        assert 4 == run.code, run.said
        assert "shows no record at all" in run.said
    assert 6 == len(both.book)
    both.shop = shop
    assert 0 == project.tieline("run", "sync").code


def test_the_brake_holds_them(tmp_path: Path, served: Callable[[Answer], Vendor], both: Both) -> None:
    vendor = served(both)
    project = project_of(tmp_path, vendor)
    for id in ("s1", "s2", "s3"):
        del both.shop[id]
    asked = len(vendor.calls("GET", "/a/contacts/"))
    assert "--allow-deletes 3" in project.tieline("plan", "sync").said
    run = project.tieline("run", "sync")
    assert 4 == run.code, run.said
    assert "--allow-deletes 3" in run.said
    assert 6 == len(both.book)
    assert asked == len(vendor.calls("GET", "/a/contacts/"))  # no one is asked about what is not believed anyway
    assert 0 == project.tieline("run", "sync", "--allow-deletes", "3").code
    assert 3 == len(both.book)


def test_they_may_archive_and_be_undone(tmp_path: Path, served: Callable[[Answer], Vendor], both: Both) -> None:
    project = project_of(tmp_path, served(both), sync=SYNC.replace("deletes: delete", "deletes: { archive: { archived: true } }"))
    del both.shop["s1"]
    assert 0 == project.tieline("run", "sync").code
    assert [True] == [one["archived"] for one in both.book.values() if one.get("archived")]
    assert 6 == len(both.book)
    assert 0 == project.tieline("verify", "sync").code


def test_what_was_undone_is_not_deleted_again(tmp_path: Path, served: Callable[[Answer], Vendor], both: Both) -> None:
    project = project_of(tmp_path, served(both))
    del both.shop["s1"]
    assert 0 == project.tieline("run", "sync").code
    undone = project.tieline("undo", "2")
    assert 0 == undone.code, undone.said
    assert 6 == len(both.book)
    assert 0 == project.tieline("run", "sync").code
    assert 6 == len(both.book)
