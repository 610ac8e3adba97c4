"""A delivery: one write that was decided, and what is known of it while it is on its way."""

from __future__ import annotations

from typing import Any

import msgspec

from tieline.model.errors import RemoteError
from tieline.model.records import decode_json


class Delivery(msgspec.Struct, gc=False):
    """One write that is owed."""

    id: int
    source_id: str
    target_id: str | None
    operation: str
    state: str
    run: int
    accepted_at: float
    changed: bytes | None = None
    before: bytes | None = None
    record: bytes | None = None
    attempts: int = 0
    due_at: float = 0.0
    settled_at: float | None = None
    settled_run: int | None = None
    call: int | None = None
    reason: bytes | str | None = None
    undoes: int | None = None
    """The delivery that it puts back."""

    agreed: bytes | None = None
    """Not stored here: the destination's shadow once this is delivered."""
    doubt: bool = False
    """Not stored: it may have been done already."""
    inherited: bool = False
    """Not stored: what may have been done was an earlier version's creation, under a key of its own."""
    fresh: bool = False
    """Not stored: decided by this run, and in state `sending` since its commit."""
    behind: bool = False
    """Not stored: when this was decided, an earlier delivery of its record was on its way."""
    shadowed: bool = False
    """Not stored: its link holds the destination's shadow already."""
    values: dict[str, Any] | None = None
    """Not stored: `changed`, decoded."""
    source: dict[str, Any] | None = None
    """Not stored: the source record."""
    match_key: str | None = None
    """Not stored: the record's match key."""
    tries: int = 0
    """Not stored: attempts in this run."""
    already: bool = False
    """Not stored: the destination said to its creation that the record is there."""
    unnamed: bool = False
    """Not stored: the destination said to its last attempt that it was done, and not what."""
    made: bool = False
    """Not stored: an update of what a creation of its own, whose answer was lost, has made already."""
    adopted: dict[str, Any] | None = None
    """Not stored: what the record says that was found in place of one that would have been made."""
    version: str | None = None
    """Not stored, because what a run leaves owed is decided again: as JSON, the version that the counterpart must still have."""
    shown: dict[str, Any] | None = None
    """Not stored: the record as the answer of the write showed it, where someone wants to know."""
    found: dict[str, list[Any]] = {}
    """Not stored: entries that it was to add to lists and that others had put there, by address."""
    takes_away: bool = False
    """Not stored: it deletes or archives the record."""
    refused: int = 0
    """How often it was refused plainly, and not done: each try after that has another idempotency key. Kept with the reason."""
    refused_before: int = 0
    """Not stored: the same, as the store knows it."""
    left_at: float | None = None
    """Of one in doubt: when its last attempt was over, in seconds since 1970 (UTC); None where that is not known. Kept with the reason."""
    failure: RemoteError | None = None
    """Not stored: what its last attempt in this run met."""
    answered_at: float | None = None
    """Not stored: when its last attempt in this run was over, by the clock that is never set; None when there was none."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields to be written, by address."""
        if self.values is None:
            self.values = decode_json(self.changed) if self.changed else {}
        return self.values

    @property
    def why(self) -> dict[str, Any]:
        """Why it is held, dead, superseded or still owed."""
        return decode_json(self.reason) if self.reason else {}
