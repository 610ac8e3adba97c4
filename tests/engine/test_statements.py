"""The statements of every run find their rows by an index, however long the history is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tieline.store import outbox
from tieline.store.database import Database


@pytest.fixture
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How the database would answer each query that is made, collected."""
    plans: list[str] = []
    read = Database.read

    def explained(self: Database, statement: str, parameters: object = ()) -> object:
        plans.extend(row[3] for row in read(self, f"EXPLAIN QUERY PLAN {statement}", parameters))  # type: ignore[arg-type]
        return read(self, statement, parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "read", explained)
    return plans


def test_what_is_owed_is_found_without_reading_the_history(tmp_path, plans):
    """A restart with 100,000 owed sends at once; a run over a million settled deliveries looks at none of them."""
    with Database(tmp_path / "store.db") as db:
        outbox.open_of(db, 1, ("owed", "unknown"), after=5)
        outbox.count_states(db, 1)
        outbox.oldest_owed(db, 1)

    assert plans
    assert [] == [plan for plan in plans if not re.search(r"delivery_open|INTEGER PRIMARY KEY|TEMP B-TREE FOR GROUP BY", plan)]


def test_what_a_crash_left_on_its_way_is_found_by_the_ids_of_its_run(tmp_path):
    with Database(tmp_path / "store.db") as db:
        seen: list[str] = []
        db.write(lambda connection: connection.set_trace_callback(seen.append))
        db.write(lambda connection: outbox.doubt_sending(connection, 1, 100, run=1, now=0.0, why="a test"))
        statements = [text for text in seen if text.startswith(("UPDATE delivery", "INSERT INTO event"))]
        plans = [db.read(f"EXPLAIN QUERY PLAN {statement}") for statement in statements]

    assert 2 == len(plans)
    assert all("INTEGER PRIMARY KEY (rowid>?)" in plan[0][3] for plan in plans)
