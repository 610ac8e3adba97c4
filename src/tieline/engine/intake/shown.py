"""The ids that a whole list has shown, in a file of its own that vanishes with the run: memory does not grow with the list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tieline.model.errors import SafetyStop
from tieline.model.records import encode_json
from tieline.store.database import scratch


class Shown:
    """What one read has shown."""

    def __init__(self) -> None:
        self._present = scratch()
        self._present.execute("CREATE TABLE present (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, ids: Iterable[str]) -> None:
        """Note ids that are shown."""
        self._present.executemany("INSERT OR IGNORE INTO present VALUES (?)", [(id,) for id in ids])

    def clear(self) -> None:
        """Forget all: the list is read from its beginning."""
        self._present.execute("DELETE FROM present")

    def count(self) -> int:
        """Return how many there are."""
        return int(self._present.execute("SELECT count(*) FROM present").fetchone()[0])

    def among(self, ids: Sequence[str]) -> set[str]:
        """Return which of these were shown."""
        rows = self._present.execute(
            "SELECT present.id FROM json_each(?) AS wanted CROSS JOIN present ON present.id = wanted.value", (encode_json(ids).decode(),)
        )
        return {id for (id,) in rows}

    def close(self) -> None:
        """Let the file go."""
        self._present.close()


def check_not_empty(name: str, place: str, listed: int, missing: int, allowed: int | None) -> None:
    """Raise `SafetyStop` when a list shows nothing and more than one record is missing in it; a person has allowed so many, or has not said (None)."""
    if not listed and missing > (allowed if allowed is not None else 1):
        raise SafetyStop(
            f"{place} shows no record at all, and {missing} are known to be there: that is not believed, nothing was deleted",
            next_step=f"find out why its list is empty; if they are meant to be gone, `tieline run {name} --allow-deletes {missing}`",
        )
