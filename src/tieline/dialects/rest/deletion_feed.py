"""A list, and the feed in which the vendor tells of deletions apart from it.

The list is read first, the feed after it, so that a record which the list has shown and which was deleted meanwhile is known by the time its
deletion is told. What is deleted later still, the next read is told: the feed has a mark of its own, which moves as that of a list does, and
never by what the list has shown. It travels with the list's mark, and moves only with the last page, once all of the feed was told.

A feed tells of what happened, not of what is: it says it again as long as the next read reaches back, and a record may have been made again
under its id. So whoever is told asks the system; where no one can be asked, what the list has just shown is there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from tieline.dialects.dialect import Page, Since
from tieline.dialects.rest.listing import ListReader, Place


async def read_with_deleted(listing: Place, feed: Place, since: Since | None, *, strict: bool, asked: bool) -> AsyncIterator[Page]:
    """Yield the pages of the list, and then those of the feed. Raises `RemoteError`; never ends early without one.

    `asked`: the system can be asked for what was told. Without a mark of this very feed, all of it is told.
    """
    fingerprint = feed.of
    before = since.deleted if since is not None and since.deleted is not None and since.deleted.of == fingerprint else None
    last, number = since, 0
    shown: set[str | None] = set()
    async for page in ListReader(listing, since, strict=strict).pages():
        number = page.number
        if page.since is not None:
            page.since = last = msgspec.structs.replace(page.since, deleted=before)
        if not asked:
            shown.update(page.ids)
        yield page
    mark: Since | None = None
    contradicted = False
    async for page in ListReader(feed, before, strict=True).pages():
        mark = page.since or mark
        told = {id: into for id, into in (page.told or {}).items() if id not in shown}
        contradicted = contradicted or len(told) < len(page.told or {})
        yield Page(number + page.number, [], [], [], unreadable=page.unreadable, told=told)
    mark = mark or before or Since()  # also that there is a feed: once it is taken out, only a whole read tells of deletions
    if not contradicted:  # a list that lags behind may show what was deleted: then it is to be told again
        yield Page(
            number, [], [], [], msgspec.structs.replace(last or Since(), deleted=msgspec.structs.replace(mark, of=fingerprint)), told={}
        )
