"""What the decisions about some pairs lead to, until it is durable: pairs as they are now, deliveries to either side, what is set aside.

What it is to lead to is decided by `engine.decide.deciding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tieline.engine.core.ledger import Ledger, tell_set_aside
from tieline.model.records import decode_json
from tieline.store import journal, links, outbox, pairs, staged
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery
from tieline.store.pairs import SIDES, Pair, Side


class Decided:
    """Decisions of one commit. `ledgers` are by the side whose changes they are about."""

    def __init__(self, ledgers: Mapping[Side, Ledger]) -> None:
        self._ledgers = ledgers
        self.pairs: list[Pair] = []
        self.removed: list[int] = []
        """Pairs, by their own ids, that are no more."""
        self.taken: dict[Side, list[str]] = {side: [] for side in SIDES}
        """What need not wait any more."""
        self.waits: dict[Side, list[str]] = {side: [] for side in SIDES}
        """What is to be looked at again by the next run."""
        self.deliveries: dict[Side, list[Delivery]] = {side: [] for side in SIDES}
        """By the side whose changes they are; those of the left go to the right."""
        self.written: list[tuple[str, str]] = []
        """(Left id, strand) of what is written, and so not kept apart any more."""
        self.let_differ: list[tuple[str, str]] = []
        """(Left id, strand) in which both sides say different things, and are to."""
        self.superseded: list[int] = []
        """Deliveries in whose place others came."""
        self.events: list[journal.Event] = []

    def send(self, side: Side, delivery: Delivery, opens: Sequence[Delivery] = ()) -> None:
        """Queue a write to the other side; what is owed of the record already says how patient it has to be."""
        for earlier in opens:
            if earlier.state in ("owed", "unknown"):
                delivery.attempts, delivery.due_at = max(delivery.attempts, earlier.attempts), max(delivery.due_at, earlier.due_at)
        self.deliveries[side].append(delivery)
        self._ledgers[side].counts.read += 1  # what became of it is counted when it is known

    def set_aside(self, side: Side, id: str, state: str, why: bytes, record: bytes | None, opens: Sequence[Delivery]) -> None:
        """Let a record of a side have a dead letter, unless it has this very one already; anything else that was open of it is done with."""
        counts = self._ledgers[side].counts
        counts.read += 1
        if state == "held":
            counts.held += 1
        else:
            counts.parked += 1
        reason = decode_json(why)
        same = next((one for one in opens if one.operation == "none" and one.state == state and _cause(one.why) == _cause(reason)), None)
        self.superseded += [one.id for one in opens if one is not same]
        if same is None:
            self.deliveries[side].append(Delivery(0, id, None, "none", state, 0, 0.0, record=record, reason=why))

    def note(self, side: Side, id: str, kind: str, **detail: Any) -> None:
        """Note what happened to a record of a side."""
        self.events.append(self._ledgers[side].event(id, kind, **detail))

    def all_deliveries(self) -> list[Delivery]:
        """Return what is to be sent or set aside, to either side."""
        return [delivery for side in SIDES for delivery in self.deliveries[side]]

    async def commit(self, integration: int) -> dict[Side, list[Delivery]]:
        """Make it durable, in one commit; return what is to be sent, by the side whose changes they are."""
        first = self._ledgers["left"]
        now, run = first.clock.now(), first.run
        everything = self.all_deliveries()
        # What is set aside comes first: a write that is refused would otherwise seem to be followed by a later version.
        everything.sort(key=lambda delivery: delivery.state == "sending")
        start = first.ids("delivery", len(everything)) if everything else 0
        for number, delivery in enumerate(everything, start):
            delivery.id, delivery.run, delivery.accepted_at = number, run, now
            if delivery.state not in ("sending", "owed"):
                delivery.settled_at, delivery.settled_run = now, run

        def unit(connection: Transaction) -> None:
            since = {side: self._owed_since(connection, side) for side in SIDES}
            pairs.remove(connection, self.removed)
            pairs.put(connection, self.pairs)
            for side in SIDES:
                staged.take(connection, integration, side, self.taken[side])
                staged.put(connection, integration, side, run, now, [(id, "held", None) for id in self.waits[side]])
            links.keep(connection, integration, [(left_id, strand, None) for left_id, strand in self.let_differ])
            links.keep_no_more(connection, integration, self.written)
            outbox.supersede_these(connection, self.superseded, run=run, now=now)
            for side in SIDES:
                outbox.queue(connection, self._ledgers[side].integration, run, now, self.deliveries[side])
                outbox.inherit_age(connection, [one for one in self.deliveries[side] if one.state == "sending"], since[side])
            journal.note(connection, [event._replace(at=now) for event in self.events])

        await first.commit(unit)
        for side in SIDES:
            for delivery in self.deliveries[side]:
                if delivery.state in ("dead", "held"):
                    tell_set_aside(self._ledgers[side], delivery)
        return {side: [delivery for delivery in self.deliveries[side] if delivery.state == "sending"] for side in SIDES}

    def _owed_since(self, connection: Transaction, side: Side) -> dict[str, float]:
        """Return since when something of these records has been owed: to decide it again makes it no younger."""
        ids = [delivery.source_id for delivery in self.deliveries[side] if delivery.state == "sending"]
        if not self.superseded or not ids:
            return {}
        return outbox.owed_since(connection, self._ledgers[side].integration, ids, states=("owed", "unknown"))


def _cause(why: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes two reasons the same: a person has read it, and need not read it again."""
    strands = tuple(why.get("strands", ()))
    says = (why.get("left"), why.get("right")) if strands else why.get("message")  # how it came to be is told once
    return why.get("kind"), strands, says, why.get("ruling")
