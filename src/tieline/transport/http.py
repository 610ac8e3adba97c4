"""The one HTTP client. Everything that leaves this machine leaves through a `Transport`.

A redirect is never followed here and an answer is never larger than asked for. What is raised says whether the request can have
reached the other side: `Unreachable` means it never left, `OutcomeUnknown` that it may have been done.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from tieline.config.models.limits import Timeouts
from tieline.model.errors import OutcomeUnknown, Undecodable, Unreachable
from tieline.transport.ports import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from aiohttp import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


class AiohttpTransport:
    """The real one: pooled connections, TLS checked against the system's authorities."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._timeouts: dict[Timeouts, aiohttp.ClientTimeout] = {}

    async def send(self, request: HttpRequest, timeouts: Timeouts, most_bytes: int) -> HttpResponse:
        """Send. Raises `Unreachable`, `OutcomeUnknown`, or `Undecodable` for an answer that is too large."""
        session = self._session
        if session is None:
            session = self._session = aiohttp.ClientSession(
                connector=_Connector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                skip_auto_headers=("User-Agent", "Content-Type"),
            )
            # aiohttp would repeat a PUT or DELETE, and a read, by itself when the connection breaks before the answer (RFC 9112, 9.3.1 allows
            # it). The journal, the budget and the breaker would not know; and what was done twice may be refused the second time, as with
            # `If-None-Match`. There is no public way to say so; `TransportContract` notices if this one goes.
            session._retry_connection = False
        timeout = self._timeouts.get(timeouts)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=timeouts.total, sock_connect=timeouts.connect, sock_read=timeouts.read)
            self._timeouts[timeouts] = timeout
        try:
            async with session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                return HttpResponse(answer.status, answer.headers, await _bounded_body(answer, most_bytes))
        except aiohttp.ConnectionTimeoutError as error:
            raise Unreachable(f"no connection to {_host(request)} within {timeouts.connect:g} s") from error
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise Unreachable(f"no connection to {_host(request)}: {_words(error)}") from error
        except TimeoutError as error:
            raise OutcomeUnknown(
                f"no whole answer from {_host(request)} in time (read {timeouts.read:g} s, in all {timeouts.total:g} s)"
            ) from error
        except aiohttp.ClientPayloadError as error:
            raise OutcomeUnknown(f"the answer of {_host(request)} was cut off: {_words(error)}") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise OutcomeUnknown(f"the connection to {_host(request)} broke before the answer: {_words(error)}") from error

    async def close(self) -> None:
        """Let go of all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class _Connector(aiohttp.TCPConnector):
    """Connections that are fit to be used again.

    aiohttp looks for bytes beyond an answer when a connection is given back, but not when it is taken again: what a confused server says in
    between would be taken for the answer to the next request, another record's perhaps.
    """

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109 - aiohttp's
        """Return a connection on which nothing has been said yet."""
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


async def _bounded_body(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    declared = answer.content_length
    if declared is not None and declared <= most_bytes and "Content-Encoding" not in answer.headers:
        return await answer.read()
    if declared is not None and declared > most_bytes:
        raise _too_large(most_bytes)
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > most_bytes:
            raise _too_large(most_bytes)
        parts.append(part)
    return b"".join(parts)


def _too_large(most_bytes: int) -> Undecodable:
    return Undecodable(
        f"the answer is larger than {most_bytes / 2**20:g} MiB",
        next_step="ask for smaller pages, or raise `max_answer_mib` in the connector",
    )


def _host(request: HttpRequest) -> str:
    url = URL(request.url, encoded=True)
    return f"{url.host}:{url.port}"


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"its name can't be resolved ({error.strerror or error.os_error})"
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        number = error.os_error.errno  # its text names the address once more, in Python's words
        return os.strerror(number).lower() if number else str(error.os_error)
    return str(error) or type(error).__name__
