"""Finding the counterpart of a record in the destination.

Three ways, cheapest first: what this project linked already (`links`), the destination's own search (`find`), and a survey, a full
listing of the destination kept in the store for the length of the run. A survey serves a first meeting, when there would be a search for
every record, and destinations that can't search.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tieline.dialects.dialect import Page, System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.failures import PASSING
from tieline.engine.core.ledger import Ledger, about
from tieline.engine.core.linked import Links
from tieline.engine.lookup.find_cache import Remembered
from tieline.mapping import compile_get
from tieline.model.errors import AnotherRecord, Forbidden, NotThere, Rejected, RemoteError, Stale, Undecodable
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record, Values, decode_json, encode_json
from tieline.model.tasks import side_by_side
from tieline.store import links, runs
from tieline.store.database import Transaction
from tieline.sync.decide import Candidate
from tieline.transport.retry import TRANSIENT

_SURVEY_FROM = 200
"""So many unlinked records on hand make a listing cheaper than searching for each."""

_OF_ONE = (Rejected, Forbidden, NotThere, Stale, Undecodable)
"""Failures of a search that may be about the one record that it was for."""
_NOTHING = (ABSENT, None, "")
_MOST_REFUSED = 10
"""So many searches in a row, without one that went well, are laid at the records' door."""


class _Asked:
    """Someone waits for the destination's records with a key."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.found: dict[str, Values] | None = None


class Matcher:
    """Answers: which destination records have this match key?"""

    def __init__(self, job: CompiledIntegration, target: System, ledger: Ledger, *, links: Links = links) -> None:
        self._job, self._target, self._ledger, self._links = job, target, ledger, links
        self._surveyed = self._surveyed_some = self._survey_tells_nothing = False
        self._surveyed_before: int | None = None
        """The last delivery that was accepted when the survey had ended."""
        self._surveying, self._listing = asyncio.Lock(), asyncio.Lock()
        self._asked: list[_Asked] = []
        self._find_field = next((field for field, _ in job.match if field in job.target.find and field not in job.respelled), None)
        self.searched = compile_get(dict(job.match)[self._find_field]) if self._find_field is not None else None
        """Gives the raw value that `find` is asked for, of a source record; None where nothing can be searched."""
        self._gate = asyncio.Semaphore(target.concurrency)
        seconds = target.find_cache(job.target_resource, self._find_field) if self._find_field is not None else None
        self.remembered = Remembered(ledger, job.spec.target, self._find_field or "", seconds) if seconds else None
        """What searches have shown lately, where the connector lets it be remembered."""
        self._refused_in_a_row = 0
        self.first_meeting = False

    def wordings(self, record: Record, written: Values) -> tuple[Any, ...]:
        """Return what `find` is asked for, one after the other until something is found: what the mapping would write, then the raw text.

        A list is compared by match keys, which have one form; so a search has to try the spellings there may be.
        """
        assert self.searched is not None
        raw = self.searched(record)
        ours = written.get(self._find_field or "")
        return (raw,) if ours in (None, "") or str(ours) == str(raw) else (ours, raw)

    def searched_there(self, record: Record) -> Any:
        """Return the value that `find` is asked for, of a record of the destination; None where nothing can be searched."""
        return get(record, self._find_field) if self._find_field is not None else None

    @property
    def can_look(self) -> bool:
        """Whether the destination can be asked for a record by its match key."""
        return bool(self._job.match) and (self._find_field is not None or self._job.target.list)

    @property
    def lag(self) -> float | None:
        """For how many seconds a search need not show what was made, as declared; None where nothing is."""
        return self._target.find_lag(self._job.target_resource, self._find_field) if self._find_field is not None else None

    async def candidates(
        self,
        keys: Mapping[str, tuple[Any, ...]],
        whose: Callable[[], Mapping[str, str]],
        *,
        fresh: bool = False,
        refused: dict[str, RemoteError] | None = None,
    ) -> dict[str, list[Candidate]]:
        """Return {match key: candidates} for {match key: `wordings` of the searched field}; with `fresh`, nothing from memory.

        `whose` gives {match key: source id}, for the journal, if there has to be a search. Searches that the destination refuses, or answers so
        that no one can tell, are put into `refused`, by match key: that says nothing about the others. Raises `RemoteError` without it, for other
        failures, and when many in a row are refused: then it is hardly the records.
        """
        if not self.can_look or not keys:
            return {}
        listing = (
            self._surveyed or self._find_field is None or (self._job.target.list and (self.first_meeting or len(keys) >= _SURVEY_FROM))
        )
        if listing:
            await self._survey()
        if listing and not self._survey_tells_nothing:
            if not self._surveyed_some:
                return {}
            found = {
                key: [(id, decode_json(fields)) for id, fields in rows]
                for key, rows in links.in_directory(self._ledger.db, self._ledger.integration, list(keys)).items()
            }
        else:
            ids_of = whose()
            searches = (self._search_for(ids_of.get(key), key, wordings, fresh, refused) for key, wordings in keys.items())
            found = dict(await side_by_side(searches))
        ids = [id for rows in found.values() for id, _ in rows]
        owners = self._links.of_targets(self._ledger.db, self._ledger.integration, ids) if ids else {}
        return {
            key: [Candidate(id, values, owners[id].source_id if id in owners else None) for id, values in rows]
            for key, rows in found.items()
        }

    async def ask_again(self, keys: Mapping[str, tuple[Any, ...]], why: RemoteError) -> RemoteError | None:
        """Ask a destination that is down as soon as it may be probed, by one call for any of these keys; return why it does not answer yet.

        Gives up when it has been down for long, when it has been asked in vain as often as `retry` says, or when that would take longer
        than a run waits between two attempts; `why` it was not asked is the answer then. Raises `RemoteError` for a failure that does not
        pass by itself.
        """
        target, retry = self._target, self._job.spec.retry
        one = dict([next(iter(keys.items()))])
        for attempt in range(retry.attempts):
            waiting = target.waiting()
            if waiting is not None and waiting.down:
                too_late = waiting.until - self._ledger.clock.now() > retry.most
                if too_late or (attempt and target.is_down_for_long):
                    break
            await target.until_it_may_pass()
            try:
                await self.candidates(one, dict, fresh=True)
            except PASSING as error:
                why = error
                if not isinstance(error, TRANSIENT):
                    break
            else:
                return None
        return why

    async def look(self, key: str, values: Values, *, fresh: bool) -> list[Candidate]:
        """Return the destination's records with this key as they are now: to settle a doubt about a write.

        With `fresh`, waits until a record written just now can be seen by the search.
        """
        if self._find_field is not None:
            if fresh and self.lag:
                await self._ledger.clock.sleep(self.lag)
            found = {key: (await self._search(key, values.get(self._find_field), fresh=True))[1]}
        else:
            if fresh and self._job.list_lag:
                await self._ledger.clock.sleep(self._job.list_lag)
            found = {key: list((await self._listed(key)).items())}
        owners = self._links.of_targets(self._ledger.db, self._ledger.integration, [id for id, _ in found[key]]) if found[key] else {}
        return [Candidate(id, fields, owners[id].source_id if id in owners else None) for id, fields in found[key]]

    async def _listed(self, key: str) -> dict[str, Values]:
        """Return the records with a key, by id, from a listing that begins after this was asked; those that ask together share one."""
        asked = _Asked(key)
        self._asked.append(asked)
        try:
            async with self._listing:
                if asked.found is None:
                    await asyncio.sleep(0)  # whoever asks at the same time comes along
                    await self._list_for([*self._asked])
        finally:
            self._asked.remove(asked)
        assert asked.found is not None
        return asked.found

    async def _list_for(self, asked: Sequence[_Asked]) -> None:
        job = self._job
        there: dict[str | None, dict[str, Values]] = {one.key: {} for one in asked}
        async for page in self._target.read(job.target_resource, None, strict=True):
            self._check_readable(page)
            for id, record in zip(page.ids, page.records, strict=True):
                if id is not None and (mine := there.get(job.target_key(record))) is not None:
                    mine[id] = job.project_target(record)  # a list that is read again shows a record again
        for one in asked:
            one.found = there[one.key]

    async def _search_for(
        self, source_id: str | None, key: str, wordings: tuple[Any, ...], fresh: bool, refused: dict[str, RemoteError] | None
    ) -> tuple[str, list[tuple[str, Values]]]:
        with about(records=[source_id] if source_id is not None else ()):
            try:
                answer = key, list[tuple[str, Values]]()
                for value in wordings:
                    answer = await self._search(key, value, fresh=fresh)
                    if answer[1]:
                        break
            except _OF_ONE as error:
                if refused is None or self._refused_in_a_row >= _MOST_REFUSED:
                    raise
                self._refused_in_a_row += 1
                refused[key] = error
                return key, []
        self._refused_in_a_row = 0
        return answer

    async def _search(self, key: str, value: Any, *, fresh: bool) -> tuple[str, list[tuple[str, Values]]]:
        assert self._find_field is not None
        memory = self.remembered
        if memory is not None and not fresh:
            found = self._mine(key, memory.recall(value))
            if len(found) == 1:
                self._ledger.counts.remembered += 1
                return key, found
        began, mark = self._ledger.clock.now(), memory.mark if memory is not None else 0
        async with self._gate:
            records = await self._target.find(self._job.target_resource, self._find_field, value)
        # Null and blank say as little as a field that is left out: a vendor hides it from us, or shows it elsewhere.
        if any(get(record, self._find_field) in _NOTHING for record in records) and not self._mine(key, records):
            raise _lasting(
                Undecodable(
                    f"{self._job.spec.target}: what it finds by `{self._find_field}` comes without that field, or with nothing in it: whether it is the counterpart can't be told",
                    next_step="have the search answer with it (some vendors want a parameter for that); or take `find` out, and the list is looked through",
                )
            )
        found = self._mine(key, records)
        if memory is not None and len(found) == 1:
            id_of, resource = self._target.id_of, self._job.target_resource
            memory.note(value, [(id_of(resource, record), record) for record in records], began, mark)
        return key, found

    def _mine(self, key: str, records: Sequence[Record]) -> list[tuple[str, Values]]:
        """A vendor's search is a hint: it may match loosely, or ignore the filter altogether."""
        job = self._job
        mine = [record for record in records if job.target_key(record) == key]
        ids = [self._target.id_of(job.target_resource, record) for record in mine]
        if None in ids:  # passed over, it could be the very one, and another would be made
            raise _lasting(
                AnotherRecord(
                    f"{job.spec.target}: what it finds by `{self._find_field}` has no id that can be used: which record it is can't be told",
                    next_step="correct `id` of the resource in the connector",
                )
            )
        return [(id, job.project_target(record)) for id, record in zip(ids, mine, strict=True) if id is not None]

    async def _survey(self) -> None:
        async with self._surveying:
            if self._surveyed:
                return
            job, ledger = self._job, self._ledger
            await ledger.commit(lambda connection: links.clear_directory(connection, ledger.integration))
            shown = told = False
            async for page in self._target.read(job.target_resource, None, strict=True):
                self._check_readable(page)
                shown = shown or bool(page.records)
                rows = []
                for id, record in zip(page.ids, page.records, strict=True):
                    key = job.target_key(record)
                    if key is not None and id is not None:
                        rows.append((key, id, encode_json(job.project_target(record))))
                told = told or bool(rows) or any(get(record, field) is not ABSENT for record in page.records for field, _ in job.match)
                if rows:
                    self._surveyed_some = True
                    await ledger.commit(_fill(ledger.integration, rows))
            # A list of summaries must not be taken for a list without the record.
            self._survey_tells_nothing = shown and not told
            if self._survey_tells_nothing and self._find_field is None:
                fields = ", ".join(f"`{field}`" for field, _ in job.match)
                raise Undecodable(
                    f"{job.spec.target}: no record of its list has {fields}: no one can tell which of them is the counterpart",
                    next_step="have the list answer with it (some vendors want a parameter for that), or declare `find` in the connector; "
                    "`match: {}` if the destination can't have any of the records yet",
                )
            self._surveyed, self._surveyed_before = True, runs.last_delivery(ledger.db)

    def shown_before(self, delivery: int, keys: Mapping[str, str | None]) -> set[str]:
        """Return which of some destination records, given as {id: match key}, the survey showed before a delivery was accepted: it made none of them."""
        if self._surveyed_before is None or delivery <= self._surveyed_before:
            return set()
        rows = links.in_directory(self._ledger.db, self._ledger.integration, [key for key in keys.values() if key is not None])
        return {id for key in rows for id, _ in rows[key] if id in keys}

    def _check_readable(self, page: Page) -> None:
        """What can't be read, or has no id, may be the very record that is looked for."""
        if page.unreadable or None in page.ids:
            what = f"can't be read: {page.unreadable[0].problem}" if page.unreadable else "has no id that can be used"
            raise Undecodable(
                f"{self._job.spec.target}: a record on page {page.number} {what}", next_step="correct the resource in the connector"
            )


def _lasting(error: Undecodable) -> Undecodable:
    error.lasts = True
    return error


def _fill(integration: int, rows: Sequence[tuple[str, str, bytes]]) -> Any:
    def unit(connection: Transaction) -> None:
        links.fill_directory(connection, integration, rows)

    return unit
