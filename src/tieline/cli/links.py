"""`tieline links list`: which record is which."""

from __future__ import annotations

import itertools
from pathlib import Path

from tieline.cli.opening import looked_at
from tieline.cli.output import OK, escape, output
from tieline.engine import linking, pairing
from tieline.looking import Looking
from tieline.store.links import Link

_SHOWN = 50


def list_links(folder: Path, name: str, *, unlinked: bool, limit: int | None) -> int:
    """List the pairs, or the records without a counterpart."""
    with looked_at(folder) as project:
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


def _list_pairs(project: Looking, name: str, *, unlinked: bool, limit: int | None) -> int:
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


def _verdict(link: Link) -> str:
    return "to be decided" if link.target_id is None and link.verdict == "linked" else link.verdict
