"""The real client against servers that misbehave."""

from __future__ import annotations

from tieline.testing.transport_contract import TransportContract
from tieline.transport.http import AiohttpTransport


class TestAiohttp(TransportContract):
    """The one that everything leaves through."""

    def transport(self) -> AiohttpTransport:
        """Return a new one."""
        return AiohttpTransport()
