"""Listens for webhooks: a request is verified, what it tells of is kept durably, and only then it is answered.

What is answered, in this order: 404 for an unknown connection, 413 for too much, a challenge's own answer, 401 for what does not prove where it
comes from, 400 for what is not what the connector declares, 503 when the store takes nothing, so that the vendor sends it again, and what the
connector declares, an empty 200 unless stated. Nothing of a request is logged
but its connection: its address may be a secret.

It speaks plain HTTP, to what ends TLS before it. Runs are started by others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from tieline.app import Tieline
from tieline.config.loading.references import check_url
from tieline.dialects.handshakes import Reply
from tieline.dialects.webhooks import Incoming, Unusable, Unverified
from tieline.engine.intake.webhooks import Receiving
from tieline.model.errors import StoreError, TielineError

_MOST_BYTES: Final = 4 * 2**20
_BODY_SECONDS: Final = 30.0
_LAST_SECONDS: Final = 10.0
"""What requests that are under way get when it is to end."""
_FLUSH_SECONDS: Final = 5.0


class Receiver:
    """Serves `POST /hooks/CONNECTION` and `GET /health`."""

    def __init__(self, receiving: Mapping[str, Receiving], *, url: str | None = None) -> None:
        """`url` is where the vendors find it: scheme, host, and what a proxy has before `/hooks`."""
        self._receiving, self._url = receiving, url.rstrip("/") if url is not None else None
        self._runner: web.AppRunner | None = None
        self.address = ""
        """Where it listens."""

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes one that is free. Raises `TielineError` when it can't."""
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_get("/health", self._health)
        for path in ("/hooks/{connection}", "/hooks/{connection}/{secret}"):
            app.router.add_post(path, self._post)
            app.router.add_get(path, self._look)
        # Signatures are over what was sent: nothing is unpacked before.
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=_LAST_SECONDS)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise TielineError(
                f"nothing can listen on {host}:{port}: {error.strerror or error}",
                next_step="give another --port, or end what listens there",
            ) from None
        self._runner = runner
        taken = runner.addresses[0]
        self.address = f"http://{f'[{taken[0]}]' if ':' in str(taken[0]) else taken[0]}:{taken[1]}"

    async def stop(self) -> None:
        """Take nothing new, and end what is under way."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self._flush()

    async def serve(self, ended: asyncio.Event) -> None:
        """Listen until `ended` is set, then stop in good order."""
        try:
            while not ended.is_set():
                try:
                    async with asyncio.timeout(_FLUSH_SECONDS):
                        await ended.wait()
                except TimeoutError:
                    await self._flush()
        finally:
            await self.stop()

    @property
    def names(self) -> list[str]:
        """The connections whose webhooks are taken."""
        return list(self._receiving)

    def types_of(self, name: str) -> list[str]:
        """Return the types of events that are of use, of a connection."""
        return self._receiving[name].types

    def address_of(self, name: str) -> str:
        """Return the address that the vendor is given for a connection; a secret that is part of it is not shown."""
        secret = "/SECRET" if self._receiving[name].in_path else ""
        return f"{self._url or self.address}/hooks/{name}{secret}"

    async def _flush(self) -> None:
        for receiving in self._receiving.values():
            try:
                await receiving.flush()
            except StoreError:
                return  # they are counted in memory until it takes something

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _look(self, request: web.Request) -> web.Response:
        """Some vendors look whether the address is there before they use it; Mailchimp wants a 200, Meta its challenge."""
        receiving = self._meant(request)
        if receiving is None:
            return web.Response(status=404)
        try:
            reply = receiving.challenge(self._incoming(request, b""))
        except Unverified:
            return _answer(401, "it is not verified")
        return _reply(reply) if reply is not None else web.Response()

    def _meant(self, request: web.Request) -> Receiving | None:
        receiving = self._receiving.get(request.match_info["connection"])
        if receiving is None or ("secret" in request.match_info and not receiving.in_path):
            return None
        return receiving

    async def _post(self, request: web.Request) -> web.Response:
        receiving = self._meant(request)
        if receiving is None:
            return _answer(404, "there is no such address")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return _answer(415, "send it as it is, not compressed")
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _answer(413, f"more than {_MOST_BYTES // 2**20} MiB")
        except TimeoutError:
            return _answer(408, f"it was not here after {_BODY_SECONDS:g} s")
        incoming = self._incoming(request, body)
        try:
            reply = receiving.challenge(incoming)
            if reply is not None:
                return _reply(reply)
            await receiving.receive(incoming)
        except Unverified:
            return _answer(401, "it is not verified")
        except Unusable as error:
            return _answer(400, str(error))
        except StoreError:
            return _answer(503, "it could not be kept: send it again", {"Retry-After": "60"})
        answer = receiving.answer
        return web.Response(status=answer.status, text=answer.body or None)

    def _incoming(self, request: web.Request, body: bytes) -> Incoming:
        url = (self._url or self.address) + request.raw_path
        return Incoming(request.headers, body, url, request.method, request.match_info.get("secret"), request.query)


def _reply(reply: Reply) -> web.Response:
    # No one's browser is to take what a stranger had echoed for a page.
    headers = {"X-Content-Type-Options": "nosniff", **reply.headers}
    kind = "application/json" if reply.json else "text/plain"
    return web.Response(status=reply.status, text=reply.body, content_type=kind, headers=headers)


def _answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


def open_receiver(project: Tieline, tell: Callable[..., None], *, url: str | None) -> Receiver:
    """Return a receiver for every connection of a project that has a secret for webhooks. Raises `TielineError` when there is none."""
    if url is not None and (wrong := check_url(url)) is not None:
        raise TielineError(f"--url {url}: {wrong}", next_step="such as `--url https://hooks.example.com`")
    receiving = project.receiving(tell)
    if not receiving:
        raise TielineError(
            "no connection takes webhooks: none has a `webhook_secret` and a connector that declares `webhooks`",
            next_step="docs/connectors.md tells how they are declared; `tieline check` says what is missing",
        )
    return Receiver(receiving, url=url)
