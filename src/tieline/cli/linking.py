"""`tieline links`: which record is which."""

from __future__ import annotations

import itertools
from pathlib import Path

from tieline.app import Tieline
from tieline.cli.opening import opened
from tieline.cli.output import OK, escape, output
from tieline.cli.running import checked_reason, within
from tieline.engine import linking, pairing
from tieline.store.links import Link

_SHOWN = 50


def list_links(folder: Path, name: str, *, unlinked: bool, limit: int | None) -> int:
    """List the pairs, or the records without a counterpart."""
    with Tieline.open(folder) as project:
        project.names(name)
        if project.is_two_way(name):
            return _list_pairs(project, name, unlinked=unlinked, limit=limit)
        found = linking.pairs(project.db, name, unlinked=unlinked)
        if output.json_mode:
            output.json(
                [
                    {"source_id": each.source_id, "target_id": each.target_id, "verdict": _verdict(each)}
                    for each in itertools.islice(found, limit)
                ]
            )
            return OK
        shown = list(itertools.islice(found, limit or _SHOWN))
        spec = project.project.integrations[name]
        if not shown:
            output.print("every record has its counterpart" if unlinked else "nothing is linked yet")
            return OK
        from rich.table import Table  # slow to import

        table = Table(box=None, pad_edge=False, header_style="dim")
        for head in (spec.source, *(() if unlinked else (spec.target,)), "verdict"):
            table.add_column(head, overflow="fold")
        for each in shown:
            table.add_row(escape(each.source_id), *(() if unlinked else (escape(each.target_id or ""),)), _verdict(each))
        output.console.print(table)
        if next(found, None) is not None:
            output.print("… and more (--limit, --json)", style="dim")
        return OK


def _list_pairs(project: Tieline, name: str, *, unlinked: bool, limit: int | None) -> int:
    found = pairing.every(project.db, name, unlinked=unlinked)
    if output.json_mode:
        said = ({"left_id": each.left_id, "right_id": each.right_id, "verdict": each.verdict} for each in itertools.islice(found, limit))
        output.json_list(said)
        return OK
    shown = list(itertools.islice(found, limit or _SHOWN))
    if not shown:
        output.print("every record has its counterpart" if unlinked else "nothing is linked yet")
        return OK
    from rich.table import Table  # slow to import

    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in (project.place_of(name, "left"), project.place_of(name, "right"), "verdict"):
        table.add_column(head, overflow="fold")
    for each in shown:
        table.add_row(escape(each.left_id or ""), escape(each.right_id or ""), each.verdict)
    output.console.print(table)
    if next(found, None) is not None:
        output.print("… and more (--limit, --json)", style="dim")
    return OK


def adopt(folder: Path, old: str, new: str) -> int:
    """Take over what an integration without a file has."""
    with Tieline.open(folder) as project:
        taken = project.adopt(old, new)
        said = {"integration": new, "was": old, "linked": str(taken.linked), "open": str(taken.open)}
        _say(
            said,
            f"{new} has what was {old}'s: {taken.linked:,} links, {taken.open:,} open letters, its cursors and its history",
            f"`tieline plan {new}` shows what it would do now; rules that say `lookup: {old}` must say `lookup: {new}`",
        )
        return OK


def retire(folder: Path, name: str, reason: str) -> int:
    """Give up an integration without a file."""
    reason = checked_reason(reason, "the shop was closed")
    with opened(folder) as project:
        number = project.retire(name, reason)
        said = {"integration": name, "discarded": str(number)}
        _say(said, f"{name} is at its end: {number:,} open letters were given up; its history stays", "nothing")
        return OK


def link(folder: Path, name: str, source_id: str, target_id: str, reason: str) -> int:
    """Link two records."""
    reason = checked_reason(reason, "Ann knows both")
    with Tieline.open(folder) as project:
        project.names(name)

        async def work() -> int:
            await project.link(name, source_id, target_id, reason)
            between, next_step = "→", f"`tieline run {name} --only {source_id}` decides it anew at once"
            if project.is_two_way(name):
                only = f" --only {source_id}" if project.wanted_of_pair(name, source_id).only is not None else ""
                between, next_step = "↔", f"`tieline run {name}{only}` lets both meet, as if they had been matched"
            said = {"integration": name, "source_id": source_id, "target_id": target_id}
            _say(said, f"linked: {source_id} {between} {target_id}", next_step)
            return OK

        return within(project, work)


def unlink(folder: Path, name: str, source_id: str, reason: str) -> int:
    """Forget a counterpart."""
    reason = checked_reason(reason, "two people of one name")
    with Tieline.open(folder) as project:
        was = project.unlink(name, source_id, reason)
        words, next_step = f"unlinked: {source_id}, which was {was}", f"`tieline run {name} --only {source_id}` decides it anew at once"
        if project.is_two_way(name):
            words = f"unlinked: {source_id} and {was} stand for themselves now, and are not matched again"
            next_step = f"nothing; `tieline links link {name} {source_id} {was}` puts them together again"
        _say({"integration": name, "source_id": source_id, "was": was}, words, next_step)
        return OK


def _verdict(link: Link) -> str:
    return "to be decided" if link.target_id is None and link.verdict == "linked" else link.verdict


def _say(said: dict[str, str], words: str, next_step: str) -> None:
    if output.json_mode:
        output.json(said)
        return
    output.print(words)
    output.console.print(f" [dim]next[/] {escape(next_step)}")
