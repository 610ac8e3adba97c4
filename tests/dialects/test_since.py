"""The mark from which the next read starts never passes a change that this read can't have seen."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tieline.config.models.lists import ChangedSince
from tieline.dialects.dialect import Since
from tieline.dialects.rest.points import Points
from tieline.dialects.rest.since import SinceTracker
from tieline.transport.ports import HttpResponse

BEGAN = 1_763_805_600.0  # 2025-11-22T10:00:00Z
DATE = {"Date": "Sat, 22 Nov 2025 10:00:00 GMT"}


def changed(**more: Any) -> ChangedSince:
    return ChangedSince.model_validate({"param": "since", "field": "updated", **more})


def read(declared: ChangedSince, pages: list[list[Any]], *, since: Since | None = None, headers: dict[str, str] = DATE) -> Since | None:
    tracker = SinceTracker(Points(declared, None), since)
    for number, page in enumerate(pages):
        tracker.see_page(HttpResponse(200, headers, b""), BEGAN + number, BEGAN + number)
        for value in page:
            tracker.see({"updated": value})
    return tracker.safe(last_page=True)


def lowered(mark: str, declared: ChangedSince) -> str:
    return Points(declared, None).lowered(mark)


def mark(found: Since | None) -> str | None:
    return found.mark if found is not None else None


def test_a_change_while_later_pages_are_read_is_not_passed_over():
    """Page three shows a change of 10:01; record one may have changed at 10:00:30, after its page was served."""
    found = read(changed(), [["2025-11-22T09:00:00Z"], ["2025-11-22T09:30:00Z"], ["2025-11-22T10:01:00Z"]])

    assert "2025-11-22T10:00:00Z" == mark(found)


def test_one_page_is_safe_up_to_what_it_showed():
    assert "2025-11-22T09:30:00Z" == mark(read(changed(), [["2025-11-22T09:30:00Z", "2025-11-22T09:00:00Z"]]))


def test_a_list_that_comes_oldest_change_first_is_safe_with_each_page():
    tracker = SinceTracker(Points(changed(sorted=True), None), None)
    tracker.see_page(HttpResponse(200, DATE, b""), BEGAN, BEGAN)
    tracker.see({"updated": "2025-11-22T08:00:00Z"})

    assert "2025-11-22T08:00:00Z" == mark(tracker.safe(last_page=False))


def test_an_unsorted_list_moves_nothing_before_its_end():
    tracker = SinceTracker(Points(changed(), None), None)
    tracker.see_page(HttpResponse(200, DATE, b""), BEGAN, BEGAN)
    tracker.see({"updated": "2025-11-22T08:00:00Z"})

    assert tracker.safe(last_page=False) is None


def test_a_time_in_the_future_moves_nothing_past_now():
    assert "2025-11-22T10:00:00Z" == mark(read(changed(), [["2099-01-01T00:00:00Z"]]))


def test_a_time_that_can_not_be_read_stops_nothing():
    assert "2025-11-22T09:00:00Z" == mark(read(changed(), [["yesterday", "2025-11-22T09:00:00Z"]]))


def test_without_a_clock_of_the_vendor_the_mark_stays_one_read_behind():
    first = read(changed(), [["2025-11-22T08:00:00Z"], ["2025-11-22T09:00:00Z"]], headers={})
    second = read(changed(), [["2025-11-22T09:30:00Z"], ["2025-11-22T09:40:00Z"]], since=first, headers={})

    assert [None, "2025-11-22T09:00:00Z"] == [mark(first), mark(second)]


def test_a_version_stays_one_read_behind_too():
    declared = changed(format="raw")
    first = read(declared, [[5], [9]])
    second = read(declared, [[12], [11]], since=first)

    assert [None, "9"] == [mark(first), mark(second)]


def test_the_vendors_own_mark_is_that_of_the_first_answer():
    declared = ChangedSince(param="_since", header="ETag", format="raw")

    assert "17" == mark(read(declared, [[], []], headers={"ETag": '"17"'}))


@given(st.lists(st.lists(st.integers(0, 7200), max_size=4), min_size=1, max_size=4), st.booleans())
def test_the_mark_never_passes_the_beginning_of_a_long_read_nor_what_was_seen(pages: list[list[int]], in_order: bool):
    """Seconds after nine o'clock; the read begins at ten. Later changes than the mark are what the next read asks for."""
    moments = [[f"2025-11-22T{9 + s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}Z" for s in page] for page in pages]
    found = mark(read(changed(sorted=in_order), moments))
    shown = [moment for page in moments for moment in page]

    assert (found is None) == (not shown)
    if found is not None:
        assert found <= max(shown)
        assert found <= ("2025-11-22T10:00:00Z" if len(pages) > 1 and not in_order else "2025-11-22T11:00:00Z")


def test_what_is_asked_for_reaches_back_by_overlap_and_precision():
    assert "2025-11-22T09:59:54Z" == lowered("2025-11-22T10:00:00Z", changed(overlap="5s"))
    assert "1763805599" == lowered("1763805600", changed(format="unix"))
    assert "1763805599000" == lowered("1763805600000", changed(format="unix_ms"))
    assert "15" == lowered("17", changed(format="raw", overlap_versions=2))
