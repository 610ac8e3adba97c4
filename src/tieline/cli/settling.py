"""`tieline unmatched link`, `create` and `ignore`: a person says what shall become of records without a counterpart."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec

from tieline.app import Tieline
from tieline.cli.opening import opened
from tieline.cli.output import plural
from tieline.cli.running import checked_reason, run_each
from tieline.engine.review import unmatched
from tieline.engine.runs.passes import Wanted
from tieline.model.errors import TielineError
from tieline.model.ids import named
from tieline.store.pairs import Side

_TOGETHER = 200


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
