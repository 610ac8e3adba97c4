"""Which record is which, and what both sides said when they last agreed.

A link exists from the moment a source record is first seen; it has a `target_id` once a counterpart is known. Shadows are JSON bytes,
compared as bytes: a side has changed when it no longer says what it said.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple

from tieline.model.lists import without
from tieline.model.records import decode_json, encode_json
from tieline.store.database import Database, insert, marks, update_from


class Link(msgspec.Struct, frozen=True, gc=False):
    """One row: see the migration for the columns."""

    source_id: str
    target_id: str | None
    match_key: str | None
    source_shadow: bytes
    target_shadow: bytes | None
    verdict: str


_COLUMNS = "source_id, target_id, match_key, source_shadow, target_shadow, verdict"


def shadows_of(
    db: Database, integration: int, run: int, source_ids: Sequence[str], *, mapped_anew: bool = False, look_again: bool = False
) -> dict[str, bytes | None]:
    """Return {source id: source shadow} of the records that are known: all that an unchanged one needs.

    None where the same shadow does not mean that nothing is to be done: the record was deleted; or, unless this very run has decided it,
    it was ignored for want of a counterpart, and the destination is to be asked again (`look_again`), or all is `mapped_anew`, and what was
    made of it came from an older mapping.
    """
    holds = (
        f"verdict = 'noted' OR verdict != 'deleted' AND seen_run = {run:d}" if mapped_anew
        else f"verdict NOT IN ('deleted', 'ignored') OR verdict = 'ignored' AND seen_run = {run:d}" if look_again
        else "verdict != 'deleted'"
    )  # fmt: skip
    # A list in one parameter is taken apart in C; one parameter for each id is bound under the interpreter's lock.
    rows = db.read(
        f"""SELECT source_id, CASE WHEN {holds} THEN source_shadow END
            FROM json_each(?2) AS wanted CROSS JOIN link ON link.integration = ?1 AND link.source_id = wanted.value""",
        (integration, encode_json(source_ids).decode()),
    )
    return dict(rows)


def of_sources(db: Database, integration: int, source_ids: Sequence[str]) -> dict[str, Link]:
    """Return the links of these source records, by source id."""
    rows = db.read(
        f"SELECT {_COLUMNS} FROM link WHERE integration = ? AND source_id IN ({marks(len(source_ids))})",
        (integration, *source_ids),
    )
    return {row[0]: Link(*row) for row in rows}


def of_targets(db: Database, integration: int, target_ids: Sequence[str]) -> dict[str, Link]:
    """Return the links of these destination records, by target id."""
    rows = db.read(
        f"SELECT {_COLUMNS} FROM link WHERE integration = ? AND target_id IN ({marks(len(target_ids))})",
        (integration, *target_ids),
    )
    return {row[1]: Link(*row) for row in rows}


def of_match_keys(db: Database, integration: int, keys: Sequence[str]) -> dict[str, list[str]]:
    """Return {match key: source ids} of the links that hold one of these keys."""
    found: dict[str, list[str]] = {}
    rows = db.read(  # as in `shadows_of`
        """SELECT match_key, source_id FROM json_each(?2) AS wanted
           CROSS JOIN link ON link.integration = ?1 AND link.match_key IS NOT NULL AND link.match_key = wanted.value""",
        (integration, encode_json(keys).decode()),
    )
    for key, source_id in rows:
        found.setdefault(key, []).append(source_id)
    return found


def targets_of(db: Database, integration: int, source_ids: Sequence[str]) -> dict[str, str]:
    """Return {source id: target id} of those that are linked: what a look-up needs."""
    rows = db.read(
        f"SELECT source_id, target_id FROM link WHERE integration = ? AND target_id IS NOT NULL AND source_id IN ({marks(len(source_ids))})",
        (integration, *source_ids),
    )
    return dict(rows)


def is_any(db: Database, integration: int) -> bool:
    """Return whether any source record is known."""
    return bool(db.read("SELECT 1 FROM link WHERE integration = ? LIMIT 1", (integration,)))


def portion(db: Database, integration: int, *, after: str, unlinked: bool, limit: int) -> list[Link]:
    """Return links after a source id, in order; with `unlinked`, of records that have no counterpart instead."""
    null = "IS NULL AND verdict != 'deleted'" if unlinked else "IS NOT NULL"
    rows = db.read(
        f"SELECT {_COLUMNS} FROM link WHERE integration = ? AND source_id > ? AND target_id {null} ORDER BY source_id LIMIT ?",
        (integration, after, limit),
    )
    return [Link(*row) for row in rows]


def may_be_missed(db: Database, integration: int, *, after: str, limit: int) -> list[tuple[str, bool]]:
    """Return (source id, has a counterpart or may have one) of records of which a deletion would be news, after a source id, in order.

    Not those that are left out and have no counterpart, nor what a person has undone.
    """
    rows = db.read(
        """SELECT source_id, target_id IS NOT NULL OR verdict IN ('queued', 'unknown') FROM link
           WHERE integration = ? AND source_id > ? AND verdict NOT IN ('deleted', 'discarded')
           AND (target_id IS NOT NULL OR verdict IN ('queued', 'unknown', 'parked', 'held', 'waiting')) ORDER BY source_id LIMIT ?""",
        (integration, after, limit),
    )
    return [(id, bool(linked)) for id, linked in rows]


def count_linked(db: Database, integration: int) -> int:
    """Return how many source records have their counterpart."""
    return int(db.read("SELECT count(*) FROM link WHERE integration = ? AND target_id IS NOT NULL", (integration,))[0][0])


def put(connection: sqlite3.Connection, integration: int, run: int, links: Sequence[Link]) -> None:
    """Write what a page decided; a known counterpart and its shadow are kept where the new row has none."""
    created = []
    others = []
    for link in links:
        if link.target_id is None and link.match_key is not None and link.target_shadow is not None:
            created.append((link.source_id, link.match_key, bytearray(link.source_shadow), bytearray(link.target_shadow), link.verdict))
        else:
            others.append(astuple(link))
    shared = (integration, run)
    insert(
        connection,
        "INTO link (integration, seen_run, source_id, match_key, source_shadow, target_shadow, verdict)",
        "(?1, ?2, {}, {}, {}, {}, {})",
        created,
        shared,
        _UNLESS_NEW,
    )
    insert(
        connection,
        "INTO link (integration, seen_run, source_id, target_id, match_key, source_shadow, target_shadow, verdict)",
        "(?1, ?2, {}, {}, {}, {}, {}, {})",
        others,
        shared,
        _UNLESS_NEW,
    )


_UNLESS_NEW = """
    ON CONFLICT (integration, source_id) DO UPDATE SET
        target_id = coalesce(excluded.target_id, target_id), match_key = coalesce(excluded.match_key, match_key),
        source_shadow = excluded.source_shadow, target_shadow = coalesce(excluded.target_shadow, target_shadow),
        verdict = excluded.verdict, seen_run = excluded.seen_run"""


def agree(
    connection: sqlite3.Connection, integration: int, made: Sequence[tuple[str, str]], changed: Sequence[tuple[str, str, bytes]]
) -> None:
    """Record what was confirmed: (source id, target id) of records that were made, and the target shadow of others.

    A record's shadow is written when its creation is queued, and holds once it has a target id. Raises `AlreadyLinked` when a
    target is already the counterpart of another source record.
    """
    verdict = "verdict = CASE verdict WHEN 'queued' THEN 'linked' ELSE verdict END"
    where = "FROM ({values}) AS v WHERE link.integration = ?1 AND link.source_id = v.column1"
    update_from(connection, f"UPDATE link SET target_id = v.column2, {verdict} {where}", 2, made, (integration,))
    update_from(
        connection, f"UPDATE link SET target_id = v.column2, target_shadow = v.column3, {verdict} {where}", 3, changed, (integration,)
    )


def expect_more(connection: sqlite3.Connection, integration: int, source_ids: Sequence[str]) -> None:
    """Note of records that have just been confirmed that a later version of them is on its way already."""
    connection.execute(
        f"UPDATE link SET verdict = 'queued' WHERE integration = ? AND verdict = 'linked' AND source_id IN ({marks(len(source_ids))})",
        (integration, *source_ids),
    )


def judge(connection: sqlite3.Connection, integration: int, source_ids: Sequence[str], verdict: str) -> None:
    """Set the verdict of records."""
    connection.execute(
        f"UPDATE link SET verdict = ? WHERE integration = ? AND source_id IN ({marks(len(source_ids))})",
        (verdict, integration, *source_ids),
    )


_ENTRIES = "[]"
"""Behind the address of a list: its entries. No rule writes such an address."""
BY_HAND = ""
"""Stands for no field, but for a record that a person edited: what was sent holds, whatever the mapping makes of it."""


def kept(db: Database, integration: int, source_id: str) -> dict[str, bytes | None]:
    """Return the fields that a record's counterpart is to keep, with what it had there as JSON (None: nothing); and `BY_HAND`."""
    return {
        address: value
        for address, value in db.read("SELECT address, value FROM kept WHERE integration = ? AND source_id = ?", (integration, source_id))
        if not address.endswith(_ENTRIES)
    }


def own_entries(db: Database, integration: int, source_id: str) -> dict[str, list[Any]]:
    """Return the entries that others had put into lists of a record's counterpart before the source had them, too, by address."""
    rows = db.read(
        "SELECT address, value FROM kept WHERE integration = ? AND source_id = ? AND address LIKE '%[]'", (integration, source_id)
    )
    return {address.removesuffix(_ENTRIES): decode_json(value) for address, value in rows}


def note_own_entries(connection: sqlite3.Connection, integration: int, lists: Sequence[tuple[str, str, Sequence[Any]]]) -> None:
    """Note (source id, address, entries) of what others have put into a list: they stay there when the source has them no more."""
    for source_id, address, found in lists:
        key = (integration, source_id, f"{address}{_ENTRIES}")
        row = connection.execute("SELECT value FROM kept WHERE integration = ? AND source_id = ? AND address = ?", key).fetchone()
        known = decode_json(row[0]) if row else []
        if new := without(found, known):
            keep(connection, integration, [(source_id, key[2], encode_json([*known, *new]))])


def keeps_any(db: Database, integration: int) -> bool:
    """Whether anything is to be kept in the destination."""
    return bool(db.read("SELECT 1 FROM kept WHERE integration = ? LIMIT 1", (integration,)))


def keep(connection: sqlite3.Connection, integration: int, fields: Sequence[tuple[str, str, bytes | None]]) -> None:
    """Note (source id, field, what it says as JSON) of what a counterpart is to keep until the field is written."""
    tail = "ON CONFLICT DO UPDATE SET value = excluded.value"
    insert(connection, "INTO kept (integration, source_id, address, value)", "(?1, {}, {}, {})", fields, (integration,), tail)


def keep_no_more(connection: sqlite3.Connection, integration: int, fields: Sequence[tuple[str, str]]) -> None:
    """Forget that (source id, field) was to be kept: it is written now."""
    connection.executemany(
        "DELETE FROM kept WHERE integration = ? AND source_id = ? AND address = ?", [(integration, *field) for field in fields]
    )


def part(connection: sqlite3.Connection, integration: int, source_ids: Sequence[str]) -> None:
    """Forget the counterparts of records, which are not there any more: they meet the destination again."""
    _keep_nothing(connection, integration, source_ids)
    connection.execute(
        f"UPDATE link SET target_id = NULL, target_shadow = NULL WHERE integration = ? AND source_id IN ({marks(len(source_ids))})",
        (integration, *source_ids),
    )


def pair(
    connection: sqlite3.Connection,
    integration: int,
    source_id: str,
    target_id: str | None,
    source_shadow: bytes,
    target_shadow: bytes | None,
) -> None:
    """Set which destination record a record's counterpart is, or that it has none, and what both are taken to have said.

    Raises `AlreadyLinked` when it is the counterpart of another source record.
    """
    _keep_nothing(connection, integration, [source_id])
    connection.execute(
        """UPDATE link SET target_id = ?, source_shadow = ?, target_shadow = ?, verdict = 'linked'
           WHERE integration = ? AND source_id = ?""",
        (target_id, source_shadow, target_shadow, integration, source_id),
    )


def see(connection: sqlite3.Connection, integration: int, says: Sequence[tuple[str, bytes]]) -> None:
    """Note what destination records were seen to say: (source id, fields as JSON). The next decision of their records starts from there."""
    update_from(
        connection,
        "UPDATE link SET target_shadow = v.column2 FROM ({values}) AS v WHERE link.integration = ?1 AND link.source_id = v.column1",
        2,
        says,
        (integration,),
    )


def set_aside(connection: sqlite3.Connection, integration: int, source_id: str, verdict: str) -> None:
    """Set the verdict of a record of which a delivery was set aside; one that is gone from the source stays so."""
    connection.execute(
        "UPDATE link SET verdict = ? WHERE integration = ? AND source_id = ? AND verdict != 'deleted'", (verdict, integration, source_id)
    )


def give_up(connection: sqlite3.Connection, integration: int, source_id: str) -> None:
    """Record that a person gave up this version of a record. Whether an earlier one was made is a doubt that stays."""
    connection.execute(
        """UPDATE link SET verdict = 'discarded'
           WHERE integration = ? AND source_id = ? AND verdict != 'deleted' AND NOT (verdict = 'unknown' AND target_id IS NULL)""",
        (integration, source_id),
    )


def adopt(connection: sqlite3.Connection, integration: int, source_id: str, target_id: str, target_shadow: bytes | None) -> None:
    """Record which destination record a record's counterpart is, and what it says, as a person knows it.

    Raises `AlreadyLinked` when it is the counterpart of another source record.
    """
    connection.execute(
        """UPDATE link SET target_id = ?, target_shadow = ?, verdict = CASE verdict WHEN 'deleted' THEN verdict ELSE 'held' END
           WHERE integration = ? AND source_id = ?""",
        (target_id, target_shadow, integration, source_id),
    )


def remove(connection: sqlite3.Connection, integration: int, source_ids: Sequence[str]) -> None:
    """Forget links whose destination records were deleted. Of a record that a person gave up, it is known that it is not wanted there."""
    _keep_nothing(connection, integration, source_ids)
    these = f"integration = ? AND source_id IN ({marks(len(source_ids))})"
    connection.execute(f"DELETE FROM link WHERE {these} AND verdict != 'discarded'", (integration, *source_ids))
    connection.execute(f"UPDATE link SET target_id = NULL, target_shadow = NULL WHERE {these}", (integration, *source_ids))


def _keep_nothing(connection: sqlite3.Connection, integration: int, source_ids: Sequence[str]) -> None:
    for table in ("kept", "spelled"):
        connection.execute(
            f"DELETE FROM {table} WHERE integration = ? AND source_id IN ({marks(len(source_ids))})",
            (integration, *source_ids),
        )


def fill_directory(connection: sqlite3.Connection, integration: int, rows: Sequence[tuple[str, str, bytes]]) -> None:
    """Note (match key, target id, fields as JSON) of destination records, for the first meeting."""
    insert(connection, "INTO directory", "(?1, {}, {}, {})", rows, (integration,), "ON CONFLICT DO UPDATE SET fields = excluded.fields")


def in_directory(db: Database, integration: int, keys: Sequence[str]) -> dict[str, list[tuple[str, bytes]]]:
    """Return {match key: [(target id, fields as JSON)]}."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    for key, target_id, fields in db.read(
        f"SELECT key, target_id, fields FROM directory WHERE integration = ? AND key IN ({marks(len(keys))})",
        (integration, *keys),
    ):
        found.setdefault(key, []).append((target_id, fields))
    return found


def clear_directory(connection: sqlite3.Connection, integration: int) -> None:
    """Empty the directory of an integration."""
    connection.execute("DELETE FROM directory WHERE integration = ?", (integration,))
