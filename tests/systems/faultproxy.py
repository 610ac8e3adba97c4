"""The network on a bad day: a TCP proxy that does to answers what networks do.

A fault applies to exchanges, a request and its answer, also when a client keeps its connection for many of them. It
can be told to strike so many times only, and only requests of one method. Nothing here understands more of HTTP than
a request's first word.

The proxy runs in a thread of the test; faults are set from the test.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What befalls an exchange; without any field set, nothing."""

    reset: bool = False
    """The connection is reset when the request arrives; the server never sees it."""
    hang_up: bool = False
    """The connection is closed in good order when the request arrives; the server never sees it."""
    black_hole: bool = False
    """The request is swallowed and nothing is ever answered."""
    lose_answer: bool = False
    """The server does its work and answers; the connection is reset instead of passing the answer on."""
    latency_seconds: float = 0.0
    """How long an answer is held back."""
    bytes_per_second: float | None = None
    """How fast an answer may go."""
    reset_after_bytes: int | None = None
    """The connection is reset after so much of the answer."""
    close_after_bytes: int | None = None
    """The connection is closed in good order after so much of the answer."""
    method: str | None = None
    """Only requests of this method are struck."""
    times: int | None = None
    """How many exchanges are struck; None for all until the fault is taken back."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a proxy has seen."""

    connections: int = 0
    exchanges: int = 0
    struck: int = 0


class FaultProxy:
    """A proxy before one server; `url` takes the place of the server's."""

    url: str

    def __init__(self, upstream_url: str) -> None:
        parts = urlsplit(upstream_url)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._lock = threading.Lock()
        self._fault = Fault()
        self._counts = Counts()
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faultproxy", daemon=True)
        self._thread.start()
        self._listener = self._listen(0)
        self._port = int(self._listener.sockets[0].getsockname()[1])
        self.url = parts._replace(netloc=f"127.0.0.1:{self._port}").geturl()

    @property
    def counts(self) -> Counts:
        """What has been seen so far."""
        with self._lock:
            return self._counts

    def strike(self, fault: Fault) -> None:
        """Let the fault befall the exchanges that begin from now on."""
        with self._lock:
            self._fault = fault

    def heal(self) -> None:
        """Let all be well from now on."""
        self.strike(Fault())

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections for as long as the block lasts; those that are there are closed."""
        self._close_listener()
        try:
            yield
        finally:
            self._listener = self._listen(self._port)

    def close(self) -> None:
        """Stop, and close all connections."""
        self._close_listener()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _listen(self, port: int) -> asyncio.Server:
        starting = asyncio.start_server(self._serve, "127.0.0.1", port)
        return asyncio.run_coroutine_threadsafe(starting, self._loop).result()

    def _close_listener(self) -> None:
        async def close() -> None:
            self._listener.close()
            await asyncio.sleep(0)  # whoever was just accepted begins, and can be told to end
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await asyncio.sleep(0)  # their sockets close

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()

    def _next_fault(self, request: bytes) -> Fault:
        """Return what befalls the exchange that begins with these bytes, and count it."""
        with self._lock:
            fault = self._fault
            strikes = fault != Fault() and fault.times != 0
            if fault.method is not None and request.split(b" ", 1)[0] != fault.method.encode():
                strikes = False
            seen = self._counts
            self._counts = replace(seen, exchanges=seen.exchanges + 1, struck=seen.struck + strikes)
            if strikes and fault.times is not None:
                self._fault = replace(fault, times=fault.times - 1)
            return fault if strikes else Fault()

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        with self._lock:
            self._counts = replace(self._counts, connections=self._counts.connections + 1)
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            await _Connection(self, client, answers).run()
        except (OSError, asyncio.CancelledError):
            _reset(answers)
        finally:
            self._connections.discard(task)
            answers.close()


class _Connection:
    """One client's connection and the server's end of it."""

    def __init__(self, proxy: FaultProxy, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        self.proxy, self.client, self.answers = proxy, client, answers
        self.fault = Fault()
        self.is_answering = True  # so that the first bytes begin an exchange
        self.answered_bytes = 0

    async def run(self) -> None:
        """Pass bytes both ways until either side or a fault ends it."""
        server, requests = await asyncio.open_connection(*self.proxy._upstream)
        ways = {asyncio.ensure_future(self.pass_requests(requests)), asyncio.ensure_future(self.pass_answers(server))}
        try:
            # A client that has sent all may still wait for its answer; a server that has closed is done.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                if way.done() and way.result():
                    await asyncio.wait(ways)
        finally:
            requests.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def pass_requests(self, requests: asyncio.StreamWriter) -> bool:
        """Pass what the client says; return whether an answer may still come."""
        while chunk := await self.client.read(_CHUNK):
            if self.is_answering:
                self.is_answering, self.answered_bytes = False, 0
                self.fault = self.proxy._next_fault(chunk)
            if self.fault.reset:
                _reset(self.answers)
                return False
            if self.fault.hang_up:
                return False
            if not self.fault.black_hole:
                requests.write(chunk)
                await requests.drain()
        if requests.can_write_eof():
            requests.write_eof()
        return not self.fault.black_hole

    async def pass_answers(self, server: asyncio.StreamReader) -> bool:
        """Pass what the server says, as far as the fault lets it; return that nothing more will come."""
        while chunk := await server.read(_CHUNK):
            fault = self.fault
            if fault.lose_answer:
                _reset(self.answers)
                return False
            if not self.is_answering:
                self.is_answering = True
                await asyncio.sleep(fault.latency_seconds)
            for limit, end in ((fault.reset_after_bytes, _reset), (fault.close_after_bytes, None)):
                if limit is not None and self.answered_bytes + len(chunk) >= limit:
                    await self.write(chunk[: max(0, limit - self.answered_bytes)], fault)
                    if end:
                        await asyncio.sleep(0.02)  # a reset overtakes bytes that are still on their way
                        end(self.answers)
                    return False
            await self.write(chunk, fault)
        if self.fault.black_hole:
            await asyncio.Event().wait()  # a server that tires of waiting is not to be seen either
        return False

    async def write(self, chunk: bytes, fault: Fault) -> None:
        """Write to the client, as fast as the fault allows."""
        rate = fault.bytes_per_second
        step = max(1, int(rate / 20)) if rate else _CHUNK
        for start in range(0, len(chunk), step):
            piece = chunk[start : start + step]
            if rate:
                await asyncio.sleep(len(piece) / rate)
            self.answers.write(piece)
            self.answered_bytes += len(piece)
            await self.answers.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST."""
    with contextlib.suppress(OSError):
        linger_for_no_time = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)
    writer.transport.abort()
