"""What a page of records leads to, until it is durable: links, deliveries, what is set aside, and how many of each.

What it is to lead to is decided by `engine.decide.pipeline` and `engine.decide.deletions`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from tieline.engine.core.ledger import Ledger
from tieline.model.records import Record, Values, encode_json
from tieline.store import inbox, journal, links, outbox, runs
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery
from tieline.store.links import Link

SET_ASIDE = ("queued", "parked", "held", "unknown", "waiting", "deleted")
"""Verdicts of records that may have an open delivery, which a later version supersedes."""


class Change(msgspec.Struct, gc=False):
    """A record that is not what it was, on its way through the page."""

    source_id: str
    record: Record
    shadow: bytes
    link: Link | None = None
    values: Values = {}
    key: str | None = None
    target_shadow: bytes | None = None


class Page:
    """What a page leads to; `unit` makes it durable."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.deliveries: list[Delivery] = []
        self.events: list[journal.Event] = []
        self.reopened: list[str] = []
        self.gone: list[str] = []
        """Records that are not in the source any more."""
        self.parted: list[str] = []
        """Records whose counterparts are not there any more."""
        self.seen: list[tuple[str, bytes]] = []
        """What counterparts were seen to say."""
        self.kept: list[tuple[str, str, bytes | None]] = []
        """(Source id, field, what it says as JSON) of what counterparts are to keep."""
        self.own: list[tuple[str, str, list[Any]]] = []
        """(Source id, list, entries) of what others have put into lists of counterparts."""
        self.kept_no_more: list[tuple[str, str]] = []
        """(Source id, field) of what is written, and so not kept any more."""
        self.heard: int | None = None
        """Up to which event of the inbox all is taken up with this."""
        self.ids: AbstractSet[str] = frozenset()
        self.keys: AbstractSet[str | None] = frozenset()
        self.read = self.pages = self.repeated = 0
        self.unchanged = self.filtered = self.held = self.parked = self.owed = self.matched = self.apart = 0

    @property
    def changes_nothing(self) -> bool:
        """Whether there is nothing to make durable: what is unchanged is only counted."""
        return not (self.links or self.gone or self.reopened or self.deliveries or self.events) and self.heard is None

    def create(self, change: Change) -> None:
        """Queue the creation of a record that neither side has met: nothing of it is under way, set aside, or there already."""
        changed = encode_json(change.values)
        self.links.append(Link(change.source_id, None, change.key, change.shadow, changed, "queued"))
        self.deliveries.append(
            Delivery(
                0, change.source_id, None, "create", "sending", 0, 0.0,
                changed=changed, agreed=changed, shadowed=True, values=change.values, source=change.record, match_key=change.key, fresh=True,
            )
        )  # fmt: skip

    def hold(self, change: Change, kind: str, message: str, next_step: str, *, verdict: str = "held", **more: Any) -> None:
        """Let a person, or what it waits for, decide about a record."""
        self.held += 1
        self.set_aside(change, "held", verdict, outbox.reason(kind, message, next_step, **more))

    def park(self, change: Change, why: bytes) -> None:
        """Set a record aside that can't be written as it is."""
        self.parked += 1
        self.set_aside(change, "dead", "parked", why)

    def owe(self, change: Change, why: bytes) -> None:
        """Leave a record undecided: a later run asks again."""
        self.owed += 1
        self.set_aside(change, "owed", "waiting", why)

    def set_aside(self, change: Change, state: str, verdict: str, why: bytes) -> None:
        """Let a record have a delivery that does not leave, in this state, and for this reason."""
        link = change.link
        if link is not None:
            self.reopened.append(change.source_id)
            if link.verdict == "unknown" and link.target_id is None:
                verdict = "unknown"  # a later version must not forget that an earlier one may have been made
        self.links.append(Link(change.source_id, None, change.key, change.shadow, None, verdict))
        self.deliveries.append(
            Delivery(
                0, change.source_id, link.target_id if link else None, "none", state, 0, 0.0,
                changed=encode_json(change.values) if change.values else None, record=encode_json(change.record), reason=why,
            )
        )  # fmt: skip

    def unit(self, ledger: Ledger, now: float, cursor: str | None) -> Callable[[Transaction], None]:
        """Return what makes all of it durable, and the cursor with it if there is one."""
        integration, run = ledger.integration, ledger.run

        def commit(connection: Transaction) -> None:
            if self.parted:
                links.part(connection, integration, self.parted)
            if self.seen:
                links.see(connection, integration, self.seen)
            if self.kept:
                links.keep(connection, integration, self.kept)
            if self.own:
                links.note_own_entries(connection, integration, self.own)
            if self.kept_no_more:
                links.keep_no_more(connection, integration, self.kept_no_more)
            if self.links:
                links.put(connection, integration, run, self.links)
            if self.gone:
                links.judge(connection, integration, self.gone, "deleted")
            since: dict[str, float] = {}
            if self.reopened:
                since = outbox.owed_since(connection, integration, self.reopened)
                outbox.supersede(connection, integration, self.reopened, run=run, now=now)
            if self.deliveries:
                outbox.queue(connection, integration, run, now, self.deliveries)
                if since:
                    outbox.inherit_age(connection, self.deliveries, since)
            if self.events:
                journal.note(connection, [event._replace(at=now) for event in self.events])
            if cursor is not None:
                runs.move_cursor(connection, integration, cursor)
            if self.heard is not None:
                inbox.move(connection, integration, self.heard)

        return commit


def delivery_of(source_id: str, operation: str, target_id: str | None, write: Values, before: Values, agreed: Values) -> Delivery:
    """Return a delivery that writes these fields over what was there `before`, after which both sides have `agreed`."""
    replaced = {address: before[address] for address in write if address in before} if before else None
    changed = encode_json(write)
    return Delivery(
        0, source_id, target_id, operation, "sending", 0, 0.0,
        changed=changed, before=encode_json(replaced) if replaced else None,
        agreed=changed if agreed is write else encode_json(agreed), values=write, fresh=True,
    )  # fmt: skip
