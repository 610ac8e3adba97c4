"""A vendor on loopback, and a small caller for it."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from tieline.sandbox import CRM_TOKEN, POSTBOX_KEY, serve
from tieline.sandbox.vendor import Vendor

CREDENTIALS = {"Authorization": f"Bearer {CRM_TOKEN}", "X-Api-Key": POSTBOX_KEY}
MEMBERS = "/3.0/lists/nurture/members"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> Any:
        """The answer's JSON."""
        return json.loads(self.text)


class Caller:
    """Calls one vendor, with its credentials unless others are given."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self.url = session, url

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Send one request."""
        sent = CREDENTIALS if headers is None else {**CREDENTIALS, **headers}
        async with self._session.request(method, self.url + path, json=body, headers=sent, params=params) as response:
            return Answer(response.status, response.headers, await response.text())

    async def admin(self, method: str, path: str = "", body: Any = None) -> Any:
        """Call the admin address; return the answer's JSON."""
        answer = await self(method, f"/_sandbox/{path}", body)
        assert answer.status < 300, answer.text
        return answer.body if answer.text else None

    async def write(self, path: str, body: Any, key: str, method: str = "POST") -> Answer:
        """Write with an idempotency key."""
        return await self(method, path, body, headers={"X-Idempotency-Key": key})


@contextlib.asynccontextmanager
async def calling(vendor: Vendor) -> AsyncIterator[Caller]:
    """Serve a vendor for the length of the block."""
    async with serve(vendor) as url, aiohttp.ClientSession() as session:
        yield Caller(session, url)
