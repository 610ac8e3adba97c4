"""What a whole read of a one-way source does not show, where its list never says itself that a record was deleted.

That a record is not shown is a hint; `engine.intake.absence` says which of them are gone. What is gone goes the way of every deletion, under the brake.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from tieline.dialects.dialect import System
from tieline.engine.core.compiled import CompiledIntegration
from tieline.engine.core.ledger import Ledger
from tieline.engine.decide.pipeline import Pipeline
from tieline.engine.intake.absence import Absence
from tieline.engine.intake.shown import Shown, check_not_empty
from tieline.engine.lookup.fetching import ask_for
from tieline.model.errors import RemoteError
from tieline.model.records import Record
from tieline.store import links

_TOGETHER: Final = 500


class Missing:
    """Finds what one read did not show."""

    def __init__(
        self,
        job: CompiledIntegration,
        source: System,
        ledger: Ledger,
        pipeline: Pipeline,
        absence: Absence,
        *,
        allowed: int | None,
        name_untold: Callable[[Mapping[str, RemoteError]], Awaitable[None]],
        check_stopped: Callable[[], None],
    ) -> None:
        """`allowed` is how many deletions a person has allowed, if any; `name_untold` names records for which `get` is refused."""
        self._name_untold = name_untold
        self._job, self._source, self._ledger, self._pipeline, self._absence = job, source, ledger, pipeline, absence
        self._allowed, self._check_stopped = allowed, check_stopped
        self._shown = Shown()
        self.whole = False
        """All is read, and what is not shown is judged."""

    def begin(self, *, whole: bool) -> None:
        """Begin to read, everything or what has changed."""
        self.whole = whole and self._job.by_absence
        self._shown.clear()

    def are_shown(self, ids: Collection[str | None], *, unreadable: bool, unchanged: bool) -> None:
        """Take note of what a list shows; nothing can be missed where an entry could not be read, or the vendor only said that nothing has changed."""
        if self.whole:
            self.whole = not unreadable and None not in ids and not unchanged
            self._shown.add(id for id in ids if id is not None)

    async def find(self) -> None:
        """Take the deletions of what is gone. Raises `SafetyStop` where an empty list or the brake forbids it, and `RemoteError`."""
        if not self.whole:
            return
        await self._pipeline.settle()
        missing: list[str] = []
        linked = 0
        for portion in self._not_shown():
            missing += [id for id, _ in portion]
            linked += sum(has for _, has in portion)
        lapsed = {*self._absence.noted()} - {*missing}
        await self._absence.forget([*lapsed])
        if not missing:
            return
        check_not_empty(self._job.name, self._job.spec.source, self._shown.count(), len(missing), self._allowed)
        if self._pipeline.too_many_missing(linked):
            return
        for start in range(0, len(missing), _TOGETHER):
            await self._judge(missing[start : start + _TOGETHER])
            self._check_stopped()

    def close(self) -> None:
        """Let the ids go."""
        self._shown.close()

    def _not_shown(self) -> Iterator[list[tuple[str, bool]]]:
        """Yield the ids of what is known and was not shown, and whether each has a counterpart or may have one."""
        ledger, after = self._ledger, ""
        while found := links.may_be_missed(ledger.db, ledger.integration, after=after, limit=_TOGETHER):
            after = found[-1][0]
            shown = self._shown.among([id for id, _ in found])
            yield [one for one in found if one[0] not in shown]

    async def _judge(self, ids: Sequence[str]) -> None:
        source, resource = self._source, self._job.source_resource
        answers: dict[str, Record | None] = dict.fromkeys(ids)
        if source.features(resource).get:
            refused: dict[str, RemoteError] = {}
            answers = await ask_for(source, resource, ids, refused=refused)
            await self._name_untold(refused)
        there = {id: record for id, record in answers.items() if record is not None}
        now_called = {id: source.id_of(resource, record) for id, record in there.items()}
        same = [id for id, now in now_called.items() if now == id]
        await self._absence.see(self._absence.answered(same), {})
        await self._pipeline.take(list(there.values()), list(now_called.values()), pages=0)
        gone = await self._absence.judge([id for id in answers if id not in there], "list")
        gone += [id for id in there if id not in same]  # it was merged into another
        if gone:
            await self._pipeline.take_deletions(gone)
