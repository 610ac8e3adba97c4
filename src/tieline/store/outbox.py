"""Deliveries: what is owed to a destination, from the commit that accepted it until it is settled; kept afterwards as history.

    sending ──▶ delivered
       │  └───▶ owed ──▶ unknown ──▶ delivered
       ▼         ▲          │
    unknown ─────┘          ├──▶ dead ──▶ superseded (redriven, or a later version came) │ discarded
                            └──▶ held ──▶ superseded │ discarded

A fresh delivery is inserted as `sending`, because it is handed to the sender at once; one that has waited becomes `unknown` before its
first byte leaves. So whatever a crash leaves behind in either state may have been done, and is looked up before it is sent again.
"""

from __future__ import annotations

import heapq
import itertools
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tieline.model.clock import MOST_WAIT_SECONDS, believed
from tieline.model.records import encode_json
from tieline.store import state
from tieline.store.database import Database, Row, insert, marks, update_from
from tieline.store.delivery import Delivery

OPEN = ("owed", "unknown", "held", "dead")


_LEFT = "left"


IS_OPEN = "state IN ('owed', 'unknown', 'held', 'dead')"
"""As `delivery_open` has it, word for word: only so the database knows that its few rows are enough."""


_COLUMNS = "id, source_id, target_id, operation, state, run, accepted_at, changed, before, record, attempts, due_at, settled_at, settled_run, call, reason, undoes"


def queue(connection: sqlite3.Connection, integration: int, run: int, now: float, deliveries: Sequence[Delivery]) -> None:
    """Insert what a page decided, by its run at that time: fresh ones as `sending`, others set aside as they are."""
    shared = (integration, run, now)
    created: list[Row] = []
    others: list[Delivery] = []
    for delivery in deliveries:
        if delivery.operation == "create" and delivery.state == "sending":
            created.append((delivery.id, delivery.source_id, bytearray(delivery.changed or b"")))
        else:
            others.append(delivery)
    insert(
        connection,
        "INTO delivery (integration, run, accepted_at, operation, state, room, id, source_id, changed)",
        "(?1, ?2, ?3, 'create', 'sending', zeroblob(16), {}, {}, {})",
        created,
        shared,
    )
    if not others:
        return
    insert(
        connection,
        "INTO delivery (integration, run, accepted_at, state, id, source_id, target_id, operation, changed, before)",
        "(?1, ?2, ?3, 'sending', {}, {}, {}, {}, {}, {})",
        [(d.id, d.source_id, d.target_id, d.operation, d.changed, d.before) for d in others if d.state == "sending"],
        shared,
    )
    connection.executemany("UPDATE delivery SET undoes = ? WHERE id = ?", [(d.undoes, d.id) for d in deliveries if d.undoes is not None])
    insert(
        connection,
        "INTO delivery (integration, run, accepted_at, settled_run, settled_at, state, id, source_id, target_id, operation, changed, before, record, reason)",
        "(?1, ?2, ?3, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
        [
            (d.settled_run, d.settled_at, d.state, d.id, d.source_id, d.target_id, d.operation, d.changed, d.before, d.record, d.reason)
            for d in others
            if d.state != "sending"
        ],
        shared,
    )


def supersede(connection: sqlite3.Connection, integration: int, source_ids: Sequence[str], *, run: int, now: float) -> list[int]:
    """Settle the open deliveries of these records that are not on their way, because a later version came; return their ids."""
    rows = connection.execute(
        f"""UPDATE delivery SET state = 'superseded', settled_at = ?, settled_run = ?
            WHERE integration = ? AND state IN ('owed', 'held', 'dead') AND source_id IN ({marks(len(source_ids))}) RETURNING id""",
        (now, run, integration, *source_ids),
    )
    return [row[0] for row in rows]


def supersede_these(connection: sqlite3.Connection, ids: Sequence[int], *, run: int, now: float) -> None:
    """Settle open deliveries, by id, that others have taken the place of; one in doubt only if someone has looked."""
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        connection.execute(
            f"""UPDATE delivery SET state = 'superseded', settled_at = ?, settled_run = ?
                WHERE state IN ('owed', 'unknown', 'held', 'dead') AND id IN ({marks(len(some))})""",
            (now, run, *some),
        )


def owed_since(
    connection: sqlite3.Connection, integration: int, source_ids: Sequence[str], *, states: Sequence[str] = ("owed",)
) -> dict[str, float]:
    """Return {source id: since when something of it has been owed}, of those of which something is that a later version may replace."""
    rows = connection.execute(
        f"""SELECT source_id, min(coalesce(owed_since, accepted_at)) FROM delivery
            WHERE integration = ? AND state IN ({marks(len(states))}) AND source_id IN ({marks(len(source_ids))}) GROUP BY source_id""",
        (integration, *states, *source_ids),
    )
    return dict(rows.fetchall())


def inherit_age(connection: sqlite3.Connection, deliveries: Sequence[Delivery], since: Mapping[str, float]) -> None:
    """Let deliveries that took the place of owed ones be owed since those were: `since` is by source id."""
    heirs = [(since[delivery.source_id], delivery.id) for delivery in deliveries if delivery.source_id in since]
    connection.executemany("UPDATE delivery SET owed_since = ? WHERE id = ?", heirs)


def confirm(connection: sqlite3.Connection, settled: Sequence[tuple[int, int | None, int]], *, run: int, now: float) -> None:
    """Settle (id, call, attempts) as delivered. What was accepted and arrived together is one range, and one cheap statement."""
    if settled:
        connection.execute(
            "UPDATE integration SET delivered = delivered + ? WHERE id = (SELECT integration FROM delivery WHERE id = ?)",
            (len(settled), settled[0][0]),
        )
    ranges: list[list[Any]] = []
    for id, call, attempts in sorted(settled):
        if ranges and ranges[-1][1] == id - 1 and ranges[-1][2:] == [call, attempts]:
            ranges[-1][1] = id
        else:
            ranges.append([id, id, call, attempts])
    if len(ranges) * 8 <= len(settled):
        for first, last, call, attempts in ranges:
            connection.execute(
                """UPDATE delivery SET state = 'delivered', settled_at = ?, settled_run = ?, call = ?, attempts = ?, reason = NULL, room = NULL
                   WHERE id BETWEEN ? AND ?""",
                (now, run, call, attempts, first, last),
            )
        return
    update_from(
        connection,
        """UPDATE delivery SET state = 'delivered', settled_at = ?1, settled_run = ?2, call = v.column2, attempts = v.column3, reason = NULL, room = NULL
           FROM ({values}) AS v WHERE delivery.id = v.column1""",
        3,
        settled,
        (now, run),
    )


def set_state(connection: sqlite3.Connection, delivery: Delivery, *, now: float, run: int) -> bool:
    """Write the state, attempts, due time, call and reason that a delivery has now; held, dead and discarded ones are settled.

    One that was superseded meanwhile stays so, and False is returned.
    """
    settled = delivery.state not in ("owed", "unknown")
    _keep_with_reason(delivery)
    written = connection.execute(
        """UPDATE delivery SET state = ?, attempts = ?, due_at = ?, call = ?, reason = ?, record = coalesce(?, record),
             operation = ?, target_id = coalesce(?, target_id), settled_at = ?, settled_run = ?
           WHERE id = ? AND state NOT IN ('delivered', 'superseded', 'discarded')""",
        (
            delivery.state, delivery.attempts, delivery.due_at, delivery.call, delivery.reason, delivery.record,
            delivery.operation, delivery.target_id, now if settled else None, run if settled else None, delivery.id,
        ),
    )  # fmt: skip
    return written.rowcount > 0


def _keep_with_reason(delivery: Delivery) -> None:
    left = delivery.left_at if delivery.state == "unknown" else None
    if delivery.refused or left is not None:
        kept = {"refused": delivery.refused or None, "left": left}
        delivery.reason = encode_json({**delivery.why, **{key: value for key, value in kept.items() if value is not None}})
        delivery.refused_before = delivery.refused


def leaves_again(connection: sqlite3.Connection, delivery: Delivery) -> None:
    """Note of one in doubt that it leaves again: when it left before says nothing any more."""
    delivery.left_at = None
    if delivery.why.get("left") is not None:
        delivery.reason = encode_json({key: value for key, value in delivery.why.items() if key != "left"})
        connection.execute("UPDATE delivery SET reason = ? WHERE id = ?", (delivery.reason, delivery.id))


def claim(connection: sqlite3.Connection, deliveries: Sequence[Delivery]) -> set[int]:
    """Mark deliveries that have waited as unknown, before anything leaves; return the ids of those that were still owed.

    How often they were refused is written down as well: they leave under the key that follows from it, and have to be repeated under it.
    """
    ids = [delivery.id for delivery in deliveries]
    for delivery in deliveries:
        if delivery.refused != delivery.refused_before:
            _keep_with_reason(delivery)
            connection.execute("UPDATE delivery SET reason = ? WHERE id = ?", (delivery.reason, delivery.id))
    rows = connection.execute(
        f"UPDATE delivery SET state = 'unknown' WHERE state IN ('owed', 'unknown') AND id IN ({marks(len(ids))}) RETURNING id",
        tuple(ids),
    )
    return {row[0] for row in rows}


def has_later(connection: sqlite3.Connection, integration: int, delivery: Delivery) -> bool:
    """Say whether a later version of the same record has been accepted."""
    found = connection.execute(
        "SELECT 1 FROM delivery WHERE integration = ? AND source_id = ? AND id > ? LIMIT 1", (integration, delivery.source_id, delivery.id)
    ).fetchone()
    return found is not None


def open_for(connection: sqlite3.Connection, integration: int, source_id: str) -> tuple[int, str] | None:
    """Return (id, state) of a record's latest delivery that is not settled, within a unit; None when all are."""
    row = connection.execute(
        """SELECT id, state FROM delivery WHERE integration = ? AND source_id = ?
           AND state IN ('owed', 'sending', 'unknown', 'held', 'dead') ORDER BY id DESC LIMIT 1""",
        (integration, source_id),
    ).fetchone()
    return (row[0], row[1]) if row else None


def name_targets(connection: sqlite3.Connection, named: Sequence[tuple[int, str]]) -> None:
    """Note (delivery, target id) of what deliveries have made, where nothing else tells it."""
    connection.executemany("UPDATE delivery SET target_id = ? WHERE id = ?", [(target_id, id) for id, target_id in named])


def note_before(connection: sqlite3.Connection, images: Sequence[tuple[int, bytes]]) -> None:
    """Note (delivery, JSON) of what records that were created say in fields that were not written."""
    connection.executemany("UPDATE delivery SET before = ? WHERE id = ?", [(before, id) for id, before in images])


def may_leave(connection: sqlite3.Connection, integration: int, run: int, upto: int) -> None:
    """Note, before any of them leaves, up to which delivery of a run something may leave: what is queued beyond it certainly has not."""
    state.put(connection, _LEFT, str(integration), [run, upto])


def doubt_sending(connection: sqlite3.Connection, integration: int, first: int, *, run: int, now: float, why: str) -> None:
    """Mark what a run left on its way as unknown, and note it with the record: the call itself may be missing in the journal.

    What had not left is only owed.
    """
    told = state.get(connection, _LEFT, str(integration), list[int])
    if told is not None and told[0] == run:
        connection.execute(
            "UPDATE delivery SET state = 'owed', reason = ? WHERE +integration = ? AND state = 'sending' AND id >= ? AND id > ?",
            (reason("halted", f"it was not sent: {why.replace('while it was on its way', 'before')}"), integration, first, told[1]),
        )
    connection.execute(
        """INSERT INTO event (at, integration, run, source_id, kind, detail)
           SELECT ?, integration, ?, source_id, 'in doubt', json_object('delivery', id, 'why', ?)
           FROM delivery WHERE +integration = ? AND state = 'sending' AND id >= ? ORDER BY id""",
        (now, run, why, integration, first),
    )
    connection.execute(
        "UPDATE delivery SET state = 'unknown', due_at = ? WHERE +integration = ? AND state = 'sending' AND id >= ?",
        (now, integration, first),
    )


def open_of(db: Database, integration: int, states: Sequence[str] = OPEN, *, after: int = 0, limit: int = 1000) -> list[Delivery]:
    """Return open deliveries in order, `limit` at a time, after an id."""
    # A query for each state is a seek in the index; one for several would sort them all for each portion.
    found = (
        db.read(
            f"SELECT {_COLUMNS} FROM delivery WHERE integration = ? AND state = ? AND {IS_OPEN} AND id > ? ORDER BY id LIMIT ?",
            (integration, state, after, limit),
        )
        for state in states
    )
    return [_make(row) for row in itertools.islice(heapq.merge(*found), limit)]


def of_record(db: Database, integration: int, source_id: str) -> list[Delivery]:
    """Return every delivery of a record, oldest first."""
    return [
        _make(row)
        for row in db.read(
            f"SELECT {_COLUMNS} FROM delivery WHERE integration = ? AND source_id = ? ORDER BY id",
            (integration, source_id),
        )
    ]


ALREADY_LINKED = "already linked"
"""The kind of a letter about a write that hit another record's counterpart; its only candidate is that one."""


def hits_of(db: Database, integration: int, source_ids: Sequence[str]) -> dict[str, Delivery]:
    """Return the last write of each of these records that hit another record's counterpart, by source id."""
    rows = db.read(
        f"""SELECT {_COLUMNS} FROM delivery WHERE integration = ? AND source_id IN ({marks(len(source_ids))})
            AND state IN ('held', 'superseded', 'discarded') AND reason IS NOT NULL ORDER BY id""",
        (integration, *source_ids),
    )
    return {one.source_id: one for one in map(_make, rows) if one.why.get("kind") == ALREADY_LINKED}


def sources_of(db: Database, integration: int, target_id: str) -> list[str]:
    """Return which records deliveries to another one were about, the latest first."""
    sql = "SELECT source_id FROM delivery WHERE integration = ? AND target_id = ? GROUP BY source_id ORDER BY max(id) DESC"
    return [str(row[0]) for row in db.read(sql, (integration, target_id))]


def open_by_record(db: Database, integration: int, source_ids: Sequence[str]) -> dict[str, list[Delivery]]:
    """Return the deliveries of these records that are not settled, oldest first, by source id."""
    found: dict[str, list[Delivery]] = {}
    for row in db.read(
        f"""SELECT {_COLUMNS} FROM delivery WHERE integration = ? AND source_id IN ({marks(len(source_ids))})
            AND state IN ('owed', 'sending', 'unknown', 'held', 'dead') ORDER BY id""",
        (integration, *source_ids),
    ):
        delivery = _make(row)
        found.setdefault(delivery.source_id, []).append(delivery)
    return found


def written_by(db: Database, integration: int, run: int, *, before: int = 0, limit: int) -> list[Delivery]:
    """Return what a run accepted and was delivered, newest first, `limit` at a time, before an id."""
    rows = db.read(
        f"""SELECT {_COLUMNS} FROM delivery WHERE integration = ? AND run = ? AND state = 'delivered' AND (? = 0 OR id < ?)
            AND id >= (SELECT first_delivery FROM run WHERE id = ?) ORDER BY id DESC LIMIT ?""",
        (integration, run, before, before, run, limit),
    )
    return [_make(row) for row in rows]


def replaced_by(db: Database, integration: int, run: int, oldest: int) -> Iterator[tuple[Delivery, bytes | None]]:
    """Yield what was delivered in a run, from one delivery on, and wrote over something.

    Each comes with what an earlier delivery of its record wrote, or may have written, that was not agreed when it was accepted: once for each of those.
    """
    columns = ", ".join(f"d.{column}" for column in _COLUMNS.split(", "))
    rows = db.read(
        f"""SELECT {columns}, e.changed FROM delivery AS d
            LEFT JOIN delivery AS e ON e.integration = d.integration AND e.source_id = d.source_id AND e.id < d.id AND e.settled_run >= d.run
            WHERE d.id >= ? AND +d.integration = ? AND d.settled_run = ? AND d.state = 'delivered' AND d.operation IN ('update', 'delete')
            ORDER BY d.id""",
        (oldest, integration, run),
    )
    return ((_make(row[:-1]), row[-1]) for row in rows)


def delivered_since(db: Database, integration: int, source_ids: Sequence[str], since: float) -> list[str]:
    """Return those of these records of which something has arrived since then."""
    rows = db.read(
        f"""SELECT DISTINCT source_id FROM delivery
            WHERE integration = ? AND source_id IN ({marks(len(source_ids))}) AND state = 'delivered' AND settled_at >= ?""",
        (integration, *source_ids, since),
    )
    return [row[0] for row in rows]


def updated_since(db: Database, integration: int, source_id: str, since: float) -> list[Delivery]:
    """Return the updates of a record's counterpart that have arrived since then, oldest first."""
    rows = db.read(
        f"""SELECT {_COLUMNS} FROM delivery
            WHERE integration = ? AND source_id = ? AND operation = 'update' AND state = 'delivered' AND settled_at >= ? ORDER BY id""",
        (integration, source_id, since),
    )
    return [_make(row) for row in rows]


def made_at(db: Database, integration: int, source_id: str) -> float | None:
    """Return when a record's counterpart was last made, by its creation; None when that is not known."""
    rows = db.read(
        """SELECT max(settled_at) FROM delivery WHERE integration = ? AND source_id = ? AND operation = 'create' AND state = 'delivered'""",
        (integration, source_id),
    )
    at: float | None = rows[0][0]
    return at


def owed_from(db: Database, id: int) -> float:
    """Return since when a delivery, or what it took the place of, is owed."""
    return float(db.read("SELECT coalesce(owed_since, accepted_at) FROM delivery WHERE id = ?", (id,))[0][0])


def may_be_made(db: Database, integration: int, source_ids: Sequence[str]) -> list[str]:
    """Return those of these records of which something is on its way, or may have been done."""
    return [
        row[0]
        for row in db.read(
            f"""SELECT DISTINCT source_id FROM delivery
                WHERE integration = ? AND source_id IN ({marks(len(source_ids))}) AND state IN ('sending', 'unknown')""",
            (integration, *source_ids),
        )
    ]


def get(db: Database, id: int) -> tuple[int, Delivery] | None:
    """Return (integration, delivery)."""
    rows = db.read(f"SELECT integration, {_COLUMNS} FROM delivery WHERE id = ?", (id,))
    return (rows[0][0], _make(rows[0][1:])) if rows else None


def get_many(db: Database, integration: int, ids: Sequence[int]) -> list[Delivery]:
    """Return deliveries of an integration by id; those that are there, in no order."""
    rows = db.read(f"SELECT {_COLUMNS} FROM delivery WHERE +integration = ? AND id IN ({marks(len(ids))})", (integration, *ids))
    return [_make(row) for row in rows]


def count_states(db: Database, integration: int) -> dict[str, int]:
    """Return how many deliveries are in each open state."""
    return dict(
        db.read(
            f"SELECT state, count(*) FROM delivery WHERE integration = ? AND {IS_OPEN} GROUP BY state",
            (integration,),
        )
    )


def balance(db: Database, integration: int) -> dict[str, int]:
    """Return how many accepted changes are in each state: the whole of promise 1."""
    return dict(db.read("SELECT state, count(*) FROM delivery WHERE integration = ? GROUP BY state", (integration,)))


def delivered(db: Database, integration: int) -> int:
    """Return how many deliveries ever arrived."""
    return int(db.read("SELECT delivered FROM integration WHERE id = ?", (integration,))[0][0])


def oldest_owed(db: Database, integration: int) -> float | None:
    """Return when the oldest change was accepted that has not arrived yet and is not waiting for a person.

    A later version of it that took its place makes it no younger.
    """
    rows = db.read(
        f"SELECT min(coalesce(owed_since, accepted_at)) FROM delivery WHERE integration = ? AND state IN ('owed', 'unknown') AND {IS_OPEN}",
        (integration,),
    )
    return rows[0][0] if rows else None


def next_due(db: Database, integration: int, now: float) -> float | None:
    """Return when the first of what is owed may be tried again; None when that is past, or nothing is owed."""
    rows = db.read(f"SELECT min(due_at) FROM delivery WHERE integration = ? AND state IN ('owed', 'unknown') AND {IS_OPEN}", (integration,))
    due_at = believed(rows[0][0] or 0.0, now, MOST_WAIT_SECONDS)
    return due_at if due_at > now else None


def on_their_way(db: Database, integration: int, first: int) -> tuple[int, float | None]:
    """Return how many deliveries a run that has not ended has on their way, and when the oldest was accepted; `first` is the run's."""
    number, since = db.read(
        "SELECT count(*), min(coalesce(owed_since, accepted_at)) FROM delivery WHERE +integration = ? AND state = 'sending' AND id >= ?",
        (integration, first),
    )[0]
    return number, since


def reason(kind: str, message: str, next_step: str = "", **more: Any) -> bytes:
    """Return the JSON of why a delivery is where it is."""
    return encode_json(
        {
            "kind": kind,
            "message": message,
            "next": next_step,
            **{key: value for key, value in more.items() if value is not None},
        }
    )


def _make(row: Row) -> Delivery:
    delivery = Delivery(*row)
    if delivery.state == "unknown" and (left := delivery.why.get("left")) is not None:
        delivery.left_at = float(left)
    if delivery.reason and '"refused"' in str(delivery.reason):
        delivery.refused = delivery.refused_before = delivery.why.get("refused", 0)
        if delivery.state not in ("sending", "unknown"):
            delivery.refused += delivery.refused % 2  # since then, whatever was on its way has arrived
    return delivery
