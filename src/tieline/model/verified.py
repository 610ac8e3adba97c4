"""What a verification of two systems found."""

from __future__ import annotations

from typing import Any, Final

import msgspec

ON_PURPOSE: Final = ("deletions are ignored", "archived")
"""Why a record of the destination may be left over."""


class Verified(msgspec.Struct):
    """What a verification found. The figures of a side add up to what was read there."""

    integration: str
    at: float
    """When it began, in seconds since 1970 (UTC)."""
    seconds: float = 0.0
    source_read: int = 0
    in_sync: int = 0
    """Every mapped field says the same on both sides."""
    differing: int = 0
    missing: int = 0
    """Not in the destination, though it should be."""
    excluded: int = 0
    """Left out on purpose."""
    unreadable: int = 0
    """Entries of the source that are no records, or have no id."""
    target_read: int | None = None
    """None: the destination can't be listed; counterparts were asked for one by one."""
    counterparts: int = 0
    left_over: int = 0
    """Counterparts of records that are gone from the source."""
    unlisted: int = 0
    """Counterparts that the destination's list does not show, though they are there: asked for one by one, and not among `target_read`."""
    only_there: int = 0
    """Records of the destination that tieline knows nothing of."""
    target_unreadable: int = 0
    why: dict[str, int] = {}
    """`differing: changed there`, `missing: owed`, `excluded: …`, `left over: …`, each with its number."""
    fields: dict[str, int] = {}
    """In how many records each field differs."""
    respelled: int = 0
    """In sync, but for letters, spaces or the way in which a number is written."""
    spelled: dict[str, int] = {}
    """One way: the fields that the destination says in its own way, each with the number of records."""
    kept: int = 0
    """In sync, but for what the destination was to keep when both records met, or what a person sent."""
    not_shown: list[str] = []
    """Mapped fields that the destination never shows: no one can compare them."""
    mended_by: int | None = None
    """The run that has sent again since what went astray."""
    two_way: bool = False
    """Of a two-way integration: the source is its left side, the destination the right one; what is left over there lacks its left one."""
    running: str | None = None
    """Who was running the integration meanwhile."""

    @property
    def wrong(self) -> int:
        """How many records are not as they should be, on either side."""
        return self.differing + self.missing + self.unreadable + self.target_unreadable + self.left_over - self._left_on_purpose

    @property
    def wrong_for_someone(self) -> int:
        """How many of them do not come right with the next runs."""
        passing = sum(number for why, number in self.why.items() if why.endswith((": owed", ": not read yet")))
        return self.wrong - passing

    @property
    def _left_on_purpose(self) -> int:
        return sum(self.why.get(f"left over: {why}", 0) for why in ON_PURPOSE)


class Finding(msgspec.Struct):
    """A record that is not as it should be."""

    kind: str
    """differing; missing; left over."""
    why: str
    """changed there; not taken there; gone there; owed; parked; held; not read yet; not in the list of changes."""
    source_id: str
    target_id: str | None
    fields: dict[str, tuple[Any, Any]] = {}
    """{address: (what the mapping makes, what the destination says)}; of a value that is not there, null."""

    @property
    def sides(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fields that differ, as either side has them."""
        return {address: here for address, (here, _) in self.fields.items()}, {
            address: there for address, (_, there) in self.fields.items()
        }
