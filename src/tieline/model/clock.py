"""Time, waiting and chance, always handed in: a test runs a year in seconds."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

MOST_WAIT_SECONDS: Final = 31 * 86_400.0
"""The longest wait that is believed, whoever asks for it; more is taken for a mistake."""

COUNTED_FROM_SECONDS: Final = 3600.0
"""Windows of a limit that are longer are counted, shorter ones paced."""


class Clock(Protocol):
    """Where now, sleep and chance come from."""

    def now(self) -> float:
        """Return seconds since 1970 (UTC)."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""

    def random(self) -> float:
        """Return a number in [0, 1)."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


async def sleep_unless(clock: Clock, seconds: float, event: asyncio.Event) -> None:
    """Wait for some seconds, or until something happens."""
    import asyncio  # not needed to look

    sleeping, happens = asyncio.ensure_future(clock.sleep(seconds)), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({sleeping, happens}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeping.cancel()
        happens.cancel()


def believed(at: float, now: float, longest: float) -> float:
    """Return a stored time if it is no later than `longest` from now, else now.

    One that lies further away than anything waits was written while the clock was ahead: it tells nothing, and nothing waits for it. Whatever
    waits for a stored time asks here, and names the longest wait that its own policy allows; of what has been, that is 0.
    """
    return at if at <= now + longest else now


class SystemClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311 - jitter, not a secret

    def now(self) -> float:
        """Return seconds since 1970 (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
        return time.monotonic()

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        import asyncio  # not needed to look

        await asyncio.sleep(seconds)
