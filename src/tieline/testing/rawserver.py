"""A server on loopback that says exactly the bytes it is told to: what HTTP libraries hide, and what no well-behaved server does.

async with RawServer(replying(b"HTTP/1.1 200 OK\\r\\nContent-Length: 100\\r\\n\\r\\nonly this")) as server:
    ...  # call server.url; server.requests says what arrived
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

import msgspec


class Received(msgspec.Struct):
    """A request that arrived whole, and the connection on which it came, counted from 1."""

    head: bytes
    body: bytes
    connection: int


class Exchange:
    """One request, and the way to answer it."""

    def __init__(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        self.request, self.number, self._writer = request, number, writer

    async def say(self, data: bytes) -> None:
        """Send some bytes."""
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """End the connection with RST, as a machine that was switched off and on does."""
        linger_for_no_time = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)
        self._writer.transport.abort()

    def close(self) -> None:
        """End the connection in good order."""
        self._writer.close()


Script: TypeAlias = Callable[[Exchange], Awaitable[None]]
"""What the server does with a request; `Exchange.number` counts them from 1, over all connections."""


class RawServer:
    """Use it as a context. Connections stay open until the script, the caller or the end of the context closes them."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.requests: list[Received] = []
        """Every request that arrived whole, in order."""
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        connection = self.connections
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    received = Received(head, await reader.readexactly(_length(head)), connection)
                    self.requests.append(received)
                    await self._script(Exchange(received, len(self.requests), writer))
        except asyncio.CancelledError:
            pass  # the context ends
        finally:
            self._tasks.discard(task)
            writer.close()


def replying(data: bytes, *, then: str = "stay") -> Script:
    """Return a script that answers every request with these bytes; `then` it may `close` or `reset` the connection."""

    async def reply(exchange: Exchange) -> None:
        if data:
            await exchange.say(data)
        if then == "reset":
            await asyncio.sleep(0.02)  # a reset overtakes bytes that are still on their way
            exchange.reset()
        elif then == "close":
            exchange.close()

    return reply


def ok(body: bytes = b"{}", *headers: str) -> bytes:
    """Return a whole, good answer."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
