"""What a destination has confirmed becomes durable: the delivery, its link, what both sides agree on, all in one commit."""

from __future__ import annotations

from collections.abc import Sequence

from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.ledger import Ledger
from tieline.engine.core.linked import Links, OnConfirmed
from tieline.model.records import decode_json, encode_json
from tieline.store import outbox, spellings
from tieline.store.database import Transaction
from tieline.store.delivery import Delivery
from tieline.store.links import note_own_entries
from tieline.store.spellings import Spelled
from tieline.sync.rewriting import answered

Confirmed = tuple[Delivery, str, int | None]
"""A delivery, the id of the record that it wrote, and the call that told so."""


class Confirmer:
    """Commits what was confirmed, and counts it."""

    def __init__(self, job: CompiledIntegration, ledger: Ledger, links: Links, on_confirmed: OnConfirmed | None) -> None:
        self._job, self._ledger, self._links, self._on_confirmed = job, ledger, links, on_confirmed
        self._spells = on_confirmed is None and spellings.is_any(ledger.db, ledger.integration)
        """Whether anything is known already of how the destination spells what it is sent."""

    async def commit(self, batch: Sequence[Confirmed], followed: Sequence[str], may_leave: int) -> None:
        """Confirm deliveries; of the records in `followed` a later version is on its way. Deliveries up to `may_leave` may leave from then on.

        Raises `AlreadyLinked` when a target is already the counterpart of another source record: none of them is confirmed then.
        """
        ledger, links, now = self._ledger, self._links, self._ledger.clock.now()
        integration, run, on_confirmed = ledger.integration, ledger.run, self._on_confirmed
        settled: list[tuple[int, int | None, int]] = []
        made: list[tuple[str, str]] = []
        changed: list[tuple[str, str, bytes]] = []
        deleted: list[str] = []
        for delivery, target_id, call in batch:
            settled.append((delivery.id, call, delivery.attempts))
            if delivery.operation == "delete":
                deleted.append(delivery.source_id)
            elif delivery.shadowed:
                made.append((delivery.source_id, target_id))
            else:
                changed.append((delivery.source_id, target_id, self.agreed(delivery)))

        found = [(d.source_id, address, entries) for d, _, _ in batch for address, entries in d.found.items() if address in self._job.lists]
        learned, plain = self._spellings(batch) if on_confirmed is None else ((), ())

        def unit(connection: Transaction) -> None:
            outbox.confirm(connection, settled, run=run, now=now)
            outbox.may_leave(connection, integration, run, may_leave)
            links.agree(connection, integration, made, changed)
            if followed:
                links.expect_more(connection, integration, followed)
            if deleted:
                links.remove(connection, integration, deleted)
            if plain:
                spellings.forget(connection, integration, plain)
            if learned:
                spellings.learn(connection, integration, learned)
            if found:
                note_own_entries(connection, integration, found)
            if on_confirmed is not None:
                on_confirmed(connection, [(delivery, target_id) for delivery, target_id, _ in batch])

        await ledger.commit(unit)
        counts = ledger.counts
        for delivery, target_id, _ in batch:
            delivery.target_id = target_id
            if delivery.run != run:
                counts.carried_delivered += 1
            elif delivery.operation == "create" or delivery.made:
                counts.created += 1
            elif delivery.operation == "delete":
                counts.deleted += 1
            else:
                counts.updated += 1

    def _spellings(self, batch: Sequence[Confirmed]) -> tuple[list[Spelled], list[tuple[str, str]]]:
        """Return how answers spell what was written otherwise than it was sent, and (source id, address) of what they show as it was sent."""
        learned: list[Spelled] = []
        plain: list[tuple[str, str]] = []
        for delivery, _target, _call in batch:
            if delivery.shown is None or delivery.operation == "delete":
                continue
            shown, written = self._job.project_written(delivery.shown), delivery.fields
            if self._job.lists:  # they show the entries of others, too
                written = {address: value for address, value in written.items() if address not in self._job.lists}
            if written.items() <= shown.items() and not self._spells:  # the common case: it says what it was sent
                continue
            before = decode_json(delivery.before) if delivery.before else {}
            differs, untaken = answered(written, before, shown)
            learned += [
                Spelled(delivery.source_id, a, encode_json(written[a]), encode_json(value), a not in untaken)
                for a, value in differs.items()
            ]
            if self._spells:
                plain += [(delivery.source_id, a) for a in written if a in shown and a not in differs]
        self._spells = self._spells or bool(learned)
        return learned, plain

    def agreed(self, delivery: Delivery) -> bytes:
        """Return the destination's shadow once this is delivered."""
        if delivery.agreed is None:
            link = self._links.of_sources(self._ledger.db, self._ledger.integration, [delivery.source_id]).get(delivery.source_id)
            before = decode_json(link.target_shadow) if link and link.target_shadow else {}
            kept = self._links.kept(self._ledger.db, self._ledger.integration, delivery.source_id)
            # What the destination keeps was sent along with the whole record: agreed is still what the source says.
            delivery.agreed = encode_json({**before, **{a: value for a, value in delivery.fields.items() if a not in kept}})
        return delivery.agreed
