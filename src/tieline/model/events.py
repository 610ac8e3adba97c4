"""What happens while a run is going on, as frozen values, for whoever listens: logs, and what will alert.

Each is told once what it is about is durable or decided, and never for a record that simply went well: a run of a hundred thousand records
tells of its start, of its end, and of what went wrong in between. Nothing in them is secret; the values of records, and what vendors said
about them, stay in the store. A listener must not block and must not raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeAlias

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened in a run of an integration. `name` begins its log line."""

    name: ClassVar[str] = ""
    grave: ClassVar[bool] = False
    """Whether something did not go as it should."""

    integration: str
    run: int | None
    """None of a plan."""


class RunStarted(Event, frozen=True, kw_only=True):
    """A run has taken the lease and begins."""

    name = "run.started"


class RunEnded(Event, frozen=True, kw_only=True):
    """A run is over; `counts` are those that are not zero."""

    name = "run.ended"

    state: str
    seconds: float
    counts: dict[str, int]
    error: str | None = None
    next_step: str | None = None


class CallFailed(Event, frozen=True, kw_only=True):
    """A call did not do what was asked. `records` are the source ids that it was about, the first of them if they are many."""

    name = "call.failed"
    grave = True

    call: int
    connection: str
    method: str
    url: str
    status: int | None
    kind: str
    """The class of the failure."""
    attempt: int
    seconds: float
    waited_seconds: float
    records: tuple[str, ...] = ()
    more_records: int = 0


class DeliveryRetried(Event, frozen=True, kw_only=True):
    """A delivery will be sent again after a wait; told before it."""

    name = "delivery.retried"
    grave = True

    delivery: int
    record: str
    call: int | None
    attempt: int
    wait_seconds: float
    cause: str


class DeliveryOwed(Event, frozen=True, kw_only=True):
    """Deliveries stay owed: the next run sends them. `delivery` and `record` are the first of them."""

    name = "delivery.owed"
    grave = True

    delivery: int
    record: str
    deliveries: int
    cause: str


class DeliveryParked(Event, frozen=True, kw_only=True):
    """A delivery was refused and waits for a person."""

    name = "delivery.parked"
    grave = True

    delivery: int
    record: str
    call: int | None
    cause: str
    field: str | None = None
    """The field that it is about, if it is about one."""


class DeliveryHeld(DeliveryParked, frozen=True, kw_only=True):
    """A delivery misses a decision and waits for a person."""

    name = "delivery.held"


class CallsDropped(Event, frozen=True, kw_only=True):
    """Calls went from the journal because they took more room than they may (`retention: calls_size`)."""

    name = "calls.dropped"
    grave = True

    calls: int
    bodies: int


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened while webhooks were received. `name` begins its log line."""

    name: ClassVar[str] = ""
    grave: ClassVar[bool] = True

    connection: str


class WebhookRefused(WebhookEvent, frozen=True, kw_only=True):
    """A request did not prove that it comes from the vendor; nothing of it was kept."""

    name = "webhook.refused"

    why: str


class WebhookUnusable(WebhookEvent, frozen=True, kw_only=True):
    """The vendor sent something that is not what the connector says that its events look like."""

    name = "webhook.unusable"

    why: str


class WebhookIgnored(WebhookEvent, frozen=True, kw_only=True):
    """An event came of a type that no resource declares; each type is told of once."""

    name = "webhook.ignored"
    grave = False

    type: str


class WebhookChallenge(WebhookEvent, frozen=True, kw_only=True):
    """The vendor sent what a person has to enter there, to set it up."""

    name = "webhook.challenge"

    shown: str


class WebhookNotKept(WebhookEvent, frozen=True, kw_only=True):
    """The store took nothing: the vendor is asked to send it again."""

    name = "webhook.not_kept"

    why: str


Listener: TypeAlias = Callable[[Event], None]
WebhookListener: TypeAlias = Callable[[WebhookEvent], None]


def nobody(event: Event | WebhookEvent) -> None:
    """Listen to nothing."""
