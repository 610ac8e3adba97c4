"""What connections may still call, kept in the project's store and shared by all processes that use it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from tieline.store import state
from tieline.store.database import Database, Transaction
from tieline.transport.limits.rate_budget import Allowance

T = TypeVar("T")
KIND = "budget"


class KeptAllowances:
    """Allowances as rows of the store's `state`. The store is opened when it is first needed."""

    def __init__(self, open_store: Callable[[], Database], is_there: Callable[[], bool]) -> None:
        self._open_store, self._is_there = open_store, is_there

    def peek(self, name: str) -> Allowance | None:
        """Return what is kept, as committed."""
        if not self._is_there():
            return None  # looking makes no store
        with contextlib.suppress(msgspec.ValidationError):
            return state.peek(self._open_store(), KIND, name, Allowance)
        return None

    async def change(self, name: str, change: Callable[[Allowance], T]) -> T:
        """Apply a change in a unit of the store. It may be done twice, when another unit of the same commit fails: the first is undone."""

        def unit(connection: Transaction) -> T:
            kept = None
            with contextlib.suppress(msgspec.ValidationError):  # a time without end, as an earlier version may have kept it: learned afresh
                kept = state.get(connection, KIND, name, Allowance)
            kept = kept or Allowance()
            result = change(kept)
            state.put(connection, KIND, name, kept)
            return result

        return await self._open_store().commit(unit)
