"""Two-way integrations: which records of both sides are the same thing, and what each side said when both last agreed.

A record without a counterpart is a pair with one side. A pair has a verdict:

    linked    both sides are known
    new       one side, not decided yet
    queued    one side; its counterpart is being made
    unknown   one side; whether its counterpart was made is not known, so none is made again
    held, parked, ignored    one side; see why in its dead letter, or in the integration's `unmatched`
    alone     one side; its counterpart was deleted, or a person unlinked them: none is made by itself
    gone      both sides are known, and one was deleted, which the other is not to follow or has not followed yet

What was read and is not decided yet stands in `store.staged`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, NamedTuple

import msgspec

from tieline.model.records import Values, decode_json, encode_json
from tieline.store.database import Database, insert, marks, update_from

Side = Literal["left", "right"]


SIDES: Final[tuple[Side, Side]] = ("left", "right")


OTHER: Final[Mapping[Side, Side]] = {"left": "right", "right": "left"}


_NOTHING: Final = b"{}"


MAPPED_OTHERWISE: Final = 2
"""In `met`: both have agreed, by another mapping. 0 is never, or that it shall not count; 1 is by this one."""


class Pair(msgspec.Struct, gc=False):
    """One row: see the migration for the columns."""

    id: int
    verdict: str
    met: int
    left_id: str | None = None
    right_id: str | None = None
    left_key: str | None = None
    right_key: str | None = None
    left_shadow: bytes | None = None
    right_shadow: bytes | None = None
    left_sent: bytes | None = None
    right_sent: bytes | None = None
    left_at: float | None = None
    right_at: float | None = None
    rounds: bytes | None = None
    left_version: str | None = None
    right_version: str | None = None
    left_unseen: float | None = None
    right_unseen: float | None = None

    def id_of(self, side: Side) -> str | None:
        """Return the id of the record on a side."""
        return self.left_id if side == "left" else self.right_id

    def key_of(self, side: Side) -> str | None:
        """Return the match key of the record on a side."""
        return self.left_key if side == "left" else self.right_key

    def shown_key(self, side: Side) -> str:
        """Return the match key of the record on a side, as people read it."""
        return (self.key_of(side) or "").replace("\x1f", " · ")

    def shadow_of(self, side: Side) -> bytes | None:
        """Return what the record on a side said."""
        return self.left_shadow if side == "left" else self.right_shadow

    def sent_of(self, side: Side) -> bytes | None:
        """Return what was written to a side and has not been seen there since."""
        return self.left_sent if side == "left" else self.right_sent

    def at_of(self, side: Side) -> float | None:
        """Return when the version was made that the shadow is of."""
        return self.left_at if side == "left" else self.right_at

    def version_of(self, side: Side) -> str | None:
        """Return which version of the record on a side is known, as JSON; None where it is not known, or there is no telling."""
        return self.left_version if side == "left" else self.right_version

    def unseen_of(self, side: Side) -> float | None:
        """Return since when the record on a side, which we made then, was shown by no list and no get; None when it was."""
        return self.left_unseen if side == "left" else self.right_unseen

    def is_read(self, side: Side) -> bool:
        """Whether the record on a side was ever seen, and not only written to."""
        return self.shadow_of(side) != _NOTHING

    @property
    def linked(self) -> bool:
        """Whether it has both sides."""
        return self.left_id is not None and self.right_id is not None

    @property
    def alone(self) -> Side:
        """The side of a record without a counterpart."""
        return "left" if self.left_id is not None else "right"


_COLUMNS: Final = (
    "id, verdict, met, left_id, right_id, left_key, right_key, left_shadow, right_shadow, left_sent, right_sent, left_at, right_at, rounds, "
    "left_version, right_version, left_unseen, right_unseen"
)


class Known(NamedTuple):
    """What is known of a record of one side: all that an unchanged one needs."""

    shadow: bytes | None
    linked: bool
    sent: bool
    """Something was written to it and has not been seen there since."""
    at: float | None
    agreed: bool
    """Both sides have agreed, by today's mapping."""
    version: str | None
    """Which version that is; see `Pair.version_of`."""
    unseen: float | None
    """See `Pair.unseen_of`."""


def known(db: Database, integration: int, side: Side, ids: Sequence[str]) -> dict[str, Known]:
    """Return what is known of the records of a side, by id."""
    other = OTHER[side]
    rows = db.read(  # a list in one parameter is taken apart in C
        f"""SELECT pair.{side}_id, pair.{side}_shadow, pair.{other}_id IS NOT NULL, pair.{side}_sent IS NOT NULL, pair.{side}_at, pair.met = 1,
                   pair.{side}_version, pair.{side}_unseen
            FROM json_each(?2) AS wanted
            CROSS JOIN pair ON pair.integration = ?1 AND pair.{side}_id IS NOT NULL AND pair.{side}_id = wanted.value""",
        (integration, encode_json(ids).decode()),
    )
    return {
        id: Known(shadow, bool(linked), bool(sent), at, bool(agreed), version, unseen)
        for id, shadow, linked, sent, at, agreed, version, unseen in rows
    }


def of(db: Database, integration: int, side: Side, ids: Sequence[str]) -> dict[str, Pair]:
    """Return the pairs of records of a side, by their ids there."""
    rows = db.read(
        f"SELECT {_COLUMNS} FROM pair WHERE integration = ? AND {side}_id IN ({marks(len(ids))})",
        (integration, *ids),
    )
    found = (Pair(*row) for row in rows)
    return {pair.id_of(side) or "": pair for pair in found}


def with_keys(db: Database, integration: int, keys: Sequence[str]) -> dict[str, list[Pair]]:
    """Return {match key: pairs} of those that have one of these keys on either side."""
    found: dict[str, dict[int, Pair]] = {}
    for side in SIDES:
        rows = db.read(
            f"SELECT {_COLUMNS} FROM pair WHERE integration = ? AND {side}_key IN ({marks(len(keys))})",
            (integration, *keys),
        )
        for pair in map(_make, rows):
            found.setdefault(pair.key_of(side) or "", {})[pair.id] = pair
    return {key: [pairs[id] for id in sorted(pairs)] for key, pairs in found.items()}


def in_doubt(db: Database, integration: int, side: Side) -> list[Pair]:
    """Return the pairs whose record of a side we made, that nothing has shown since, and that waits to be decided as gone."""
    columns = ", ".join(f"pair.{column}" for column in _COLUMNS.split(", "))
    rows = db.read(
        f"""SELECT {columns} FROM staged JOIN pair ON pair.integration = staged.integration AND pair.{side}_id = staged.id
            WHERE staged.integration = ? AND staged.side = ? AND staged.kind = 'gone'
              AND pair.{side}_unseen IS NOT NULL AND pair.{OTHER[side]}_id IS NOT NULL ORDER BY pair.id""",
        (integration, side),
    )
    return [Pair(*row) for row in rows]


def portion(db: Database, integration: int, *, after: int = 0, limit: int = 500, where: str = "1") -> list[Pair]:
    """Return pairs by id, `limit` at a time, after one; `where` is a condition in SQL."""
    rows = db.read(
        # The plus keeps the database from sorting all of an integration's pairs for each portion: it goes by their own ids.
        f"SELECT {_COLUMNS} FROM pair WHERE +integration = ? AND id > ? AND ({where}) ORDER BY id LIMIT ?",
        (integration, after, limit),
    )
    return [_make(row) for row in rows]


def there(db: Database, integration: int, side: Side, *, after: int, limit: int) -> list[tuple[int, str, str | None, bool]]:
    """Return (pair, id, id on the other side, whether something written to it is unseen) of records of a side that are known to be there."""
    return db.read(
        f"""SELECT id, {side}_id, {OTHER[side]}_id, {side}_sent IS NOT NULL FROM pair
            WHERE +integration = ? AND id > ? AND {side}_id IS NOT NULL AND {side}_shadow IS NOT NULL ORDER BY id LIMIT ?""",
        (integration, after, limit),
    )


def every(db: Database, integration: int, where: str = "1") -> Iterator[Pair]:
    """Yield all pairs, by id; `where` is a condition in SQL."""
    after = 0
    while found := portion(db, integration, after=after, where=where):
        after = found[-1].id
        yield from found


def count(db: Database, integration: int, side: Side) -> int:
    """Return how many records of a side are known to be there."""
    return int(
        db.read(f"SELECT count(*) FROM pair WHERE integration = ? AND {side}_id IS NOT NULL AND {side}_shadow IS NOT NULL", (integration,))[
            0
        ][0]
    )


def counts(db: Database, integration: int) -> dict[tuple[str, bool, bool], int]:
    """Return {(verdict, left is known, right is known): how many pairs}."""
    rows = db.read(
        """SELECT verdict, left_id IS NOT NULL, right_id IS NOT NULL, count(*) FROM pair WHERE integration = ? GROUP BY 1, 2, 3""",
        (integration,),
    )
    return {(verdict, bool(left), bool(right)): number for verdict, left, right, number in rows}


def count_linked(db: Database, integration: int) -> int:
    """Return how many pairs have both sides."""
    return sum(number for (verdict, left, right), number in counts(db, integration).items() if verdict == "linked" and left and right)


def count_open(db: Database, left: int, right: int) -> int:
    """Return of how many pairs something is open; `left` and `right` are the outboxes of either side's changes, the first the integration."""
    found = " UNION ".join(
        f"""SELECT pair.id FROM delivery JOIN pair ON pair.integration = {left} AND pair.{side}_id IS NOT NULL AND pair.{side}_id = source_id
            WHERE delivery.integration = {number} AND state IN ('owed', 'unknown', 'held', 'dead') AND verdict = 'linked'
            UNION SELECT pair.id FROM staged JOIN pair ON pair.integration = {left} AND pair.{side}_id IS NOT NULL AND pair.{side}_id = staged.id
            WHERE staged.integration = {left} AND side = '{side}' AND verdict = 'linked'"""
        for side, number in (("left", left), ("right", right))
    )
    return int(db.read(f"SELECT count(*) FROM ({found})")[0][0])


def waiting(db: Database, left: int, right: int) -> tuple[int, float | None]:
    """Return how many changes are staged that wait for no person, and since when the oldest is."""
    number, since = 0, []
    for side in SIDES:
        count, at = db.read(
            f"""SELECT count(*), min(staged.at) FROM staged
                LEFT JOIN pair ON pair.integration = staged.integration AND pair.{side}_id IS NOT NULL AND pair.{side}_id = staged.id
                WHERE staged.integration = ? AND side = '{side}' AND kind <> 'held' AND NOT EXISTS (
                    SELECT 1 FROM delivery WHERE state IN ('held', 'dead')
                    AND ((delivery.integration = ? AND source_id = pair.left_id) OR (delivery.integration = ? AND source_id = pair.right_id)))""",
            (left, left, right),
        )[0]
        number += count
        since += [at] if at is not None else []
    return number, min(since, default=None)


def is_any(db: Database, integration: int) -> bool:
    """Return whether any record of either side is known."""
    return bool(db.read("SELECT 1 FROM pair WHERE integration = ? LIMIT 1", (integration,)))


def counterparts(db: Database, integration: int, side: Side, ids: Sequence[str]) -> dict[str, str]:
    """Return {id on a side: id on the other} of those that have one: what a look-up needs."""
    rows = db.read(
        f"""SELECT {side}_id, {OTHER[side]}_id FROM pair
            WHERE integration = ? AND {OTHER[side]}_id IS NOT NULL AND verdict = 'linked' AND {side}_id IN ({marks(len(ids))})""",
        (integration, *ids),
    )
    return dict(rows)


# Within a unit


def rekey(connection: sqlite3.Connection, integration: int, side: Side, keys: Sequence[tuple[str, str | None]]) -> None:
    """Note (id, match key) of records of a side that have a counterpart, as they are now: no one else is to be taken for them."""
    connection.executemany(
        f"UPDATE pair SET {side}_key = ?2 WHERE integration = ?3 AND {side}_id = ?1 AND {side}_key IS NOT ?2",
        [(id, key, integration) for id, key in keys],
    )


def meet_first(
    connection: sqlite3.Connection, integration: int, side: Side, seen: Sequence[tuple[str, str | None, bytes, float | None, str | None]]
) -> None:
    """Note (id, match key, shadow, time, version) of records of a side that have no counterpart: new ones, or as they are now.

    Of one whose counterpart is being made the shadow stays what that is made of: what has changed since is still to be sent.
    """
    insert(
        connection,
        f"INTO pair (integration, verdict, {side}_id, {side}_key, {side}_shadow, {side}_at, {side}_version)",
        "(?1, 'new', {}, {}, {}, {}, {})",
        seen,
        (integration,),
        f"""ON CONFLICT (integration, {side}_id) WHERE {side}_id IS NOT NULL DO UPDATE SET
            {side}_key = excluded.{side}_key,
            {side}_shadow = CASE WHEN verdict IN ('queued', 'unknown') THEN {side}_shadow ELSE excluded.{side}_shadow END,
            {side}_at = CASE WHEN verdict IN ('queued', 'unknown') THEN {side}_at ELSE excluded.{side}_at END,
            {side}_version = CASE WHEN verdict IN ('queued', 'unknown') THEN {side}_version ELSE excluded.{side}_version END""",
    )


def set_versions(connection: sqlite3.Connection, integration: int, side: Side, versions: Sequence[tuple[str, str | None]]) -> None:
    """Note (id, version) of records of a side that have got another version, and still say what they said."""
    connection.executemany(
        f"UPDATE pair SET {side}_version = ?3 WHERE integration = ?1 AND {side}_id = ?2", [(integration, *each) for each in versions]
    )


def put(connection: sqlite3.Connection, rows: Sequence[Pair]) -> None:
    """Write pairs as they are now. Raises `AlreadyLinked` when a record would be in two.

    Whether a record was shown since we made it, others note meanwhile; a pair takes that along only for a record that is new in it.
    """
    connection.executemany(
        """UPDATE pair SET verdict = ?2, met = ?3, left_id = ?4, right_id = ?5, left_key = ?6, right_key = ?7, left_shadow = ?8,
           right_shadow = ?9, left_sent = ?10, right_sent = ?11, left_at = ?12, right_at = ?13, rounds = ?14,
           left_version = ?15, right_version = ?16,
           left_unseen = CASE WHEN left_id IS ?4 THEN left_unseen ELSE ?17 END,
           right_unseen = CASE WHEN right_id IS ?5 THEN right_unseen ELSE ?18 END WHERE id = ?1""",
        [msgspec.structs.astuple(row) for row in rows],
    )


def are_seen(connection: sqlite3.Connection, integration: int, side: Side, ids: Sequence[str]) -> None:
    """Note that records of a side, which we made, were shown since, or are known to have been there."""
    connection.execute(
        f"UPDATE pair SET {side}_unseen = NULL WHERE integration = ? AND {side}_id IN (SELECT value FROM json_each(?))",
        (integration, encode_json(ids).decode()),
    )


def stand_alone(connection: sqlite3.Connection, integration: int, side: Side, made: Sequence[str]) -> set[str]:
    """Note records of a side, by id, that were made for no one's sake, and return them: those that are in no pair."""
    known = connection.execute(
        f"SELECT {side}_id FROM pair WHERE integration = ? AND {side}_id IN ({marks(len(made))})", (integration, *made)
    )
    alone = {*made} - {id for (id,) in known}
    connection.executemany(
        f"INSERT INTO pair (integration, verdict, {side}_id, {side}_shadow) VALUES (?, 'alone', ?, ?)",
        [(integration, id, _NOTHING) for id in alone],
    )
    return alone


def without(pair: Pair, side: Side) -> Pair:
    """Return a pair whose record of one side is let go: the other one stands for itself, and no counterpart is made by itself."""
    gone: dict[str, Any] = {f"{side}_{name}": None for name in ("id", "key", "shadow", "sent", "at", "version", "unseen")}
    # What we have made, and nothing has shown since, is known by the key that it was made with.
    key = pair.key_of(OTHER[side]) or pair.key_of(side)
    return msgspec.structs.replace(
        pair, verdict="alone", met=0, rounds=None, **{f"{OTHER[side]}_sent": None, f"{OTHER[side]}_key": key, **gone}
    )


def remove(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Forget pairs, by their own ids."""
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        connection.execute(f"DELETE FROM pair WHERE id IN ({marks(len(some))})", tuple(some))


def join(connection: sqlite3.Connection, integration: int, left_id: str, right_id: str) -> None:
    """Make one pair of two records that have no counterpart; it meets the next time it is decided."""
    right = connection.execute(
        "SELECT right_key, right_shadow, right_at, right_version, right_unseen FROM pair WHERE integration = ? AND right_id = ?",
        (integration, right_id),
    ).fetchone()
    connection.execute("DELETE FROM pair WHERE integration = ? AND right_id = ?", (integration, right_id))
    connection.execute(
        """UPDATE pair SET right_id = ?, right_key = ?, right_shadow = ?, right_at = ?, right_version = ?, right_unseen = ?, left_sent = NULL,
           right_sent = NULL, rounds = NULL, met = 0, verdict = 'linked' WHERE integration = ? AND left_id = ?""",
        (right_id, *right, integration, left_id),
    )


def part(connection: sqlite3.Connection, integration: int, pair: Pair) -> None:
    """Take a pair apart: each record stands for itself from now on, and none is made for it by itself."""
    connection.execute(
        """UPDATE pair SET right_id = NULL, right_key = NULL, right_shadow = NULL, right_version = NULL, right_unseen = NULL, right_sent = NULL,
           left_sent = NULL, rounds = NULL, met = 0, verdict = 'alone' WHERE id = ?""",
        (pair.id,),
    )
    connection.execute(
        "INSERT INTO pair (integration, verdict, right_id, right_key, right_shadow, right_unseen) VALUES (?, 'alone', ?, ?, ?, ?)",
        (integration, pair.right_id, pair.right_key or pair.left_key, pair.right_shadow, pair.right_unseen),
    )


def reopen(connection: sqlite3.Connection, integration: int, side: Side, ids: Sequence[str]) -> None:
    """Let records of a side meet once more whose counterparts were to be made, and were not."""
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        connection.execute(
            f"UPDATE pair SET verdict = 'new' WHERE integration = ? AND verdict = 'queued' AND {side}_id IN ({marks(len(some))})",
            (integration, *some),
        )


def forget_meetings(connection: sqlite3.Connection, integration: int, left_ids: Sequence[str] | None = None) -> None:
    """Let pairs meet again: of these what they agreed on holds no more; all, because the mapping is another one."""
    if left_ids is None:
        connection.execute(f"UPDATE pair SET met = {MAPPED_OTHERWISE} WHERE integration = ? AND met = 1", (integration,))
        return
    connection.executemany("UPDATE pair SET met = 0 WHERE integration = ? AND left_id = ?", [(integration, id) for id in left_ids])


def written(
    connection: sqlite3.Connection,
    integration: int,
    side: Side,
    confirmed: Sequence[tuple[str, Values, Values, str | None]],
    made: AbstractSet[str],
    now: float,
) -> None:
    """Note what was written to a side and confirmed: (id there, fields that are not seen there yet, fields that it spells as it does, version).

    What was `made` has been seen by no one; what was only written has.

    The shadow stays what was read; what was sent is remembered beside it until it is seen.
    """
    rows = connection.execute(
        f"SELECT {side}_id, {side}_shadow, {side}_sent FROM pair WHERE integration = ? AND {side}_id IN ({marks(len(confirmed))})",
        (integration, *(id for id, *_ in confirmed)),
    )
    known = {id: (shadow, sent) for id, shadow, sent in rows}
    told = []
    for id, unseen, spelled, version in confirmed:
        shadow, sent = (decode_json(raw) if raw else {} for raw in known.get(id, (None, None)))
        waits = {address: value for address, value in {**sent, **unseen}.items() if address not in spelled}
        told.append((id, encode_json({**shadow, **spelled}), encode_json(waits) if waits else None, version, now if id in made else None))
    update_from(
        connection,
        f"""UPDATE pair SET {side}_shadow = v.column2, {side}_sent = v.column3, {side}_version = v.column4,
            met = CASE WHEN {side}_shadow IS NULL THEN 1 ELSE met END, {side}_unseen = coalesce(v.column5, {side}_unseen)
            FROM ({{values}}) AS v WHERE pair.integration = ?1 AND pair.{side}_id = v.column1""",
        5,
        told,
        (integration,),
    )


def meet_again(connection: sqlite3.Connection, integration: int, side: Side, ids: Sequence[str], now: float) -> None:
    """Let pairs meet as if they had just been found, once the records on this side, by id, were read. Until a list or `get` shows one, it is in doubt."""
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        connection.execute(
            f"""UPDATE pair SET met = 0, {side}_sent = NULL, {side}_version = NULL, {side}_shadow = coalesce({side}_shadow, x'7b7d'),
                {side}_unseen = coalesce({side}_unseen, ?) WHERE integration = ? AND {side}_id IN ({marks(len(some))})""",
            (now, integration, *some),
        )


def merge(connection: sqlite3.Connection, integration: int, side: Side, was: str, into: str) -> None:
    """Let the pair of a record that was merged into another go on with that one.

    Where that has a counterpart already, the counterpart of the merged one stands for itself from now on: none is made for it by itself.
    """
    other = OTHER[side]
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM pair WHERE integration = ? AND {side}_id IN (?, ?)", (integration, was, into)
    ).fetchall()
    found = {pair.id_of(side): pair for pair in map(_make, rows)}
    merged, survivor = found.get(was), found.get(into)
    if merged is None:
        return
    if merged.id_of(other) is None:
        remove(connection, [merged.id])
    elif survivor is not None and survivor.linked:
        put(connection, [without(merged, side)])
    else:
        if survivor is not None:
            remove(connection, [survivor.id])
        told = {f"{side}_id": into, f"{side}_version": None}
        if survivor is not None:
            told |= {f"{side}_{name}": getattr(survivor, f"{side}_{name}") for name in ("key", "shadow", "at", "version")}
        put(connection, [msgspec.structs.replace(merged, verdict="linked", **told)])
        redirect(connection, integration, side, was, into, seen=survivor is not None)
        return
    connection.execute("DELETE FROM staged WHERE integration = ? AND side = ? AND id = ?", (integration, side, was))


def redirect(connection: sqlite3.Connection, integration: int, side: Side, was: str, id: str, *, seen: bool) -> None:
    """Let a pair that has another record on a side than it had meet again, once that was `seen`. What was open of the earlier one has had its day."""
    connection.execute(
        f"""UPDATE pair SET met = 0, rounds = NULL, {side}_sent = NULL, {side}_shadow = CASE WHEN ?3 THEN {side}_shadow ELSE x'7b7d' END
            WHERE integration = ?1 AND {side}_id = ?2""",
        (integration, id, seen),
    )
    outbox = "id = ?1" if side == "left" else "name = (SELECT name || '/back' FROM integration WHERE id = ?1)"
    connection.execute(
        f"""UPDATE delivery SET state = 'superseded' WHERE integration = (SELECT id FROM integration WHERE {outbox})
            AND source_id = ?2 AND state IN ('held', 'dead')""",
        (integration, was),
    )
    connection.execute(
        """INSERT INTO staged (integration, side, id, kind, at, run) SELECT integration, side, ?4, 'held', at, run FROM staged
           WHERE integration = ?1 AND side = ?2 AND id = ?3 ON CONFLICT DO NOTHING""",
        (integration, side, was, id),
    )
    connection.execute("DELETE FROM staged WHERE integration = ? AND side = ? AND id = ?", (integration, side, was))


def part_from_gone(connection: sqlite3.Connection, integration: int, side: Side, counterparts: Sequence[str]) -> None:
    """Let the counterparts, by id, of records that are gone from a side stand for themselves: what their deletion asked for was done."""
    connection.execute(
        f"""UPDATE pair SET {side}_id = NULL, {side}_key = NULL, {side}_sent = NULL, {side}_version = NULL, verdict = 'alone', met = 0, rounds = NULL
            WHERE integration = ? AND {side}_id IS NOT NULL AND {side}_shadow IS NULL AND {side}_sent IS NULL
              AND {OTHER[side]}_id IN ({marks(len(counterparts))})""",
        (integration, *counterparts),
    )


def _make(row: tuple[Any, ...]) -> Pair:
    return Pair(*row)
