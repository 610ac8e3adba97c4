"""What the sender asks of the links, and tells them: which record is which, and what both sides said when they last agreed.

`tieline.store.links` is one: a source record has a link, and the link knows its counterpart. Another may keep the same in another shape.
What is written here is written in the unit that settles the delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tieline.store.database import Database, Transaction
from tieline.store.delivery import Delivery
from tieline.store.links import Link

OnConfirmed = Callable[[Transaction, Sequence[tuple[Delivery, str]]], None]
"""Called within the unit that confirms deliveries, each with its target id, after what `Links` is told of them.

`Delivery.fields` has what was written, `shown` what the answer said. A unit that fails is tried again, each delivery in one of its own.
"""


class Links(Protocol):
    """The links of records, by integration."""

    def of_sources(self, db: Database, integration: int, source_ids: Sequence[str]) -> Mapping[str, Link]:
        """Return the links of these source records, by source id; those that are not known are left out."""

    def of_targets(self, db: Database, integration: int, target_ids: Sequence[str]) -> Mapping[str, Link]:
        """Return the links of these destination records, by target id: whose counterparts they are already."""

    def of_match_keys(self, db: Database, integration: int, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return {match key: source ids} of the source records that have one of these keys."""

    def kept(self, db: Database, integration: int, source_id: str) -> Mapping[str, bytes | None]:
        """Return the fields that a record's counterpart is to keep, with what it had there as JSON (None: nothing)."""

    def agree(
        self,
        connection: Transaction,
        integration: int,
        made: Sequence[tuple[str, str]],
        changed: Sequence[tuple[str, str, bytes]],
    ) -> None:
        """Record what was confirmed: (source id, target id) of records whose link holds the shadow already, and the target shadow of others.

        Raises `AlreadyLinked` when a target is already the counterpart of another source record.
        """

    def expect_more(self, connection: Transaction, integration: int, source_ids: Sequence[str]) -> None:
        """Note of records that have just been confirmed that a later version of them is on its way already."""

    def remove(self, connection: Transaction, integration: int, source_ids: Sequence[str]) -> None:
        """Forget links: their records are gone on both sides."""

    def set_aside(self, connection: Transaction, integration: int, source_id: str, verdict: str) -> None:
        """Set the verdict of a record of which a delivery was set aside: parked, held or unknown."""
