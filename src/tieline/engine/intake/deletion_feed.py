"""What a feed of deletions has told of, in one run: noted as it comes, and dealt with once the list is read.

A feed tells of what happened, and tells it again: the record may be there, under the same id or as the one into which it was merged. So the
system is asked for each that is known to be there, and what it answers counts. The mark of the feed moves after that.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from tieline.dialects.dialect import System
from tieline.engine.lookup.fetching import ask_for
from tieline.model.errors import RemoteError
from tieline.model.records import Record

_TOGETHER: Final = 200


class Portion(NamedTuple):
    """Some of the records that were told of, and what became of them."""

    gone: list[str]
    """Ids of those that are not there."""
    merged: dict[str, str]
    """By id, of those that were merged into another record: the id of that one."""
    survivors: dict[str, Record]
    """What the system has shown of records into which others were merged, by their own ids."""
    there: list[str]
    """Ids of those that the system shows all the same."""
    refused: dict[str, RemoteError]
    """By id, of those for which it refuses to say."""


def ends_of(merged: Mapping[str, str], there: Container[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Return where merges end: {id: the record that is left}, and the ids of those that were merged into each other, of which none is left.

    A record that was merged into one that was merged itself ends where that one does. What is `there` ends a chain, whatever was told of it.
    """
    ends: dict[str, str] = {}
    rings: list[str] = []
    for id, into in merged.items():
        met = {id}
        while into in merged and into not in there and into not in met:
            met.add(into)
            into = merged[into]
        if into in met:
            rings.append(id)
        else:
            ends[id] = into
    return ends, rings


class Told:
    """The deletions that a feed has told of."""

    def __init__(self, system: System, resource: str) -> None:
        self._system, self._resource = system, resource
        self._noted: dict[str, str | None] = {}

    def note(self, told: Mapping[str, str | None], there: Iterable[str]) -> None:
        """Note those that are known to be there, each with the id of the record into which it was merged, if any."""
        self._noted |= {id: told[id] for id in there}

    def ids(self) -> Iterator[list[str]]:
        """Yield the ids of what was noted, some at a time."""
        ids = list(self._noted)
        for first in range(0, len(ids), _TOGETHER):
            yield ids[first : first + _TOGETHER]

    async def ask(self, ids: list[str], check_stopped: Callable[[], None]) -> Portion:
        """Say what became of these; where the system can't be asked for one record, the feed is believed. Raises `RemoteError`."""
        answers: dict[str, Record | None] = dict.fromkeys(ids)
        refused: dict[str, RemoteError] = {}
        if self._system.features(self._resource).get:
            answers = await ask_for(self._system, self._resource, ids, refused=refused)
        check_stopped()
        found = Portion([id for id, record in answers.items() if record is None], {}, {}, [], refused)
        for id, record in answers.items():
            now_called = self._system.id_of(self._resource, record) if record is not None else self._noted[id]
            if now_called is not None and now_called != id:
                found.merged[id] = now_called
                if record is not None:
                    found.survivors[now_called] = record
            elif record is not None:
                found.there.append(id)
        return found
