"""`tieline unmatched`: records without a counterpart, and what shall become of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from tieline.app import Tieline
from tieline.cli.opening import opened
from tieline.cli.output import ACT, OK, escape, output, plural, value_text, when
from tieline.cli.report import personal_values
from tieline.cli.running import checked_reason, run_each
from tieline.engine import unmatched
from tieline.engine.deadletters import of_other_direction
from tieline.engine.passes import Wanted
from tieline.engine.unmatched import Unmatched
from tieline.model.errors import TielineError
from tieline.model.ids import named
from tieline.store.pairs import Side

_SHOWN = 50
_TOGETHER = 200
_VALUES = 4


class Chosen(msgspec.Struct, frozen=True):
    """Which records a command is about: some by the number of their letters, some by their ids on a side, or all that wait."""

    ids: tuple[int, ...] = ()
    everything: bool = False
    integration: str | None = None
    side: Side | None = None
    records: tuple[str, ...] = ()

    def check(self, project: Tieline) -> None:
        """Raise `TielineError` when it names nothing, or two things."""
        if self.integration is not None:
            project.names(self.integration)
        if sum(map(bool, (self.ids, self.everything, self.records))) != 1:
            raise TielineError(
                "which ones?",
                next_step="give numbers; or --all, with --integration and --side if you like; or --record ID with --integration and --side",
            )
        for id in self.records:
            named(id, "of --record")
        if self.records and (self.integration is None or self.side is None):
            raise TielineError("--record needs --integration and --side", next_step="`left` is the side of `from`, `right` that of `to`")


def list_unmatched(
    folder: Path, integration: str | None, side: Side | None, *, fuzzy: bool, everything: bool, limit: int | None, mask: bool
) -> int:
    """List those that wait for a person; with `everything`, also those that stand for themselves."""
    with opened(folder) as project:
        if integration is not None:
            project.names(integration, gone=True)
        found = unmatched.every(project.db, integration=integration, side=side, settled=everything)
        settled = 0 if everything else unmatched.count_settled(project.db, integration=integration, side=side)
        others = f"{settled:,} others without a counterpart wait for nobody (--all)" if settled else ""
        shown = list(itertools.islice(found, limit or (None if output.json_mode else _SHOWN)))
        if fuzzy:
            project.propose(shown)
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
            output.print("those without a number wait for nobody: `create --integration NAME --side SIDE --record ID`", style="dim")
        return code


def _print_table(project: Tieline, shown: Iterable[Unmatched], *, fuzzy: bool) -> None:
    from rich.table import Table  # slow to import

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("no.", "integration", "record", "says", "state", "since", "why"):
        table.add_column(heading, overflow="fold")
    for one in shown:
        place = project.place_of(one.integration, one.side)
        why = one.why + (f" ({', '.join(one.candidates)})" if one.candidates and not any(c in one.why for c in one.candidates) else "")
        table.add_row(
            str(one.id or "-"), escape(one.integration), escape(f"{place} {one.record}"), escape(_says(one.says)), one.state,
            when(one.since) if one.since is not None else "", escape(why),
        )  # fmt: skip
        if not fuzzy:
            continue
        other = project.place_of(one.integration, "right" if one.side == "left" else "left")
        for each in one.alike or ():
            table.add_row("", "", escape(f"  {each.score:g} % like {other} {each.id}"), escape(_says(each.says)), "", "", "")
    output.console.print(table)


def link(folder: Path, id: int, other: str, reason: str) -> int:
    """Say who the counterpart is, and run."""
    reason = checked_reason(reason, "Ann knows both")
    with opened(folder) as project:
        number, delivery = unmatched.get_open(project.db, id)
        name, side = project.outbox_of(number)
        left, right = (delivery.source_id, other) if side == "left" else (other, delivery.source_id)
        project.two_way(name)

        async def work() -> None:
            await project.link(name, left, right, reason)

        said = {"linked": {"left": left, "right": right}}
        return run_each(project, {name: project.wanted_of_pair(name, left)}, said, first=work, words=f"linked: {left} ↔ {right}")


def settle(folder: Path, chosen: Chosen, ruling: Literal["create", "ignore"], reason: str) -> int:
    """Write down what shall become of them, and run."""
    reason = checked_reason(reason, "not in the other system" if ruling == "create" else "a test record")
    with opened(folder) as project:
        chosen.check(project)
        ids: Iterable[int] = chosen.ids
        now = project.clock.now()
        if chosen.everything:
            held = unmatched.every(project.db, integration=chosen.integration, side=chosen.side)
            ids = [one.id for one in held if one.id is not None]
        elif chosen.records and chosen.integration is not None and chosen.side is not None:
            project.two_way(chosen.integration)
            ids = unmatched.hold(project.db, chosen.integration, chosen.side, list(dict.fromkeys(chosen.records)), now=now)
        by_integration: dict[str, tuple[int, ...]] = {}
        rest = iter(ids)
        while portion := tuple(itertools.islice(rest, len(chosen.ids) or _TOGETHER)):
            for name, some in unmatched.rule(project.db, portion, ruling, reason, now=now).items():
                by_integration[name] = (*by_integration.get(name, ()), *some)
        for name in by_integration:
            project.two_way(name)
        number = sum(map(len, by_integration.values()))
        words = f"{plural(number, 'record')}: {'to be made on the other side' if ruling == 'create' else 'ignored'}"
        said: dict[str, Any] = {"settled": [id for some in by_integration.values() for id in some], "as": ruling, "reason": reason}
        wanted = {name: Wanted(redrive=some) for name, some in by_integration.items()}
        return run_each(project, wanted, said, words=words if number else "there are none")


def _says(values: dict[str, Any]) -> str:
    shown = [(address, value) for address, value in values.items() if value not in (None, "", [])][:_VALUES]
    return ", ".join(f"{address}={value_text(value)}" for address, value in shown)
