"""The way to the vendors and back: takes virtual time, loses requests and answers as it is told, and remembers what passed.

A request whose caller gives up or dies while it is on its way has left all the same: it arrives, or it does not. Of calls that are made at
the same time, any may be answered first.

Some requests arrive twice, as behind a proxy that has sent them on again: only those that HTTP allows to be repeated (GET, PUT, DELETE), and
others that carry an idempotency key which the vendor knows. A creation without a key that the network doubles makes two records, and no
client can help it. For the same reason a late copy arrives before the next write of ours: whoever overwrites by no condition can't know
that an older write overtakes a newer one. What was refused is not done by a copy that comes so late.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from tieline.config.models.limits import Timeouts
from tieline.model.errors import OutcomeUnknown, Undecodable, Unreachable
from tieline.testing.clock import ManualClock
from tieline.testing.faults import Fault
from tieline.testing.process import Process
from tieline.testing.vendor import KEY, FakeSystem, Headers
from tieline.transport.ports import HttpRequest, HttpResponse

Trouble = Callable[[str, HttpRequest, float], Fault | None]
"""Says what goes wrong with a request: (name of the system, request, seconds since 1970)."""


class Exchange(msgspec.Struct):
    """A request, and what became of it. Times are seconds on the clock."""

    system: str
    request: HttpRequest
    sent_at: float
    fault: str | None = None
    ended_at: float | None = None
    response: HttpResponse | None = None


class _Strike(msgspec.Struct):
    fault: Fault
    system: str | None
    method: str | None
    path: str
    after: int
    times: int


class Network:
    """Carries requests to fake systems. `connect` gives the transport of one process."""

    def __init__(self, clock: ManualClock, *systems: FakeSystem, seed: int = 0, latency: tuple[float, float] = (0.001, 0.02)) -> None:
        """`latency` is the shortest and the longest way in one direction, in seconds."""
        self.clock, self.systems = clock, {system.name: system for system in systems}
        self._hosts = {urlsplit(system.url).hostname: system for system in systems}
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.latency = latency
        self._strikes: list[_Strike] = []
        self.doubles = 0.0
        """Share of the requests that may be repeated which arrive twice: at once, or once more after the answer has left."""
        self.doubled = 0
        """How many have arrived twice."""
        # A draw of its own, so that what is doubled does not change how long the others take.
        self._doubling = random.Random(f"doubles {seed}")  # noqa: S311 - repeatable on purpose
        self._late: list[tuple[FakeSystem, HttpRequest]] = []
        self.weather: Trouble = lambda system, request, now: None
        """Asked about each request that no strike is meant for."""
        self.exchanges: list[Exchange] = []
        """Everything that was sent, in order."""
        self.passing: Callable[[Exchange], None] = lambda exchange: None
        """Called when a request leaves: to edit a record behind the caller's back, for example."""

    def strike(
        self, fault: Fault, *, system: str | None = None, method: str | None = None, path: str = "", after: int = 0, times: int = 1
    ) -> None:
        """Let the next requests of this kind meet a fault: `times` of them, once `after` others have passed. `path` is a part of the URL."""
        self._strikes.append(_Strike(fault, system, method, path, after, times))

    def strikes_end(self) -> None:
        """Let nothing more go wrong than the weather does."""
        self._strikes.clear()

    def late_ones_arrive(self, system: FakeSystem | None = None) -> None:
        """Let the late copies of requests arrive that are still on their way, at one system or at all."""
        late, self._late = self._late, [one for one in self._late if system not in (None, one[0])]
        for to, request in late:
            if system in (None, to):
                to.handle(request)

    def connect(self, process: Process | None = None) -> Connected:
        """Return the transport of a process."""
        return Connected(self, process or Process())

    async def carry(self, process: Process, request: HttpRequest, timeouts: Timeouts, most_bytes: int) -> HttpResponse:
        """Send a request on behalf of a process and return the answer."""
        system = self._hosts.get(urlsplit(request.url).hostname)
        if system is None:
            raise Unreachable(f"there is no system at {request.url}")
        process.step(f"before {request.method} {urlsplit(request.url).path}")
        exchange = Exchange(system.name, request, self.clock.monotonic())
        self.exchanges.append(exchange)
        self.passing(exchange)
        fault = self._fault(system.name, request)
        exchange.fault = fault.name if fault is not None else None
        try:
            return await self._carry(process, system, exchange, fault, timeouts, most_bytes)
        finally:
            exchange.ended_at = self.clock.monotonic()

    async def _carry(
        self, process: Process, system: FakeSystem, exchange: Exchange, fault: Fault | None, timeouts: Timeouts, most_bytes: int
    ) -> HttpResponse:
        request = exchange.request
        if fault is not None and not fault.left:
            await self.clock.sleep(self._way())
            raise Unreachable(f"no connection to {system.name}")
        arrives = fault is None or fault.done
        try:
            await self.clock.sleep(self._way())
        except asyncio.CancelledError:
            if arrives and self._random.random() < 0.5:
                system.handle(request)
            raise
        own = self._arrives(system, request) if arrives else None
        process.step(f"after {request.method} {urlsplit(request.url).path}")
        if fault is not None and fault.answer is None:
            await self.clock.sleep(min(timeouts.read, timeouts.total))
            raise OutcomeUnknown(f"no answer from {system.name}")
        way_back = self._way() + (fault.seconds if fault is not None else 0.0)
        if way_back > timeouts.total:
            await self.clock.sleep(timeouts.total)
            raise OutcomeUnknown(f"no whole answer from {system.name} in time")
        await self.clock.sleep(way_back)
        response = fault.answer(own, self.clock.now()) if fault is not None and fault.answer is not None else own
        assert response is not None
        if len(response.body) > most_bytes:
            raise Undecodable(f"the answer is larger than {most_bytes / 2**20:g} MiB")
        exchange.response = response
        return response

    def _arrives(self, system: FakeSystem, request: HttpRequest) -> HttpResponse:
        if request.method != "GET":
            self.late_ones_arrive(system)
        own = system.handle(request)
        if self.doubles and _may_be_repeated(system, request) and self._doubling.random() < self.doubles:
            self.doubled += 1
            if self._doubling.random() < 0.5:
                if not 400 <= own.status < 500:
                    self._late.append((system, request))
            else:
                again = system.handle(request)
                # Of a request that was done no one is told that it was turned away.
                if again.status < 500 and again.status != 429 and self._doubling.random() < 0.5:
                    return again
        return own

    def _way(self) -> float:
        return self._random.uniform(*self.latency)

    def _fault(self, system: str, request: HttpRequest) -> Fault | None:
        for strike in self._strikes:
            if strike.times and strike.system in (None, system) and strike.method in (None, request.method) and strike.path in request.url:
                if strike.after:
                    strike.after -= 1
                    continue
                strike.times -= 1
                return strike.fault
        return self.weather(system, request, self.clock.now())


class Connected:
    """A process's transport."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network, self._process = network, process

    async def send(self, request: HttpRequest, timeouts: Timeouts, most_bytes: int) -> HttpResponse:
        """Send. Raises `Unreachable`, `OutcomeUnknown`, or `Undecodable` for an answer that is too large."""
        return await self._network.carry(self._process, request, timeouts, most_bytes)

    async def close(self) -> None:
        """Let go of all connections."""


def _may_be_repeated(system: FakeSystem, request: HttpRequest) -> bool:
    return request.method in ("GET", "PUT", "DELETE") or (system.idempotency and KEY in Headers(request.headers))
