"""Sandboxes as servers on 127.0.0.1: `serve` in this process, `run` in a process of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiohttp import web

from tieline.sandbox.admin import admin_routes
from tieline.sandbox.vendor import Vendor

HOST: Final = "127.0.0.1"  # never another: anybody who reaches the admin address may do anything
_LARGEST_BODY: Final = 8 * 1024 * 1024


@asynccontextmanager
async def serve(vendor: Vendor, port: int = 0) -> AsyncIterator[str]:
    """Serve a vendor for the length of the block; yields its base URL. With port 0 the system chooses one."""
    app = web.Application(middlewares=[vendor.admit], client_max_size=_LARGEST_BODY)
    app.add_routes(vendor.routes())
    app.add_routes(admin_routes(vendor))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        vendor.close()


async def run(vendor: Vendor, port: int = 0) -> None:
    """Serve a vendor until SIGTERM, SIGINT, SIGHUP, or the end of standard input when that is a pipe.

    The pipe is how a sandbox ends with the program that started it, however that ended.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)):
        with suppress(NotImplementedError):  # Windows: Ctrl-C ends the process
            loop.add_signal_handler(number, stop.set)
    if _is_pipe(0):
        threading.Thread(target=_wait_for_end, args=(loop, stop), daemon=True).start()
    async with serve(vendor, port) as url:
        sys.stdout.write(f"READY {url}\n")
        sys.stdout.flush()
        await stop.wait()


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _wait_for_end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    with suppress(OSError):
        while os.read(0, 4096):  # not sys.stdin: its lock would be held when the interpreter ends
            pass
    with suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(stop.set)
