"""`tieline conflicts`: what two sides disagree about, and what was decided about it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from tieline.app import Tieline
from tieline.cli.opening import opened, tell_of_orphans
from tieline.cli.output import ACT, OK, escape, output, plain, plural, value_text, when
from tieline.cli.report import personal_values
from tieline.cli.running import checked_reason, run_each
from tieline.engine import conflicts
from tieline.engine.conflicts import Conflict, DecidedConflict
from tieline.engine.deadletters import of_other_direction
from tieline.engine.passes import Restoring, Wanted
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


def list_conflicts(folder: Path, integration: str | None, field: str | None, *, limit: int | None, mask: bool) -> int:
    """List what waits for a person."""
    with opened(folder) as project:
        if integration is not None:
            project.names(integration, gone=True)
        found = conflicts.held(project.db, integration=integration, field=field)
        if output.json_mode and not mask:
            number = output.json_list(itertools.islice(found, limit))
            return ACT if number else OK
        shown = list(itertools.islice(found, limit or (None if output.json_mode else _SHOWN)))
        if mask:
            _hide(project, ((one.integration, part) for one in shown for part in (one.left, one.right)))
        if output.json_mode:
            output.json(shown)
            return ACT if shown else OK
        if not shown:
            output.print(f"no conflicts{f' of `{field}`' if field else ''}: nothing waits for you", style="green")
            return OK
        from rich.table import Table  # slow to import

        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("no.", "integration", "left ↔ right", "field", "left says", "right says", "since"):
            table.add_column(heading, overflow="fold")
        for one in shown:
            table.add_row(
                str(one.id), escape(one.integration), escape(_ids(one)), escape(_fields(one)),
                *(_says(one, side) for side in SIDES), when(one.since),
            )  # fmt: skip
        output.console.print(table)
        more = sum(1 for _ in found)
        if more:
            output.print(f"… and {more:,} more (--limit, --field; --json shows all)", style="dim")
        for name in dict.fromkeys(one.integration for one in shown):
            output.print(f"{name}: left is {project.place_of(name, 'left')}, right is {project.place_of(name, 'right')}", style="dim")
        if any(one.integration not in project.one_way for one in shown):
            output.print("`tieline conflicts show NO`, `resolve NO --keep left (or right) --reason …`", style="dim")
        tell_of_orphans(project, {one.integration for one in shown})
        for name in sorted({one.integration for one in shown} & project.one_way):
            output.print(of_other_direction(name), style="dim")
        return ACT


def list_decided(folder: Path, integration: str | None, field: str | None, *, limit: int | None, mask: bool) -> int:
    """List what was decided."""
    with opened(folder) as project:
        if integration is not None:
            project.names(integration, gone=True)
        found = conflicts.decided(project.db, integration=integration, field=field)
        if output.json_mode and not mask:
            output.json_list(itertools.islice(found, limit))
            return OK
        shown = list(itertools.islice(found, limit or (None if output.json_mode else _SHOWN)))
        if mask:
            _hide(project, ((one.integration, one.lost) for one in shown))
        if output.json_mode:
            output.json(shown)
            return OK
        if not shown:
            output.print("nothing was decided")
            return OK
        from rich.table import Table  # slow to import

        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("no.", "when", "run", "integration", "record", "field", "kept", "lost", "by"):
            table.add_column(heading, overflow="fold")
        for one in shown:
            place = f"{project.place_of(one.integration, one.side)} {one.record}"
            table.add_row(
                str(one.event), when(one.at), str(one.run or ""), escape(one.integration), escape(place), escape(one.field), one.kept,
                escape(_values(one.lost)), escape(_by(one)),
            )  # fmt: skip
        output.console.print(table)
        if next(found, None) is not None:
            output.print("… and more (--limit, --field; --json shows all)", style="dim")
        output.print("`tieline conflicts restore NO --reason …` writes what was lost to both sides", style="dim")
        return OK


def show_conflict(folder: Path, id: int, *, mask: bool) -> int:
    """Show one whole."""
    with opened(folder) as project:
        one = conflicts.get(project.db, id)
        if one.state == "held" and one.integration in project.one_way:
            one.next_step = of_other_direction(one.integration)
        if mask:
            _hide(project, ((one.integration, part) for part in (one.left, one.right)))
        ids = {"left": one.left_id, "right": one.right_id}
        places = {side: project.place_of(one.integration, side) for side in SIDES}
        history = [f"tieline explain {place.replace('.', ' ')} {ids[side]}" for side, place in places.items() if ids[side] and "." in place]
        rules = {field: rule for field in one.fields if (rule := project.rule_text(one.integration, field)) is not None}
        if output.json_mode:
            output.json(
                {**plain(one), "rules": {field: {"at": at, "text": text} for field, (at, text) in rules.items()}, "history": history}
            )
            return OK
        state = f"[magenta]{one.kind}[/]" if one.state == "held" else one.state
        output.console.print(f"[bold]conflict {one.id}[/] {escape(one.integration)}: {state}, since {when(one.since)}")
        output.print(f"  why     {one.message}")
        for side in SIDES:
            gone = "  deleted" if one.gone == side else ""
            output.console.print(f"  [bold]{side:5}[/]   {escape(places[side])} {escape(ids[side] or '')}[red]{gone}[/]")
            for address, value in (one.left if side == "left" else one.right).items():
                output.print(f"            {address}: {value_text(value)}")
        for at, text in rules.values():
            output.print(f"  rule    {at}")
            for line in text.splitlines():
                output.print(f"            {line}")
        if one.ruling:
            output.print(f"  ruled   {one.ruling} holds: the next run goes by it, if both still say the same")
        for command in history:
            output.console.print(f"  [dim]history[/] {escape(command)}")
        output.console.print(f"  [dim]next[/]    {escape(one.next_step.replace(' NO ', f' {one.id} '))}")
        return OK


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
    """Return what a side says now that it did not say when somebody was asked."""
    told = []
    for side in SIDES:
        said, says = (one.left if side == "left" else one.right for one in (was, now))
        if one_is_gone := [one for one in (was, now) if one.gone == side]:
            if len(one_is_gone) == 1:
                told.append(f"the {side} {'is there again' if was.gone == side else 'was deleted'}")
        elif said != says:
            told.append(f"the {side} said {_values(said)}, and says {_values(says)} now")
    return "; ".join(told) or now.message


def _portions(ids: Iterable[int]) -> Iterable[tuple[int, ...]]:
    rest = iter(ids)
    while portion := tuple(itertools.islice(rest, _TOGETHER)):
        yield portion


def _hide(project: Tieline, parts: Iterable[tuple[str, dict[str, Any]]]) -> None:
    output.hide([value for name, part in parts for value in personal_values(project, name, [part])])


def _ids(one: Conflict) -> str:
    return f"{one.left_id} ↔ {one.right_id}"


def _fields(one: Conflict) -> str:
    return ", ".join(one.fields) + ("" if one.kind == "conflict" else f" ({one.kind})")


def _says(one: Conflict, side: Side) -> str:
    return "deleted" if one.gone == side else escape(_values(one.left if side == "left" else one.right))


def _values(values: dict[str, Any]) -> str:
    if len(values) == 1:
        return value_text(*values.values())
    return ", ".join(f"{address}={value_text(value)}" for address, value in values.items()) or "nothing"


def _by(one: DecidedConflict) -> str:
    words = f"a person: {one.by}" if one.by is not None else one.why or "policy"
    return f"{words}; given back {when(one.restored_at)}" if one.restored_at is not None else words
