"""A list is read whole and ends, whatever its style of paging, the place of its marks, its ends, and the empty pages in between."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tieline.config.models.connectors import Connector, Errors
from tieline.config.models.limits import BreakerPolicy, Timeouts
from tieline.dialects.dialect import Since
from tieline.dialects.rest.system import RestSystem
from tieline.model.errors import RemoteError, Undecodable
from tieline.testing import ManualClock
from tieline.transport.caller import Account, Caller
from tieline.transport.ports import HttpRequest, HttpResponse
from tieline.transport.recording import Keeping

URL = "https://api.example.com/v1"


class MadeUp:
    """A vendor whose answers come from a function of (query, headers, body)."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.requests = answer, list[HttpRequest]()

    async def send(self, request: HttpRequest, timeouts: Timeouts, most_bytes: int) -> HttpResponse:
        self.requests.append(request)
        query = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
        status, body, headers = self.answer(query, request.headers, json.loads(request.body) if request.body else None)
        return HttpResponse(status, headers, b"" if body is None else json.dumps(body).encode())

    async def close(self) -> None:
        pass


def read(listing: dict[str, Any], vendor: MadeUp, since: Since | None = None, **more: Any) -> tuple[list[str], Since | None]:
    """Return the ids that a list shows, and the point that it leaves."""
    clock = ManualClock()
    account = Account(
        name="crm", base_url=URL, headers={}, secret_headers={}, secret_query={}, limits=(), concurrency=1, timeouts=Timeouts(),
        most_bytes=2**20, errors=Errors(), mask=str, breaker=BreakerPolicy(), limit_headers=(),
        keeping=Keeping(lambda text, most: text[:most]),
    )  # fmt: skip
    resource = {"fields": {"id": {"type": "integer"}, "at": {"type": "datetime"}}, "list": {"path": "/c", "records": "data", **listing}}
    connector = Connector.model_validate({"connector": "crm", "environments": {"production": URL}, "resources": {"c": resource}, **more})
    system = RestSystem("crm", connector, {}, Caller(account, vendor, clock))
    shown: list[str] = []

    async def reading() -> None:
        nonlocal since
        async for page in system.read("c", since):
            shown.extend(id or "" for id in page.ids)
            since = page.since or since

    clock.run(reading())
    return shown, since


PLACES = ["param", "body", "header", "gap in a parameter", "gap in the body"]
NAMES = {"page": "page", "offset": "offset", "cursor": "cursor"}


def declared(style: str, place: str, size: int, end: str, start: int) -> dict[str, Any]:
    """A list with its mark at a place, and an end."""
    paging: dict[str, Any] = {"style": style}
    name = NAMES[style]
    if style != "cursor":
        paging |= {"size": size, "start": start}
    else:
        paging |= {"at": "next"}
    paging |= {"more": {"more": "more"}, "end": {"end": "last"}}.get(end, {})
    listing: dict[str, Any] = {"paging": paging}
    match place:
        case "param":
            paging["param"] = "at"
        case "body":
            paging["body"], listing["method"], listing["body"] = "deep.at", "POST", {"deep": {"kept": 1}}
        case "header":
            paging["header"] = "X-At"
        case "gap in a parameter":
            listing["params"] = {"q": f"from {{{name}}} on"}
        case "gap in the body":
            listing["method"], listing["body"] = "POST", {"deep": {"at": f"{{{name}}}"}}
    return listing


def asked_at(place: str, query: dict[str, str], headers: Any, body: Any) -> str | None:
    """What a vendor finds at that place."""
    match place:
        case "param":
            return query.get("at")
        case "header":
            found: str | None = headers.get("X-At")
            return found
        case "gap in a parameter":
            return query["q"].split()[1] if "q" in query else None
    return str(body["deep"]["at"]) if body and "at" in body.get("deep", {}) else None


@settings(deadline=None)
@given(
    st.sampled_from(sorted(NAMES)), st.sampled_from(PLACES), st.integers(0, 12), st.integers(1, 5), st.sampled_from(["own", "more", "end"]),
    st.lists(st.integers(0, 3), max_size=3), st.sampled_from([200, 204]), st.integers(0, 1),
)  # fmt: skip
def test_a_list_is_read_whole_and_ends(
    style: str, place: str, number: int, size: int, end: str, gaps: list[int], empty_status: int, start: int
):
    """Empty pages stand in between where the vendor says by itself whether more follow; the page after the last may be 204."""
    rows = [{"id": index} for index in range(number)]
    pages = [rows[at : at + size] for at in range(0, number, size)] or [[]]
    if style == "cursor" or (style == "page" and end != "own"):
        for at in sorted(gaps, reverse=True):
            pages.insert(min(at, len(pages) - 1), [])

    def answer(query: dict[str, str], headers: Any, body: Any) -> tuple[int, Any, dict[str, str]]:
        mark = asked_at(place, query, headers, body)
        if style == "cursor":
            index = 0 if mark is None else int(mark)
        else:
            assert mark is not None
            index = int(mark) - start
        shown = pages[index] if index < len(pages) else []
        last = index + 1 >= len(pages)
        if style == "offset":
            shown, last = rows[index : index + size], index + size >= number
        if not shown and last and empty_status == 204:
            return 204, None, {}
        said: dict[str, Any] = {"data": shown, "more": not last, "last": last}
        # With a flag there is always a mark; without one it is missing at the end.
        if not last or end != "own":
            said["next"] = str(min(index + 1, len(pages) - 1)) if end == "own" else str(index + 1)
        return 200, said, {}

    shown, _ = read(declared(style, place, size, end, start), MadeUp(answer))

    assert [str(row["id"]) for row in rows] == shown


@given(st.integers(1, 60), st.sampled_from(["cursor", "next_url"]))
@settings(deadline=None, max_examples=20)
def test_empty_pages_with_ever_new_marks_end_in_an_error_that_names_the_paging(most: int, style: str):
    vendor = MadeUp(lambda query, headers, body: (200, {"data": [], "next": f"?at={len(vendor.requests)}"}, {}))

    with pytest.raises(Undecodable, match=f"{most} pages in a row hold no record") as caught:
        read({"paging": {"style": style, "at": "next", "empty_pages": most}}, vendor)

    assert most == len(vendor.requests)
    assert "`list.paging`" in caught.value.next_step


@pytest.mark.parametrize("style", ["cursor", "next_url"])
def test_a_page_without_records_whose_mark_is_the_one_that_was_sent_is_the_end(style: str):
    def answer(query: dict[str, str], headers: Any, body: Any) -> tuple[int, Any, dict[str, str]]:
        at = int(query.get("cursor", 0))
        return 200, {"data": [{"id": 1}] if not at else [], "next": "1" if style == "cursor" else f"{URL}/c?cursor=1"}, {}

    shown, _ = read({"paging": {"style": style, "at": "next"}}, MadeUp(answer))

    assert ["1"] == shown


@pytest.mark.parametrize("flag", ["maybe", 7])
def test_a_flag_that_is_none_is_an_error(flag: Any):
    vendor = MadeUp(lambda query, headers, body: (200, {"data": [{"id": 1}], "more": flag}, {}))

    with pytest.raises(Undecodable, match="neither true nor false"):
        read({"paging": {"style": "page", "more": "more"}}, vendor)


def test_the_vendor_says_that_more_follow_and_gives_no_mark():
    vendor = MadeUp(lambda query, headers, body: (200, {"data": [{"id": 1}], "more": True}, {}))

    with pytest.raises(Undecodable, match="there is nothing `next` to ask for them by"):
        read({"paging": {"style": "cursor", "at": "next", "more": "more"}}, vendor)


def test_statuses_that_mean_empty():
    with pytest.raises(RemoteError):
        read({}, MadeUp(lambda query, headers, body: (404, {"message": "none"}, {})))

    assert ([], None) == read({"empty": [404]}, MadeUp(lambda query, headers, body: (404, {"message": "none"}, {})))
    assert ([], None) == read({}, MadeUp(lambda query, headers, body: (204, None, {})))


def test_a_delta_link_is_followed_by_the_next_read():
    """The mark comes with the last page alone, and is a whole address."""

    def answer(query: dict[str, str], headers: Any, body: Any) -> tuple[int, Any, dict[str, str]]:
        if "delta" in query:
            return 200, {"data": [{"id": 9}], "@delta": f"{URL}/c?delta=2"}, {}
        if "skip" in query:
            return 200, {"data": [{"id": 2}], "@delta": f"{URL}/c?delta=1"}, {}
        return 200, {"data": [{"id": 1}], "@next": f"{URL}/c?skip=1"}, {}

    listing = {"paging": {"style": "next_url", "at": '"@next"'}, "changed_since": {"url": True, "at": '"@delta"', "format": "raw"}}
    first, since = read(listing, MadeUp(answer))
    vendor = MadeUp(answer)
    second, since = read(listing, vendor, since)

    assert (["1", "2"], ["9"]) == (first, second)
    assert [f"{URL}/c?delta=1"] == [request.url for request in vendor.requests]
    assert since is not None
    assert f"{URL}/c?delta=2" == since.mark


POINTS: list[tuple[dict[str, Any], Any]] = [
    ({"params": {"$filter": "at gt {since}"}}, lambda request: dict(parse_qsl(urlsplit(request.url).query)).get("$filter")),
    ({"headers": {"If-Modified-Since": "{since}"}}, lambda request: request.headers.get("If-Modified-Since")),
    ({"body": {"filter": {"since": "{since}"}}}, lambda request: json.loads(request.body)["filter"].get("since")),
    ({"param": "since"}, lambda request: dict(parse_qsl(urlsplit(request.url).query)).get("since")),
]


@pytest.mark.parametrize(("where", "found"), POINTS, ids=["params", "headers", "body", "param"])
@pytest.mark.parametrize("first", [None, "never"])
def test_a_point_is_sent_where_it_is_declared_once_there_is_one(where: dict[str, Any], found: Any, first: str | None):
    method = {"method": "POST", "body": {"filter": {"kind": "x"}}} if "body" in where else {}
    more = {"first": first} if first is not None else {}
    listing = {**method, "changed_since": {**where, "field": "at", **more}}
    row = {"id": 1, "at": "2026-01-01T00:00:10Z"}
    vendor = MadeUp(lambda query, headers, body: (200, {"data": [row]}, {}))

    _, since = read(listing, vendor)
    read(listing, vendor, since)
    before, after = (found(request) for request in vendor.requests)

    assert first == (before.removeprefix("at gt ") if before else before)
    assert "2026-01-01T00:00:09Z" == after.removeprefix("at gt ")
    if "body" in where:
        assert {"kind": "x", "since": after} == json.loads(vendor.requests[1].body or b"")["filter"]


def test_braces_that_are_no_gaps_stay_as_they_are():
    """A body may hold GraphQL."""
    text = "query($after: String) { contacts { id } }"
    vendor = MadeUp(lambda query, headers, body: (200, {"data": []}, {}))

    read(
        {"method": "POST", "body": {"query": text, "variables": {"after": "{cursor}"}}, "paging": {"style": "cursor", "at": "next"}}, vendor
    )

    assert {"query": text, "variables": {}} == json.loads(vendor.requests[0].body or b"")


def test_a_mark_with_a_line_break_goes_into_no_header():
    vendor = MadeUp(lambda query, headers, body: (200, {"data": [{"id": len(vendor.requests)}], "next": "a\r\nX-Evil: 1"}, {}))

    with pytest.raises(Undecodable, match="line break"):
        read({"paging": {"style": "cursor", "at": "next", "header": "X-At"}}, vendor)


def test_an_address_of_another_name_of_the_same_place_is_asked_for_at_home():
    def answer(query: dict[str, str], headers: Any, body: Any) -> tuple[int, Any, dict[str, str]]:
        return 200, {"data": [{"id": 2 if query else 1}], "next": None if query else "http://inner.example.com/v1/c?p=2"}, {}

    listing, vendor = {"paging": {"style": "next_url", "at": "next"}}, MadeUp(answer)

    with pytest.raises(Undecodable, match="credentials stay here"):
        read(listing, vendor)
    assert (["1", "2"], None) == read(listing, vendor, same_place=["inner.example.com"])
    assert {"api.example.com"} == {urlsplit(request.url).hostname for request in vendor.requests}
