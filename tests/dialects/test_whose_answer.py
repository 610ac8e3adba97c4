"""A record in an answer is the one that was asked for only under that id; anything else proves nothing about it."""

from __future__ import annotations

from typing import Any

import pytest

from dialects.lists import Reader
from tieline.model.errors import AnotherRecord, NotThere, RemoteError, Undecodable
from tieline.model.records import encode_json
from tieline.testing import Collection
from tieline.testing.faults import answering


def asked(body: Any, *, status: int = 200, get: dict[str, Any] | None = None, id: str = "1001", ids: Any = "number") -> Any:
    """Return what `get` makes of an answer; `get` is what the connector says besides."""
    collection = Collection("leads", {"name": {"type": "any"}}, ids=ids)
    declaration = collection.declaration

    def declared() -> dict[str, Any]:
        said = declaration()
        said["get"] |= get or {}
        return said

    collection.declaration = declared  # type: ignore[method-assign]
    reader = Reader(collection)
    reader.network.strike(answering(status, encode_json(body) if body != b"" else b""), method="GET", times=2)
    return reader.clock.run(reader.rest.get("leads", id))


@pytest.mark.parametrize(
    "body",
    [
        {"id": 1002, "name": "Bob"},
        {"name": "Ann"},
        {"id": None, "name": "Ann"},
        {"id": "", "name": "Ann"},
        {"id": "..", "name": "Ann"},
        {"data": []},
        {},
        [{"id": 1002}, {"id": 1003}],
        [{"id": 1001}, {"id": 1001}],
    ],
)
def test_an_answer_about_another_record_or_none_is_an_error_of_its_own(body: Any) -> None:
    with pytest.raises(AnotherRecord, match="1001"):
        asked(body)


@pytest.mark.parametrize("body", [{"id": 1001}, {"id": "1001"}, {"id": 1001.0}, [{"id": 1001}], [{"id": 1002}, {"id": 1001}]])
def test_the_record_is_found_under_its_id_however_it_is_spelled(body: Any) -> None:
    assert asked(body)["id"] in (1001, "1001", 1001.0)


@pytest.mark.parametrize("body", [7, "gone", None, [7]])
def test_what_is_no_object_is_no_record(body: Any) -> None:
    with pytest.raises(Undecodable):
        asked(body)


def test_an_empty_list_means_that_there_is_none() -> None:
    assert asked([]) is None
    assert asked({"data": []}, get={"record": "data"}) is None


@pytest.mark.parametrize("status", [403, 404, 422])
def test_the_connector_says_which_statuses_mean_none(status: int) -> None:
    assert asked({"error": "no"}, status=status, get={"none": [403, 404, 422]}) is None
    with pytest.raises(RemoteError):
        asked({"error": "no"}, status=status, get={"none": [410]})


def test_a_404_that_does_not_mean_none_is_told() -> None:
    with pytest.raises(NotThere):
        asked(b"", status=404, get={"none": []})


def test_another_id_is_that_of_the_survivor_only_where_the_connector_says_so() -> None:
    assert 1002 == asked({"id": 1002}, get={"merged": "survivor"})["id"]
    with pytest.raises(AnotherRecord, match="no id"):
        asked({"name": "Ann"}, get={"merged": "survivor"})
