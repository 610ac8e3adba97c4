"""Asking a system for records by their ids, as many at a time as it takes; the journal knows which call was about which record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from tieline.dialects.dialect import System
from tieline.engine.ledger import about
from tieline.model.errors import AnotherRecord, Forbidden, Rejected, RemoteError
from tieline.model.records import Record
from tieline.model.tasks import side_by_side

ABOUT_ONE: Final = (AnotherRecord, Rejected, Forbidden)
"""Failures that may be about the one record that was asked for."""


def _none_pass(id: str, error: RemoteError) -> bool:
    return False


async def ask_for(
    system: System, resource: str, ids: Iterable[str], *, passes: Callable[[str, RemoteError], bool] = _none_pass
) -> dict[str, Record | None]:
    """Return what is there, by the id that was asked for: of a record that was merged into another, that one; None where there is none.

    Raises `RemoteError`, but for one that `passes`: nobody knows whether its record is there, and it is left out.
    """
    gate, wanted = asyncio.Semaphore(system.concurrency), list(dict.fromkeys(ids))

    async def ask(id: str) -> tuple[str, Record | None] | None:
        async with gate:
            with about(records=[id]):
                try:
                    return id, await system.get(resource, id)
                except RemoteError as error:
                    if not passes(id, error):
                        raise
                    return None

    return dict(answer for answer in await side_by_side(map(ask, wanted)) if answer is not None)
