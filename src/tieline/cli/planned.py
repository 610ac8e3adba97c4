"""What a plan of a two-way integration shows in addition to its writes: who is who, and what would wait for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tieline.app import Tieline
from tieline.cli.output import escape, output, plain, value_text
from tieline.cli.report import personal_values
from tieline.engine.review import conflicts
from tieline.engine.review.who_is_who import Alone, Ambiguous, Listed, Matched
from tieline.engine.runs.plan import Plan, PlannedWrite
from tieline.store.pairs import SIDES

_VALUES = 4
"""How many fields of a record are shown in a list."""
_NOT_YET = ("id", "state", "ruling", "next_step")
"""What a conflict has once it is held, and not in a plan."""


def as_json(plan: Plan, show: int) -> dict[str, Any]:
    """Return the lists, the conflicts and the counts of either side."""
    held = plan.conflicts(show)
    said = [{name: value for name, value in plain(one).items() if name not in _NOT_YET} for one in held.records]
    return {"meeting": plain(plan.meeting(show)), "conflicts": {"count": held.count, "records": said}, "to": plan.writes_to()}


def is_listed(write: PlannedWrite) -> bool:
    """Whether the lists tell of it already."""
    return write.to is not None and write.state == "held" and write.cause in (*conflicts.KINDS, "unmatched")


def personal_in(project: Tieline, name: str, plan: Plan, show: int) -> list[Any]:
    """Return the personal values that the lists would show; a match key is one as a rule."""
    meeting, held = plan.meeting(show), plan.conflicts(show)
    alone = [*meeting.only_left.records, *meeting.only_right.records]
    listed: list[Matched | Ambiguous | Alone] = [*meeting.matched.records, *meeting.ambiguous.records, *alone]
    keys = [one.key for one in listed if one.key]
    parts = [*(one.says for one in alone), *(part for one in held.records for part in (one.left, one.right))]
    return [*personal_values(project, name, parts), *keys]


def in_words(writes: Mapping[str, int]) -> str:
    """Return what would be written to a side."""
    return ", ".join(f"{number} to {what}" for what, number in writes.items() if number) or "nothing"


def print_meeting(project: Tieline, name: str, plan: Plan, show: int) -> None:
    """Print the four lists, and the conflicts."""
    meeting, held = plan.meeting(show), plan.conflicts(show)
    left, right = (project.place_of(name, side) for side in SIDES)
    if meeting.is_any:
        output.console.print(f"[bold]who is who[/] [dim]left is {escape(left)}, right is {escape(right)}[/]")
        _print_list("matched", meeting.matched, [_matched(one) for one in meeting.matched.records])
        places = {"left": left, "right": right}
        _print_list("ambiguous", meeting.ambiguous, [_ambiguous(one, places) for one in meeting.ambiguous.records])
        for place, listed in ((left, meeting.only_left), (right, meeting.only_right)):
            _print_list(f"only in {place}", listed, [_alone(one) for one in listed.records])
        output.print()
    if held.count:
        output.console.print(f"[magenta]conflicts that would wait for you: {held.count:,}[/]")
        for one in held.records:
            output.print(f"  {one.left_id} ↔ {one.right_id}: {one.message}")
        _print_more(held)
        output.print()


def _print_list(heading: str, listed: Listed[Any], lines: Sequence[str]) -> None:
    output.console.print(f"  {escape(heading)}: [bold]{listed.count:,}[/]")
    for line in lines:
        output.print(f"    {line}")
    _print_more(listed)


def _print_more(listed: Listed[Any]) -> None:
    if (more := listed.count - len(listed.records)) > 0:
        output.print(f"    … and {more:,} more (--show, --json)", style="dim")


def _matched(one: Matched) -> str:
    return f"{one.left_id} ↔ {one.right_id}  {one.key}"


def _ambiguous(one: Ambiguous, places: Mapping[str, str]) -> str:
    return f"{places[one.side]} {one.id}  {one.key}: {one.why}"


def _alone(one: Alone) -> str:
    says = ", ".join(f"{address}={value_text(value)}" for address, value in list(one.says.items())[:_VALUES])
    return f"{one.id}  {says}: {one.follows}"
