"""The one table of failures: what came back, and what follows for a read and for a write.

`reaction_to` is what the sender asks; `docs/failures.md` shows the table as it stands here.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from tieline.model.errors import (
    AnotherRecord,
    CircuitOpen,
    Forbidden,
    Garbled,
    Incomplete,
    NotThere,
    OutcomeUnknown,
    Passing,
    RateLimited,
    Rejected,
    RemoteError,
    Stale,
    Unauthorized,
    Unavailable,
    Undecodable,
    Unreachable,
    Unsettled,
    Unshown,
    Untold,
)


class Reaction(Enum):
    """What follows for a write."""

    RETRY = "try again"
    WAIT = "wait as told; no attempt is spent"
    LOOK_THEN_PARK = "find out whether it was done, then try again, the last time alone; park what is still told nothing of"
    RETRY_ALONE = "try that record again, not before the time told; park what is refused in three runs"
    LOOK_FIRST = "find out whether it was done, then try again"
    DECIDE_AGAIN = "read the record again and decide again; park what is refused each time"
    FIND_AGAIN = "look for it by its match key; ask again after the lag, then park it"
    PARK = "park"
    PARK_OR_HALT = "park; many in a row: halt"
    HALT = "halt: everything else stays owed"


class Failure(NamedTuple):
    """A class of failures."""

    error: type[RemoteError]
    answer: str
    """What came back."""
    reading: str
    """What follows for a read."""
    writing: Reaction
    """What follows for a write."""
    creating: str = ""
    """What follows for the creation of a record, where that is something else: made again blindly, it could be there twice."""


_LOOK, _FIRST = "look for it, then try again", "; where the words are not plainly the vendor's, look for it first"
_UNLESS_SAME = "try again, unless the same comes twice"
_AGAIN, _ENDS = "try again", "the run fails; the next one goes on from the same place"
FAILURES: Final = (
    Failure(Unreachable, "no connection, so the request never left", _AGAIN, Reaction.RETRY),
    Failure(CircuitOpen, "not tried, because the system is down", "wait for the next probe; no attempt is spent", Reaction.WAIT),
    Failure(OutcomeUnknown, "sent, and no whole answer came", _AGAIN, Reaction.LOOK_FIRST, _LOOK),
    Failure(
        Untold,
        "2xx that does not say what became of a record: left out of a batch's results, results that can't be told apart, no declared `record`",
        _AGAIN,
        Reaction.LOOK_THEN_PARK,
    ),
    Failure(
        RateLimited,
        "429, 420, 430, 477, 509, 529, 503 or 409 with `Retry-After`, or what is under `errors: throttled`",
        Reaction.WAIT.value,
        Reaction.WAIT,
        f"wait as told; after a 5xx, {_LOOK}",
    ),
    Failure(Passing, "423, any other 4xx but 401 with `Retry-After`, or what is under `errors: passing`", _AGAIN, Reaction.RETRY_ALONE),
    Failure(Unavailable, "any other 5xx, 408, 425", _AGAIN, Reaction.RETRY, _LOOK),
    Failure(Unauthorized, "401", "halt", Reaction.HALT, f"{Reaction.HALT.value}{_FIRST}"),
    Failure(Forbidden, "403", _ENDS, Reaction.PARK_OR_HALT, f"{Reaction.PARK_OR_HALT.value}{_FIRST}"),
    Failure(NotThere, "404, 410", _ENDS, Reaction.FIND_AGAIN, f"park{_FIRST}"),
    Failure(Stale, "409, 412", _ENDS, Reaction.DECIDE_AGAIN, "look for it: what is there becomes an update, else park"),
    Failure(Rejected, "any other 4xx, 3xx, and 2xx that says so (`in_success`)", _ENDS, Reaction.PARK, f"park{_FIRST}"),
    Failure(Garbled, "2xx that is cut off, or a page of a proxy or a log-in", _AGAIN, Reaction.LOOK_FIRST, _LOOK),
    Failure(Undecodable, "2xx that is too large, or not what is declared", _UNLESS_SAME, Reaction.LOOK_FIRST, _LOOK),
    Failure(
        AnotherRecord,
        "an answer to `get` or `find` whose record has another id, or none",
        f"{_UNLESS_SAME}; that record is neither there nor gone",
        Reaction.PARK,
    ),
    Failure(Incomplete, "a list of which fewer came than there are", _ENDS, Reaction.LOOK_FIRST),
    Failure(Unshown, "a look that does not show, within the lag, what may have been made", "look again after the lag", Reaction.LOOK_FIRST),
    Failure(Unsettled, "a list that changed each time it was read", "the next run reads it again", Reaction.LOOK_FIRST),
)
PASSING: Final = (Unreachable, Unavailable, OutcomeUnknown, RateLimited, Passing, Unsettled)
"""Failures that pass by themselves: the next run may not meet them."""
_REACTIONS: Final = {failure.error: failure.writing for failure in FAILURES}


def reaction_to(error: RemoteError) -> Reaction:
    """Return what follows for a write that met this failure."""
    reaction = next((_REACTIONS[kind] for kind in type(error).__mro__ if kind in _REACTIONS), Reaction.PARK)
    if reaction is Reaction.PARK and error.status is not None and 300 <= error.status < 400:
        return Reaction.PARK_OR_HALT  # a moved address: hardly the fault of one record
    return reaction


def needs_a_person(error: RemoteError) -> bool:
    """Whether a run that ends with this failure can't go on before someone has acted."""
    return reaction_to(error) not in (Reaction.RETRY, Reaction.RETRY_ALONE, Reaction.WAIT, Reaction.LOOK_FIRST, Reaction.LOOK_THEN_PARK)


def as_table() -> str:
    """Return the table as Markdown, for the documentation."""
    rows = [
        "| the answer | kind | likely cause | reading | updating, deleting | creating |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for failure in FAILURES:
        error = failure.error
        rows.append(
            f"| {failure.answer} | `{error.kind}` | {error.likely} | {failure.reading} | {failure.writing.value} | {failure.creating or failure.writing.value} |"
        )
    return "\n".join(rows)
