"""What all vendors share: credentials, limits, faults, a file that remembers, and what the admin address asks for.

A request passes, in this order: faults that keep it from being looked at, credentials, the limit, the vendor's own
routes; then what changed is committed, and only then it is answered. The admin address knows neither credentials,
limits nor faults: it stands for the people who work in the vendor's user interface, and for the weather.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from email.utils import formatdate
from typing import Any, Final, TypeAlias

from aiohttp import hdrs, web

from tieline.model.clock import Clock, SystemClock
from tieline.model.records import Record
from tieline.sandbox.answers import Refusal, answer
from tieline.sandbox.faults import Faults
from tieline.sandbox.state import State
from tieline.sandbox.throttle import Limit, Throttle

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

ADMIN: Final = "/_sandbox/"
_HTML: Final = "<!doctype html><title>Sign in</title><p>Please sign in to continue."


class Vendor(ABC):
    """A sandbox system. Its data is in `state`; `serving` serves it."""

    kind: str
    limit: Limit

    def __init__(self, state: State, *, clock: Clock | None = None, limit: Limit | None = None) -> None:
        self.state = state
        self.clock: Clock = clock or SystemClock()
        self.throttle = Throttle(limit or self.limit)
        self.faults = Faults()
        self.answered: Counter[str] = Counter()
        """How many requests were answered, by status; `lost` ones got none."""
        self.most_at_once = 0
        if state.restored:
            self.recall()
        else:
            self.seed()
        state.rewrite()

    @abstractmethod
    def routes(self) -> Iterable[web.RouteDef]:
        """Return the vendor's own addresses."""

    @abstractmethod
    def is_authorized(self, request: web.Request) -> bool:
        """Whether the caller has proved who it is."""

    @abstractmethod
    def error_body(self, refusal: Refusal) -> Any:
        """Return a refusal in the vendor's own words."""

    @abstractmethod
    def seed(self) -> None:
        """Fill the tables of a new sandbox."""

    def recall(self) -> None:  # noqa: B027 - most have nothing but their tables
        """Make ready what is not kept in the tables, after they were read."""

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Return how many records there are, and of which sort."""

    @abstractmethod
    def records(self) -> list[Record]:
        """Return all records."""

    @abstractmethod
    def add(self, fields: Record) -> Record:
        """Put a record in without judging it, as a careless import would."""

    @abstractmethod
    def add_bad(self, kind: str) -> Record:
        """Put in a record that another system won't have. Raises `KeyError` for an unknown kind."""

    @abstractmethod
    def edit(self, key: str, fields: Record) -> Record:
        """Change a record's fields, as a person would. Raises `KeyError` when there is none."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove a record, as a person would. Raises `KeyError` when there is none."""

    def close(self) -> None:
        """Write what is to be remembered."""
        self.state.rewrite()
        self.state.close()

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Take a request the way that the module describes."""
        if request.path.startswith(ADMIN):
            return await self._in_our_words(request, handler)
        self.throttle.at_once += 1
        self.most_at_once = max(self.most_at_once, self.throttle.at_once)
        try:
            response = await self._serve(request, handler)
        except ConnectionResetError:  # the caller has gone before it had said what it wants
            response = None
        finally:
            self.throttle.at_once -= 1
        self.answered["lost" if response is None else str(response.status)] += 1
        return _hung_up(request) if response is None else response

    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse | None:
        """Return the answer, or None when the caller gets none."""
        faults, method = self.faults, request.method
        if faults.latency:
            await self.clock.sleep(faults.latency)
        if faults.hang_up or faults.hits("lose_request", method):
            return None
        if faults.outage:
            return self._refused(Refusal(503, "unavailable", "the service is down for maintenance"))
        if faults.hits("garble", method):
            return web.Response(text=_HTML, content_type="text/html")
        if faults.unauthorized or not self.is_authorized(request):
            return self._refused(Refusal(401, "unauthorized", "the credentials are missing or not valid"))
        too_many = self._too_many(faults.hits("throttle", method))
        if too_many is not None:
            return too_many
        if faults.hits("fail", method):
            return self._refused(Refusal(500, "internal", "something went wrong on our side"))
        response = await self._in_our_words(request, handler)
        response.headers.update(self.throttle.headers())
        if faults.answer_latency:
            await self.clock.sleep(faults.answer_latency)
        return None if faults.hits("lose_answer", method) else response

    def _too_many(self, forced: bool) -> web.Response | None:
        now, limit = self.clock.now(), self.throttle.limit
        if self.throttle.at_once > limit.at_once:
            wait_seconds, message = 1.0, f"more than {limit.at_once} requests at once"
        else:
            wait_seconds = 1.0 if forced else self.throttle.take(self.clock.monotonic())
            message = f"more than {limit.per_second:g} requests a second"
        if not wait_seconds:
            return None
        response = self._refused(Refusal(429, "too_many_requests", message))
        response.headers.update(self.throttle.headers())
        response.headers[hdrs.RETRY_AFTER] = self.throttle.retry_after(wait_seconds, now)
        response.headers[hdrs.DATE] = formatdate(now, usegmt=True)
        return response

    async def _in_our_words(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = self._refused(refusal)
        except web.HTTPException as refused:  # no such address, wrong method, body too large
            response = self._refused(Refusal(refused.status, refused.reason.lower().replace(" ", "_"), request.path))
        # What is answered must not be forgotten; a refused request has changed nothing.
        self.state.commit()
        return response

    def _refused(self, refusal: Refusal) -> web.Response:
        return answer(self.error_body(refusal), refusal.status)


def _hung_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # goes nowhere: the connection is closed
