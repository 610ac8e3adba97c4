"""What looks into a store asks an index, however large it is: read from SQLite's own plans, not from a clock."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from tieline.engine.review import dead_letters
from tieline.observe.explain import explain
from tieline.observe.status import status_of
from tieline.store import calls
from tieline.store.calls import Search
from tieline.store.database import Database

LARGE = "delivery|link|pair|call|call_record|call_body|event"


class Watched(Database):
    """Remembers what was asked."""

    asked: list[tuple[str, Any]]

    def read(self, statement: str, parameters: Any = ()) -> list[Any]:
        self.__dict__.setdefault("asked", []).append((statement, parameters))
        return super().read(statement, parameters)

    def stream(self, statement: str, parameters: Any = ()) -> Any:
        self.__dict__.setdefault("asked", []).append((statement, parameters))
        return super().stream(statement, parameters)


@pytest.fixture(params=["new", "analyzed"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store with some of everything; SQLite plans otherwise once it knows how many rows there are."""
    with Watched(tmp_path / "store.db") as db:

        def fill(connection: Any) -> None:
            connection.execute("INSERT INTO integration (id, name) VALUES (1, 'sync')")
            connection.execute(
                "INSERT INTO run (id, integration, started_at, first_delivery, ended_at, state) VALUES (1, 1, 0, 1, 1, 'green')"
            )
            rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
            connection.execute(
                f"{rows} INSERT INTO link (integration, source_id, target_id, source_shadow, verdict, seen_run) "
                "SELECT 1, 's' || i, 't' || i, '{}', 'linked', 1 FROM n"
            )
            connection.execute(
                f"{rows} INSERT INTO delivery (integration, source_id, operation, state, run, accepted_at, call, reason) "
                "SELECT 1, 's' || i, 'create', CASE i % 100 WHEN 0 THEN 'dead' WHEN 1 THEN 'held' ELSE 'delivered' END, 1, i, i, '{}' FROM n"
            )
            connection.execute(
                f"{rows} INSERT INTO call (at, connection, integration, run, method, url, seconds, waited, sent, received, attempt) "
                "SELECT i, 'b', 1, i / 10, 'GET', 'u', 0, 0, 0, 0, 1 FROM n"
            )

        db.write(fill)
        if request.param == "analyzed":
            db.write(lambda connection: connection.execute("ANALYZE"))
            db._reader.execute("ANALYZE sqlite_schema")
        db.asked = []
        yield db


def test_no_look_reads_a_large_table_from_end_to_end(db: Any) -> None:
    class Spec:
        two_way, source, target, purpose, freshness, unavailable = False, "a.contacts", "b.contacts", None, None, None

    status_of(db, "sync", Spec(), owner=None, now=5000.0)  # type: ignore[arg-type]
    assert explain(db, {"sync": Spec()}, "a", "contacts", "s7")  # type: ignore[dict-item]
    assert 50 == len(list(calls.find(db, Search(), 50)))
    calls.count(db, Search())
    calls.oldest(db)
    assert 60 == sum(group.number for group in dead_letters.group_letters(db))
    assert 50 == len(list(itertools.islice(dead_letters.read_letters(db), 50)))
    dead_letters.count_letters(db)

    wrong = []
    for statement, parameters in db.asked:
        for *_, step in db._reader.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
            bounded = "LIMIT" in statement  # in the order of an index, and no further than the limit
            if re.match(rf"SCAN ({LARGE})\b(?! USING)", step) or (re.match(rf"SCAN ({LARGE})\b", step) and not bounded):
                wrong.append((step, statement))
            # All deliveries of an integration, or all that came after one, are as many as all.
            if re.search(r"delivery USING .*(delivery_record \(integration=\?\)|PRIMARY KEY \(rowid>\?\))", step):
                wrong.append((step, statement))
    assert len(db.asked) > 10
    assert [] == wrong


@pytest.mark.parametrize(
    ("index", "search"),
    [
        ("call_connection", Search(connection="a")),
        ("call_connection", Search(connection="a", integration=1, since=5.0)),
        ("call_status", Search(status=404, connection="b")),
        ("call_integration", Search(integration=9, connection="b")),
        ("call_failed", Search(failed=True, connection="b", integration=1)),
    ],
)
def test_calls_that_have_something_rare_are_found_by_it(db: Any, index: str, search: Search) -> None:
    """None of three thousand calls of `b` has it: by an index of what all of them have, or of time, all would be walked through."""
    assert [] == list(calls.find(db, search, 50))
    assert (0, True) == calls.count(db, search)
    looked = [(statement, parameters) for statement, parameters in db.asked if "call" in statement and "LIMIT 5000" not in statement]
    assert len(looked) == 2
    for statement, parameters in looked:
        steps = [step for *_, step in db._reader.execute(f"EXPLAIN QUERY PLAN {statement}", parameters) if " call USING " in step]
        assert [index] == [re.sub(r".*INDEX (\w+).*", r"\1", step) for step in steps]
