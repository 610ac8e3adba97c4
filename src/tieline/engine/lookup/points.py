"""From where a system is read: from the point that the last read left, or from the beginning where that means nothing any more.

A point belongs to the declaration that it was made with: when that says something else now, or asks for no changes at all, everything is
read, so that no deletion is lost. And a vendor may say that a point is too old: then everything is read too, in the same run.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable

from tieline.dialects.dialect import Page, Since, System, anew
from tieline.engine.core.ledger import Ledger
from tieline.model.errors import Expired
from tieline.store import journal


def begin(system: System, resource: str, since: Since | None, ledger: Ledger, *, whole: bool) -> Since | None:
    """Return the point from which to read; `whole`: everything is wanted anyway."""
    if system.holds(resource, since):
        return anew(since) if whole else since
    ledger.counts.redeclared += 1
    return anew(since)


def left_by(last: Since | None, ledger: Ledger) -> Since | None:
    """Return the point that a read leaves, which gave `last`; None: the one before stays. One that means nothing any more does not stay."""
    return Since() if last is None and (ledger.counts.redeclared or ledger.counts.expired) else last


async def read_from(
    since: Since | None,
    read: Callable[[Since | None], AsyncGenerator[list[Page], None]],
    from_the_beginning: Callable[[Since | None], None],
    ledger: Ledger,
) -> AsyncGenerator[list[Page], None]:
    """Yield pages from a point on; when it has expired, tell so, and yield all of them. Raises `RemoteError`."""
    try:
        async with contextlib.aclosing(read(since)) as pages:
            async for together in pages:
                yield together
        return
    except Expired as expired:
        since = None if expired.feed else anew(since)
        ledger.counts.expired += 1
        event = ledger.event(None, "read whole", why=str(expired))
    await ledger.commit(lambda connection: journal.note(connection, [event]))
    from_the_beginning(since)
    async with contextlib.aclosing(read(since)) as pages:
        async for together in pages:
            yield together
