"""Asking a system for records by their ids, as many at a time as it takes; the journal knows which call was about which record.

What is refused for one record says nothing about the others: they are asked for all the same. Of a record that is refused no one knows whether it
is there, so nothing is decided about it; many in a row are hardly the records' doing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from tieline.dialects.dialect import System
from tieline.engine.core.ledger import about
from tieline.model.errors import Forbidden, Rejected, RemoteError, Undecodable
from tieline.model.records import Record
from tieline.model.tasks import side_by_side

ABOUT_ONE: Final = (Undecodable, Rejected, Forbidden)
"""Failures that may be about the one record that was asked for."""


MOST_REFUSED: Final = 10
"""So many refusals in a row, without an answer in between, are laid at the system's door."""


async def ask_for(
    system: System, resource: str, ids: Iterable[str], *, refused: dict[str, RemoteError] | None = None, most: int | None = MOST_REFUSED
) -> dict[str, Record | None]:
    """Return what is there, by the id that was asked for: of a record that was merged into another, that one; None where there is none.

    Failures that may be about one record are put into `refused`, by its id, at most `most` in a row; the record is left out of what is
    returned. Raises `RemoteError` for all others, and for those as well where no one wants to know them.
    """
    gate, wanted, in_a_row = asyncio.Semaphore(system.concurrency), list(dict.fromkeys(ids)), 0

    async def ask(id: str) -> tuple[str, Record | None] | None:
        nonlocal in_a_row
        async with gate:
            with about(records=[id]):
                try:
                    record = await system.get(resource, id)
                except ABOUT_ONE as error:
                    if refused is None or (most is not None and in_a_row >= most):
                        raise
                    in_a_row += 1
                    refused[id] = error
                    return None
        in_a_row = 0
        return id, record

    return dict(answer for answer in await side_by_side(map(ask, wanted)) if answer is not None)
