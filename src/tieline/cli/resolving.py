"""`tieline conflicts resolve` and `restore`: a person says which side holds, or gives back what was lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from tieline.app import Tieline
from tieline.cli.conflicts import values_in_words
from tieline.cli.opening import opened
from tieline.cli.output import plain, plural
from tieline.cli.running import checked_reason, run_each
from tieline.engine.review import conflicts
from tieline.engine.review.conflicts import Conflict
from tieline.engine.runs.passes import Restoring, Wanted
from tieline.model.errors import TielineError
from tieline.store.pairs import SIDES, Side

_SHOWN = 50
_TOGETHER = 200


class Chosen(msgspec.Struct, frozen=True):
    """Which conflicts a command is about: some by number, or all that are alike."""

    ids: tuple[int, ...] = ()
    everything: bool = False
    integration: str | None = None
    field: str | None = None

    def check(self, project: Tieline) -> None:
        """Raise `TielineError` when it names nothing, or two things."""
        if self.integration is not None:
            project.names(self.integration)
        alike = self.everything or self.integration is not None or self.field is not None
        if self.ids and alike:
            raise TielineError(
                "numbers, or --all: not both", next_step="tieline conflicts resolve NO, or --all with --integration and --field"
            )
        if not self.ids and not self.everything:
            raise TielineError("which ones?", next_step="give numbers, or --all, with --integration and --field if you like")


def resolve(folder: Path, chosen: Chosen, keep: Side | None, reason: str) -> int:
    """Write down which side holds, and run."""
    reason = checked_reason(reason, "looked it up in both systems")
    if keep is None:
        raise TielineError("which side holds?", next_step="--keep left or --keep right: `left` is that of `from`, `right` that of `to`")
    with opened(folder) as project:
        chosen.check(project)
        ids: Iterable[int] = chosen.ids
        if chosen.everything:
            ids = [one.id for one in conflicts.held(project.db, integration=chosen.integration, field=chosen.field)]
            if not ids and chosen.field is not None:
                known = {field: None for one in conflicts.held(project.db, integration=chosen.integration) for field in one.fields}
                raise TielineError(f"there is no conflict of `{chosen.field}`", next_step=f"there are: {', '.join(known) or 'none'}")
        by_integration: dict[str, tuple[int, ...]] = {}
        # By number all or none; of all there are, whatever was not settled meanwhile.
        portions = [tuple(ids)] if chosen.ids else list(_portions(ids))
        for name in {conflicts.get(project.db, id).integration for id in portions[0]} if portions else ():
            project.two_way(name)  # whose files are wrong can't be run
        for portion in portions:
            for name, some in conflicts.rule(project.db, portion, keep, reason, now=project.clock.now()).items():
                by_integration[name] = (*by_integration.get(name, ()), *some)
        wanted = {name: Wanted(redrive=some) for name, some in by_integration.items()}
        said: dict[str, Any] = {"resolved": [], "keep": keep, "reason": reason}
        ruled = [conflicts.get(project.db, id) for some in by_integration.values() for id in some]

        def what_came_of_it() -> list[str]:
            again = list(conflicts.held_again(project.db, ruled))
            not_carried_out = {was.id for was, _ in again}
            resolved = said["resolved"] = [one.id for one in ruled if one.id not in not_carried_out]
            said["held_again"] = [{"was": was.id, "now": plain(now)} for was, now in again]
            if not ruled:
                return ["there are none"]
            waits = sum(conflicts.get(project.db, id).state == "held" for id in resolved)
            lines = [f"{plural(len(resolved) - waits, 'conflict')}: {keep} holds"] if len(resolved) > waits else []
            lines += [f"{plural(waits, 'conflict')}: {keep} holds as soon as a run gets through"] if waits else []
            lines += [f"conflict {was.id} is held again, as {now.id}: {_what_is_new(was, now)}" for was, now in again[:_SHOWN]]
            return [*lines, *([f"… and {len(again) - _SHOWN:,} more are held again"] if len(again) > _SHOWN else [])]

        return run_each(project, wanted, said, after=what_came_of_it)


def restore(folder: Path, events: tuple[int, ...], reason: str) -> int:
    """Write what was lost to both sides."""
    reason = checked_reason(reason, "the newer number was a typing error")
    with opened(folder) as project:
        by_integration: dict[str, tuple[int, ...]] = {}
        for event in dict.fromkeys(events):
            one = conflicts.get_decided(project.db, event)
            by_integration[one.integration] = (*by_integration.get(one.integration, ()), event)
        for name in by_integration:
            project.two_way(name)
        wanted = {name: Wanted(restore=Restoring(some, reason)) for name, some in by_integration.items()}
        return run_each(project, wanted, {"restored": list(dict.fromkeys(events)), "reason": reason})


def _what_is_new(was: Conflict, now: Conflict) -> str:
    """Return what a side says now that it did not say when the question was put."""
    told = []
    for side in SIDES:
        said, says = (one.left if side == "left" else one.right for one in (was, now))
        if one_is_gone := [one for one in (was, now) if one.gone == side]:
            if len(one_is_gone) == 1:
                told.append(f"the {side} {'is there again' if was.gone == side else 'was deleted'}")
        elif said != says:
            told.append(f"the {side} said {values_in_words(said)}, and says {values_in_words(says)} now")
    return "; ".join(told) or now.message


def _portions(ids: Iterable[int]) -> Iterable[tuple[int, ...]]:
    rest = iter(ids)
    while portion := tuple(itertools.islice(rest, _TOGETHER)):
        yield portion
