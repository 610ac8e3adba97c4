"""`tieline conflicts`: what two sides disagree about, and what was decided about it."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tieline.cli.layout import Whole
from tieline.cli.opening import looked_at, tell_of_orphans
from tieline.cli.output import ACT, OK, output, plain, value_text, when
from tieline.cli.recognised import match_fields, of_pair, recognised
from tieline.cli.report import personal_values
from tieline.engine.review import conflicts
from tieline.engine.review.conflicts import Conflict, DecidedConflict
from tieline.engine.review.dead_letters import of_other_direction
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
            said = ((one.integration, part) for one in shown for part in (one.left, one.right, *_known(project, one).values()))
            _hide(project, said)
        if output.json_mode:
            output.json(shown)
            return ACT if shown else OK
        if not shown:
            output.print(f"no conflicts{f' of `{field}`' if field else ''}: nothing waits for you", style="green")
            return OK
        for one in shown:
            _print_conflict(project, one)
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
        for one in shown:
            _print_decided(project, one)
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
            _hide(project, ((one.integration, part) for part in (one.left, one.right, *_known(project, one).values())))
        ids = {"left": one.left_id, "right": one.right_id}
        places = {side: project.place_of(one.integration, side) for side in SIDES}
        history = [
            f"tieline explain {place.replace('.', ' ')} {shlex.quote(there)}"
            for side, place in places.items()
            if (there := ids[side]) and "." in place
        ]
        rules = {field: rule for field in one.fields if (rule := project.rule_text(one.integration, field)) is not None}
        if output.json_mode:
            output.json(
                {**plain(one), "rules": {field: {"at": at, "text": text} for field, (at, text) in rules.items()}, "history": history}
            )
            return OK
        known = _known(project, one)
        state = (one.kind if one.state == "held" else one.state, "magenta" if one.state == "held" else "")
        output.hanging((f"conflict {one.id}", "bold"), f" {one.integration}: ", state, f", since {when(one.since)}", hang=2)
        output.labelled("why", one.message, room=7)
        for side in SIDES:
            gone = "  deleted" if one.gone == side else ""
            names = recognised({**known[side], **_of_side(one, side)}, match_fields(project, one.integration, side))
            place = Whole(f"{places[side]} {ids[side] or ''}")
            output.labelled(side, place, (gone, "red"), (f"  {names}" if names else "", "dim"), room=7, style="bold")
            for address, value in _of_side(one, side).items():
                output.hanging(f"            {address}: {value_text(value)}", hang=14)
        for at, text in rules.values():
            output.labelled("rule", at, room=7)
            for line in text.splitlines():
                output.hanging(f"            {line}", hang=14)
        if one.ruling:
            output.labelled("ruled", f"{one.ruling} holds: the next run goes by it, if both still say the same", room=7)
        for command in history:
            output.labelled("history", Whole(command), room=7)
        output.labelled("next", one.next_step.replace(" NO ", f" {one.id} "), room=7)
        return OK


def _hide(project: Looking, parts: Iterable[tuple[str, dict[str, Any]]]) -> None:
    output.hide([value for name, part in parts for value in personal_values(project, name, [part])])


def _known(project: Looking, one: Conflict) -> dict[Side, dict[str, Any]]:
    return of_pair(project, one.integration, {"left": one.left_id, "right": one.right_id})


def _print_conflict(project: Looking, one: Conflict) -> None:
    """Print a conflict: what it is about, and below it either side with its record and what it says, one above the other."""
    what = ", ".join(one.fields)
    kind = {
        "conflict": "changed on both sides",
        "bounce": "rewritten again and again",
        "deleted": "deleted on one side, edited on the other",
    }
    number = f"{one.id:>7}"
    output.hanging(
        (number, "bold"),
        "  ",
        one.integration,
        "  ",
        what,
        ", " if what else "",
        kind.get(one.kind, one.kind),
        ", since ",
        Whole(when(one.since)),
        hang=9,
    )
    known = _known(project, one)
    ids = {
        side: Whole(f"{project.place_of(one.integration, side)} {id or '-'}")
        for side, id in (("left", one.left_id), ("right", one.right_id))
    }
    for side in SIDES:
        names = recognised({**known[side], **_of_side(one, side)}, match_fields(project, one.integration, side))
        output.hanging(" " * 9, (f"{side:5}", "dim"), "  ", ids[side], ("  " + names, "dim") if names else "", hang=16)
        said = "deleted" if one.gone == side else values_in_words(_of_side(one, side))
        output.hanging(" " * 16, ("says ", "dim"), said, hang=21)


def _print_decided(project: Looking, one: DecidedConflict) -> None:
    """Print what was decided: which value was lost, of which record, and why."""
    place = Whole(f"{project.place_of(one.integration, one.side)} {one.record}")
    run = f", run {one.run}" if one.run else ""
    output.hanging((f"{one.event:>7}", "bold"), "  ", one.integration, "  ", one.field, ", decided ", Whole(when(one.at)), run, hang=9)
    output.hanging(" " * 9, f"{one.kept} was kept; ", place, " lost ", values_in_words(one.lost), hang=9)
    output.hanging(" " * 9, (_by(one), "dim"), hang=9)


def _of_side(one: Conflict, side: Side) -> dict[str, Any]:
    return one.left if side == "left" else one.right


def values_in_words(values: dict[str, Any]) -> str:
    """Return fields with their values in a line; of one field, the value alone."""
    if len(values) == 1:
        return value_text(*values.values())
    return ", ".join(f"{address}={value_text(value)}" for address, value in values.items()) or "nothing"


def _by(one: DecidedConflict) -> str:
    words = f"a person: {one.by}" if one.by is not None else one.why or "policy"
    return f"{words}; given back {when(one.restored_at)}" if one.restored_at is not None else words
