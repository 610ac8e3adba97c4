"""`tieline unmatched`: records without a counterpart, and what shall become of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tieline.cli.layout import Span, Whole
from tieline.cli.opening import looked_at, opened
from tieline.cli.output import ACT, OK, output, value_text, when
from tieline.cli.recognised import in_order, match_fields
from tieline.cli.report import personal_values
from tieline.engine.review import unmatched
from tieline.engine.review.dead_letters import of_other_direction
from tieline.engine.review.unmatched import Unmatched
from tieline.looking import Looking
from tieline.store.pairs import OTHER, Side

if TYPE_CHECKING:
    from tieline.app import Tieline

_SHOWN = 50
_VALUES = 4


def list_unmatched(
    folder: Path, integration: str | None, side: Side | None, *, fuzzy: bool, everything: bool, limit: int | None, mask: bool
) -> int:
    """List those that wait for a person; with `everything`, also those that stand for themselves."""
    with opened(folder) if fuzzy else looked_at(folder) as project:  # what resembles them is found by what runs
        if integration is not None:
            project.names(integration, gone=True)
        found = unmatched.every(project.db, integration=integration, side=side, settled=everything)
        settled = 0 if everything else unmatched.count_settled(project.db, integration=integration, side=side)
        others = f"{settled:,} others without a counterpart wait for no one (--all)" if settled else ""
        shown = list(itertools.islice(found, limit or (None if output.json_mode else _SHOWN)))
        if fuzzy:
            cast("Tieline", project).propose(shown)
        if mask:
            parts = [(one.integration, part) for one in shown for part in (one.says, *(each.says for each in one.alike or ()))]
            output.hide([value for name, part in parts for value in personal_values(project, name, [part])])
            output.hide([one.key for one in shown if one.key])
        code = ACT if any(one.state == "held" for one in shown) else OK
        if output.json_mode:
            output.json(shown)
            return code
        if not shown:
            output.print("nothing waits for you" if others else "every record has its counterpart", style="green")
            if others:
                output.print(others, style="dim")
            return OK
        _print_table(project, shown, fuzzy=fuzzy)
        if next(found, None) is not None:
            output.print("… and more (--limit, --side; --json shows all)", style="dim")
        if others:
            output.print(others, style="dim")
        held_in = {one.integration for one in shown if one.state == "held"}
        for name in sorted(held_in & project.one_way):
            output.print(of_other_direction(name), style="dim")
        if held_in - project.one_way:
            output.print("`tieline unmatched link NO ID`, `create NO`, `ignore NO`, each with --reason …", style="dim")
        if any(one.id is None and one.state != "waiting" for one in shown):
            output.print("those without a number wait for no one: `create --integration NAME --side SIDE --record ID`", style="dim")
        return code


def _print_table(project: Looking, shown: Iterable[Unmatched], *, fuzzy: bool) -> None:
    for one in shown:
        place = Whole(f"{project.place_of(one.integration, one.side)} {one.record}")
        since = [" since ", Whole(when(one.since))] if one.since is not None else []
        output.hanging((f"{one.id or '-':>7}", "bold"), "  ", one.integration, "  ", place, "  ", one.state, *since, hang=9)
        keys = match_fields(project, one.integration, one.side)
        output.hanging(" " * 9, _says(one.says, keys), hang=9)
        candidates = [each for each in one.candidates if each not in one.why]
        if one.why or candidates:
            output.hanging(" " * 9, (one.why, "dim"), *_ids(candidates), hang=9)
        if not fuzzy:
            continue
        other = OTHER[one.side]
        for each in one.alike or ():
            there = Whole(f"{project.place_of(one.integration, other)} {each.id}")
            said = _says(each.says, match_fields(project, one.integration, other))
            output.hanging(" " * 11, f"{each.score:g} % like ", there, "  ", (said, "dim"), hang=13)


def _ids(ids: list[str]) -> list[Span]:
    parts: list[Span] = []
    for id in ids:
        parts += [", " if parts else " (", Whole(id)]
    return [*parts, ")"] if parts else []


def _says(values: dict[str, Any], keys: list[str]) -> str:
    shown = [(address, value) for address, value in in_order(values, keys).items() if value not in (None, "", [])][:_VALUES]
    return ", ".join(f"{address}={value_text(value)}" for address, value in shown)
