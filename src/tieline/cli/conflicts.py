"""`tieline conflicts`: what two sides disagree about, and what was decided about it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tieline.cli.opening import looked_at, tell_of_orphans
from tieline.cli.output import ACT, OK, escape, output, plain, value_text, when
from tieline.cli.report import personal_values
from tieline.engine import conflicts
from tieline.engine.conflicts import Conflict, DecidedConflict
from tieline.engine.deadletters import of_other_direction
from tieline.looking import Looking
from tieline.store.pairs import SIDES, Side

_SHOWN = 50


def list_conflicts(folder: Path, integration: str | None, field: str | None, *, limit: int | None, mask: bool) -> int:
    """List what waits for a person."""
    with looked_at(folder) as project:
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
    with looked_at(folder) as project:
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
                escape(values_in_words(one.lost)), escape(_by(one)),
            )  # fmt: skip
        output.console.print(table)
        if next(found, None) is not None:
            output.print("… and more (--limit, --field; --json shows all)", style="dim")
        output.print("`tieline conflicts restore NO --reason …` writes what was lost to both sides", style="dim")
        return OK


def show_conflict(folder: Path, id: int, *, mask: bool) -> int:
    """Show one whole."""
    with looked_at(folder) as project:
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


def _hide(project: Looking, parts: Iterable[tuple[str, dict[str, Any]]]) -> None:
    output.hide([value for name, part in parts for value in personal_values(project, name, [part])])


def _ids(one: Conflict) -> str:
    return f"{one.left_id} ↔ {one.right_id}"


def _fields(one: Conflict) -> str:
    return ", ".join(one.fields) + ("" if one.kind == "conflict" else f" ({one.kind})")


def _says(one: Conflict, side: Side) -> str:
    return "deleted" if one.gone == side else escape(values_in_words(one.left if side == "left" else one.right))


def values_in_words(values: dict[str, Any]) -> str:
    """Return fields with their values in a line; of one field, the value alone."""
    if len(values) == 1:
        return value_text(*values.values())
    return ", ".join(f"{address}={value_text(value)}" for address, value in values.items()) or "nothing"


def _by(one: DecidedConflict) -> str:
    words = f"a person: {one.by}" if one.by is not None else one.why or "policy"
    return f"{words}; given back {when(one.restored_at)}" if one.restored_at is not None else words
