"""Webhooks of one connection: verified, read, and durable in the inbox before the vendor is told so.

What they lead to is the runs' work (`engine.intake.webhook_events`). Of what is not verified nothing is kept but that it came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tieline.config.models.connectors import Connector
from tieline.dialects.handshakes import Handshakes, Reply
from tieline.dialects.webhooks import Event, Incoming, Reader, Unusable, Unverified, verifier
from tieline.model import events
from tieline.model.clock import Clock
from tieline.model.errors import StoreError
from tieline.store import inbox
from tieline.store.database import Database, Transaction


class Received(NamedTuple):
    """What became of the events of one request."""

    accepted: int
    repeated: int
    ignored: int
    unusable: int


class Receiving:
    """Takes the webhooks of a connection."""

    def __init__(
        self,
        name: str,
        connector: Connector,
        secrets: Sequence[str],
        db: Database,
        clock: Clock,
        tell: events.WebhookListener = events.nobody,
    ) -> None:
        """`secrets` are the values themselves. Raises `TielineError` for one that can't be used."""
        assert connector.webhooks is not None
        self.name = name
        self.in_path = connector.webhooks.verify.path is not None
        """Whether the secret is the end of the address."""
        self.types = sorted(
            type_
            for resource in connector.resources.values()
            if resource.webhook is not None
            for type_ in (*resource.webhook.changed, *resource.webhook.deleted, *resource.webhook.merged, *resource.webhook.listed)
        )
        """What the vendor should be asked to send."""
        self._verify = verifier(connector.webhooks.verify, secrets)
        self._reader = Reader(connector.webhooks, connector.resources)
        self._handshakes = Handshakes(connector.webhooks, self._reader, secrets)
        self.answer = connector.webhooks.answer
        """What a request is answered with, once what it tells of is kept."""
        self._db, self._clock, self._tell = db, clock, tell
        self._counted = inbox.Tally()
        """What is not written yet."""
        self._told: set[str] = set()

    def challenge(self, incoming: Incoming) -> Reply | None:
        """Return the answer to a challenge; None when a request is none. Raises `Unverified`. Nothing is kept."""
        try:
            reply = self._handshakes.challenge(incoming)
        except Unverified as error:
            self._refused(str(error))
            raise
        if reply is not None and reply.shown is not None:
            self._tell(events.WebhookChallenge(connection=self.name, shown=reply.shown))
        return reply

    def _refused(self, why: str) -> None:
        self._counted.refused += 1
        self._counted.refused_at = self._clock.now()
        self._tell(events.WebhookRefused(connection=self.name, why=why))

    async def receive(self, incoming: Incoming) -> Received:
        """Keep what a request tells of, each event once; when this returns, it is safely on disk.

        Raises `Unverified` and `Unusable`, having kept nothing; `StoreError` when the store takes nothing.
        """
        now = self._clock.now()
        try:
            self._verify(incoming, now)
        except Unverified as error:
            if self._handshakes.is_ping(incoming):
                return Received(0, 0, 0, 0)
            self._refused(str(error))
            raise
        self._counted.last_at = now
        if self._handshakes.is_ping(incoming):
            return Received(0, 0, 0, 0)
        try:
            content = self._reader.read(incoming)
        except Unusable as error:
            self._unusable(f"{error}: {error.next_step}", 1)
            raise
        for type_ in content.ignored:
            if type_ not in self._told and len(self._told) < _MOST_TOLD:
                self._told.add(type_)
                self._tell(events.WebhookIgnored(connection=self.name, type=type_))
        found = [
            inbox.Event(
                _named(one),
                one.resource, one.id, one.kind, one.into, one.type,
            )
            for one in content.events
        ]  # fmt: skip
        ignored, listed = sum(content.ignored.values()), sum(content.listed.values())
        counted = inbox.Tally(ignored=ignored, unusable=len(content.unusable))

        def unit(connection: Transaction) -> int:
            new = inbox.accept(connection, self.name, found, now)
            counted.accepted, counted.repeated = new + listed, len(found) - new
            return new

        if found:
            new = await self._commit(unit, counted)
        else:
            new, counted.accepted = 0, listed
            self._add(counted)
        if content.unusable:
            self._unusable(content.unusable[0], 0)
            if not found and not ignored and not listed:
                raise Unusable(content.unusable[0])
        return Received(new + listed, len(found) - new, ignored, len(content.unusable))

    async def flush(self) -> None:
        """Write down how many came that led to nothing. Raises `StoreError`."""
        if self._counted != inbox.Tally():
            await self._commit(lambda connection: 0, inbox.Tally())

    def _unusable(self, why: str, number: int) -> None:
        self._counted.unusable += number
        self._tell(events.WebhookUnusable(connection=self.name, why=why))

    def _add(self, more: inbox.Tally) -> None:
        for field in ("accepted", "repeated", "ignored", "unusable", "refused"):
            setattr(self._counted, field, getattr(self._counted, field) + getattr(more, field))

    async def _commit(self, unit: Callable[[Transaction], int], counted: inbox.Tally) -> int:
        pending, self._counted = self._counted, inbox.Tally()

        def both(connection: Transaction) -> int:
            new = unit(connection)
            inbox.count(connection, self.name, pending)
            inbox.count(connection, self.name, counted)
            return new

        try:
            return await self._db.commit(both)
        except BaseException as error:
            self._add(pending)
            self._counted.last_at = self._counted.last_at or pending.last_at
            self._counted.refused_at = self._counted.refused_at or pending.refused_at
            if isinstance(error, StoreError):
                self._tell(events.WebhookNotKept(connection=self.name, why=str(error)))
            raise


def _named(one: Event) -> str:
    """Return by what an event is known: its id with its type and record, because vendors use an id for several; or a hash of its content."""
    if one.name is None or one.name.startswith(inbox.BY_CONTENT):
        return inbox.BY_CONTENT + one.digest
    return f"{one.name} {one.type} {one.resource} {one.id}"


_MOST_TOLD = 100
"""So many types that no one declares are told of, each once."""
