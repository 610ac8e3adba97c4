"""`tieline links list`: which record is which."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from tieline.cli.opening import looked_at
from tieline.cli.output import OK, output
from tieline.cli.recognised import match_fields, recognised
from tieline.cli.report import personal_values
from tieline.engine.review import linking, pairing
from tieline.looking import Looking
from tieline.model.records import decode_json
from tieline.store.links import Link
from tieline.store.pairs import SIDES, Pair

_SHOWN = 50


def list_links(folder: Path, name: str, *, unlinked: bool, limit: int | None, mask: bool = False) -> int:
    """List the pairs, or the records without a counterpart."""
    with looked_at(folder) as project:
        project.names(name)
        if project.is_two_way(name):
            return _list_pairs(project, name, unlinked=unlinked, limit=limit, mask=mask)
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
        if mask:
            output.hide(personal_values(project, name, [decode_json(each.source_shadow) for each in shown]))
        keys = match_fields(project, name, "left")
        rows = [
            (each.source_id, *(() if unlinked else (each.target_id or "-",)), _verdict(each), _recognised(each.source_shadow, keys))
            for each in shown
        ]
        _print_rows((spec.source, *(() if unlinked else (spec.target,)), "verdict", ""), rows)
        if next(found, None) is not None:
            output.print("… and more (--limit, --json)", style="dim")
        return OK


def _list_pairs(project: Looking, name: str, *, unlinked: bool, limit: int | None, mask: bool) -> int:
    found = pairing.every(project.db, name, unlinked=unlinked)
    if output.json_mode:
        said = ({"left_id": each.left_id, "right_id": each.right_id, "verdict": each.verdict} for each in itertools.islice(found, limit))
        output.json_list(said)
        return OK
    shown = list(itertools.islice(found, limit or _SHOWN))
    if not shown:
        output.print("every record has its counterpart" if unlinked else "nothing is linked yet")
        return OK
    if mask:
        shadows = [decode_json(shadow) for each in shown for side in SIDES if (shadow := each.shadow_of(side))]
        output.hide(personal_values(project, name, shadows))
    rows = [(each.left_id or "-", each.right_id or "-", each.verdict, _of_pair(project, name, each)) for each in shown]
    _print_rows((project.place_of(name, "left"), project.place_of(name, "right"), "verdict", ""), rows)
    if next(found, None) is not None:
        output.print("… and more (--limit, --json)", style="dim")
    return OK


def _print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print ids in columns, and beside them by what a record is recognised."""
    output.table([headings, *rows])


def _recognised(shadow: bytes | None, keys: list[str]) -> str:
    return recognised(decode_json(shadow or b"{}"), keys, 2)


def _of_pair(project: Looking, name: str, pair: Pair) -> str:
    sides = [side for side in SIDES if pair.id_of(side) is not None]
    return next((said for side in sides if (said := _recognised(pair.shadow_of(side), match_fields(project, name, side)))), "")


def _verdict(link: Link) -> str:
    return "to be decided" if link.target_id is None and link.verdict == "linked" else link.verdict
