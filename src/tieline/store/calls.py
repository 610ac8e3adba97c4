"""The journal of calls: every request that left, what it was about, and what came of it. Append-only; `store.retention` drops old ones.

Which records a call was about is found both ways. A write names its deliveries, and a delivery names the call that settled it; rows of
their own (`call_record`) are only kept for what no delivery tells: failed attempts and look-ups.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from tieline.store.database import Database, insert, marks


class Body(msgspec.Struct):
    """What was said, masked and cut: the headers that matter, and the bodies as text."""

    request_headers: dict[str, str]
    request: str
    answer_headers: dict[str, str]
    answer: str


class Call(msgspec.Struct):
    """One request and what came of it. Times in seconds, sizes in bytes; the URL and the answer are masked."""

    id: int
    at: float
    connection: str
    integration: int | None
    run: int | None
    """None with an integration: a plan; without one: a connection was tried."""
    method: str
    url: str
    status: int | None
    seconds: float
    waited: float
    sent: int
    received: int
    attempt: int
    failure: str | None = None
    """The class of what went wrong, as the table of failures has it."""
    answer: str | None = None
    operation: str = ""
    """list, get, find, create, update, upsert, delete or ping."""
    resource: str = ""
    page: int | None = None
    deliveries: str | None = None
    """Of a write: the deliveries that it carried, `7-106,120`."""
    refused: int = 0
    """Records that were refused, of a call that went well otherwise."""

    records: tuple[str, ...] = ()
    """Not stored here: source ids that no delivery leads to this call from."""
    body: Body | None = None
    """Not stored here."""


class Search(msgspec.Struct, frozen=True):
    """Which calls are wanted; everything that is given must hold."""

    integration: int | None = None
    connection: str | None = None
    run: int | None = None
    status: int | None = None
    failed: bool = False
    since: float | None = None
    """Seconds since 1970."""
    slow_seconds: float | None = None
    """At least so long."""
    records: tuple[tuple[int, str], ...] | None = None
    """About one of these: (integration, source id)."""


_COLUMNS: Final = (
    "id, at, connection, integration, run, method, url, status, seconds, waited, sent, received, attempt, failure, answer,"
    " operation, resource, page, deliveries, refused"
)
_MOST_COUNTED: Final = 100_000
_MANY: Final = 5_000
"""Calls that are not rare; they are not counted any further."""
_OWN_BYTES, _RECORD_BYTES, _BODY_BYTES = 160, 80, 120
"""What a row takes in addition to its texts, its indexes included; roughly."""


def record(connection: sqlite3.Connection, calls: Sequence[Call]) -> None:
    """Append calls, with the records that they name and what was said. One that is there already is written again."""
    insert(
        connection,
        f"OR REPLACE INTO call ({_COLUMNS})",
        "(" + ", ".join(["{}"] * 20) + ")",
        [
            (
                c.id, c.at, c.connection, c.integration, c.run, c.method, c.url, c.status, c.seconds, c.waited, c.sent, c.received,
                c.attempt, c.failure, c.answer, c.operation, c.resource, c.page, c.deliveries, c.refused,
            )
            for c in calls
        ],
    )  # fmt: skip
    named = [(c.id, c.integration or 0, source_id) for c in calls if c.records for source_id in c.records]
    if named:
        insert(connection, "OR IGNORE INTO call_record (call, integration, source_id)", "({}, {}, {})", named)
    lines = sum(_OWN_BYTES + len(c.url) + len(c.answer or "") + len(c.deliveries or "") for c in calls) + _RECORD_BYTES * len(named)
    add_to_tally(connection, "call bytes", lines)
    said = [(c.id, c.at, c.body) for c in calls if c.body is not None]
    if said:
        rows = [(id, at, _json(b.request_headers), b.request, _json(b.answer_headers), b.answer) for id, at, b in said]
        insert(connection, "OR REPLACE INTO call_body", "({}, {}, {}, {}, {}, {})", rows)
        add_to_tally(connection, "body bytes", sum(_BODY_BYTES + sum(map(len, row[2:])) for row in rows))


def by_id(db: Database, ids: Sequence[int]) -> dict[int, Call]:
    """Return calls by id, of those that are still kept."""
    found: dict[int, Call] = {}
    for start in range(0, len(ids), 500):
        part = tuple(ids[start : start + 500])
        found.update((row[0], Call(*row)) for row in db.read(f"SELECT {_COLUMNS} FROM call WHERE id IN ({marks(len(part))})", part))
    return found


def body_of(db: Database, call: int) -> Body | None:
    """Return what was said in a call, if that is kept."""
    rows = db.read("SELECT request_headers, request, answer_headers, answer FROM call_body WHERE call = ?", (call,))
    if not rows:
        return None
    asked, request, answered, answer = rows[0]
    return Body(msgspec.json.decode(asked), request, msgspec.json.decode(answered), answer)


def named_of(db: Database, integration: int, source_id: str) -> list[Call]:
    """Return the calls about a record that no delivery leads to, oldest first: failed attempts and look-ups."""
    ids = [row[0] for row in db.read("SELECT call FROM call_record WHERE source_id = ? AND integration = ?", (source_id, integration))]
    return sorted(by_id(db, ids).values(), key=lambda call: (call.at, call.id))


def records_of(db: Database, call: Call, limit: int = 1000) -> list[str]:
    """Return the source ids that a call was about, some of them when there are very many."""
    found = [row[0] for row in db.read("SELECT source_id FROM call_record WHERE call = ? ORDER BY source_id LIMIT ?", (call.id, limit))]
    for first, last in ranges(call.deliveries):
        rows = db.read("SELECT source_id FROM delivery WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", (first, last, limit))
        found += [row[0] for row in rows]
    return list(dict.fromkeys(found))[:limit]


def find(db: Database, search: Search, limit: int | None = None) -> Iterator[Call]:
    """Yield calls, oldest first; of too many the latest. Memory does not grow with their number."""
    where, parameters = _where(search)
    table = f"call{_by_rarest(db, search)}"
    statement = f"SELECT {_COLUMNS} FROM {table}{where} ORDER BY at, id"
    if limit is not None:
        statement = f"SELECT * FROM (SELECT {_COLUMNS} FROM {table}{where} ORDER BY at DESC, id DESC LIMIT {limit:d}) ORDER BY at, id"
    for row in db.stream(statement, parameters):
        yield Call(*row)


def count(db: Database, search: Search) -> tuple[int, bool]:
    """Return how many calls there are, and whether that is all: no one waits for more than a hundred thousand to be counted."""
    where, parameters = _where(search)
    number = int(
        db.read(f"SELECT count(*) FROM (SELECT 1 FROM call{_by_rarest(db, search)}{where} LIMIT {_MOST_COUNTED + 1})", parameters)[0][0]
    )
    return min(number, _MOST_COUNTED), number <= _MOST_COUNTED


def oldest(db: Database) -> float | None:
    """Return when the oldest call that is kept was made."""
    rows = db.read("SELECT at FROM call ORDER BY at LIMIT 1")
    return rows[0][0] if rows else None


def figures(db: Database, run: int) -> dict[str, Any]:
    """Return how many calls a run made, how many failed, the mean seconds of an answer, and of waiting for a limit before it."""
    total, failed, mean, waited = db.read("SELECT count(*), count(failure), avg(seconds), avg(waited) FROM call WHERE run = ?", (run,))[0]
    return {"calls": total, "failed": failed, "mean_seconds": mean or 0.0, "mean_waited_seconds": waited or 0.0}


class Waits(msgspec.Struct):
    """Calls of some runs to one connection."""

    calls: int
    throttled: int
    """Answered with `too many requests`."""
    reads: int
    waited: float
    """Seconds that they waited for limits, all together."""
    seconds: float
    """Seconds that their answers took, all together."""


def waits(db: Database, runs: Sequence[int]) -> dict[str, Waits]:
    """Return what the calls of some runs waited for, by connection."""
    rows = db.read(
        "SELECT connection, count(*), count(*) FILTER (WHERE failure = 'rate-limited'), count(*) FILTER (WHERE method = 'GET'), "
        f"total(waited), total(seconds) FROM call WHERE run IN ({marks(len(runs))}) GROUP BY connection",
        tuple(runs),
    )
    return {row[0]: Waits(*row[1:]) for row in rows}


def add_to_tally(connection: sqlite3.Connection, name: str, value: float) -> None:
    """Add to a running sum."""
    connection.execute("UPDATE tally SET value = value + ? WHERE name = ?", (value, name))


def tally(db: Database) -> dict[str, float]:
    """Return the running sums: bytes of calls and bodies, calls dropped for their size, and until when they were made."""
    return dict(db.read("SELECT name, value FROM tally"))


BYTES_OF_CALLS: Final = (
    f"SELECT coalesce(sum({_OWN_BYTES} + length(url) + coalesce(length(answer), 0) + coalesce(length(deliveries), 0)), 0) FROM call"
)
BYTES_OF_RECORDS: Final = f"SELECT {_RECORD_BYTES} * count(*) FROM call_record"
BYTES_OF_BODIES: Final = f"SELECT coalesce(sum({_BODY_BYTES} + length(request_headers) + length(request) + length(answer_headers) + length(answer)), 0) FROM call_body"


def spans(ids: Sequence[int]) -> str:
    """Return ids in one compact value: `7-106,120`."""
    first, last = ids[0], ids[-1]
    if last - first == len(ids) - 1 and all(a < b for a, b in itertools.pairwise(ids)):
        return str(first) if first == last else f"{first}-{last}"
    found: list[list[int]] = []
    for id in sorted(ids):
        if found and found[-1][1] == id - 1:
            found[-1][1] = id
        else:
            found.append([id, id])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def ranges(text: str | None) -> Iterable[tuple[int, int]]:
    """Yield (first, last) of ids as `spans` writes them."""
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first:
            yield int(first), int(last or first)


def _by_rarest(db: Database, search: Search) -> str:
    """Return which index finds the calls: that of what fewest calls have. SQLite can't know which of two that is, and may walk through all.

    A filter that nothing limits to some calls, such as `slow_seconds`, is looked for in the order of time.
    """
    if search.records is not None or search.run is not None:
        return ""  # those are few, and SQLite finds them
    found = []
    for index, term, value in (
        ("call_failed", "(failure IS NOT NULL OR refused > 0)", None if not search.failed else ()),
        ("call_status", "status = ?", search.status),
        ("call_connection", "connection = ?", search.connection),
        ("call_integration", "integration = ?", search.integration),
    ):
        if value is None:
            continue
        statement = f"SELECT count(*) FROM (SELECT 1 FROM call INDEXED BY {index} WHERE {term} LIMIT {_MANY})"
        found.append((db.read(statement, value if value == () else (value,))[0][0], index))
    return f" INDEXED BY {min(found, key=lambda one: one[0])[1]}" if found else ""


def _where(search: Search) -> tuple[str, list[Any]]:
    terms: list[str] = []
    parameters: list[Any] = []
    for term, value in (
        ("integration = ?", search.integration), ("connection = ?", search.connection), ("run = ?", search.run),
        ("status = ?", search.status), ("at >= ?", search.since), ("seconds >= ?", search.slow_seconds),
    ):  # fmt: skip
        if value is not None:
            terms.append(term)
            parameters.append(value)
    if search.failed:
        terms.append("(failure IS NOT NULL OR refused > 0)")
    if search.records is not None:
        some = []
        for integration, source_id in search.records:
            some.append("SELECT call FROM delivery WHERE integration = ? AND source_id = ? AND call IS NOT NULL")
            some.append("SELECT call FROM call_record WHERE integration = ? AND source_id = ?")
            parameters += [integration, source_id] * 2
        terms.append(f"id IN ({' UNION '.join(some)})" if some else "0")
    return (" WHERE " + " AND ".join(terms) if terms else ""), parameters


def _json(headers: dict[str, str]) -> str:
    return msgspec.json.encode(headers).decode()
