"""A small vendor on loopback and a project for it, used through the command line as a person would.

    vendor = served(answer)             # answer(Asked) -> (status, body) or (status, body, headers)
    project = Project(tmp_path, vendor, {"connectors/shop.yaml": "...", ...})
    project.tieline("run", "sync").code

`{url}` in a file stands for the vendor's address.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cli.world import Command, Result

SRC = Path(__file__).parents[2] / "src"
KEY = "key-1234567890-abcdef"
CONNECTIONS = """\
a: { connector: a, auth: { bearer: "${env:KEY}" }, owner: me@example.com }
b: { connector: b, auth: { bearer: "${env:KEY}" }, owner: me@example.com }
"""
PROJECT = "project: case\nowner: me@example.com\n"


@dataclass(frozen=True)
class Asked:
    """A request as the vendor sees it."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str
    """Path and query as they came."""

    @property
    def json(self) -> Any:
        """The body, decoded; None without one."""
        return json.loads(self.body) if self.body else None


Answer = Callable[[Asked], tuple[Any, ...]]


@dataclass
class Vendor:
    """A server that answers as it is told, and remembers what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    answer: Answer = lambda asked: (404, {"error": "nothing here"})

    def calls(self, method: str, path: str = "") -> list[Asked]:
        """What it was asked by a method, below a path."""
        return [asked for asked in self.asked if asked.method == method and asked.path.startswith(path)]

    @property
    def writes(self) -> list[Asked]:
        """What was to change something: all but GET and HEAD."""
        return [asked for asked in self.asked if asked.method not in ("GET", "HEAD")]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that is gone is part of the test."""


@contextlib.contextmanager
def running(answer: Answer) -> Iterator[Vendor]:
    """Run a vendor on a free port. A body may be bytes, None, or what is sent as JSON."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            asked = Asked(self.command, unquote(parts.path), query, self.headers, body, self.path)
            with lock:
                vendor.asked.append(asked)
                status, out, *more = vendor.answer(asked)
            data = b"" if out is None else out if isinstance(out, bytes) else json.dumps(out).encode()
            headers = dict(more[0]) if more else {}
            self.send_response(status)
            if status not in (204, 304):
                headers.setdefault("Content-Type", "application/json")
                headers.setdefault("Content-Length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if status not in (204, 304):
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any  # noqa: N815 - the names are the library's

    server = _Server(("127.0.0.1", 0), Handler)
    vendor = Vendor(f"http://127.0.0.1:{server.server_port}", answer=answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Project:
    """A project folder, and a shell in it."""

    def __init__(self, folder: Path, vendor: Vendor, files: Mapping[str, str], environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._url = vendor.url
        self.environ = {
            **{name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "COLUMNS", "TIELINE_TRACE")},
            "PYTHONPATH": str(SRC),
            "KEY": KEY,
            **(environ or {}),
        }
        for name, text in {"tieline.yaml": PROJECT, "connections.yaml": CONNECTIONS, **files}.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Write a file of the project; `{url}` stands for the vendor's address."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{url}", self._url), "utf-8")

    def change(self, name: str, old: str, new: str) -> None:
        """Edit a file of the project."""
        text = (self.folder / name).read_text("utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def tieline(self, *arguments: str, **environ: str) -> Result:
        """Run a command to its end."""
        return Command(arguments, self.folder, {**self.environ, **environ}).end()
