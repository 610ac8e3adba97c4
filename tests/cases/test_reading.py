"""Lists as vendors really show them: each ends, is read whole, and goes on from a point that the vendor understands."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cases.served import Answer, Asked, Project, Vendor

HEAD = """\
connector: NAME
environments: { production: "{url}/NAME" }
auth: { bearer: {} }
"""
BOOK = (
    HEAD.replace("NAME", "b")
    + """\
resources:
  contacts:
    fields:
      id: { type: string, read_only: true }
      name: { type: string }
      email: { type: string }
    list: { path: /contacts, records: data }
    find: { email: { path: /contacts, params: { email: "{value}" }, records: data } }
    create: { path: /contacts }
    update: { path: "/contacts/{id}", method: PATCH }
"""
)
SYNC = (
    "purpose: x\nfrom: a.contacts\nto: b.contacts\ndirection: one-way\nfreshness: 1h\nmatch: { email: email }\nunmatched: create\n"
    "conflict: source\ndeletes: ignore\nunavailable: { keep: 7d }\nmap: { name: name, email: email }\n"
)


class World:
    """A source that answers as it is told, and a book of contacts."""

    def __init__(
        self, folder: Path, served: Callable[[Answer], Vendor], listing: str, source: Answer, more: str = "", book: str = BOOK
    ) -> None:
        self.book: dict[str, Any] = {}
        self._source = source
        vendor = served(self._answer)
        self.vendor = vendor
        connector = HEAD.replace("NAME", "a") + more
        connector += "resources:\n  contacts:\n    fields:\n      id: { type: integer, read_only: true }\n"
        connector += "      name: { type: string }\n      email: { type: string }\n      at: { type: datetime, zone: America/New_York }\n"
        connector += f"      made: {{ type: datetime }}\n    list: {listing}\n"
        files = {"connectors/a.yaml": connector, "connectors/b.yaml": book, "integrations/sync.yaml": SYNC}
        self.project = Project(folder, vendor, files)

    def _answer(self, asked: Asked) -> tuple[Any, ...]:
        if asked.path.startswith("/a/"):
            return self._source(asked)
        if asked.method == "POST":
            record = {**asked.json, "id": str(len(self.book))}
            self.book[record["id"]] = record
            return 201, record
        if asked.method == "PATCH":
            self.book[asked.path.rsplit("/", 1)[1]].update(asked.json)
            return 200, {}
        found = [record for record in self.book.values() if asked.query.get("email") in (None, record["email"])]
        return (200, {"data": found}) if found else (204, None)

    def run(self) -> Any:
        """Run once; green is expected."""
        result = self.project.tieline("run", "sync")
        assert 0 == result.code, result.out + result.err
        return result

    @property
    def names(self) -> list[str]:
        """What arrived."""
        return sorted(record["name"] for record in self.book.values())


def contacts(number: int, first: int = 1) -> list[dict[str, Any]]:
    return [{"id": i, "name": f"N{i}", "email": f"n{i}@example.com"} for i in range(first, first + number)]


@pytest.fixture
def world(tmp_path: Path, served: Callable[[Answer], Vendor]) -> Callable[..., World]:
    return lambda listing, source, more="", **others: World(tmp_path, served, listing, source, more, **others)


def test_a_help_desk_always_gives_a_mark_and_says_with_a_flag_which_page_was_the_last(world):
    rows = contacts(5)

    def source(asked: Asked) -> tuple[int, Any]:
        at = int(asked.query.get("cursor") or 0)
        end = at + len(rows[at : at + 2])
        return 200, {"contacts": rows[at:end], "after_cursor": str(end), "end_of_stream": end >= len(rows)}

    there = world("{ path: /c, records: contacts, paging: { style: cursor, at: after_cursor, end: end_of_stream } }", source)
    there.run()
    there.run()

    assert ["N1", "N2", "N3", "N4", "N5"] == there.names
    assert 6 == len(there.vendor.calls("GET", "/a/"))


@pytest.mark.parametrize("paging", ["{ style: page, size: 2, size_param: n }", "{ style: page, size: 2, size_param: n, more: info.more }"])
@pytest.mark.parametrize("number", [0, 4, 5])
def test_a_page_without_records_is_answered_204(world, paging: str, number: int):
    rows = contacts(number)

    def source(asked: Asked) -> tuple[int, Any]:
        page = int(asked.query["page"])
        shown = rows[(page - 1) * 2 : page * 2]
        return (200, {"data": shown, "info": {"more": page * 2 < number}}) if shown else (204, None)

    there = world(f"{{ path: /c, records: data, paging: {paging} }}", source)
    there.run()

    assert number == len(there.book)


def test_a_flag_under_next_is_told_by_its_name(world):
    source = lambda asked: (200, {"data": contacts(1), "more": True})  # noqa: E731
    result = world("{ path: /c, records: data, paging: { style: page, next: more } }", source).project.tieline("run", "sync")

    assert 1 == result.code
    assert "write `more: more` in place of `next`" in result.out + result.err


def test_empty_pages_with_a_new_mark_each_time_end_in_an_error(world):
    def source(asked: Asked) -> tuple[int, Any]:
        return 200, {"data": [] if asked.query else contacts(3), "next": f"t{len(there.vendor.asked)}"}

    there = world("{ path: /c, records: data, paging: { style: cursor, at: next } }", source)
    result = there.project.tieline("run", "sync")

    assert 1 == result.code
    assert "50 pages in a row hold no record" in result.out
    assert "correct `list.paging` in the connector" in result.out
    assert 51 == len(there.vendor.calls("GET", "/a/"))
    assert ["N1", "N2", "N3"] == there.names


@pytest.mark.parametrize("form", ["local", '"%Y-%m-%dT%H:%M:%S"'])
def test_a_shop_that_speaks_its_own_local_time_is_asked_in_it(world, form: str):
    zone = ZoneInfo("America/New_York")

    def local(minutes: float) -> str:
        return (dt.datetime.now(zone) - dt.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S")

    rows = [{**row, "at": local(90 - row["id"])} for row in contacts(3)]

    def source(asked: Asked) -> tuple[int, Any]:
        after = asked.query.get("after", "")
        assert "Z" not in after
        return 200, {"data": [row for row in rows if row["at"] > after[:19]]}

    there = world(f"{{ path: /c, records: data, changed_since: {{ param: after, field: at, format: {form} }} }}", source)
    there.run()
    rows[0].update(name="Edited", at=local(0))
    there.run()
    there.run()

    assert ["Edited", "N2", "N3"] == there.names
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}", there.vendor.calls("GET", "/a/")[1].query["after"])


def test_a_search_is_a_post_with_mark_size_and_value_in_its_body(world):
    rows = contacts(5)

    def source(asked: Asked) -> tuple[int, Any]:
        assert asked.method == "POST"
        assert not asked.query
        assert set(asked.json) <= {"sorts", "limit", "after"}
        at = int(asked.json.get("after") or 0)
        more = {"paging": {"next": {"after": str(at + 2)}}} if at + 2 < len(rows) else {}
        return 200, {"results": rows[at : at + asked.json["limit"]], "total": len(rows), **more}

    search = """{ path: /contacts/search, method: POST, records: results,
      body: { filterGroups: [{ filters: [{ propertyName: email, operator: EQ, value: "{value}" }] }], limit: 1 } }"""
    book = BOOK.replace('{ path: /contacts, params: { email: "{value}" }, records: data }', search)
    listing = """{ path: /c/search, method: POST, records: results, total: total,
      body: { sorts: [{ propertyName: at }], limit: "{size}" }, paging: { style: cursor, at: paging.next.after, body: after, size: 2 } }"""
    there = world(listing, source, book=book)
    answer = there.vendor.answer

    def searched(asked: Asked) -> tuple[Any, ...]:
        if asked.path != "/b/contacts/search":
            return answer(asked)
        value = asked.json["filterGroups"][0]["filters"][0]["value"]
        return 200, {"results": [record for record in there.book.values() if record["email"] == value]}

    there.vendor.answer = searched
    there.book["0"] = {"id": "0", "name": "Old", "email": "n3@example.com"}
    there.run()

    assert ["N1", "N2", "N3", "N4", "N5"] == there.names


@pytest.mark.parametrize("refusal", [(410, {"error": {"message": "gone"}}), (400, {"error": {"message": "Sync token is expired."}})])
def test_a_mark_that_has_expired_leads_to_a_whole_read_in_the_same_run(world, refusal: tuple[int, Any]):
    rows, oldest = [{**row, "v": row["id"]} for row in contacts(3)], [0]

    def source(asked: Asked) -> tuple[Any, ...]:
        since = int(asked.query.get("since") or 0)
        if asked.query and since < oldest[0]:
            return refusal
        return 200, {"data": [row for row in rows if row["v"] > since]}, {"X-Mark": str(max(row["v"] for row in rows))}

    since = "{ param: since, header: X-Mark, format: raw, expired: [410, token is expired] }"
    there = world(f"{{ path: /c, records: data, changed_since: {since} }}", source)
    there.run()
    oldest[0] = 100
    rows[0].update(name="Changed", v=101)
    second, third = there.run(), there.run()

    assert ["Changed", "N2", "N3"] == there.names
    assert "had expired, so everything was read" in second.out
    assert "0 read" in third.out


def test_a_mark_that_is_refused_in_words_that_nobody_has_declared_is_told_with_the_way_out(world):
    """Else each run fails, and nothing says how it could read everything."""
    refused = (400, {"error": {"message": "Sync token is expired."}})
    source = lambda asked: refused if asked.query else (200, {"data": contacts(1)}, {"X-Mark": "7"})  # noqa: E731
    there = world("{ path: /c, records: data, changed_since: { param: since, header: X-Mark, format: raw } }", source)
    there.run()
    second = there.project.tieline("run", "sync")

    assert 1 == second.code
    assert "`list.changed_since.expired` in the connector, or read once with `--full`" in " ".join(second.said.split())
    assert 0 == there.project.tieline("run", "sync", "--full").code


def test_an_address_elsewhere_is_not_followed_and_told_with_the_way_out(world):
    source = lambda asked: (200, {"data": contacts(1), "next": "http://inner.example.com/a/c?p=2"})  # noqa: E731
    result = world("{ path: /c, records: data, paging: { style: next_url, at: next } }", source).project.tieline("run", "sync")

    assert 1 == result.code
    assert "under `same_place` in the connector" in " ".join(result.said.split())


def test_a_mark_belongs_to_the_declaration_that_it_was_made_with(world):
    """Asked by another parameter, or by none any more, everything is read once, and it is said."""
    rows = [{**row, "at": "2026-01-01T00:00:00Z"} for row in contacts(2)]
    there = world(
        "{ path: /c, records: data, changed_since: { param: since, field: at, format: rfc3339 } }", lambda asked: (200, {"data": rows})
    )
    there.run()
    there.project.change("connectors/a.yaml", "param: since", "param: changed_from")
    second, third = there.run(), there.run()
    there.project.change("connectors/a.yaml", ", changed_since: { param: changed_from, field: at, format: rfc3339 }", "")
    fourth, fifth = there.run(), there.run()

    assert [{}, {}, {"changed_from": "2025-12-31T23:59:59Z"}, {}, {}] == [asked.query for asked in there.vendor.calls("GET", "/a/")]
    assert [True, False, True, False] == ["asks for changes otherwise" in run.out for run in (second, third, fourth, fifth)]


@pytest.mark.parametrize("at", [None, "", "yesterday"])
def test_records_that_do_not_say_when_they_changed_are_told_at_once(world, at: str | None):
    rows = [{**row, "at": at, "made": "2026-01-01T00:00:00Z"} for row in contacts(3)]
    there = world(
        "{ path: /c, records: data, changed_since: { param: since, field: at, format: rfc3339 } }", lambda asked: (200, {"data": rows})
    )
    first = there.project.tieline("run", "sync", "--json")
    status = there.project.tieline("status", "--json").json[0]

    assert 1 == first.code
    assert "don't say when they changed" in json.dumps(first.json)
    assert ["N1", "N2", "N3"] == there.names
    assert ("attention", None) == (status["state"], status["freshness_age"])
    if at != "yesterday":
        there.project.change("connectors/a.yaml", "field: at", "field: [at, made]")
        there.run()


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Sydney"])
def test_no_zone_is_guessed_for_a_shop_that_does_not_say_its_own(world, zone: str):
    """Its times have no offset, and it understands UTC: taken as UTC, Sydney's are in the future, and what is edited next is never shown."""
    local = lambda minutes: (dt.datetime.now(ZoneInfo(zone)) - dt.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S")  # noqa: E731
    rows = [{**row, "made": local(90)} for row in contacts(3)]

    def source(asked: Asked) -> tuple[int, Any]:
        after = dt.datetime.fromisoformat(asked.query.get("after", "2000-01-01T00:00:00Z"))
        return 200, {"data": [row for row in rows if dt.datetime.fromisoformat(row["made"]).replace(tzinfo=ZoneInfo(zone)) > after]}

    there = world("{ path: /c, records: data, changed_since: { param: after, field: made } }", source)
    first = there.project.tieline("run", "sync")
    rows[0].update(name="Edited", made=local(0))
    there.project.tieline("run", "sync")

    assert 1 == first.code
    assert "don't say when they changed" in " ".join(first.said.split())
    assert ["Edited", "N2", "N3"] == there.names
    there.project.change("connectors/a.yaml", "made: { type: datetime }", f"made: {{ type: datetime, zone: {zone} }}")
    asked_for = there.project.tieline("check")
    assert ["in which form?" in " ".join(asked_for.said.split()), 2] == [True, asked_for.code]
    there.project.change("connectors/a.yaml", "field: made", "field: made, format: rfc3339")
    there.run()
    rows[1].update(name="Edited too", made=local(0))
    there.run()

    assert ["Edited", "Edited too", "N3"] == there.names


SHAPES: dict[str, tuple[str, str, Callable[[list[Any], Asked], tuple[Any, ...]]]] = {
    "utf-16": ("", "", lambda rows, asked: (200, json.dumps({"data": rows}).encode("utf-16"), {"Content-Type": "application/json; charset=utf-16"})),
    "utf-16 without a mark": (
        "", "", lambda rows, asked: (200, json.dumps({"data": rows}).encode("utf-16-be"), {"Content-Type": 'application/json; charset="UTF-16"'}),
    ),
    "latin": (
        "", "",
        lambda rows, asked: (200, json.dumps({"data": rows}, ensure_ascii=False).encode("latin-1"), {"Content-Type": "application/json; charset=ISO-8859-1"}),
    ),
    "packed without a header": ("", "", lambda rows, asked: (200, gzip.compress(json.dumps({"data": rows}).encode()))),
    "by id": (", shape: by_id", "", lambda rows, asked: (200, {"data": {str(row["id"]): {"name": row["name"], "email": row["email"]} for row in rows}})),
    "a single record": (", shape: one_or_list", "", lambda rows, asked: (200, {"data": rows[0]})),
    "another name of the same place": (
        ", paging: { style: next_url, at: next }", "same_place: [inner.example.com]\n",
        lambda rows, asked: (200, {"data": [] if asked.query else rows, "next": None if asked.query else "http://inner.example.com/a/c?p=2"}),
    ),
    "with a byte order mark": ("", "", lambda rows, asked: (200, b"\xef\xbb\xbf" + json.dumps({"data": rows}).encode())),
    "packed, and said so": (
        "", "", lambda rows, asked: (200, gzip.compress(json.dumps({"data": rows}).encode()), {"Content-Encoding": "gzip", "Content-Type": "application/json"}),
    ),
    "an empty page in between": (
        ", paging: { style: cursor, at: next }", "",
        lambda rows, asked: (200, {"data": rows if asked.query.get("cursor") == "2" else [], "next": str(int(asked.query.get("cursor", 0)) + 1) if asked.query.get("cursor") != "2" else None}),
    ),
    "a mark that is encoded once more": (
        ", paging: { style: cursor, at: next }", "",
        lambda rows, asked: (200, {"data": rows if asked.query.get("cursor") == "a%2Fb+c==" else [], "next": None if asked.query else "a%2Fb+c=="}),
    ),
    "the next address in a header, beside others": (
        ", paging: { style: link_header }", "",
        lambda rows, asked: (200, {"data": rows if asked.query else []}, {"LINK": "" if asked.query else '</a/c?p=0>; rel="first prev", <?p=2>; title="rel=\\"next\\""; rel="next"'}),
    ),
    "moved to the same place": ("", "", lambda rows, asked: (301, None, {"Location": "/a/c/"}) if asked.path == "/a/c" else (200, {"data": rows})),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_odd_shapes_of_lists_are_read(world, shape: str):
    declared, more, answer = SHAPES[shape]
    rows = [{"id": 2**63 + 1, "name": "Zoë", "email": "zoe@example.com"}]
    there = world(f"{{ path: /c, records: data{declared} }}", lambda asked: answer(rows, asked), more)
    there.run()
    second = there.run()

    assert ["Zoë"] == there.names
    assert "1 unchanged" in second.out


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("http://elsewhere.example.com/a/c", "the credentials stay here"),
        ("/a/c", "after 5 redirects"),
        (None, "an address that was not given"),
    ],
)
def test_a_redirect_that_is_not_followed_says_why(world, to: str | None, why: str):
    source = lambda asked: (302, None, {"Location": to} if to else {})  # noqa: E731
    result = world("{ path: /c, records: data }", source).project.tieline("run", "sync")

    assert 1 == result.code
    assert why in " ".join((result.out + result.err).split())


@pytest.mark.parametrize("answer", [(200, b'{"data": [{"id": "1", "em'), (200, b"<html>one moment</html>"), (200, b"")])
def test_an_answer_that_is_cut_off_or_a_page_once_is_asked_for_again(world, answer: tuple[int, Any]):
    calls: list[Asked] = []

    def source(asked: Asked) -> tuple[int, Any]:
        calls.append(asked)
        return answer if len(calls) == 1 else (200, {"data": contacts(2)})

    there = world("{ path: /c, records: data }", source)
    there.run()

    assert (["N1", "N2"], 2) == (there.names, len(calls))
