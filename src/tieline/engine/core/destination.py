"""Where decided deliveries go: to the sender, or, for a plan, nowhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from tieline.model.errors import TielineError
from tieline.store.delivery import Delivery


class Destination(Protocol):
    """Where decided deliveries go: the sender, or nowhere for a plan."""

    halted: TielineError | None
    overtaken: list[Delivery]

    def expect(self, source_ids: Collection[str]) -> None:
        """Know of records of which something is on its way that another delivery follows: it is put once it is durable."""

    async def put(self, deliveries: Sequence[Delivery]) -> None:
        """Hand over deliveries that are durable."""

    def flush(self) -> None:
        """Send part-filled batches too."""

    def halt(self, why: TielineError) -> None:
        """Send nothing more."""

    async def drain(self, patience_seconds: float | None = None, *, more: bool = False) -> bool:
        """Wait until everything is settled or owed; return whether it is. With `more`, more is handed over afterwards."""

    async def close(self) -> None:
        """Stop."""


class Nowhere:
    """The destination of a plan: the outbox is the end."""

    halted: TielineError | None = None

    def __init__(self) -> None:
        self.overtaken: list[Delivery] = []

    def expect(self, source_ids: Collection[str]) -> None:
        """Nothing is on its way."""

    async def put(self, deliveries: Sequence[Delivery]) -> None:
        """Leave them in the outbox."""

    def flush(self) -> None:
        """Nothing waits."""

    def halt(self, why: TielineError) -> None:
        """Nothing is sent anyway."""
        self.halted = why

    async def drain(self, patience_seconds: float | None = None, *, more: bool = False) -> bool:
        """Nothing waits."""
        return True

    async def close(self) -> None:
        """Nothing runs."""
