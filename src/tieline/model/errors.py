"""The exception tree. Each error says where, what, and what to do next.

TielineError
├── SpecError            a file is wrong: correct the file
├── MappingError         a record can't become what the destination wants: park
├── RemoteError          a system did not do what was asked
│   ├── Unreachable      the request never left: retry
│   │   └── CircuitOpen  it was not even tried, because the system is down: wait for the next probe
│   ├── Unavailable      5xx: retry
│   ├── OutcomeUnknown   the request left, no answer came: look, then decide
│   │   └── Untold       2xx, and nothing of this record: look, then alone, then park
│   ├── RateLimited      429 and vendors' throttles: wait, no attempt spent
│   ├── Passing          423 and what the connector says passes by itself: try this record again
│   ├── Unauthorized     401: halt
│   ├── Forbidden        403: park; many in a row: halt
│   ├── Stale            409, 412: decide again
│   ├── NotThere         404, 410: find it again, else park
│   ├── Rejected         other 4xx: park
│   ├── Undecodable      an answer that can't be understood
│   │   ├── Garbled      it is not JSON at all: a read is tried again
│   │   └── AnotherRecord    an answer that is not about the record that was asked for
│   └── Incomplete       a list that was not read whole
│       └── Unsettled    because it changed all the while: the next run reads it again
├── Expired              the point from which changes are wanted is too old: read everything
├── SafetyStop           a brake, a lost lease, a plan that no longer holds: halt
├── Refused              what a person asked for can't be done: nothing was changed
└── StoreError           the store can't be used
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class TielineError(Exception):
    """Base of every error that tieline raises on purpose; `next_step` tells a person what to do, `details` are lines of their own."""

    next_step: str = ""
    details: Sequence[str] = ()

    def __init__(self, message: str, *, next_step: str | None = None, details: Sequence[str] = ()) -> None:
        super().__init__("\n  ".join((message, *details)))
        self.message, self.details = message, details
        if next_step is not None:
            self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong in a file: where, what, and how to correct it."""

    file: str
    line: int | None
    key: str
    message: str
    hint: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        return f"{where}: {key}{self.message}" + (f" ({self.hint})" if self.hint else "")


class SpecError(TielineError):
    """Files that can't be used, with all complaints about them."""

    next_step = "correct the files, then `tieline check`"

    def __init__(self, complaints: list[Complaint]) -> None:
        self.complaints = complaints
        super().__init__("\n".join(map(str, complaints)))


class MappingError(TielineError):
    """A record that the mapping can't translate, or that the destination would refuse.

    `target` is the destination's field, `rule` the rule as written; `where` (file and line) is known to the project.
    """

    next_step = "correct the rule or the record, then `tieline dead-letters redrive`"

    def __init__(self, target: str, problem: str, *, source: str = "", value: Any = None, lookup: tuple[str, str] | None = None) -> None:
        self.target, self.problem, self.source, self.value = target, problem, source, value
        self.lookup = lookup
        """(integration, id) of the link that is missing, when that is the problem."""
        super().__init__(f"{target}: {problem}")


class RemoteError(TielineError):
    """A system did not do what was asked. `text` is the vendor's own words, cut to a bounded length.

    What follows for a delivery is in one table, `engine.core.failures`.
    """

    kind = "remote"
    likely = ""
    """The likely cause, for people."""
    perhaps_done = False
    """Of a write: it left, and nothing says plainly that it was not done."""
    looked: int | None = None
    """Of a look that was answered with rubbish: in how many runs it was so."""

    def __init__(self, message: str, *, status: int | None = None, text: str = "", next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.status, self.text = status, text


class Unreachable(RemoteError):
    """The request never left this machine: it is safe to try again."""

    kind, next_step = "unreachable", "look at the network and the address; tieline tries again by itself"
    likely = "the network, a name that is not resolved, a firewall, or a wrong address"


class CircuitOpen(Unreachable):
    """The request was not tried: the system is known to be down, and the breaker waits for its next probe.

    `wait_seconds` is how long it is until then; 0.0 while a probe is on its way.
    """

    kind, next_step = "circuit-open", "nothing; tieline probes the system by itself, and goes on when it answers"
    likely = "an outage of the system, or of the way to it"

    def __init__(self, message: str, *, wait_seconds: float) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class Unavailable(RemoteError):
    """The system answered that it can't at the moment (5xx)."""

    kind, next_step = "unavailable", "nothing; tieline tries again by itself"
    perhaps_done = True
    likely = "the system is overloaded or being maintained, or trips over what it was sent"


class OutcomeUnknown(RemoteError):
    """The request left and no whole answer came: it may have been done."""

    kind, next_step = "unknown", "nothing; tieline looks whether it was done before it writes again"
    perhaps_done = True
    likely = "the connection broke, or the answer took longer than the connector's `timeouts`"


class Untold(OutcomeUnknown):
    """The request was answered with success, and the answer does not say what became of this record."""

    next_step = "compare the answer with the connector's `results`, or with `record` of the write, then redrive it"
    likely = "the vendor leaves refused records out of its results, or says in its own way that it refused: `errors: in_success`"


class RateLimited(RemoteError):
    """Too many requests. `retry_after` is in seconds, None when the vendor did not say."""

    kind, next_step = "rate-limited", "nothing; tieline waits as told"
    likely = "more calls than the vendor accepts; other programs may use the same account"

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = None, text: str = "") -> None:
        super().__init__(message, status=status, text=text)
        self.retry_after = retry_after


class Passing(RemoteError):
    """The system refused this record, plainly and for a reason that passes by itself: a lock. Nothing was done.

    `retry_after` is in seconds, None when the vendor did not say.
    """

    kind, next_step = "passing", "nothing; tieline tries it again. If it stays so, ask the vendor what holds the record, then redrive it"
    likely = "another user or process of the vendor's has the record open, or locks what it belongs to"

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = None, text: str = "") -> None:
        super().__init__(message, status=status, text=text)
        self.retry_after = retry_after


class Unauthorized(RemoteError):
    """The credentials are refused (401)."""

    kind, next_step = "unauthorized", "renew the connection's credentials, then run again; nothing was dropped"
    likely = "the credentials have expired or were revoked, or are of another environment"


class Forbidden(RemoteError):
    """The credentials are good, and this is not allowed (403)."""

    kind, next_step = "forbidden", "give the account the permission that is missing, then redrive; or discard it"
    likely = "the account lacks a permission or a scope, or the vendor protects this record"


class NotThere(RemoteError):
    """The record, or the address, does not exist (404, 410)."""

    kind = "not-there"
    next_step = "redrive it to have the record found by its match key or made again, or discard it and leave it deleted"
    likely = "someone deleted or merged the record there, or the connector's path is wrong"


class Stale(RemoteError):
    """Something else changed the record meanwhile (409, 412)."""

    kind, next_step = "stale", "look at the record in both systems, then redrive it"
    likely = "someone changed the record at the same moment, or another record has the same unique value"


class Rejected(RemoteError):
    """The system understood and refused (other 4xx)."""

    kind, next_step = "rejected", "correct the record, the mapping or the connector, then redrive it"
    likely = "the record breaks one of the vendor's rules, or the request is shaped otherwise than the vendor wants it"


class Undecodable(RemoteError):
    """An answer that is not what the connector declares: not JSON, cut off, too large, records not where they should be."""

    kind, next_step = "undecodable", "compare the answer with the connector's declaration"
    perhaps_done = True
    lasts = False
    """Asked again, it would say the same: it was understood, and lacks what the connector says that it has."""
    likely = "a proxy or a log-in page answered in the vendor's place, or the API has changed"


class Garbled(Undecodable):
    """An answer that is not JSON at all: cut off, or a page of a proxy. A read is tried again."""


class AnotherRecord(Undecodable):
    """An answer about another record than the one that was asked for, or about one without an id. It proves nothing about either."""

    kind, next_step = "another-record", "ask the vendor for that record yourself; then correct `get`, `find` or `id` in the connector"
    likely = "the connector's path, `record` or `id` is wrong, the id is spelled otherwise there, or the vendor shows what a record was merged into"
    perhaps_done = False


class Incomplete(RemoteError):
    """A list that could not be read whole. `missing` is how many records are known to be missing, 0 when that is not known."""

    kind, next_step = "incomplete", "run again; if it stays so, correct the list in the connector: its paging, `total`, `ceiling`"
    likely = "the paging is declared wrong, or the vendor shows no more than so many records of a list"

    def __init__(self, message: str, *, missing: int = 0, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.missing = missing


class Unsettled(Incomplete):
    """A list that changed each time it was read: some of it may have slipped from page to page."""

    kind, next_step = "unsettled", "nothing; the next run reads it again"
    likely = "many records come, go or change while the list is read, or its order is not the same each time"


class Unshown(RemoteError):
    """What may have been made is not shown, and reads may be behind what was made."""

    kind = "unshown"
    next_step = "nothing; it is looked for again. If reads are never behind writes there, say `lag: 0s` in the connector"
    likely = "the write was not done, or reads there are answered from a copy that is behind its writes"


class Expired(TielineError):
    """The point from which changes are wanted is too old for the system. `feed`: that of its feed of deletions.

    Whoever reads begins again from the beginning: what has changed, or was deleted, since then can't be asked for any more.
    """

    def __init__(self, message: str, *, feed: bool) -> None:
        super().__init__(message, next_step="run again with `--full`")
        self.feed = feed


class SafetyStop(TielineError):
    """A run that stopped itself before doing harm."""


class Refused(TielineError):
    """What a person asked for can't be done, and nothing was changed."""


class StoreError(TielineError):
    """The store can't be read or written; nothing was accepted or confirmed meanwhile."""

    next_step = "look at the disk (space, permissions) and the store's path, then run again"
