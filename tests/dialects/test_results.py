"""What a batch's answer says of each record: nothing is believed that is not proven to be of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.config.models.connectors import Errors, Resource
from tieline.config.models.operations import BatchResults
from tieline.dialects.dialect import Item, Receipt
from tieline.dialects.ids import id_reader
from tieline.dialects.rest.batch_results import Answer, read_results
from tieline.model.errors import NotThere, Passing, Rejected, Untold

APART = {"records": "results", "by": "id", "key": "email", "field": "email", "id": "id"}
ERRORS = {"records": "errors", "by": "id", "key": "context.email[0]", "field": "email", "error": "message"}


def told(
    answer: Any, declared: dict[str, Any], *emails: str, ids: tuple[str | None, ...] = (), errors: Errors | None = None
) -> list[Receipt]:
    """Read an answer to a batch of records."""
    items = [Item({"email": email}, ids[place] if ids else None, "") for place, email in enumerate(emails)]
    how = Answer("id", id_reader(Resource()), errors or Errors(), 1, str)
    return read_results(answer, BatchResults.model_validate(declared), items, how)


def in_short(receipts: list[Receipt]) -> list[Any]:
    return [receipt.id if receipt.error is None else type(receipt.error) for receipt in receipts]


def test_errors_in_a_list_of_their_own_carry_the_vendor_s_words() -> None:
    """HubSpot's 207."""
    answer = {"results": [{"id": 7, "email": "b"}], "errors": [{"message": "a is bad", "context": {"email": ["a"]}}]}

    first, second = told(answer, {**APART, "errors": ERRORS}, "a", "b")

    assert (Rejected, "a is bad") == (type(first.error), str(first.error))
    assert "7" == second.id


def test_errors_by_number_leave_the_others_in_their_order() -> None:
    """Jira's failedElementNumber."""
    declared = {
        "records": "issues",
        "id": "id",
        "errors": {"records": "errors", "by": "index", "index": "failedElementNumber", "error": "why"},
    }

    answer = {"issues": [{"id": "1"}, {"id": "3"}], "errors": [{"failedElementNumber": 1, "why": "no"}]}
    assert ["1", Rejected, "3"] == in_short(told(answer, declared, "a", "b", "c"))
    answer["errors"].append({"failedElementNumber": 1, "why": "no"})
    assert [Untold] * 3 == in_short(told(answer, declared, "a", "b", "c"))


def test_results_in_several_lists() -> None:
    """Mailchimp."""
    declared = {
        **APART,
        "records": ["new_members", "updated_members"],
        "errors": {"records": "errors", "key": "email", "field": "email", "error": "error"},
    }
    answer = {
        "new_members": [{"id": "1", "email": "a"}], "updated_members": [{"id": "2", "email": "b"}],
        "errors": [{"email": "c", "error": "looks fake"}],
    }  # fmt: skip

    assert ["1", "2", Rejected] == in_short(told(answer, declared, "a", "b", "c"))


def test_results_as_members_of_an_object() -> None:
    answer = {"results": {"b": {"id": 2}, "a": {"id": 1}}}

    assert ["1", "2", Untold] == in_short(told(answer, {"records": "results", "by": "member", "field": "email", "id": "id"}, "a", "b", "c"))


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        ([{"id": "1"}], ()),
        ([{"id": "1"}, {"id": "2"}, {"id": "3"}], ()),
        ([{"id": "1"}, {"id": "1"}], ()),
        ([{"id": "1", "email": "b"}, {"id": "2", "email": "a"}], ()),
        ([{"id": "2"}, {"id": "1"}], ("1", "2")),
    ],
)
def test_what_can_not_be_told_apart_by_position_tells_nothing_of_any(answer: Any, ids: tuple[str, ...]) -> None:
    assert [Untold, Untold] == in_short(told(answer, {"id": "id", "key": "email", "field": "email"}, "a", "b", ids=ids))


def test_a_key_that_comes_twice_tells_nothing_of_either() -> None:
    assert [Untold, "2"] == in_short(
        told({"results": [{"id": 1, "email": "a"}, {"id": 2, "email": "b"}, {"id": 3, "email": "a"}]}, APART, "a", "b")
    )
    assert [Untold, Untold] == in_short(told({"results": [{"id": 1, "email": "a"}]}, APART, "a", "a"))


def test_refusals_that_pass_are_known_in_results_too() -> None:
    declared = {"status": "success", "ok": [True], "id": "id", "error": "errors"}
    answer = [{"success": False, "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "locked"}]}]

    [receipt] = told(answer, declared, "a", errors=Errors(passing=("UNABLE_TO_LOCK_ROW",)))

    assert (Passing, "UNABLE_TO_LOCK_ROW: locked") == (type(receipt.error), str(receipt.error))
    assert [Passing, NotThere] == in_short(told([{"s": 423}, {"s": "404"}], {"status": "s", "error": "e"}, "a", "b"))


KEYS = st.sampled_from("abcd")


@given(
    st.lists(KEYS, min_size=1, max_size=5),
    st.lists(st.tuples(KEYS, st.integers(1, 6)), max_size=6),
    st.lists(KEYS, max_size=3),
    st.sampled_from(["id", "position"]),
)
def test_a_record_is_only_confirmed_by_the_one_result_of_its_own(
    sent: list[str], results: list[tuple[str, int]], errors: list[str], by: str
) -> None:
    answer = {
        "results": [{"email": key, "id": f"{key}{number}"} for key, number in results],
        "errors": [{"message": f"{key} is bad", "context": {"email": [key]}} for key in errors],
    }

    for key, receipt in zip(sent, told(answer, {**APART, "by": by, "errors": ERRORS}, *sent), strict=True):
        if receipt.error is None:
            assert receipt.id is not None
            assert receipt.id[0] == key
        elif isinstance(receipt.error, Rejected):
            assert f"{key} is bad" == str(receipt.error)
        if errors.count(key) == 1 and sent.count(key) == 1:
            assert isinstance(receipt.error, Rejected)


MIXED = {"records": "results", "by": "position", "id": "id"}


@pytest.mark.parametrize("by", [{"by": "position"}, {"by": "index", "index": "n"}])
@pytest.mark.parametrize("nested", [False, True])
def test_results_that_repeat_what_other_records_say_tell_nothing(by: dict[str, Any], nested: bool) -> None:
    """A vendor that does them side by side answers in the order in which they were done; that it shows the records gives it away."""
    sent = [{"email": f"{n}@x", "name": f"N{n}", "state": "new"} for n in range(3)]
    at = "properties." if nested else ""
    fields = [{f"{at}{name}": value for name, value in one.items()} for one in sent]
    items = [Item({"properties": one} if nested else one, None, "", fields=flat) for one, flat in zip(sent, fields, strict=True)]
    how = Answer("id", id_reader(Resource()), Errors(), 1, str)

    def read(order: tuple[int, ...], **spelled: str) -> list[Any]:
        shown = [{**sent[n], **spelled} for n in order]
        results = [
            {"id": n, "n": place} | ({"properties": one} if nested else one)
            for place, (n, one) in enumerate(zip(order, shown, strict=True))
        ]
        return in_short(read_results({"results": results}, BatchResults.model_validate({**MIXED, **by}), items, how))

    assert ["0", "1", "2"] == read((0, 1, 2))
    assert ["0", "1", "2"] == read((0, 1, 2), name="set by the vendor", state="open")
    for order in ((0, 2, 1), (2, 1, 0), (1, 2, 0)):
        assert [Untold] * 3 == read(order)
        assert [Untold] * 3 == read(order, state="open")
