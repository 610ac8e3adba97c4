"""Kinto as source and as destination: tombstones, ETags, Next-Page, batches, and values that must not change."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systems.kinto import Collection, Kinto

from integration.kinto import SINGLY, content, copying, seed
from integration.projects import told


@pytest.fixture
def source(kinto: Kinto) -> Collection:
    """Where records come from."""
    return kinto.fresh_collection()


@pytest.fixture
def target(kinto: Kinto) -> Collection:
    """Where they go."""
    return kinto.fresh_collection()


class TestReading:
    """Kinto as a source."""

    def test_every_page_is_read(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        """Seven records at two a page; the address of the next page stands in a header."""
        seed(source, 7)
        project = copying(tmp_path / "p", source, target, connector={"resources/contacts/list/paging/size": 2})

        assert {"green": 7, "created": 7} == told(project.run("copy"))
        assert 7 == target.count()

    def test_a_server_that_gives_less_than_asked_for_shortens_nothing(
        self, tmp_path: Path, kinto_with: Callable[..., Kinto], target: Collection
    ) -> None:
        source = kinto_with(page=3).fresh_collection()
        seed(source, 8)
        project = copying(tmp_path / "p", source, target)

        assert {"green": 8, "created": 8} == told(project.run("copy"))

    def test_the_second_read_asks_for_what_came_after_the_etag(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        seed(source, 3)
        project = copying(tmp_path / "p", source, target)
        project.run("copy")
        etag = source.call("GET").headers["ETag"].strip('"')
        nothing = project.run("copy")
        [asked] = [request.url for request in project.requests if source.path in request.url]
        source.patch("c1", name="Renamed")
        one = project.run("copy")

        assert {"green": 0} == told(nothing)
        assert f"_since={etag}" in asked
        assert {"green": 1, "updated": 1} == told(one)
        assert "Renamed" == content(target, "name")["c1@example.com"]

    def test_a_server_that_asks_for_patience_in_good_answers_gets_it(
        self, tmp_path: Path, kinto_with: Callable[..., Kinto], target: Collection
    ) -> None:
        """Kinto's `Backoff: 20`; after a restart too: what is left of it is waited for before the first call."""
        source = kinto_with(backoff_seconds=20).fresh_collection()
        seed(source, 5)
        project = copying(tmp_path / "p", source, target, connector={"resources/contacts/list/paging/size": 2})
        asked: list[float] = []

        def note(requests: list[Any]) -> None:
            if source.path in requests[-1].url:
                asked.append(project.clock.now())

        project.before_each = note
        outcome = project.run("copy")
        project.run("copy")

        assert {"green": 5, "created": 5} == told(outcome)
        assert 4 == len(asked)
        assert all(later - earlier >= 20 for earlier, later in itertools.pairwise(asked)), asked

    def test_a_collection_that_has_not_changed_costs_one_call_and_moves_the_watermark(
        self, tmp_path: Path, source: Collection, target: Collection
    ) -> None:
        """Kinto's ETag is the collection's, whichever page and part was asked for: 304 on page one speaks of all pages."""
        seed(source, 5)
        project = copying(tmp_path / "p", source, target, connector={"resources/contacts/list/paging/size": 2})
        project.run("copy")
        nothing = project.run("copy")
        asked = [request for request in project.requests if source.path in request.url]
        source.delete("c4")
        deleted = project.run("copy")

        assert ({"green": 0}, 1) == (told(nothing), nothing.counts.not_modified)
        assert 1 == len(asked)
        assert asked[0].headers["If-None-Match"].startswith('"')
        assert 0 == deleted.counts.not_modified
        assert {"green": 1, "filtered": 1} == told(deleted)

    def test_what_changes_while_pages_are_read_comes_with_the_next_run(
        self, tmp_path: Path, source: Collection, target: Collection
    ) -> None:
        """The mark is that of the first page: what was written after it, seen or not, is asked for again."""
        seed(source, 5)
        project = copying(tmp_path / "p", source, target, connector={"resources/contacts/list/paging/size": 2})
        pages = 0

        def write_between(requests: list[Any]) -> None:
            nonlocal pages
            if source.path in requests[-1].url:
                pages += 1
                if pages == 2:
                    source.put("late", email="late@example.com", name="Late")
                    source.patch("c0", name="Changed meanwhile")

        project.before_each = write_between
        project.run("copy")
        project.before_each = None
        project.run("copy")

        assert 6 == target.count()
        assert "Changed meanwhile" == content(target, "name")["c0@example.com"]

    def test_an_end_of_life_is_no_empty_list(self, tmp_path: Path, kinto_with: Callable[..., Kinto], target: Collection) -> None:
        """Every address answers 410 then, and that must not look as if all records were gone."""
        source = Collection(kinto_with(ends="2020-01-01"), "bucket", "contacts")
        project = copying(tmp_path / "p", source, target, deletes="delete")

        outcome = project.run("copy")

        assert {"failed": 0} == told(outcome)
        assert "410" in (outcome.error or "")
        assert "no longer exists" in (outcome.error or "")

    def test_a_collection_that_does_not_exist_is_an_error(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        project = copying(tmp_path / "p", Collection(source.server, source.bucket, "nosuch"), target)

        outcome = project.run("copy")

        assert {"failed": 0} == told(outcome)
        assert "404" in (outcome.error or "")


class TestDeleting:
    """Tombstones in the source."""

    def test_a_deletion_is_carried_over(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        seed(source, 3)
        project = copying(tmp_path / "p", source, target, deletes="delete")
        project.run("copy")
        source.delete("c1")

        assert {"green": 1, "deleted": 1} == told(project.run("copy"))
        assert {"c0@example.com", "c2@example.com"} == set(content(target))
        assert {"green": 0} == told(project.run("copy"))

    def test_a_deletion_is_sent_singly_where_there_is_no_batch(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        seed(source, 2)
        project = copying(tmp_path / "p", source, target, deletes="delete", target_connector=SINGLY)
        project.run("copy")
        source.delete("c1")

        assert {"green": 1, "deleted": 1} == told(project.run("copy"))
        assert 1 == len(project.sent("DELETE"))

    def test_a_deletion_can_be_an_archiving(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        seed(source, 2, active=True)
        project = copying(tmp_path / "p", source, target, deletes={"archive": {"active": False}})
        project.run("copy")
        source.delete("c1")

        assert {"green": 1, "updated": 1} == told(project.run("copy"))
        assert {"c0@example.com": True, "c1@example.com": False} == content(target, "active")

    def test_a_deletion_can_be_ignored(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        seed(source, 2)
        project = copying(tmp_path / "p", source, target)
        project.run("copy")
        source.delete("c1")

        assert {"green": 1, "filtered": 1} == told(project.run("copy"))
        assert 2 == target.count()

    def test_a_record_that_is_gone_on_both_sides_is_no_trouble(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        seed(source, 2)
        project = copying(tmp_path / "p", source, target, deletes="delete", target_connector=SINGLY)
        project.run("copy")
        source.delete("c1")
        [copied] = [record for record in target.records() if record["email"] == "c1@example.com"]
        target.delete(copied["id"])

        assert {"green": 1, "deleted": 1} == told(project.run("copy"))

    def test_the_same_in_a_batch(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        seed(source, 2)
        project = copying(tmp_path / "p", source, target, deletes="delete")
        project.run("copy")
        source.delete("c1")
        [copied] = [record for record in target.records() if record["email"] == "c1@example.com"]
        target.delete(copied["id"])

        assert {"green": 1, "deleted": 1} == told(project.run("copy"))

    def test_too_many_deletions_stop_the_run_and_none_is_sent(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        seed(source, 5)
        project = copying(tmp_path / "p", source, target, deletes="delete", brakes={"deletes": 2})
        project.run("copy")
        for number in range(3):
            source.delete(f"c{number}")

        outcome = project.run("copy")
        project.change("integrations/copy.yaml", ("deletes: 2", "deletes: 3"))
        released = project.run("copy")

        assert "halted" == outcome.state
        assert "more than the 2 that the brake on deletions allows: none of the deletions was sent" in (outcome.error or "")
        assert {"green": 3, "deleted": 3} == told(released)
        assert 2 == target.count()

    def test_a_record_that_comes_back_after_its_deletion_is_created_again(
        self, tmp_path: Path, source: Collection, target: Collection
    ) -> None:
        seed(source, 1)
        project = copying(tmp_path / "p", source, target, deletes="delete")
        project.run("copy")
        source.delete("c0")
        project.run("copy")
        source.put("c0", email="c0@example.com", name="Back")

        assert {"green": 1, "created": 1} == told(project.run("copy"))
        assert {"c0@example.com": "Back"} == content(target, "name")


class TestWriting:
    """Kinto as a destination."""

    def test_many_records_go_in_few_batches(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        seed(source, 60)
        project = copying(tmp_path / "p", source, target)

        created = project.run("copy")
        batches = project.sent("POST")
        for number in range(30):
            source.patch(f"c{number}", name="Renamed")
        updated = project.run("copy")

        assert {"green": 60, "created": 60} == told(created)
        assert ["batch"] * 3 == batches
        assert {"green": 30, "updated": 30} == told(updated)
        assert ["batch"] * 2 == project.sent("POST")
        assert 60 == target.count()
        assert 30 == list(content(target, "name").values()).count("Renamed")

    def test_one_bad_record_in_a_batch_is_parked_alone(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        """The batch is answered with 200; each part of it has a status of its own."""
        for number in range(30):
            source.put(f"c{number}", email=f"c{number}@example.com", note="an id with blanks" if number == 7 else f"id-{number}")
        project = copying(
            tmp_path / "p", source, target,
            target_connector={"resources/contacts/fields/id/read_only": False}, fields={"email": "email", "id": "note"},
        )  # fmt: skip

        outcome = project.run("copy")
        [letter] = project.letters()
        mended = project.mend(letter, note="id-7")

        assert {"attention": 30, "created": 29, "parked": 1} == told(outcome)
        assert ("c7", 400) == (letter.source_id, letter.why["status"])
        assert "Invalid object id" in letter.message
        assert {"green": 1, "created": 1} == told(mended)
        assert {f"id-{number}" for number in range(30)} == {record["id"] for record in target.records()}

    def test_a_batch_that_is_too_large_for_the_server_is_halved_until_it_fits(
        self, tmp_path: Path, source: Collection, target: Collection
    ) -> None:
        """Kinto takes 25 at once and refuses the rest whole; no one has told us."""
        seed(source, 60)
        project = copying(tmp_path / "p", source, target, target_connector={"resources/contacts/batch/create/size": 60})

        assert {"green": 60, "created": 60} == told(project.run("copy"))
        assert 60 == target.count()

    def test_records_under_ids_of_our_own_are_put_there(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        ids = ["1", "042", "a-b_C", "9007199254740993", "null"]
        for id in ids:
            source.put(id, email=f"{id}@example.com", name="first")
        project = copying(
            tmp_path / "p",
            source,
            target,
            resource="contacts_by_id",
            match={"id": "id"},
            fields={"id": "id", "email": "email", "name": "name"},
        )
        created = project.run("copy")
        source.patch("042", name="second")
        updated = project.run("copy")

        assert {"green": 5, "created": 5} == told(created)
        assert {"green": 1, "updated": 1} == told(updated)
        assert sorted(ids) == sorted(record["id"] for record in target.records())
        assert {"id": "042", "email": "042@example.com", "name": "second"}.items() <= (target.get("042") or {}).items()
        assert [] == project.sent("POST")

    def test_a_record_that_is_there_under_another_spelling_is_updated(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        """By a search for one record, and by a listing for the first meeting with many."""
        target.put("there", email="Jo@Example.COM", name="old", note="kept")
        source.put("a", email="jo@example.com", name="new")
        project = copying(tmp_path / "p", source, target, fields={"email": "email", "name": "name"})

        first = project.run("copy")
        target.put("there-too", email="BO@example.com", name="old")
        source.put("b", email="bo@example.com", name="new")
        second = project.run("copy")

        assert {"green": 1, "updated": 1, "matched": 1} == told(first)
        assert {"green": 1, "updated": 1, "matched": 1} == told(second)
        assert 2 == target.count()
        assert {"email": "jo@example.com", "name": "new", "note": "kept"}.items() <= (target.get("there") or {}).items()

    def test_a_search_that_matches_loosely_adopts_no_stranger(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        target.put("other", email="bo.jo@example.com", name="someone else")
        source.put("a", email="jo@example.com", name="Jo")
        project = copying(tmp_path / "p", source, target)
        project.run("copy")
        source.put("b", email="o.jo@example.com", name="O")

        assert {"green": 1, "created": 1} == told(project.run("copy"))
        assert {"bo.jo@example.com": "someone else", "jo@example.com": "Jo", "o.jo@example.com": "O"} == content(target, "name")

    def test_two_records_with_one_address_there_are_left_to_a_person(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        target.put("one", email="jo@example.com")
        target.put("two", email="JO@example.com")
        source.put("a", email="jo@example.com", name="Jo")
        project = copying(tmp_path / "p", source, target)

        assert {"attention": 1, "held": 1} == told(project.run("copy"))
        assert "2 records of the destination have the same match key" in project.letters()[0].message

    def test_a_record_that_was_deleted_there_is_parked_when_it_changes(
        self, tmp_path: Path, source: Collection, target: Collection
    ) -> None:
        seed(source, 2)
        project = copying(tmp_path / "p", source, target)
        project.run("copy")
        [copied] = [record for record in target.records() if record["email"] == "c1@example.com"]
        target.delete(copied["id"])
        source.patch("c0", name="Renamed")
        source.patch("c1", name="Renamed")

        outcome = project.run("copy")

        assert {"attention": 2, "updated": 1, "parked": 1} == told(outcome)
        assert 404 == project.letters()[0].why["status"]
        assert {"c0@example.com": "Renamed"} == content(target, "name")


VALUES = {
    "largest": {"customer_number": 2**63 - 1},
    "beyond doubles": {"customer_number": 2**53 + 1},
    "negative": {"customer_number": -(2**63)},
    "nineteen digits": {"balance": "1234567890.123456789"},
    "trailing zeros": {"balance": "10.00"},
    "doubles": {"tags": [0.1, 1e22, 5e-324, 123456789012.345678]},
    "emoji": {"name": "👩🏽‍🚀 Zoë \U0001f9d1\u200d\U0001f4bb"},
    "right to left": {"name": "שָׁלוֹם \u202bمرحبا\u202c", "note": "a\u200eb"},  # noqa: RUF001 - Arabic, not Latin
    "composed and decomposed": {"name": "é e\u0301"},
    "null byte": {"note": "a\x00b"},
    "line ends": {"note": "a\r\nb\tc\u2028"},
    "markup": {"note": "<b>&amp;</b> \"quoted\" 'single' \\ / {id} ${env:HOME} %41"},
    "blank": {"name": "", "note": "   "},
    "null": {"name": None},
    "lists": {"tags": [1, "1", True, None, [], {"deep": {"er": [0.5]}}, ""]},
    "false": {"active": False},
    "zero": {"customer_number": 0},
}


class TestValues:
    """From Kinto to Kinto, unchanged."""

    def test_every_value_survives(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        for number, (what, fields) in enumerate(VALUES.items()):
            source.put(f"v{number}", **{"email": f"{what.replace(' ', '.')}@example.com", **fields})
        project = copying(tmp_path / "p", source, target)

        outcome = project.run("copy")

        assert {"green": len(VALUES), "created": len(VALUES)} == told(outcome)
        assert content(source) == content(target)
        assert [repr(fields) for _, fields in sorted(content(source).items())] == [
            repr(fields) for _, fields in sorted(content(target).items())
        ]

    def test_nothing_is_sent_again_for_its_spelling(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        for number, (what, fields) in enumerate(VALUES.items()):
            source.put(f"v{number}", **{"email": f"{what.replace(' ', '.')}@example.com", **fields})
        project = copying(tmp_path / "p", source, target)
        project.run("copy")
        for number in range(len(VALUES)):
            source.patch(f"v{number}", unmapped="touched")

        outcome = project.run("copy")

        assert {"green": len(VALUES), "unchanged": len(VALUES)} == told(outcome)
        assert [] == project.sent("POST")

    def test_a_decimal_is_sent_with_every_digit(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        """Kinto keeps sixteen digits of a number; that is no reason for us to lose one."""
        source.put("a", email="a@example.com", balance="1234567890.123456789")
        project = copying(
            tmp_path / "p", source, target,
            target_connector={**SINGLY, "resources/contacts/fields/balance/type": "number"},
            fields={"email": "email", "balance": {"from": "balance", "as": "number"}},
        )  # fmt: skip
        project.run("copy")

        [body] = [request.body for request in project.requests if request.method == "POST"]
        assert b'"balance":1234567890.123456789' in (body or b"")

    def test_a_field_that_is_emptied_is_emptied_there(self, tmp_path: Path, source: Collection, target: Collection) -> None:
        """Null travels, absence does not: a field that is not there any more was perhaps only not sent."""
        source.put("a", email="a@example.com", name="A", note="n")
        project = copying(tmp_path / "p", source, target)
        project.run("copy")
        source.put("a", email="a@example.com", name=None)

        assert {"green": 1, "updated": 1} == told(project.run("copy"))
        assert {"name": None, "note": "n"} == content(target)["a@example.com"]
