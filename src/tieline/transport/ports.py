"""What is sent, what comes back, and the port through which both pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from tieline.config.models.limits import Timeouts


class HttpRequest(msgspec.Struct):
    """What is sent. `url` is complete and already encoded."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


class HttpResponse(msgspec.Struct):
    """What came back. Header names are looked up without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    call: int | None = None
    """The id under which it is journaled, if it is; set by the caller."""
    request: HttpRequest | None = None
    """What it answers; set by the caller."""
    resource: str = ""
    """What it was asked about; set by the caller."""


class Transport(Protocol):
    """Sends a request and returns the answer, whatever its status."""

    async def send(self, request: HttpRequest, timeouts: Timeouts, most_bytes: int) -> HttpResponse:
        """Send. Raises `Unreachable`, `OutcomeUnknown`, or `Undecodable` for an answer that is too large."""

    async def close(self) -> None:
        """Let go of all connections."""
