"""The pairs of a two-way integration as links: what a sender that writes to one side asks of them, and tells them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tieline.store.database import Database, marks
from tieline.store.links import Link
from tieline.store.pairs import OTHER, Pair, Side, of, redirect, with_keys


class PairLinks:
    """The pairs as a sender sees them that writes to one side: the `source` is the other one."""

    def __init__(self, integration: int, target: Side) -> None:
        """`integration` is the one that the pairs belong to, whichever outbox the sender empties."""
        self._integration, self._target, self._source = integration, target, OTHER[target]

    def of_sources(self, db: Database, integration: int, source_ids: Sequence[str]) -> dict[str, Link]:
        """Return the pairs of these source records, by source id."""
        return {id: self._link(pair) for id, pair in of(db, self._integration, self._source, source_ids).items()}

    def of_targets(self, db: Database, integration: int, target_ids: Sequence[str]) -> dict[str, Link]:
        """Return the pairs of these destination records that have a source, by target id."""
        found = of(db, self._integration, self._target, target_ids)
        return {id: self._link(pair) for id, pair in found.items() if pair.linked}

    def of_match_keys(self, db: Database, integration: int, keys: Sequence[str]) -> dict[str, list[str]]:
        """Return {match key: source ids} of the source records that have one of these keys."""
        found = with_keys(db, self._integration, keys)
        return {key: ids for key, some in found.items() if (ids := [id for pair in some if (id := self._with_key(pair, key)) is not None])}

    def _with_key(self, pair: Pair, key: str) -> str | None:
        return pair.id_of(self._source) if pair.key_of(self._source) == key else None

    def _link(self, pair: Pair) -> Link:
        source, target = self._source, self._target
        return Link(
            pair.id_of(source) or "",
            pair.id_of(target),
            pair.key_of(source),
            pair.shadow_of(source) or b"{}",
            pair.shadow_of(target),
            pair.verdict,
        )

    def agree(
        self,
        connection: sqlite3.Connection,
        integration: int,
        made: Sequence[tuple[str, str]],
        changed: Sequence[tuple[str, str, bytes]],
    ) -> None:
        """Record (source id, target id) of what was confirmed. Raises `AlreadyLinked` when a target is another's counterpart."""
        source, target = self._source, self._target
        both = [*made, *((source_id, target_id) for source_id, target_id, _ in changed)]
        before = dict(
            connection.execute(
                f"SELECT {source}_id, {target}_id FROM pair WHERE integration = ? AND {source}_id IN ({marks(len(both))})",
                (self._integration, *(source_id for source_id, _ in both)),
            )
        )
        for source_id, target_id in both:
            if source_id not in before:
                continue  # its source is gone: what stands there stands for itself
            # A record that was read before its making was confirmed stands there without a counterpart.
            alone = connection.execute(
                f"""DELETE FROM pair WHERE integration = ? AND {target}_id = ? AND {source}_id IS NULL
                    RETURNING {target}_key, {target}_shadow, {target}_at, {target}_version""",
                (self._integration, target_id),
            ).fetchall()
            key, shadow, at, version = alone[0] if alone else (None, None, None, None)
            connection.execute(
                f"""UPDATE pair SET {target}_id = ?3, verdict = CASE WHEN {source}_shadow IS NULL THEN verdict ELSE 'linked' END,
                    {target}_key = coalesce(?4, {target}_key), {target}_shadow = coalesce(?5, {target}_shadow), {target}_at = coalesce(?6, {target}_at),
                    {target}_version = CASE WHEN ?3 = {target}_id AND ?5 IS NULL THEN {target}_version ELSE ?7 END
                    WHERE integration = ?1 AND {source}_id = ?2""",
                (self._integration, source_id, target_id, key, shadow, at, version),
            )
            if (was := before[source_id]) is not None and was != target_id:
                redirect(connection, self._integration, target, was, target_id, seen=shadow is not None)

    def expect_more(self, connection: sqlite3.Connection, integration: int, source_ids: Sequence[str]) -> None:
        """A pair of which something is owed is not decided again: nothing is to be noted."""

    def remove(self, connection: sqlite3.Connection, integration: int, source_ids: Sequence[str]) -> None:
        """Forget pairs whose records are gone on both sides."""
        connection.execute(
            f"""DELETE FROM pair WHERE integration = ? AND {self._source}_id IN ({marks(len(source_ids))}) AND {self._source}_shadow IS NULL""",
            (self._integration, *source_ids),
        )

    def set_aside(self, connection: sqlite3.Connection, integration: int, source_id: str, verdict: str) -> None:
        """Set the verdict of a record of which a delivery was set aside, if it has no counterpart."""
        connection.execute(
            f"UPDATE pair SET verdict = ? WHERE integration = ? AND {self._source}_id = ? AND {self._target}_id IS NULL",
            (verdict, self._integration, source_id),
        )

    def kept(self, db: Database, integration: int, source_id: str) -> dict[str, bytes | None]:
        """Nothing is kept against the other side: what both agree to say differently is in the shadows."""
        return {}
