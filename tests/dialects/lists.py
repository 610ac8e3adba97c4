"""One list of a made-up vendor, read again and again while people edit: what does a reader know of it?"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tieline.config.models.connectors import Connector, Errors
from tieline.config.models.limits import BreakerPolicy, Timeouts
from tieline.dialects.dialect import Page, Since
from tieline.dialects.rest.system import RestSystem
from tieline.model.records import Record, decode_json, encode_json
from tieline.testing import Collection, FakeSystem, ManualClock, Network
from tieline.transport.caller import Account, Caller
from tieline.transport.recording import Keeping

STYLES = ["page", "offset", "cursor", "next_url", "link_header", "keyset", None]


class Reader:
    """A reader with a memory: its mark, and each record as it was last shown. `pages` and `requests` are those of the last read."""

    def __init__(
        self, collection: Collection, *, connector: Callable[[dict[str, Any]], None] = lambda declared: None, **habits: Any
    ) -> None:
        self.clock, self.collection = ManualClock(), collection
        self.system = FakeSystem("crm", self.clock, collection, **habits)
        self.network = Network(self.clock, self.system)
        described = self.system.connector()
        connector(described["resources"][collection.name])
        account = Account(
            name="crm", base_url=self.system.url, headers={}, secret_headers={"Authorization": f"Bearer {self.system.token}"}, secret_query={},
            limits=(), concurrency=1, timeouts=Timeouts(), most_bytes=2**20, errors=Errors(), mask=str, breaker=BreakerPolicy(),
            limit_headers=(), keeping=Keeping(lambda text, most: text[:most]),
        )  # fmt: skip
        caller = Caller(account, self.network.connect(), self.clock)
        self.rest = RestSystem("crm", Connector.model_validate(described), {}, caller)
        self.since: Since | None = None
        self.known: dict[str, Record] = {}
        self.pages: list[Page] = []
        self.requests = 0

    def read(self, *, strict: bool = False) -> list[str]:
        """Read once, and remember; return the ids that were shown, in order. Raises `RemoteError`."""
        before, self.pages = len(self.system.requests), []
        shown: list[str] = []
        since = self.since

        async def reading() -> None:
            nonlocal since
            async for page in self.rest.read(self.collection.name, self.since, strict=strict, deletions=True):
                self.pages.append(page)
                for id, record in zip(page.ids, page.records, strict=True):
                    assert id is not None
                    shown.append(id)
                    self.known[id] = record
                for id in page.deleted:
                    shown.append(id)
                    self.known.pop(id, None)
                for id in page.told or {}:
                    if id in self.known and (not self.collection.gets or await self.rest.get(self.collection.name, id) is None):
                        self.known.pop(id)
                since = page.since or since

        try:
            self.clock.run(reading())
        finally:
            self.requests = len(self.system.requests) - before
        self.since = since
        return shown

    def there(self) -> dict[str, Record]:
        """Return what the vendor has."""
        shown = {str(entry.id): self.collection.shown(entry) for entry in self.collection.entries.values() if not entry.deleted}
        there: dict[str, Record] = decode_json(encode_json(shown))
        return there

    def people(self, seed: int, rate: float, most: int = 40) -> None:
        """Have people edit while requests are under way, at most so often."""
        chance, left = random.Random(seed), most

        def passing(exchange: object) -> None:
            nonlocal left
            if left and chance.random() < rate:
                for _ in range(chance.randint(1, 3)):
                    left = max(0, left - 1)
                    self.edit(chance)

        self.network.passing = passing

    def rest_now(self) -> None:
        """No one edits any more."""
        self.network.passing = lambda exchange: None

    def edit(self, chance: random.Random) -> None:
        """Add, change or remove a record."""
        ids = [record["id"] for record in self.collection.records]
        what = chance.random()
        if not ids or what < 0.35:
            self.collection.add(name=chance.randint(0, 10**9))
        elif what < 0.6:
            self.collection.remove(chance.choice(ids))
        else:
            self.collection.change(chance.choice(ids), name=chance.randint(0, 10**9))
