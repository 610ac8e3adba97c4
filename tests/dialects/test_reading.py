"""A list is read whole or not at all: whatever its paging, its ceiling, and whoever edits meanwhile."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.lists import STYLES, Reader
from tieline.dialects.rest.listing import ListReader
from tieline.dialects.rest.pagination import next_link
from tieline.dialects.rest.since import SinceTracker
from tieline.model.errors import Incomplete, RemoteError, Undecodable, Unsettled
from tieline.testing import Collection, Fault
from tieline.testing.faults import answering

HABITS = ["error", "repeat", "empty", "stop"]


def collection(**habits: Any) -> Collection:
    return Collection("leads", {"name": {"type": "any"}}, **habits)


def filled(reader: Reader, number: int, *, apart: float = 0.01) -> Reader:
    for index in range(number):
        reader.collection.add(name=index)
        reader.clock.advance(apart)
    reader.clock.advance(5)
    return reader


# -- a list that stands still


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(STYLES), st.integers(0, 70), st.integers(1, 6), st.sampled_from([None, "all", "asked"]), st.booleans(),
    st.sampled_from([None, "time", "version", "mark"]), st.sampled_from(["made", "changed"]),
)  # fmt: skip
def test_each_record_is_shown_once_by_a_list_that_stands_still(style, number, size, total, strict, changed, order):
    """Second readings show only what differs: nothing."""
    if style == "keyset":
        changed, order = "time", "changed"
    reader = filled(Reader(collection(paging=style, page_size=size, total=total, changed_since=changed, order=order)), number)

    shown = reader.read(strict=strict)

    assert reader.there() == reader.known
    assert len(reader.there()) == len(shown)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(STYLES), st.integers(0, 120), st.integers(1, 5), st.integers(0, 9), st.sampled_from(HABITS),
    st.sampled_from([None, "time", "version", "mark"]), st.sampled_from(["made", "changed"]), st.booleans(),
    st.sampled_from([None, "asked"]), st.sampled_from([None, "unix", "unix_ms"]), st.booleans(),
)  # fmt: skip
def test_a_list_with_a_ceiling_is_read_whole(style, number, size, more, habit, changed, order, windows, total, times, marks):
    """In whichever way the vendor refuses to show more, and whatever the windows lie over."""
    if style == "keyset":
        changed, order = "time", "changed"
    leads = collection(
        paging=style, page_size=size, order=order, changed_since=changed, ceiling=2 * size + 2 + more, at_ceiling=habit, total=total,
        windows=windows or order == "made" or changed == "mark", times=times or "rfc3339", counted_marks=marks,
    )  # fmt: skip
    reader = filled(Reader(leads), number)

    reader.read()

    assert reader.there() == reader.known
    before = set(reader.known)
    reader.clock.advance(60)
    chance = random.Random(number)
    for _ in range(number // 2):
        reader.clock.advance(0.01)
        reader.collection.add(name=1) if chance.random() < 0.5 else reader.collection.change(int(chance.choice(sorted(before))), name=2)
    reader.clock.advance(60)
    reader.read()
    assert reader.there() == reader.known


def test_what_can_not_be_split_is_an_error():
    """Twenty records of one instant, where no more than ten are shown."""
    reader = filled(Reader(collection(page_size=2, changed_since="time", ceiling=10)), 20, apart=0.0)

    with pytest.raises(
        Incomplete, match=r"holds more than the 10 records that the vendor shows, and can't be split further by `updated_at`"
    ):
        reader.read()
    assert reader.since is None


def test_a_vendor_that_ignores_windows_is_found_out():
    def misspelt(declared: dict[str, Any]) -> None:
        declared["list"]["ceiling"] = {"records": 10, "field": "updated_at", "from": "form", "until": "untill"}

    reader = filled(Reader(collection(page_size=2, changed_since="time", ceiling=10), connector=misspelt), 40)

    with pytest.raises(Incomplete, match=r"seems to ignore it|can't be split further"):
        reader.read()


def test_windows_cost_few_calls():
    """A total tells at once that a window is too large; the records then come twice at most."""
    reader = Reader(collection(page_size=10, paging="cursor", changed_since="time", ceiling=100, at_ceiling="error", total="asked"))
    chance = random.Random(4)
    for index in range(1000):
        reader.collection.add(name=index)
        reader.clock.advance(0.01)
    for _ in range(1000):
        reader.collection.change(chance.randint(1001, 2000), name=chance.randint(0, 10**9))
        reader.clock.advance(0.01)

    reader.read()

    assert reader.there() == reader.known
    assert reader.requests <= 300


# -- a list that moves


def moving(style: str | None, seed: int, **habits: Any) -> tuple[Reader, set[str]]:
    """Return a reader whose list is edited while it is read, and the ids that are there and unchanged all the while."""
    reader = filled(Reader(collection(paging=style, **habits)), 25)
    reader.people(seed, 0.4, most=12)
    return reader, set(reader.there())


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(STYLES), st.integers(0, 10**6), st.integers(1, 6), st.sampled_from([None, "all"]), st.booleans(), st.booleans())
def test_what_stays_is_shown_however_others_come_and_go(style, seed, size, total, changing, marks):
    """A strict read, and one with a mark: nothing that was there unchanged all the while is missing, or the read says that it may be."""
    by_change = {"changed_since": "time", "order": "changed"} if changing or style == "keyset" else {}
    reader, before = moving(style, seed, page_size=size, total=total, counted_marks=marks, **by_change)
    versions = {id: reader.collection.entries[id].version for id in before}

    try:
        shown = reader.read(strict=True)
    except Unsettled:
        assert reader.since is None
        return

    entries = reader.collection.entries
    stayed = {id for id in before if id in entries and entries[id].version == versions[id]}
    assert stayed <= set(shown)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(STYLES), st.integers(0, 10**6), st.integers(1, 6), st.sampled_from(["time", "version", "mark"]),
    st.sampled_from(["made", "changed"]), st.sampled_from(["rfc3339", "unix", "unix_ms", "date"]), st.sampled_from([0.001, 1.0]),
    st.sampled_from([0.0, 3.0]), st.sampled_from([-7200.0, -3.0, 0.0, 3.0, 7200.0]), st.booleans(), st.sampled_from([None, "asked", "all"]),
    st.booleans(), st.sampled_from([None, "etag", "last_modified"]),
)  # fmt: skip
def test_reads_of_changes_lose_nothing(style, seed, size, changed, order, times, precision, lag, ahead, dates, total, marks, conditional):
    """Ties, cut times, late indexes within the overlap, a vendor's clock that is wrong, people who edit in the middle of it; every format.

    Whatever a read misses, a later one shows: when all is quiet, the reader knows what the vendor has.
    """
    if style == "keyset":
        changed, order, lag = "time", "changed", 0.0
    leads = collection(
        paging=style, page_size=size, order=order, changed_since=changed, times=times, precision=precision, tombstones=True,
        list_lag=lag if changed == "time" else 0.0, total=total, counted_marks=marks, conditional=conditional,
    )  # fmt: skip
    reader = filled(Reader(leads, ahead=ahead, dates=dates), 12, apart=0.3)
    chance = random.Random(seed)
    for _ in range(4):
        reader.people(chance.randint(0, 10**6), 0.4, most=10)
        with contextlib.suppress(Unsettled):
            reader.read()
        for _ in range(chance.randint(0, 3)):
            reader.edit(chance)
        reader.clock.advance(chance.choice([0.0, 0.2, 1.0, 30.0, 90000.0]))
    reader.rest_now()
    for _ in range(3):
        reader.clock.advance(100)
        reader.read()

    assert {id: record["name"] for id, record in reader.there().items()} == {id: record["name"] for id, record in reader.known.items()}


def test_a_record_that_slips_to_a_page_that_was_read_is_read_all_the_same():
    reader = filled(Reader(collection(paging="page", page_size=3, changed_since="version")), 9)
    removed = False

    def remove_the_first(exchange: Any) -> None:
        nonlocal removed
        if "page=2" in exchange.request.url and not removed:
            removed = True
            reader.collection.remove(1001)

    reader.network.passing = remove_the_first

    reader.read()

    assert "1004" in reader.known
    assert [False, True] == sorted({page.again for page in reader.pages})


def test_a_total_that_stays_proves_that_nothing_moved_at_no_cost():
    """By the vendor's own clock and times nothing has changed since the read began, and all are there: one reading is enough."""
    told = filled(Reader(collection(paging="page", page_size=5, changed_since="time", total="asked")), 20)
    not_told = filled(Reader(collection(paging="page", page_size=5, changed_since="time")), 20)

    told.read()
    not_told.read()

    assert [5, 10] == [told.requests, not_told.requests]


def test_one_page_is_never_read_twice():
    reader = filled(Reader(collection(paging="offset", page_size=50, changed_since="time")), 20)

    reader.read(strict=True)

    assert 2 == reader.requests


def test_a_list_that_never_holds_still_is_no_list():
    reader = filled(Reader(collection(paging="page", page_size=2, changed_since="version", order="changed")), 10)
    chance = random.Random(1)
    reader.network.passing = lambda exchange: reader.collection.change(chance.randint(1001, 1010), name=chance.randint(0, 10**9))

    with pytest.raises(Unsettled, match="changed each of the 5 times that it was read"):
        reader.read()
    assert reader.since is None


def test_a_page_that_is_repeated_for_ever_is_an_error():
    reader = filled(Reader(collection(paging="page", page_size=2)), 6)
    own = reader.system.handle

    def first_page_always(request: Any) -> Any:
        request.url = (
            request.url.replace("page=2", "page=1").replace("page=3", "page=1").replace("page=4", "page=1").replace("page=5", "page=1")
        )
        return own(request)

    reader.system.handle = first_page_always  # type: ignore[method-assign]

    with pytest.raises(Undecodable, match="repeats a page that came before: the list would never end"):
        reader.read()


@pytest.mark.parametrize("style", ["page", "offset", "keyset"])
def test_a_vendor_that_shows_less_than_it_is_asked_for_is_read_to_the_end(style):
    """A short page is not the last one: vendors cap their pages without a word."""

    def unaware(declared: dict[str, Any]) -> None:
        declared["list"]["paging"] |= {"size": 10, "size_param": "per_page"}

    reader = filled(Reader(collection(paging=style, page_size=3, order="changed", changed_since="time"), connector=unaware), 8)

    assert 8 == len(set(reader.read()))


@pytest.mark.parametrize("last_again", [True, False])
def test_a_keyset_goes_on_from_the_last_record_on_a_page(last_again):
    """Where records are wrapped, where the last entry is no record, and where the vendor begins with the last record instead of after it."""

    def wrapped(declared: dict[str, Any]) -> None:
        declared["list"]["record"] = "r"

    reader = Reader(collection(paging="keyset", page_size=2, order="changed", changed_since="time"), connector=wrapped)
    one, two, three = (b'{"r": {"id": %d, "updated_at": "2026-01-01T00:00:0%dZ"}}' % (id, id) for id in (1, 2, 3))
    for page in ([one, b"null"], [b"null", two], [three], [three] if last_again else []):
        reader.network.strike(entries(b'{"data": [' + b", ".join(page) + b"]}"))

    assert ["1", "2", "3", "3"][: 4 if last_again else 3] == reader.read()
    asked = [request.url.partition("?")[2] for request in (e.request for e in reader.network.exchanges)]
    assert ["", "1", "2", "3"] == [query.partition("after_id=")[2].partition("&")[0] for query in asked]


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://x/?page=2>; rel="next"', "https://x/?page=2"),
        ("<https://x/?a=1,2;3>;rel=next", "https://x/?a=1,2;3"),
        ('<a>; rel="prev first", <b>; title="then, \\"c\\"; rel=last"; REL="last NEXT"', "b"),
        ('<a>; title="x; rel=next", <b>; rel="last"', None),
        ('<a>; rel=last; rel=next, <b>; rel="https://x/next"', None),
        ("<a>; crossorigin; rel=next; type=text", "a"),
        ("", None),
    ],
)
def test_a_link_header_is_read_as_its_standard_says(header, target):
    """RFC 8288, 3: relations in one list, in any case, with quotes or without; a link that is overlooked ends the list too early."""
    assert target == next_link(header)


# -- totals


@pytest.mark.parametrize("style", ["page", "offset", "cursor", "next_url", "link_header"])
def test_a_list_that_holds_fewer_than_it_says_is_an_error(style):
    """The vendor hides three records and counts them: a ceiling that no one declared, or a bug of theirs."""
    leads = collection(paging=style, page_size=4, total="asked")
    reader = filled(Reader(leads), 10)
    listed = leads.listed
    leads.listed = lambda: listed()[:7]  # type: ignore[method-assign]
    own = reader.system.handle

    def boasting(request: Any) -> Any:
        response = own(request)
        response.body = response.body.replace(b'"total":7', b'"total":10')
        return response

    reader.system.handle = boasting  # type: ignore[method-assign]

    with pytest.raises(Incomplete, match="says that it has 10 records, but its pages held 7: 3 could not be read") as caught:
        reader.read()
    assert 3 == caught.value.missing
    assert reader.since is None


def test_a_read_of_changes_is_compared_where_the_total_is_of_what_was_asked_for():
    leads = collection(paging="cursor", page_size=4, total="asked", changed_since="version")
    reader = filled(Reader(leads), 10)
    reader.read()
    reader.read()
    for id in range(1001, 1007):
        leads.change(id, name="new")
    listed = leads.listed
    own, mark = reader.system.handle, reader.since
    leads.listed = lambda: listed()[2:]  # type: ignore[method-assign]

    def boasting(request: Any) -> Any:
        response = own(request)
        response.body = response.body.replace(b'"total":4', b'"total":6')
        return response

    reader.system.handle = boasting  # type: ignore[method-assign]

    with pytest.raises(Incomplete):
        reader.read()
    assert mark == reader.since


# -- entries that are none


def entries(body: bytes) -> Fault:
    return answering(200, body)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (b'"text"', "it is a text, not an object"),
        (b"null", "it is null, not an object"),
        (b"[1]", "it is a list, not an object"),
        (b'{"id": 7, "name": NaN}', "it can't be decoded"),
        (b'{"id": 7, "name": 01}', "it can't be decoded"),
        (b'{"id": 7, "name": "a\nb"}', "it can't be decoded"),
        (b'{"id": 7, "name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "it can't be decoded"),
    ],
    ids=["text", "null", "list", "no number", "octal", "raw line break", "too deep"],
)
def test_one_bad_entry_does_not_stop_the_others(entry, why):
    reader = Reader(collection(paging=None))
    reader.network.strike(
        entries(b'{"x": [{"data": [1, "]"]}], "data": [{"id": 1, "name": "a, [b"}, ' + entry + b', {"id": 2}], "meta": {}}')
    )

    shown = reader.read()

    assert ["1", "2"] == shown
    [bad] = reader.pages[0].unreadable
    assert why in bad.problem
    assert bad.text.startswith(entry[:20].decode())


def test_a_byte_order_mark_is_no_part_of_the_answer():
    """Some vendors put one in front of their JSON, and a parser may ignore it (RFC 8259, 8.1); also where an entry is bad."""
    reader = Reader(collection(paging=None))
    reader.network.strike(entries(b'\xef\xbb\xbf{"data": [{"id": 1, "name": NaN}, {"id": 2}]}'))

    assert ["2"] == reader.read()


@pytest.mark.parametrize(
    "body", [b'{"data": [{"id": 1}, {"id": 2', b'{"data": [{"id": 1}] "meta": 3}', b"<html>", b'{"data": [NaN]}', b'{"data": [1, 2]}']
)
def test_a_page_that_can_not_be_told_apart_is_an_error(body):
    reader = Reader(collection(paging=None))
    reader.network.strike(entries(body), times=9)

    with pytest.raises(Undecodable, match=r"page 1 .*begins"):
        reader.read()


# -- on condition


def test_a_list_that_has_not_changed_costs_one_call():
    reader = filled(Reader(collection(paging="next_url", page_size=3, conditional="etag")), 9)
    reader.read()
    nothing = reader.read()
    one_call, not_modified = reader.requests, reader.pages[-1].not_modified
    reader.collection.change(1002, name="new")
    reader.read()

    assert ([], 1, True) == (nothing, one_call, not_modified)
    assert "new" == reader.known["1002"]["name"]


def test_a_last_modified_of_the_very_second_is_not_trusted():
    """What changes later in the same second has the same `Last-Modified`."""
    reader = Reader(collection(paging=None, conditional="last_modified"))
    reader.clock.advance(0.2)
    reader.collection.add(name="first")
    reader.read()
    reader.clock.advance(0.1)
    reader.collection.change(1001, name="second")
    reader.clock.advance(60)
    reader.read()
    changed = reader.known["1001"]["name"]
    reader.read()

    assert "second" == changed
    assert reader.pages[-1].not_modified


def test_another_question_has_another_answer():
    """A filter in the connector that was changed: the vendor's mark speaks of what was asked for before."""
    leads = collection(paging=None, conditional="etag")
    before = filled(Reader(leads), 3)
    before.read()
    after = Reader(leads, connector=lambda declared: declared["list"].update(params={"archived": "true"}))
    after.since = before.since

    assert 3 == len(after.read())


# -- broken on purpose


def run_still(**habits: Any) -> None:
    reader = filled(Reader(collection(**habits)), 40)
    reader.read()
    assert reader.there() == reader.known


def test_a_ceiling_that_is_taken_for_the_end_is_noticed(monkeypatch):
    monkeypatch.setattr("tieline.dialects.rest.windows.Windows.split", lambda self, window, places: [])

    with pytest.raises(AssertionError):
        run_still(paging="page", page_size=2, changed_since="time", ceiling=10)


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (ListReader, "_is_whole", lambda self, walk, before: True),
        (SinceTracker, "nothing_since_it_began", lambda self: True),
    ],
    ids=["the second reading is skipped", "everything is taken as proof"],
)
def test_a_list_that_is_trusted_too_soon_is_noticed(monkeypatch, owner, name, broken):
    """The property of lists that move, with the protection taken away: some seed must lose a record."""
    monkeypatch.setattr(owner, name, broken)

    for seed in range(300):
        reader, before = moving("page", seed, page_size=3, changed_since="time", order="changed", total="all")
        versions = {id: reader.collection.entries[id].version for id in before}
        try:
            shown = reader.read()
        except RemoteError:
            continue
        kept = reader.collection.entries
        if not {id for id in before if id in kept and kept[id].version == versions[id]} <= set(shown):
            return
    pytest.fail("no seed has noticed")
