"""Vendors that refuse inside a success, leave records out of a batch's results, or lock a record for a moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cases.served import Answer, Asked, Project, Vendor

Served = Callable[[Answer], Vendor]
SRC = """\
connector: a
environments: { production: "{url}/a" }
auth: { bearer: {} }
resources:
  contacts:
    fields: { id: { type: string, read_only: true }, email: { type: string }, name: { type: string } }
    list: { path: /contacts, records: data }
"""
DST = """\
connector: b
environments: { production: "{url}/b" }
auth: { bearer: {} }
errors: { message: message, ERRORS }
resources:
  contacts:
    fields: { id: { type: string, read_only: true }, email: { type: string }, name: { type: string } }
    lag: 0s
    list: { path: /contacts, records: data }
    get: { path: "/contacts/{id}" }
    find: { email: { path: /contacts, params: { email: "{value}" }, records: data } }
    update: { path: "/contacts/{id}", method: PATCH, record: data }
"""
SINGLE = "    create: { path: /contacts, record: data }\n"
MANY = "    batch: { create: { path: /batch, wrap: items, results: { records: results, id: id, error: why, RESULTS } } }\n"
SYNC = (
    "purpose: x\nfrom: a.contacts\nto: b.contacts\ndirection: one-way\nfreshness: 1h\nmatch: { email: email }\nunmatched: create\n"
    "conflict: source\nunavailable: { keep: 7d }\nretry: { attempts: 2, base: 10ms, most: 20ms }\nmap: { name: name, email: email }\n"
)


class Book:
    """A vendor that takes all but the contact of `bad`."""

    def __init__(self, people: int = 5) -> None:
        self.people = [{"id": f"a{n}", "email": f"n{n}@example.com", "name": f"N{n}"} for n in range(people)]
        self.book: dict[str, dict[str, Any]] = {}
        self.bad = "n2@example.com"
        self.locked: dict[str, int] = {}

    def answer(self, asked: Asked) -> Any:
        if asked.path == "/a/contacts":
            return 200, {"data": self.people}
        if asked.method == "GET":
            return 200, {"success": True, "data": [r for r in self.book.values() if asked.query.get("email") in (None, r["email"])]}
        if asked.path == "/b/batch":
            return self.many(asked.json["items"])
        email = asked.json.get("email") or self.book[asked.path.rsplit("/", 1)[1]]["email"]
        if self.locked.get(email, 0) > 0:
            self.locked[email] -= 1
            return 423, {"message": "being saved"}, {"Retry-After": "0"}
        if email == self.bad:
            return 200, {"success": False, "message": "locked by an open invoice"}
        return 200, {"success": True, "message": "saved", "data": self.save({**asked.json, "email": email})}

    def many(self, items: list[dict[str, Any]]) -> Any:
        results = [self.save(item) for item in items if item["email"] != self.bad]
        errors = [{"email": item["email"], "why": f"{item['email']} is bad"} for item in items if item["email"] == self.bad]
        return 207, {"results": results, "errors": errors}

    def save(self, record: dict[str, Any]) -> dict[str, Any]:
        found = next((r for r in self.book.values() if r["email"] == record["email"]), None)
        entry = found if found is not None else self.book.setdefault(f"b{len(self.book)}", {"id": f"b{len(self.book)}"})
        entry |= record
        return entry


def project(tmp_path: Path, served: Served, book: Book, ways: str, errors: str = "") -> Project:
    files = {
        "connectors/a.yaml": SRC,
        "connectors/b.yaml": DST.replace(", ERRORS", f", {errors}" if errors else "") + ways,
        "integrations/sync.yaml": SYNC,
    }
    return Project(tmp_path, served(book.answer), files)


@pytest.mark.parametrize("errors", ["in_success: { at: success, equals: false }", "in_success: [error, { at: success, not: true }]"])
def test_a_refusal_inside_a_success_is_parked_with_the_vendor_s_words(tmp_path: Path, served: Served, errors: str) -> None:
    book = Book()
    made = project(tmp_path, served, book, SINGLE, errors)

    ran, letters = made.tieline("run", "sync"), made.tieline("dead-letters")

    assert 1 == ran.code, ran.said
    assert "4 created + 1 parked" in ran.out
    assert "locked by an open invoice" in " ".join(letters.out.split())


def test_an_answer_without_the_declared_record_is_no_success(tmp_path: Path, served: Served) -> None:
    book = Book()
    made = project(tmp_path, served, book, SINGLE)

    ran, letters = made.tieline("run", "sync"), made.tieline("dead-letters")

    assert "4 created + 1 parked" in ran.out, ran.said
    assert "no record at `data`: locked by an open invoice" in " ".join(letters.out.split())
    assert 4 == len(book.book)


def test_a_read_that_is_refused_inside_a_success_is_no_empty_list(tmp_path: Path, served: Served) -> None:
    book = Book()
    taken = book.answer

    def answer(asked: Asked) -> Any:
        refused = asked.method == "GET" and asked.path.startswith("/b")
        return (200, {"success": False, "message": "no access", "data": []}) if refused else taken(asked)

    book.answer = answer  # type: ignore[method-assign]
    ran = project(tmp_path, served, book, SINGLE, "in_success: { at: success, equals: false }").tieline("run", "sync")

    assert ran.code not in (0, 3), ran.said
    assert "no access" in ran.said
    assert {} == book.book


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ("by: id, key: email, field: email, errors: { records: errors, key: email, field: email, error: why }", "n2@example.com is bad"),
        ("by: position", "does not say what became of this record"),
        ("by: id, key: email, field: email", "does not say what became of this record"),
    ],
)
def test_what_a_batch_leaves_out_is_nobody_else_s_and_becomes_a_dead_letter(
    tmp_path: Path, served: Served, results: str, words: str
) -> None:
    book = Book()
    made = project(tmp_path, served, book, MANY.replace("RESULTS", results))

    ran, letters = made.tieline("run", "sync"), made.tieline("dead-letters")
    book.people[3]["name"] = "changed"
    again = made.tieline("run", "sync")

    assert "4 created + 1 parked" in ran.out, ran.said
    assert words in " ".join(letters.out.split())
    assert 4 == len(book.book)
    assert 1 == again.code, "the letter is open"
    assert {r["email"]: r["name"] for r in book.book.values()} == {r["email"]: r["name"] for r in book.people if r["email"] != book.bad}


def test_what_a_batch_leaves_out_is_held_where_reads_may_be_behind(tmp_path: Path, served: Served) -> None:
    book = Book()
    made = project(tmp_path, served, book, MANY.replace("RESULTS", "by: id, key: email, field: email"))
    made.change("connectors/b.yaml", "    lag: 0s\n", "")

    ran = made.tieline("run", "sync")
    [letter] = json.loads(made.tieline("dead-letters", "list", "--json").out)
    redriven = made.tieline("dead-letters", "redrive", str(letter["id"]))

    assert "4 created + 1 held" in ran.out, ran.said
    assert "no record there has its match key, and reads may be behind what was made" in letter["message"]
    assert "it has `errors` beside, which `results: errors` in the connector can name" in letter["message"]
    assert 0 != redriven.code, redriven.said
    assert 4 == len(book.book)


@pytest.mark.parametrize("first", [0, 1])
def test_results_in_any_order_are_known_by_a_mark_that_we_gave_each_entry(tmp_path: Path, served: Served, first: int) -> None:
    """As HubSpot's `objectWriteTraceId`: results and errors give back nothing else by which a record could be known."""
    book = Book()

    def many(items: list[dict[str, Any]]) -> Any:
        assert [str(first + number) for number in range(len(items))] == [item["mark"] for item in items]
        made = [(book.save({key: item[key] for key in ("email", "name")}), item) for item in items if item["email"] != book.bad]
        errors = [{"context": {"marks": [item["mark"]]}, "why": "no such domain"} for item in items if item["email"] == book.bad]
        return 207, {"results": [{"id": entry["id"], "mark": item["mark"]} for entry, item in reversed(made)], "errors": errors}

    book.many = many  # type: ignore[method-assign]
    by = f"by: index, index: mark, first: {first}, errors: {{ records: errors, by: index, index: 'context.marks[0]', first: {first}, error: why }}"
    ways = MANY.replace("RESULTS", by).replace("wrap: items,", 'wrap: items, item: { "...": "{record}", mark: "{index}" },')
    made = project(tmp_path, served, book, ways)

    ran, letters = made.tieline("run", "sync"), made.tieline("dead-letters")
    book.people[0]["name"] = "changed"
    made.tieline("run", "sync")

    assert "4 created + 1 parked" in ran.out, ran.said
    assert "no such domain" in " ".join(letters.out.split())
    assert {r["email"]: r["name"] for r in book.book.values()} == {r["email"]: r["name"] for r in book.people if r["email"] != book.bad}


def test_a_record_that_is_locked_is_tried_again_and_parked_in_the_third_run(tmp_path: Path, served: Served) -> None:
    book = Book()
    book.bad, book.locked = "", {"n1@example.com": 1, "n3@example.com": 1000}
    made = project(tmp_path, served, book, SINGLE)

    codes = [made.tieline("run", "sync").code for _ in range(3)]

    assert [3, 3, 1] == codes
    assert "being saved" in made.tieline("dead-letters").out
    assert 4 == len(book.book)


def test_check_knows_an_address_that_says_success(tmp_path: Path, served: Served) -> None:
    checked = project(tmp_path, served, Book(), SINGLE, "in_success: success").tieline("check")

    assert "each such answer would be a failure" in " ".join(checked.said.split())
