"""Calls on behalf of one connection: credentials, budget, concurrency, retries of reads, and a line in the journal for each.

Writes are sent once: what to do after a failure depends on the delivery, and is decided in `engine.deliver.sender`. Only a 429 is waited out
here for both, because it spends no attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import msgspec

from tieline.config.models.connectors import Errors
from tieline.config.models.integrations import RetryPolicy
from tieline.config.models.limits import BreakerPolicy, LimitHeaders, RateLimit, Timeouts
from tieline.config.models.success import Says, conditions
from tieline.model.clock import Clock
from tieline.model.errors import (
    CircuitOpen,
    Forbidden,
    NotThere,
    OutcomeUnknown,
    Passing,
    RateLimited,
    Rejected,
    RemoteError,
    Stale,
    TielineError,
    Unauthorized,
    Unavailable,
    Undecodable,
    Untold,
)
from tieline.transport.breaker import Breaker
from tieline.transport.classify import error_of
from tieline.transport.content import make_plain
from tieline.transport.limits.budget import Budget, SharedAllowances
from tieline.transport.limits.headers import reset_wait
from tieline.transport.limits.priority_queue import MOST_WAIT_SECONDS
from tieline.transport.outages import Outage
from tieline.transport.ports import HttpRequest, HttpResponse, Transport
from tieline.transport.recording import UNKNOWN, CallRecord, Keeping, Purpose, Said, without_private
from tieline.transport.refusals import says_not_done
from tieline.transport.retry import TRANSIENT, wait_seconds


class Account(msgspec.Struct, frozen=True):
    """A connection ready for use: where, as whom, how much. Not shown anywhere: it holds credentials."""

    name: str
    base_url: str
    headers: Mapping[str, str]
    secret_headers: Mapping[str, str]
    secret_query: Mapping[str, str]
    limits: tuple[RateLimit, ...]
    limit_headers: tuple[LimitHeaders, ...]
    concurrency: int
    timeouts: Timeouts
    most_bytes: int
    errors: Errors
    mask: Callable[[str], str]
    keeping: Keeping
    """What is written down of its calls."""
    breaker: BreakerPolicy = BreakerPolicy()

    def __repr__(self) -> str:
        return f"Account({self.name!r}, {self.base_url!r})"


READ_RETRIES: ContextVar[RetryPolicy] = ContextVar("READ_RETRIES", default=RetryPolicy.model_construct())  # noqa: B039 - frozen
"""How often a read is tried again: the `retry` of the integration on whose behalf it is made."""
_READ_NEXT: dict[type[RemoteError], str] = {
    OutcomeUnknown: Unavailable.next_step,
    Forbidden: "give the account the permission that is missing, then run again",
    NotThere: "correct the path in the connector, or the connection's variables, then run again",
    Stale: "run again; if it stays so, look at what the answer says",
    Rejected: "correct the call in the connector by what the answer says, then run again",
}
"""What to do about a read: there is no record to be corrected, and nothing to be redriven."""
_MOVED, _MOST_HOPS = (301, 302, 307, 308), 5
"""Redirects that a GET follows to the same place, and how many of them in a row."""
_ELSEWHERE = (
    "if it is the same place by another name, name its host under `same_place` in the connector; if the vendor really moved, change the "
    "environment's URL there"
)
"""What to do about an address to which the credentials don't go."""
_GUESS_SECONDS = 2.0
_MOST_TURNED_AWAY = 20
"""So often a read waits for a probe of someone else's before it is told that the system is down."""
_MOST_JUDGED = 64 * 1024
"""Characters of an error answer that are looked at."""


class Caller:
    """Sends requests of one account."""

    def __init__(
        self,
        account: Account,
        transport: Transport,
        clock: Clock,
        *,
        outage: Outage | None = None,
        save_outage: Callable[[Outage | None], None] = lambda outage: None,
        shared: SharedAllowances | None = None,
    ) -> None:
        """`outage` is what an earlier process knew of the system's, `save_outage` keeps it for the next; `shared` keeps the budget."""
        self.account = account
        self._transport, self._clock = transport, clock
        self.clock = clock
        self.budget = Budget(
            account.limits,
            clock,
            name=account.name,
            shared=shared,
            headers=account.limit_headers,
            concurrency=account.concurrency,
        )
        self.breaker = Breaker(account.name, account.breaker, account.concurrency, clock, known=outage, save=save_outage)
        self._in_success = conditions(account.errors.in_success)
        self._headers = {**account.headers, **account.secret_headers}
        self.renew: Callable[[], Account] = lambda: self.account
        """Called when credentials are refused: returns the account as its references are now. May raise `TielineError`."""
        self._origin = _origin(account.base_url)
        self._begins = _beginning(account.base_url)
        self.observe: Callable[[CallRecord], int | None] = lambda record: None
        """Called for each request; may return the id under which it was journaled."""
        self.may_write: Callable[[], Awaitable[None]] = _always
        """Awaited just before a write leaves; raises when it must not leave any more."""
        self.amend: Callable[[int | None, str | None, Said | None], None] = lambda call, failure, said: None
        """Called when an answer turns out to be a failure, or none: (id of the call, class of the failure, what was said)."""

    async def read(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        cost: int,
        accept: tuple[int, ...] = (),
        *,
        once: bool = False,
        patient: bool = True,
        purpose: Purpose = UNKNOWN,
        in_success: tuple[Says, ...] | None = None,
    ) -> HttpResponse:
        """Send a call that changes nothing; passing failures are tried again, unless `once`. Statuses in `accept` are answers, not errors.

        One that is not `patient` does not wait for a system that is down. `in_success` says when 2xx is a failure, if this call has a way of
        its own. Raises `RemoteError`.
        """
        attempt, turned_away, hops, retries = 0, 0, 0, READ_RETRIES.get()
        heeded = (*accept, *_MOVED) if method == "GET" else accept
        while True:
            attempt += 1
            response, error, _ = await self._send(method, url, headers, body, cost, attempt, heeded, purpose, in_success, at_once=once)
            if error is None and response is not None:
                if response.status not in _MOVED or response.status in accept:
                    return response
                hops += 1
                url, attempt = self._moved_to(response, url, hops), 0
                continue
            assert error is not None
            if isinstance(error, CircuitOpen):
                if once or not patient or turned_away >= _MOST_TURNED_AWAY:
                    raise error
                attempt, turned_away = attempt - 1, turned_away + 1
                await self.breaker.until_it_may_pass()
                continue
            passing = isinstance(error, Passing) and (error.retry_after or 0.0) <= MOST_WAIT_SECONDS
            if once or not (passing or isinstance(error, TRANSIENT)) or attempt >= retries.attempts or self.breaker.is_open_for_long:
                if error.next_step == type(error).next_step:  # of a write, that is
                    error.next_step = _READ_NEXT.get(type(error), error.next_step)
                raise error
            told = (error.retry_after or 0.0) if isinstance(error, Passing) else 0.0
            await self._clock.sleep(max(told, wait_seconds(attempt, retries, self._clock.random())))

    async def write(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        cost: int,
        attempt: int,
        purpose: Purpose = UNKNOWN,
        in_success: tuple[Says, ...] | None = None,
    ) -> tuple[HttpResponse | None, RemoteError | None, int | None]:
        """Send a call that changes something, once; return (answer, error, id of the journaled call). `in_success` as for `read`.

        An error says whether it may have been done all the same (`perhaps_done`).
        """
        response, error, call = await self._send(method, url, headers, body, cost, attempt, (), purpose, in_success, writes=True)
        if error is not None:
            error.perhaps_done = not says_not_done(response, error, self.account.errors)
        return response, error, call

    def _moved_to(self, response: HttpResponse, url: str, hops: int) -> str:
        """Return where an answer sends a read, if that is the same place. Raises `Rejected` if not: credentials go nowhere else."""
        to = response.headers.get("Location", "")
        following = urljoin(url, to)
        if to and hops <= _MOST_HOPS and self.same_origin(following):
            parts = urlsplit(following)
            if self.account.secret_query:  # they are added once more
                kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in self.account.secret_query]
                parts = parts._replace(query=urlencode(kept))
            return urlunsplit(parts._replace(fragment=""))
        mask, where = self.account.mask, to or "an address that was not given"
        why = f"{self.account.name}: GET {_short(url)}: {response.status}: moved to {where}"
        if hops > _MOST_HOPS:
            why += f", after {_MOST_HOPS} redirects before it"
        elif to:
            why += f", which is not on {self.account.base_url}: it was not followed, the credentials stay here"
        next_step = f"correct the connector's path; {_ELSEWHERE}"
        raise self.misread(response, Rejected(mask(why), status=response.status, next_step=next_step))

    def same_origin(self, url: str) -> bool:
        """Whether credentials may go to this address."""
        return url.startswith(self._begins) or _origin(url) == self._origin

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        cost: int,
        attempt: int,
        accept: tuple[int, ...],
        purpose: Purpose,
        in_success: tuple[Says, ...] | None,
        *,
        at_once: bool = False,
        writes: bool = False,
    ) -> tuple[HttpResponse | None, RemoteError | None, int | None]:
        account = self.account
        if not self.same_origin(url):
            raise Undecodable(
                f"{account.name}: the address {account.mask(url)} is not on {account.base_url}: it was not followed, the credentials stay here",
                next_step=_ELSEWHERE,
            )
        request = self._request(method, url, headers, body)
        throttled, budget, clock, renewed = 0, self.budget, self._clock, False
        while True:
            response, error, call, sent_at = await self._try(
                request, cost, attempt, accept, purpose, in_success, at_once=at_once, writes=writes
            )
            if isinstance(error, Unauthorized) and not renewed:
                renewed = True  # once: what is refused again is refused
                if self._have_changed(account):
                    account, request = self.account, self._request(method, url, headers, body)
                    continue
            if response is None or not isinstance(error, RateLimited):
                if response is not None and (backoff := budget.answered(response.headers, cost)):
                    await budget.throttled(backoff, "asked to be left alone", lesson=False, ended=False)
                return response, error, call
            heard = budget.hear(response.headers)
            wait, told = error.retry_after, f"the vendor asked for it ({error.status}, Retry-After)"
            if wait is None:
                wait, told = reset_wait(heard), f"the vendor asked for it ({error.status}, the reset of its limit)"
            if wait is None:
                told = f"too many requests, without a word of how long to wait ({error.status})"
                wait = min(_GUESS_SECONDS * 2 ** min(throttled, 6), 120.0) * (0.5 + 0.5 * clock.random())
            throttled += 1
            # A 503 that names a time is an outage, not a limit: there is no pace to be learned from it.
            took_seconds = clock.monotonic() - sent_at
            await budget.throttled(wait, told, took_seconds=took_seconds, lesson=error.status != 503)
            # What may have been done although it was told to wait is not sent again before someone has looked.
            if wait > MOST_WAIT_SECONDS or (writes and not says_not_done(response, error, account.errors)):
                return response, error, call

    def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> HttpRequest:
        query = self.account.secret_query
        return HttpRequest(
            method, _with_query(url, query) if query else url, {**self._headers, **headers} if headers else self._headers, body
        )

    def _have_changed(self, refused: Account) -> bool:
        """Whether there are other credentials than those that were refused: found by another call meanwhile, or read again now."""
        if _credentials(self.account) == _credentials(refused):
            try:
                now = self.renew()
            except TielineError:  # a file that is being replaced, or was taken away: what is known is all there is
                return False
            self.account = msgspec.structs.replace(self.account, secret_headers=now.secret_headers, secret_query=now.secret_query)
            self._headers = {**self.account.headers, **self.account.secret_headers}
        return _credentials(self.account) != _credentials(refused)

    async def _try(
        self,
        request: HttpRequest,
        cost: int,
        attempt: int,
        accept: tuple[int, ...],
        purpose: Purpose,
        in_success: tuple[Says, ...] | None,
        *,
        at_once: bool,
        writes: bool,
    ) -> tuple[HttpResponse | None, RemoteError | None, int | None, float]:
        """Send once, when breaker and budget allow it, and note what came of it; return when it left as well.

        `RateLimited` without an answer: nothing was sent, because the budget has nothing for so long that no one should wait for it.
        """
        clock, account, breaker = self._clock, self.account, self.breaker
        try:
            probe = await breaker.enter(at_once=at_once)
        except CircuitOpen as closed:
            return None, closed, None, 0.0
        judged = taken = False
        try:
            try:
                waited = await self.budget.take(cost)
            except RateLimited as used_up:
                return None, used_up, None, 0.0
            taken = True
            if writes:
                await self.may_write()  # the wait for the budget may have been long
            at, started = clock.now(), clock.monotonic()
            response: HttpResponse | None = None
            error: RemoteError | None
            try:
                response = await self._transport.send(request, account.timeouts, account.most_bytes)
                make_plain(response, account.most_bytes)
            except RemoteError as failure:
                error = failure
                self.budget.answered(None)
                taken = False
            except asyncio.CancelledError:  # the run is being stopped: the request may have arrived all the same
                self._note(request, None, "cancelled", None, at, clock.monotonic() - started, waited, attempt, purpose)
                raise
            else:
                checks = self._in_success if in_success is None else in_success
                error = None if response.status in accept else self._error_of(response, at, checks)
                if not writes and isinstance(error, Untold):
                    error = None  # of a read, what it has is what counts
            why = ""
            if error is not None:
                why = account.mask(str(error))
                error.args = (account.mask(f"{account.name}: {request.method} {_short(without_private(request.url, purpose))}: {error}"),)
                error.text = account.mask(error.text)
            seconds, kind = clock.monotonic() - started, error.kind if error is not None else None
            judged = True
            if isinstance(error, TRANSIENT) and not isinstance(error, Untold):
                breaker.failed(why, probe=probe)
            else:
                breaker.answered()
            return response, error, self._note(request, response, kind, error, at, seconds, waited, attempt, purpose), started
        finally:
            if taken and not judged:
                self.budget.abandoned()
            if not judged:
                breaker.given_up(probe=probe)

    def misread(self, response: HttpResponse, error: RemoteError) -> RemoteError:
        """Note that an answer turned out to be none: its call failed, and what was said is kept. Returns the error."""
        if response.call is not None and response.request is not None:
            self.amend(response.call, error.kind, self.account.keeping.said(response.request, response, response.resource, failed=True))
        return error

    def _error_of(self, response: HttpResponse, now: float, in_success: tuple[Says, ...]) -> RemoteError | None:
        errors = self.account.errors
        error = error_of(response, errors, now, in_success)
        if error is None:
            return None
        # Once more, of what may be shown: its words are cut, and a secret that the answer echoes must not be cut in half.
        body = self.account.keeping.excerpt(response.body.decode("utf-8", "replace"), _MOST_JUDGED)
        return error_of(msgspec.structs.replace(response, body=body.encode()), errors, now, in_success) or error

    def _note(
        self, request: HttpRequest, response: HttpResponse | None, failure: str | None, error: RemoteError | None,
        at: float, seconds: float, waited: float, attempt: int, purpose: Purpose,
    ) -> int | None:  # fmt: skip
        account = self.account
        keeping, failed, body = account.keeping, failure is not None, request.body
        record = CallRecord(
            at, account.name, request.method, keeping.url(account.mask(request.url), purpose, failed=failed),
            response.status if response else None, seconds, waited, len(body) if body else 0, len(response.body) if response else 0,
            attempt, purpose, failure,
        )  # fmt: skip
        if failed and purpose.private:
            record.told_url = without_private(account.mask(request.url), purpose)
        if error is not None and not keeping.hides(failed=True):
            record.answer = account.mask(error.text or str(error))
        if failed or (keeping.sample and self._clock.random() < keeping.sample):
            record.said = keeping.said(request, response, purpose.resource, failed=failed)
        call = self.observe(record)
        if response is not None:
            response.call, response.request, response.resource = call, request, purpose.resource
        return call


def _credentials(account: Account) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return account.secret_headers, account.secret_query


async def _always() -> None:
    pass


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _beginning(url: str) -> str:
    """Return how most addresses of an origin begin, so that few have to be taken apart."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return url + ("&" if "?" in url else "?") + urlencode(query)


def _short(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")
