"""An answer about another record, or one that doesn't say about which, is never taken for the one that was meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.contacts import CONNECTORS, Contacts, integration
from cases.served import Answer, Asked, Project, Vendor

ANN = {"id": "1", "email": "ann@x.example", "name": "Ann Example", "phone": "0412 345 678"}
ZOE = {"id": "z", "email": "zoe@x.example", "name": "Zoe Other", "phone": "0499 999 999"}
BOTH = pytest.mark.parametrize("direction", ["one-way", "two-way"])


class Spoilt(Contacts):
    """On the right, answers are spoilt as a test says: `spoil` gets the request and the true answer."""

    spoil: Callable[[Asked, tuple[int, Any]], tuple[int, Any]] = staticmethod(lambda asked, told: told)

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """Answer."""
        told = super().answer(asked)
        return self.spoil(asked, told) if asked.path.startswith("/b/") else told


def project_of(folder: Path, vendor: Vendor, direction: str, **said: str) -> Project:
    said = {"unmatched": "create" if direction == "one-way" else "{ left: create, right: ignore }", **said}
    files = {**CONNECTORS, "integrations/sync.yaml": integration(direction, retry="{ attempts: 2, base: 10ms, most: 20ms }", **said)}
    return Project(folder, vendor, files)


@BOTH
def test_a_creation_that_is_answered_with_another_record_is_looked_for(
    direction: str, tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    there = Spoilt(a=[ANN], b=[ZOE])
    there.spoil = lambda asked, told: (201, dict(ZOE)) if asked.method == "POST" else told
    project = project_of(tmp_path, served(there.answer), direction)
    assert 0 == project.tieline("run", "sync").code
    there.records["a"]["1"]["phone"] = "0411 111 111"
    assert 0 == project.tieline("run", "sync").code

    assert [ZOE, {**ANN, "id": "b1", "phone": "0411 111 111"}] == there.of("b")


@BOTH
def test_what_is_not_found_then_is_held_and_not_made_again(direction: str, tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """The vendor gives back what it takes for the same, and has made nothing: a person says whether it is."""
    there = Spoilt(a=[ANN], b=[ZOE])

    def spoil(asked: Asked, told: tuple[int, Any]) -> tuple[int, Any]:
        if asked.method != "POST":
            return told
        del there.records["b"][told[1]["id"]]
        return 200, dict(ZOE)

    there.spoil = spoil
    vendor = served(there.answer)
    project = project_of(tmp_path, vendor, direction)
    for _ in range(2):
        assert 1 == project.tieline("run", "sync").code
    letter = project.tieline("dead-letters", "show", "1").said
    assert "answered with another record, z" in letter
    assert ([ZOE], 1) == (there.of("b"), len(vendor.calls("POST", "/b/")))


@BOTH
def test_a_vendor_that_spells_a_match_key_its_own_way_is_believed(
    direction: str, tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    there = Spoilt(a=[ANN])

    def spoil(asked: Asked, told: tuple[int, Any]) -> tuple[int, Any]:
        if asked.method == "POST":
            told[1]["phone"] = "+61412345678"
        return told

    there.spoil = spoil
    project = project_of(tmp_path, served(there.answer), direction, match="{ phone: phone }")
    assert 0 == project.tieline("run", "sync").code
    assert ["+61412345678"] == [record["phone"] for record in there.of("b")]


@BOTH
@pytest.mark.parametrize("done", [True, False])
def test_an_update_that_is_answered_with_another_record_is_looked_at(
    done: bool, direction: str, tmp_path: Path, served: Callable[[Answer], Vendor]
) -> None:
    """Green where the record says what was written, parked with the vendor's answer where it does not."""
    there = Spoilt(a=[ANN], b=[ZOE])
    project = project_of(tmp_path, served(there.answer), direction)
    project.tieline("run", "sync")

    def spoil(asked: Asked, told: tuple[int, Any]) -> tuple[int, Any]:
        if asked.method != "PATCH":
            return told
        if not done:
            there.records["b"]["b1"]["name"] = "Ann Example"
        return 200, dict(ZOE)

    there.spoil = spoil
    there.records["a"]["1"]["name"] = "Ann Married"
    ran = project.tieline("run", "sync")
    assert (0 if done else 1) == ran.code, ran.said
    assert done or "the answer is about z" in project.tieline("dead-letters", "list").said
    assert ZOE in there.of("b")


@pytest.mark.parametrize("hidden", [None, "", "left out"])
def test_a_hit_that_hides_what_was_searched_for_is_no_miss(hidden: Any, tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """Made again, it would be there twice. Another hit without it says nothing where the right one is among them."""
    bob = {**ANN, "id": "2", "email": "bob@x.example"}
    there = Spoilt(a=[ANN, bob], b=[{**ANN, "id": "x"}, {**bob, "id": "y"}])

    def spoil(asked: Asked, told: tuple[int, Any]) -> tuple[int, Any]:
        if asked.method != "GET" or "email" not in asked.query:
            return told
        shown = {"id": "x", "name": "Ann Example"} | ({} if hidden == "left out" else {"email": hidden})
        return 200, {"items": [shown, *(one for one in told[1]["items"] if one["id"] != "x")], "total": len(told[1]["items"])}

    there.spoil = spoil
    project = project_of(tmp_path, served(there.answer), "one-way")
    connector = CONNECTORS["connectors/b.yaml"].replace("    path: /contacts\n    records: items\n", "")
    connector = connector.replace("    list: { paging: { style: offset, size: 100 }, total: total }\n", "    create: { path: /contacts }\n")
    project.write("connectors/b.yaml", connector.replace("{ params:", "{ path: /contacts, records: items, params:"))
    assert 1 == project.tieline("run", "sync").code
    assert "comes without that field" in project.tieline("dead-letters").said
    assert ["x", "y"] == sorted(there.records["b"])
