"""One call to the destination: what goes into it, and what its receipts say of each delivery."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tieline.dialects.dialect import Item, Receipt, System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.failures import Reaction, reaction_to
from tieline.engine.core.ledger import Ledger, about
from tieline.engine.deliver.confirming import Confirmed
from tieline.engine.intake.absence import lag_of
from tieline.engine.intake.late import lately_written
from tieline.engine.lookup.find_cache import Remembered
from tieline.model.errors import OutcomeUnknown, RemoteError, Untold
from tieline.model.records import Record, Values, decode_json
from tieline.store import outbox
from tieline.store.delivery import Delivery
from tieline.sync.perhaps import may_be
from tieline.sync.rewriting import is_rewriting, shown_late


class Answered(NamedTuple):
    """What became of the deliveries of a call."""

    confirmed: list[Confirmed]
    failed: list[tuple[Delivery, RemoteError]]
    unnamed: list[Delivery]
    """They went well, and the answer did not tell the id."""
    gone: list[Delivery]
    """They were to delete a record, and there is none."""
    others: list[tuple[Delivery, str]]
    """Creations that were answered with another record, of this id."""


class Calls:
    """Makes the calls of one integration."""

    def __init__(self, job: CompiledIntegration, target: System, ledger: Ledger, remembered: Remembered | None, *, store_id: str) -> None:
        """`store_id` makes idempotency keys unique."""
        self._job, self._target, self._ledger, self._remembered = job, target, ledger, remembered
        self._store_id = store_id

    def size(self, operation: str) -> int:
        """Return how many of an operation go in one call."""
        if self._is_conditional(operation) or self._job.goes_alone(operation):
            return 1
        sizes = self._job.target.batch
        if operation == "create" and self._job.upsert:
            operation = "upsert"
        return sizes.get(operation, 1)

    def _is_conditional(self, operation: str) -> bool:
        """Whether it is made on condition that no one was at the record: then each record goes alone."""
        return self._job.both_write and operation in self._job.target.conditional

    async def claim(self, chunk: Sequence[Delivery]) -> list[Delivery]:
        """Mark those that have waited as in doubt, before anything leaves; return those that a later version has replaced meanwhile."""
        again = [delivery for delivery in chunk if not delivery.fresh]
        if not again:
            return []
        owed = await self._ledger.commit(lambda connection: outbox.claim(connection, again))
        gone = [delivery for delivery in again if delivery.id not in owed]
        self._ledger.counts.superseded += sum(1 for delivery in gone if delivery.run == self._ledger.run)
        return gone

    async def write(self, operation: str, group: list[Delivery]) -> list[Receipt]:
        """Write deliveries in one call; return one receipt each, in order."""
        job, remembered = self._job, self._remembered
        # A creation that became an update of what was found there is another request: its key must not get the old answer.
        keyed = f"{self._store_id}-{operation}" if job.target.idempotency else None
        nest = job.nest
        items = [
            Item(
                nest(d.fields), d.target_id, _key(keyed, d) if keyed is not None else "", d.attempts + 1, True, d.version, d.fields,
                self._is_late(d) if operation == "update" and (job.target.merged_update or job.lists) else None,
                [target for target, _ in job.match] == [job.target.upsert],
                job.list_changes(d.fields, _before(d)) if job.changes_lists else {},
            )
            for d in group
        ]  # fmt: skip
        call = "upsert" if operation == "create" and job.upsert else operation
        if remembered is not None:
            await remembered.forget([(d.target_id, d.fields) for d in group])
        with about(deliveries=group):
            if self.size(operation) > 1:
                receipts = await self._target.write_many(job.target_resource, call, items)
            else:
                receipts = [await self._target.write(job.target_resource, call, items[0])]
        if remembered is not None:
            await remembered.forget([(d.target_id, d.fields) for d in group])
        return receipts

    def _is_another(self, delivery: Delivery) -> bool:
        """Whether a creation was answered with another record: the match key is another, and so is what tells records apart.

        A vendor that spells a key its own way shows the rest as it was sent.
        """
        job, shown = self._job, delivery.shown
        if shown is None or not job.match:
            return False
        theirs, ours = job.target_key(shown), delivery.match_key or job.target_key(job.nest(delivery.fields))
        if theirs is None or ours is None or theirs == ours:
            return False
        sent, says, keys = delivery.fields, job.project_written(shown), {target for target, _ in job.match}
        if all(is_rewriting(sent[key], says[key]) for key in keys if key in sent and key in says):
            return False
        return sent.keys().isdisjoint(says.keys() - keys) or not may_be(sent, says, keys)

    def _is_late(self, delivery: Delivery) -> Callable[[Record], str | None] | None:
        """Return what tells that a record is shown as it was before our last writes to it; None where there were none within the lag."""
        job, db = self._job, self._ledger.db
        since = self._ledger.clock.now() - lag_of(db, self._target, job.target_resource).ours
        writes = lately_written(db, self._ledger.integration, delivery.source_id, delivery.target_id, since)
        if not writes:
            return None
        lists = {address: one for address, one in job.list_changes(delivery.fields, _before(delivery)).items() if address in job.lists}
        merged = job.target.merged_update

        def late(record: Record) -> str | None:
            shown = job.project_target(record)
            for address, wanted in lists.items():
                if wanted.is_late([(was.get(address), now[address]) for was, now in writes if address in now], shown.get(address)):
                    return address
            plain = [(was, {address: value for address, value in now.items() if address not in job.lists}) for was, now in writes]
            return next(iter(shown_late(plain, shown)), None) if merged else None

        return late

    def read(self, operation: str, group: Sequence[Delivery], receipts: Sequence[Receipt]) -> Answered:
        """Tell apart what went well and what failed; attempts are counted."""
        answered, over_at, now = Answered([], [], [], [], []), self._ledger.clock.monotonic(), self._ledger.clock.now()
        for delivery, receipt in zip(group, receipts, strict=True):
            delivery.call, delivery.shown, delivery.answered_at, delivery.left_at = receipt.call, receipt.record, over_at, now
            # An earlier attempt may have added what is there now.
            delivery.found = dict(receipt.found) if delivery.attempts == 0 and not delivery.doubt else {}
            if receipt.error is None or reaction_to(receipt.error) is not Reaction.WAIT:
                delivery.attempts += 1
                delivery.tries += 1
            error = delivery.failure = receipt.error
            if _is_plain(error) and not delivery.doubt:
                delivery.refused += 1
            delivery.unnamed = (
                isinstance(error, OutcomeUnknown) and not isinstance(error, Untold) and error.status is not None and error.status < 300
            )
            if receipt.error is None and receipt.already and operation == "delete":
                answered.gone.append(delivery)
            elif operation == "create" and receipt.error is None and receipt.id is not None and self._is_another(delivery):
                answered.others.append((delivery, receipt.id))
            elif receipt.error is None and receipt.id is not None and not (receipt.already and operation == "create"):
                answered.confirmed.append((delivery, receipt.id, receipt.call))
            elif receipt.error is not None:
                answered.failed.append((delivery, receipt.error))
            else:
                delivery.already = receipt.already
                answered.unnamed.append(delivery)
        return answered


def _before(delivery: Delivery) -> Values:
    return decode_json(delivery.before) if delivery.before else {}


def _is_plain(error: RemoteError | None) -> bool:
    """Whether a write was answered so that nothing can have been done."""
    return error is not None and error.status is not None and not error.perhaps_done


def _key(prefix: str, delivery: Delivery) -> str:
    # Vendors refuse a key that comes with another body, or for another record: after a second look, either can differ.
    said = (delivery.changed or b"") + (delivery.target_id or "").encode()
    # Some vendors repeat a refusal under its key, for as long as they know that. While something may have been done, the key stays as it is; and
    # a refusal is asked about once more under its own: a network may have sent the write twice, and the other one may have been done.
    times = delivery.refused // 2
    again = f"-{times}" if times else ""
    return f"{prefix}-{delivery.id}-{zlib.crc32(said):x}{again}"
