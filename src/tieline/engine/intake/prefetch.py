"""Reading ahead: a slow source is never waited for with what has come, a fast one gives few large commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from tieline.dialects.decoding import Unreadable
from tieline.dialects.dialect import Page
from tieline.model.records import Record

_RECORDS_AHEAD = 3000
_RECORDS_TOGETHER = 1000


class Taken:
    """Pages that are taken together."""

    def __init__(self) -> None:
        self.pages = 0
        self.records: list[Record] = []
        self.ids: list[str | None] = []
        self.deleted: list[str] = []
        self.merged: dict[str, str] = {}
        self.told: dict[str, str | None] = {}
        """What a feed of deletions has told of."""
        self.unreadable: list[Unreadable] = []

    def add(self, page: Page) -> None:
        """Add a page."""
        self.pages += 1
        if self.deleted and not {*self.deleted}.isdisjoint(page.ids):
            self.deleted = [id for id in self.deleted if id not in page.ids]  # it is there again
        self.records += page.records
        self.ids += page.ids
        self.deleted += page.deleted
        self.merged |= page.merged
        self.unreadable += page.unreadable
        self.told |= page.told or {}


async def ahead(pages: AsyncIterator[Page], idle: Callable[[], Awaitable[None]]) -> AsyncGenerator[list[Page], None]:
    """Yield the pages that have come while the last ones were dealt with; call `idle` when the next takes long.

    A fast source so gets few large commits, a slow one is never waited for. Not many more than `_RECORDS_AHEAD` are held.
    """
    queue: asyncio.Queue[Page | BaseException | None] = asyncio.Queue()
    held, room = 0, asyncio.Event()

    async def fetch() -> None:
        nonlocal held
        try:
            async for page in pages:
                queue.put_nowait(page)
                held += 1 + len(page.records)
                while held > _RECORDS_AHEAD:
                    room.clear()
                    await room.wait()
        except Exception as error:  # noqa: BLE001 - raised again where the pages are used
            queue.put_nowait(error)
        else:
            queue.put_nowait(None)

    fetching = asyncio.create_task(fetch())
    try:
        entry: Page | BaseException | None
        while True:
            if queue.empty():
                waiting = asyncio.ensure_future(queue.get())
                while not (await asyncio.wait({waiting}, timeout=1.0))[0]:
                    await idle()
                entry = waiting.result()
            else:
                entry = queue.get_nowait()
            together: list[Page] = []
            while isinstance(entry, Page):
                together.append(entry)
                held -= 1 + len(entry.records)
                room.set()
                if queue.empty() or sum(len(page.records) for page in together) >= _RECORDS_TOGETHER:
                    break
                entry = queue.get_nowait()
            if together:
                yield together
            if isinstance(entry, BaseException):
                raise entry
            if entry is None:
                return
    finally:
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
