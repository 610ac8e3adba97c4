"""Is a record gone? Here it is said, and nowhere else: that one is not shown is a hint, and a deletion has to be proven.

A record is gone when all of this is so:

- A whole list does not show it (where there is no `get`: two in a row), or something said that it was deleted; and `get`, where there is one, has none. One answer of `get` alone is
  believed where no whole list can tell, and only once it was the same after the lag.
- `get` works: it has shown another record of the same resource in this run.
- It is not too early to tell, for a list, a `get` and a write that is answered 404 alike: reads may be behind writes by the system's lag. What we made or wrote within it is never gone; where a lag is
  declared, or was learned, nothing is gone before its absence has lasted as long.

What we have deleted ourselves is gone: for as long as reads may be late, what shows it is no new record.

What is not believed is noted (`store.absent`), and asked for again by later runs. What we made, and nothing has shown since, is in doubt
even then: that is for `engine.decide.reconciling` to hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tieline.dialects.dialect import System
from tieline.engine.core.ledger import Ledger
from tieline.engine.lookup.fetching import ask_for
from tieline.model.errors import SafetyStop
from tieline.store import absent, journal, outbox
from tieline.store import state as shared
from tieline.store.absent import Absent, Told
from tieline.store.database import Database, Transaction
from tieline.store.delivery import Delivery

OURS_SECONDS: Final = 900.0
"""For so long a read may not show what we made or wrote, where nothing is declared."""
_MOST_LEARNED: Final = 86_400.0
_LAG: Final = "lag"
_TRIED: Final = 3
"""So many records that are known to be there are asked for, to see whether `get` works."""
_TOLD: Final = ("webhook", "feed")
_OURS: Final = ("ours", "shown")


class Lag(NamedTuple):
    """How far behind writes the reads of a resource may be, in seconds."""

    any: float
    """Declared or learned: of whatever anybody wrote."""
    ours: float
    """Of what we wrote ourselves."""
    never: bool = False
    """Declared as none, and no read was ever seen to be behind."""


class Waits(NamedTuple):
    """Deletions that a webhook or a feed has told of, and that can't be believed yet."""

    number: int
    until: float
    """When that is over at the latest, in seconds since 1970 (UTC), unless we write to them meanwhile."""


def lag_of(db: Database, system: System, resource: str, overlap: float = 0.0) -> Lag:
    """Return the lag of a resource; `overlap` is how far back its list of changes is asked again."""
    declared = system.lag(resource)
    learned = shared.peek(db, _LAG, f"{system.name}.{resource}", float) or 0.0
    any_ = max(declared or 0.0, learned)
    return Lag(any_, max(any_, overlap, OURS_SECONDS if declared is None else 0.0), declared == 0.0 and not learned)


def known_by(db: Database, system: System, resource: str, integration: int, delivery: Delivery) -> float:
    """Return from when on a write that finds no record is to be believed: it may be behind what made the record by the system's lag."""
    lag = lag_of(db, system, resource)
    made, owed = outbox.made_at(db, integration, delivery.source_id), outbox.owed_from(db, delivery.id)
    return max(made + lag.ours if made is not None and lag.ours else 0.0, owed + lag.any if lag.any else 0.0)


async def shows_any(system: System, resource: str, ids: Iterable[str]) -> bool:
    """Whether `get` shows one of these records, that are known to be there; they are tried in turn. Raises `RemoteError`."""

    for id in ids:
        if (await ask_for(system, resource, [id], refused={})).get(id) is not None:
            return True
    return False


async def first_listed(system: System, resource: str) -> list[str]:
    """Return the ids on the first page of a list that shows any. Raises `RemoteError`."""
    pages = system.read(resource, None)
    try:
        async for page in pages:
            if found := [id for id in page.ids if id is not None]:
                return found
    finally:
        await pages.aclose()  # type: ignore[attr-defined]  # it is a generator
    return []


class Absence:
    """Judges the records of one resource, in one run."""

    def __init__(
        self,
        system: System,
        resource: str,
        ledger: Ledger,
        *,
        overlap: float = 0.0,
        decided_by_list: bool,
        others: Callable[[Collection[str]], list[str]],
        written_since: Callable[[Sequence[str], float], Collection[str]] = lambda ids, since: (),
    ) -> None:
        """`ledger` is that of what the records' changes owe.

        `decided_by_list`: a whole list of them is read sooner or later, and tells what is gone. `others` returns some records that are known to be
        there, but for these; `written_since` which of these we have made or written since a time.
        """
        self._system, self._resource, self._ledger = system, resource, ledger
        self._asks = system.features(resource).get
        self._decided_by_list = decided_by_list and system.features(resource).list
        self._others, self._written_since = others, written_since
        self.lag = lag_of(ledger.db, system, resource, overlap)
        self._noted: dict[str, Absent] = absent.all_of(ledger.db, ledger.integration)
        self._shown: list[str] = []
        self._works: bool | None = None
        self._answered: set[str] = set()
        self._listed: set[str] = set()
        """Records that were said to be deleted, and that a list has shown in this run."""
        self._gone: set[str] = set()
        self.unproven: dict[str, None] = {}
        """Records that `get` does not show, in a run in which it shows no other either."""
        self.undecided: dict[str, None] = {}
        """Records of which one answer says that they are not there: nothing is decided about them, nor written to them."""
        self.untold: set[str] = set()
        """Those of them for which `get` was refused, so that it said nothing."""

    # -- what was seen

    def are_shown(self, ids: Collection[str], known: Collection[str] = ()) -> list[str]:
        """Take note of records that a list shows, the `known` ones first; return those that were not shown before, and are not gone after all."""
        if self._noted:
            self._listed.update(id for id in self._noted.keys() & ids if self._noted[id].told in _TOLD)
        if len(self._shown) < _TRIED:
            self._shown += [*known, *ids][: _TRIED - len(self._shown)]
        return [id for id in self._noted.keys() & ids if self._noted[id].told in ("list", "get")] if self._noted else []

    def answered(self, ids: Collection[str]) -> list[str]:
        """The same of records that `get` has shown."""
        self._works = True if ids else self._works
        self._answered.update(ids)
        return self.are_shown(ids)

    async def see(self, ids: Sequence[str], written: Mapping[str, float | None]) -> None:
        """Forget that these were not there. What we have `written`, each at a time, and was not shown for longer than is known teaches the lag."""
        now, ledger = self._ledger.clock.now(), self._ledger
        late = [now - at for id in ids if (at := written.get(id)) is not None and self._noted[id].last - at > self.lag.ours]
        learned = min(max(late, default=0.0), _MOST_LEARNED)
        for id in ids:
            del self._noted[id]
        place = f"{self._system.name}.{self._resource}"

        def unit(connection: Transaction) -> None:
            absent.forget(connection, ledger.integration, ids)
            if learned:
                shared.put(connection, _LAG, place, learned)

        await ledger.commit(unit)
        if learned:
            self.lag = Lag(max(self.lag.any, learned), max(self.lag.ours, learned))

    def late(self, ids: Collection[str]) -> list[str]:
        """Return which of these records, that are shown, we have deleted so lately that they may be shown late: they are not there."""
        now = self._ledger.clock.now()
        ours = [id for id in self._noted.keys() & ids if self._noted[id].told in _OURS] if self._noted else []
        return [id for id in ours if now - self._noted[id].since < self.lag.ours]

    async def are_late(self, ids: Sequence[str]) -> None:
        """Take note of such records. They are asked for once more when they can't be late any more."""
        ledger, now = self._ledger, self._ledger.clock.now()
        new = [id for id in ids if self._noted[id].told == "ours"]
        self._note([(id, "shown") for id in new], now)
        events = [ledger.event(id, "shown although we have deleted it: not believed while it may be shown late") for id in new]

        def unit(connection: Transaction) -> None:
            absent.note(connection, ledger.integration, [(id, "shown") for id in new], now)
            journal.note(connection, events)

        if new:
            await ledger.commit(unit)

    def deleted_by_us(self) -> tuple[list[str], list[str]]:
        """Return the records that we have deleted, and that can't be shown late any more: those that were shown since, and the others."""
        now = self._ledger.clock.now()
        over = [one for one in self._noted.values() if one.told in _OURS and now - one.since >= self.lag.ours]
        return [one.id for one in over if one.told == "shown"], [one.id for one in over if one.told == "ours"]

    def pending(self, *, whole: bool) -> list[str]:
        """Return which records are to be asked for again, once the list was read, `whole` or what has changed."""
        kinds = _TOLD if whole else (*_TOLD, "list", "get")
        return [id for id, one in self._noted.items() if self._asks and one.told in kinds and id not in self._answered]

    def told_before(self) -> list[str]:
        """Return the records that were said to be deleted and can't be asked for: no run before this one could believe it."""
        return [] if self._asks else [id for id, one in self._noted.items() if one.told in _TOLD]

    def are_listed(self, ids: Collection[str]) -> set[str]:
        """Return which of these a list has shown in this run, that were said to be deleted."""
        return self._listed.intersection(ids)

    def are_believed(self, ids: Collection[str]) -> None:
        """Take note of records whose deletion is known, and waits for nothing here."""
        self._gone.update(ids)

    def waiting(self) -> Waits | None:
        """Return how many deletions that were told of are not believed yet, and until when that may be so; None when there are none."""
        told = [one for one in self._noted.values() if one.told in _TOLD]
        until = [one.since + self.lag.ours for one in told if one.id not in self.untold and one.id not in self._gone]
        return Waits(len(until), max([*until, self._ledger.clock.now()])) if until else None

    async def forget(self, ids: Sequence[str]) -> None:
        """Forget what no one knows any more, or is known to be gone."""
        if ids:
            for id in ids:
                self._noted.pop(id, None)
            await self._ledger.commit(lambda connection: absent.forget(connection, self._ledger.integration, ids))

    async def refused(self, ids: Collection[str], told: Told | None = None) -> None:
        """Of records for which `get` was refused: nothing is decided about them, and they are asked for again, as they were `told` of."""
        self.undecided.update(dict.fromkeys(ids))
        self.untold.update(ids)
        self._answered.update(ids)  # not once more in this run
        notes = [(id, told) for id in ids] if told is not None else []
        if notes:
            now = self._ledger.clock.now()
            self._note(notes, now)
            await self._ledger.commit(lambda connection: absent.note(connection, self._ledger.integration, notes, now))

    async def still_there(self, ids: Sequence[str], told: Told | None = None) -> None:
        """Of records that `get` shows, although they were said to be deleted, now or earlier: keep asking for as long as it may be late."""
        now, ledger = self._ledger.clock.now(), self._ledger
        notes: list[tuple[str, Told]] = []
        events: list[journal.Event] = []
        dropped: list[str] = []
        for id in ids:
            one = self._noted.get(id)
            if one is not None and one.told in _TOLD and now - one.since >= self.lag.ours:
                events.append(ledger.event(id, "said to be deleted, and there all the same: not believed", by=one.told))
                # A feed says so again and again.
                notes += [(id, "refuted")] if one.told == "feed" else []
                dropped += [id] if one.told != "feed" else []
            elif told is not None and (one is None or one.told in ("list", "get") or (one.told == "refuted" and told != "feed")):
                events.append(ledger.event(id, "said to be deleted, and still there: it is asked for again", by=told))
                notes.append((id, told))
        if notes or dropped:
            self._note(notes, now)
            for id in dropped:
                del self._noted[id]

            def unit(connection: Transaction) -> None:
                absent.note(connection, ledger.integration, notes, now)
                absent.forget(connection, ledger.integration, dropped)
                journal.note(connection, events)

            await ledger.commit(unit)

    # -- what is gone

    @property
    def waits_for_list(self) -> bool:
        """Whether only another whole list can tell of some record."""
        return not self._asks and any(one.told == "list" for one in self._noted.values())

    def noted(self) -> list[str]:
        """Return all records that may be gone."""
        return [*self._noted]

    def too_new(self, ids: Sequence[str]) -> set[str]:
        """Return which of these we made or wrote so lately that no one can tell whether they are there."""
        return {*self._written_since(ids, self._ledger.clock.now() - self.lag.ours)} if ids and self.lag.ours else set()

    async def judge(self, ids: Sequence[str], told: Told) -> list[str]:
        """Return which of these records are gone, which were thought to be there; note the others.

        Where there is a `get`, it has none of them. `told`: `list` where a whole list does not show them either, `webhook` and `feed` where
        these say that they were deleted, `get` where that is all. Raises `RemoteError`.
        """
        if not ids:
            return []
        now, new = self._ledger.clock.now(), self.too_new(ids)
        proven = not self._asks or new.issuperset(ids) or await self._is_proven(ids)
        gone: list[str] = []
        notes: list[tuple[str, Told]] = []
        events = []
        for id in ids:
            one = self._noted.get(id)
            how = one.told if told == "get" and one is not None and one.told != "refuted" else told
            age = now - one.since if one is not None else 0.0
            if not proven:
                self.unproven[id] = None
                why = "what is asked for by its id is not shown, whatever it is"
            elif id in new:
                why = "it was written so lately that it may not be shown yet"
            elif age < self.lag.any:
                why = "it may be shown late"
            elif how == "list" and not self._asks and one is None:
                why = "one list proves no deletion, and nothing can be asked for by its id: the next whole list tells"
            elif how == "get" and (self._decided_by_list or one is None or age < self.lag.ours):
                self.undecided[id] = None
                why = "one answer proves no deletion"
            else:
                gone.append(id)
                continue
            notes.append((id, told))
            if one is None and id not in new:
                events.append(self._ledger.event(id, "not there, and not believed to be gone", why=why))
        self.are_believed(gone)
        if notes:
            self._note(notes, now)

            def unit(connection: Transaction) -> None:
                absent.note(connection, self._ledger.integration, notes, now)
                journal.note(connection, events)

            await self._ledger.commit(unit)
        return gone

    def were_there(self, ids: Sequence[str], told: Told) -> list[str]:
        """Return which of these, that are gone, were there, whether they were shown or not: reads are never late, or a deletion was told of."""
        return [id for id in ids if self.lag.never or told in _TOLD or (id in self._noted and self._noted[id].told in _TOLD)]

    def stop(self, place: str) -> SafetyStop:
        """Return why a run ends in which `get` proves nothing."""
        some = ", ".join(list(self.unproven)[:_TRIED])
        return SafetyStop(
            f"{place} has none of the records that it is asked for by id, {some} among them, nor any that is known to be there: that proves no "
            "deletion, and nothing was decided about them",
            next_step="correct the path of `get` in the connector, or let the credentials read single records; `tieline check --live` tries it",
        )

    # -- details

    def _note(self, notes: Sequence[tuple[str, Told]], now: float) -> None:
        for id, told in notes:
            one = self._noted.get(id)
            how = one.told if one is not None and told == "get" and one.told != "refuted" else told
            self._noted[id] = Absent(id, how, one.since if one is not None and one.told != "refuted" else now, now)

    async def _is_proven(self, ids: Collection[str]) -> bool:
        """Whether `get` works: it has shown a record in this run, or shows one that is known to be there, or there is none."""
        if self._works is None:
            some = [id for id in self._shown if id not in ids]
            tried = list(dict.fromkeys([*some, *self._others(ids)]))[: 2 * _TRIED]
            if not tried and self._system.features(self._resource).list:
                tried = [id for id in await first_listed(self._system, self._resource) if id not in ids][:_TRIED]
            self._works = not tried or await shows_any(self._system, self._resource, tried)
        return self._works
