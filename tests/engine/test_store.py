"""The store under several processes at once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from tieline.store.database import Database

STORES, PROCESSES = 60, 4


def test_processes_that_start_together_create_one_store(tmp_path):
    """Two commands started at the same time on a new project: SQLite calls the file busy there, whatever the timeout."""
    context = multiprocessing.get_context("spawn")
    together, said = context.Barrier(PROCESSES), context.SimpleQueue()
    started = [context.Process(target=_open_all, args=(tmp_path, together, said)) for _ in range(PROCESSES)]
    for process in started:
        process.start()
    found = [said.get() for _ in started]
    for process in started:
        process.join()

    assert [[]] * PROCESSES == found
    for number in range(STORES):
        with Database(tmp_path / str(number) / "store.db") as db:
            assert 1 == len(db.read("SELECT * FROM meta WHERE key = 'store_id'"))


def _open_all(folder: Path, together, said) -> None:
    wrong = []
    for number in range(STORES):
        together.wait()
        try:
            Database(folder / str(number) / "store.db").close()
        except Exception as error:  # noqa: BLE001 - told to the test
            wrong.append(str(error))
    said.put(wrong)
