"""The brakes: how much of what can't be taken back one run may do, and what is said of a run that would do more.

A brake counts deletions on a side, or records in which one field is emptied. What is more than it allows is not sent at all, while everything
else is. A person lets it pass once, by a number that is a ceiling.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from tieline.engine.core.two_sides import TwoWayIntegration
from tieline.model.errors import SafetyStop
from tieline.store import pairs
from tieline.store.database import Database
from tieline.store.pairs import Side

_NAMED: Final = 10
"""So many records are named in a message."""


class Braked(msgspec.Struct, frozen=True):
    """More deletions, or records in which one field is emptied, than a run may send."""

    deletions: int
    """How many records."""
    allowed: int
    what: str = ""
    records: list[str] = []
    """Of records that a list does not show any more: their ids, as nothing that would be written tells them."""
    option: Literal["--allow-deletes", "--allow-clears", "--allow"] = "--allow-deletes"
    """What allows them once: an option of `tieline run`, or of `tieline verify --repair`."""

    def __str__(self) -> str:
        what = self.what or f"{self.deletions} records were deleted in the source"
        return f"{what}, more than the {self.allowed} that the brake {'allows' if self.what else 'on deletions allows'}"


def allowing(brakes: Iterable[Braked]) -> str:
    """Return the options that let pass, once, what these brakes hold: `--allow-deletes 4 --allow-clears 5`."""
    most: dict[str, int] = {}
    for brake in brakes:
        most[brake.option] = max(brake.deletions, most.get(brake.option, 0))
    return " ".join(f"{option} {number}" for option, number in most.items())


class Counted(NamedTuple):
    """What the brakes are about, of what was decided in both directions."""

    deletions: dict[Side, int]
    """By the side on which records would be deleted."""
    clears: dict[tuple[Side, str], int]
    """By side and field: in how many records it would be emptied."""
    remakes: dict[Side, int]
    """By the side on which records would be made again, in a repair."""

    def __bool__(self) -> bool:
        return bool(self.deletions or self.clears or self.remakes)


class Brakes:
    """The brakes of one run in both directions."""

    def __init__(
        self, job: TwoWayIntegration, db: Database, integration: int, *, allow_deletes: int | None, allow_clears: int | None
    ) -> None:
        """What a person allows holds in place of what the integration does."""
        self._job, self._db, self._integration = job, db, integration
        self._allow_deletes, self._allow_clears = allow_deletes, allow_clears

    def most_deletes(self, side: Side) -> int:
        """Return how many records of a side may be deleted in this run, or be gone from it."""
        brakes = self._job.spec.brakes
        return self._limit(brakes.deletes, brakes.deletes_share, side) if self._allow_deletes is None else self._allow_deletes

    def most_clears(self, side: Side) -> int:
        """Return in how many records of a side one field may be emptied in this run."""
        brakes = self._job.spec.brakes
        return self._limit(brakes.clears, brakes.clears_share, side) if self._allow_clears is None else self._allow_clears

    def more_than_allowed(self, counted: Counted) -> Counted:
        """Return what of it must not be carried out."""
        return Counted(
            {side: number for side, number in counted.deletions.items() if number > self.most_deletes(side)},
            {key: number for key, number in counted.clears.items() if number > self.most_clears(key[0])},
            {side: number for side, number in counted.remakes.items() if number > self.most_deletes(side)},
        )

    def told(self, stopped: Counted, missed: Mapping[Side, Collection[str]]) -> list[Braked]:
        """Return what to say of what is stopped, and of known records of a side that were not shown, and are too many to be believed gone."""
        places = {side: half.place for side, half in self._job.halves.items()}
        found: list[Braked] = []
        for side, ids in missed.items():
            if ids:
                named = ", ".join(sorted(ids)[:_NAMED]) + (f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else "")
                words = f"{len(ids)} records are not shown by {places[side]} any more ({named})"
                found.append(Braked(len(ids), self.most_deletes(side), words, sorted(ids)))
        for side, number in stopped.deletions.items():
            words = f"{number} records of {places[side]} would be deleted, because their counterparts were"
            found.append(Braked(number, self.most_deletes(side), words))
        for side, number in stopped.remakes.items():
            words = f"{number} records are gone from {places[side]}, and would be made again"
            found.append(Braked(number, self.most_deletes(side), words, option="--allow"))
        for (side, field), number in stopped.clears.items():
            words = f"`{field}` would be emptied in {number} records of {places[side]}"
            found.append(Braked(number, self.most_clears(side), words, option="--allow-clears"))
        return found

    def stop(self, stops: Sequence[Braked]) -> SafetyStop:
        """Return the end of a run that these brakes hold."""
        name = self._job.name
        repairs, others = ([stop for stop in stops if (stop.option == "--allow") is is_repair] for is_repair in (True, False))
        if repairs:
            then = f", then `tieline run {name} {allowing(others)}`" if others else ""
            next_step = (
                f"find out why they are gone; if they are to be made again, `tieline verify {name} --repair {allowing(repairs)}`{then}"
            )
        else:
            next_step = (
                f"look at them with `tieline plan {name}`; if they are meant, `tieline run {name} {allowing(stops)}`; "
                "`brakes` in the integration holds for every run"
            )
        return SafetyStop(f"{name}: {'; '.join(map(str, stops))}: none of them was sent, everything else was", next_step=next_step)

    def _limit(self, most: int, share: float | None, side: Side) -> int:
        return most if share is None else min(most, int(share * pairs.count(self._db, self._integration, side)))
