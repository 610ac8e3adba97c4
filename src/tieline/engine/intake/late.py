"""Reads that are behind our own writes: what we have written lately, by which an older copy of a record is known.

Vendors answer reads from several copies. One that has shown a write already may still be followed by one that has not.
"""

from __future__ import annotations

from tieline.model.records import Values, decode_json
from tieline.store import outbox
from tieline.store.database import Database


def lately_written(db: Database, integration: int, source_id: str, target_id: str | None, since: float) -> list[tuple[Values, Values]]:
    """Return (what its fields said before, what was written) of every update of a record that has arrived since then, oldest first.

    An integration is that by which writes to the record are owed; `source_id` is its counterpart.
    """
    return [
        (decode_json(delivery.before) if delivery.before else {}, delivery.fields)
        for delivery in outbox.updated_since(db, integration, source_id, since)
        if delivery.target_id == target_id
    ]
