"""Plain HTTP calls for seeding and counting, independent of the client under test.

A call returns whatever was answered, 4xx and 5xx included: what is expected is for the caller to say.
"""

import base64
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Message
    """Looked up in any case."""
    body: bytes
    asked: str

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def expect(self, *statuses: int) -> "Answer":
        """Return this answer when it has one of the statuses; a seed that was refused must not look like a seed."""
        if self.status not in statuses:
            raise AssertionError(f"{self.asked}: {self.status}, expected {statuses}: {self.text[:500]}")
        return self


def call(
    method: str,
    url: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
) -> Answer:
    """Send one request on a connection of its own; a body is sent as JSON."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    all_headers = {"Accept": JSON, **({} if body is None else {"Content-Type": JSON}), **(headers or {})}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_seconds)
    try:
        connection.request(method, target, None if body is None else json.dumps(body).encode(), all_headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read(), f"{method} {url}")
    finally:
        connection.close()


def basic(user: str, password: str) -> str:
    """Return the value of an Authorization header for HTTP Basic."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
