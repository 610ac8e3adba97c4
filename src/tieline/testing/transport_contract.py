"""What the engine relies on in a `Transport`, as tests for whoever writes one.

    class TestMine(TransportContract):
        def transport(self) -> Transport:
            return MyTransport()

The promise that all others rest on: `Unreachable` is raised only when the request can't have left, and a request leaves once. Everything
else that is no whole answer is `OutcomeUnknown`; then the engine looks before it writes again.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from tieline.config.models.limits import Timeouts
from tieline.model.errors import OutcomeUnknown, RemoteError, Undecodable, Unreachable
from tieline.testing.rawserver import Exchange, RawServer, Script, ok, replying
from tieline.transport.ports import HttpRequest, HttpResponse, Transport

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MOST_BYTES: Final = 1 << 20
_SHORT: Final = Timeouts(connect=5.0, read=0.3, total=1.0)
_SHORT_CONNECT: Final = Timeouts(connect=0.3, read=0.3, total=1.0)
_LONG: Final = Timeouts(connect=5.0, read=5.0, total=10.0)


class TransportContract:
    """Derive from it, and say what is tested. Servers listen on loopback; nothing takes longer than about a second."""

    def transport(self) -> Transport:
        """Return a new transport."""
        raise NotImplementedError

    # -- answers

    def test_an_answer_is_what_the_server_said(self) -> None:
        """Status, headers whatever their case, body, and no cookie that comes back by itself."""

        async def work(send: Send, server: RawServer) -> None:
            first = await send("POST", b'{"a": 1}')
            await send("GET")
            assert first.status == 200
            assert first.headers.get("x-mark") == "here"
            assert first.body == b'{"id": 7}'
            assert server.requests[0].body == b'{"a": 1}'
            assert b"cookie" not in server.requests[1].head.lower()

        self._run(replying(ok(b'{"id": 7}', "X-Mark: here", "Set-Cookie: a=b")), work)

    def test_an_address_is_sent_as_it_was_written(self) -> None:
        """What is encoded stays so: `%2F` is no slash, `+` is no blank."""

        async def work(send: Send, server: RawServer) -> None:
            await send("GET", path="/a%2Fb%20c?q=x%2By+z&e=%C3%A9")
            assert server.requests[0].head.split()[1] == b"/a%2Fb%20c?q=x%2By+z&e=%C3%A9"

        self._run(replying(ok()), work)

    def test_errors_are_answers(self) -> None:
        """Whatever the status: what it means is decided elsewhere."""

        async def work(send: Send, server: RawServer) -> None:
            assert (await send("POST")).status == 503

        self._run(replying(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), work)

    def test_a_redirect_is_not_followed(self) -> None:
        """Credentials and writes don't go where an answer points to."""

        async def work(send: Send, server: RawServer) -> None:
            for status in (301, 302, 303, 307, 308):
                self._moved = status
                assert (await send("POST")).status == status
            assert len(server.requests) == 5

        async def moved(exchange: Exchange) -> None:
            await exchange.say(f"HTTP/1.1 {self._moved} Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode())

        self._run(moved, work)

    def test_what_comes_before_the_answer_is_passed_over(self) -> None:
        """100 Continue, 103 Early Hints."""

        async def work(send: Send, server: RawServer) -> None:
            assert (await send("POST", b"{}")).body == b'{"id": 7}'

        self._run(replying(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok(b'{"id": 7}')), work)

    def test_an_answer_of_unknown_length_ends_with_the_connection(self) -> None:
        """As of old servers."""

        async def work(send: Send, server: RawServer) -> None:
            assert (await send("GET")).body == b'{"id": 7}'

        self._run(replying(b'HTTP/1.0 200 OK\r\n\r\n{"id": 7}', then="close"), work)

    # -- it can't have left

    def test_a_refused_connection_is_unreachable(self) -> None:
        """No one listens there."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            self._fails_alone(f"http://127.0.0.1:{port}", Unreachable)

    def test_a_name_that_nobody_knows_is_unreachable(self) -> None:
        """`.invalid` is no domain, by RFC 2606."""
        self._fails_alone("http://nowhere.invalid", Unreachable)

    def test_a_connection_that_is_not_accepted_is_unreachable(self) -> None:
        """The machine is there, and too busy to take calls."""
        with socket.socket() as full, socket.socket() as one, socket.socket() as two:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for caller in (one, two):
                caller.setblocking(False)
                caller.connect_ex(full.getsockname())
            self._fails_alone(f"http://127.0.0.1:{full.getsockname()[1]}", Unreachable)

    def test_a_server_that_does_not_speak_tls_is_unreachable(self) -> None:
        """Without a handshake nothing of the request has left."""

        async def work(send: Send, server: RawServer) -> None:
            await _fails(send("POST", b"{}", url=server.url.replace("http:", "https:")), Unreachable)
            assert not server.requests

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        async def main() -> None:
            server = RawServer(replying(ok()))
            server._serve = plain  # type: ignore[method-assign]
            async with server:
                await self._work(server, work, _LONG)

        asyncio.run(main())

    # -- it may have been done

    def test_a_request_that_is_not_answered_leaves_once(self) -> None:
        """Whatever ends it: no one but the engine repeats a request, and that only after it has looked."""
        for method in METHODS:
            for then in ("close", "reset"):
                for said in (b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-"):

                    async def work(send: Send, server: RawServer, method: str = method) -> None:
                        await _fails(send(method, None if method in ("GET", "HEAD") else b"{}"), OutcomeUnknown)
                        await _settled()
                        assert len(server.requests) == 1, f"{method} was repeated by itself"

                    self._run(replying(said, then=then), work)

    def test_a_request_on_a_connection_that_has_served_before_leaves_once(self) -> None:
        """A connection that is kept may break just as it is used: the request may have been done all the same."""

        async def second_is_lost(exchange: Exchange) -> None:
            if exchange.number == 2:
                exchange.reset()
            else:
                await exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        for method in METHODS:

            async def work(send: Send, server: RawServer, method: str = method) -> None:
                await send("GET")
                await _fails(send(method), OutcomeUnknown)
                assert [request.connection for request in server.requests] == [1, 1]
                await send(method)
                assert [request.connection for request in server.requests] == [1, 1, 2]

            self._run(second_is_lost, work)

    def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used(self) -> None:
        """Most servers close what is idle for some seconds; that costs no one a doubt."""

        async def work(send: Send, server: RawServer) -> None:
            for method in METHODS:
                assert (await send(method)).status == 200
                await _settled()
            assert len(METHODS) == server.connections

        self._run(replying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", then="close"), work)

    def test_silence_is_an_unknown_outcome(self) -> None:
        """Within the time for reading."""
        self._is_unknown(replying(b""))

    def test_a_trickle_ends_with_the_time_for_the_whole(self) -> None:
        """A byte now and then keeps no one waiting for ever."""

        async def trickle(exchange: Exchange) -> None:
            await exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                await asyncio.sleep(0.1)
                await exchange.say(b"x")

        self._is_unknown(trickle)

    def test_headers_without_end_are_an_unknown_outcome(self) -> None:
        """And fill no memory."""

        async def headers(exchange: Exchange) -> None:
            await exchange.say(b"HTTP/1.1 200 OK\r\n")
            while True:
                await exchange.say(b"X-More: " + b"x" * 1000 + b"\r\n")

        async def one(exchange: Exchange) -> None:
            await exchange.say(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while True:
                await exchange.say(b"x" * 1000)

        self._is_unknown(headers)
        self._is_unknown(one)

    def test_an_answer_that_breaks_off_is_an_unknown_outcome(self) -> None:
        """It said how much would come, or that it would say when it ends."""
        for then in ("close", "reset"):
            self._is_unknown(replying(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id": 7', then=then))
            self._is_unknown(replying(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"id": 7\r\n', then=then))

    def test_an_answer_that_can_t_be_unpacked_is_an_unknown_outcome(self) -> None:
        """It says gzip and is none."""
        self._is_unknown(replying(ok(b"this is no gzip", "Content-Encoding: gzip")))

    def test_rubbish_is_an_unknown_outcome(self) -> None:
        """Another protocol altogether."""
        self._is_unknown(replying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", then="close"))

    def test_bytes_beyond_the_declared_length_are_nobody_s_answer(self) -> None:
        """What a confused server says too much is not taken for the answer to the next request."""

        answered, said = asyncio.Event(), asyncio.Event()

        async def two_for_one(exchange: Exchange) -> None:
            await exchange.say(ok(b'{"answer": 1}'))
            if exchange.number == 1:
                await answered.wait()
                await exchange.say(ok(b'{"answer": "stale"}'))
                said.set()

        async def work(send: Send, server: RawServer) -> None:
            await send("GET")
            answered.set()
            await said.wait()
            await _settled()
            assert (await send("GET")).body == b'{"answer": 1}'

        self._run(two_for_one, work)

    # -- it is too much

    def test_an_answer_that_is_too_large_is_undecodable(self) -> None:
        """By what it says, or as soon as more has come."""
        self._is_undecodable(replying(ok(b"x" * (MOST_BYTES + 1))))

        async def endless(exchange: Exchange) -> None:
            await exchange.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                await exchange.say(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

        self._is_undecodable(endless)

    def test_a_small_answer_that_unpacks_into_a_large_one_is_undecodable(self) -> None:
        """A gzip bomb: 64 MiB in 64 KiB."""
        self._is_undecodable(replying(ok(gzip.compress(bytes(1 << 26)), "Content-Encoding: gzip")))

    # -- details

    def _run(self, script: Script, work: Callable[[Send, RawServer], Awaitable[None]], timeouts: Timeouts = _LONG) -> None:
        async def main() -> None:
            async with RawServer(script) as server:
                await self._work(server, work, timeouts)

        asyncio.run(main())

    async def _work(self, server: RawServer, work: Callable[[Send, RawServer], Awaitable[None]], timeouts: Timeouts) -> None:
        transport = self.transport()

        async def send(method: str, body: bytes | None = None, *, path: str = "/", url: str | None = None) -> HttpResponse:
            return await transport.send(HttpRequest(method, (url or server.url) + path, {}, body), timeouts, MOST_BYTES)

        try:
            await work(send, server)
        finally:
            await transport.close()

    def _is_unknown(self, script: Script) -> None:
        async def work(send: Send, server: RawServer) -> None:
            await _fails(send("PUT", b"{}"), OutcomeUnknown)
            await _settled()
            assert len(server.requests) == 1

        self._run(script, work, _SHORT)

    def _is_undecodable(self, script: Script) -> None:
        async def work(send: Send, server: RawServer) -> None:
            await _fails(send("POST", b"{}"), Undecodable)
            assert len(server.requests) == 1

        self._run(script, work)

    def _fails_alone(self, url: str, expected: type[RemoteError]) -> None:
        async def main() -> None:
            transport = self.transport()
            try:
                for method in METHODS:
                    await _fails(transport.send(HttpRequest(method, url + "/", {}), _SHORT_CONNECT, MOST_BYTES), expected)
            finally:
                await transport.close()

        asyncio.run(main())


class Send(Protocol):
    """How a test sends a request."""

    async def __call__(self, method: str, body: bytes | None = None, *, path: str = "/", url: str | None = None) -> HttpResponse:
        """Send, and return the answer."""


async def _settled() -> None:
    """Let both ends take what is there for them. Loopback has it there at once: rounds of the loop are enough, and no time is waited for."""
    for _ in range(50):
        await asyncio.sleep(0)


async def _fails(sending: Awaitable[HttpResponse], expected: type[RemoteError]) -> None:
    try:
        answer = await sending
    except RemoteError as failure:
        error = failure
    else:
        raise AssertionError(f"{answer.status} instead of {expected.__name__}")
    assert type(error) is expected, f"{type(error).__name__} instead of {expected.__name__}: {error}"
    assert str(error)
