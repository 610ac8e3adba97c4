"""From a change to what must be written: which fields, or why not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from tieline.config.models.integrations import Conflict
from tieline.model.records import ABSENT, Values

ConflictPolicy: TypeAlias = Conflict


def same(left: Any, right: Any) -> bool:
    """Whether two values mean the same: `true` is not 1, but 5 and 5.0 are one number."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def changed_fields(values: Values, agreed: Values) -> Values:
    """Return the fields that differ from what was agreed. A field that is absent in `values` is never cleared."""
    return {address: value for address, value in values.items() if address not in agreed or not same(agreed[address], value)}


class Meeting(NamedTuple):
    """What follows when two records are found to be the same thing."""

    write: Values
    agreed: Values
    """The destination's shadow if nothing had to be written: what the source says, or what both said already."""
    conflicts: list[tuple[str, Any, Any]]
    """(address, the source's value, the destination's) where a person must decide."""
    kept: list[str]
    """Addresses at which the destination keeps what differs from the source."""


def meet(
    values: Values, there: Values, policy: ConflictPolicy, agree: Callable[[str, Any, Any], bool], merged: Collection[str] = ()
) -> Meeting:
    """Compare a mapped record with its newly found counterpart.

    Fields that are `merged` are lists of which both keep what they have: there is nothing to decide. Fields that `agree` (address, the mapping's value, the destination's) are left alone. A field that the destination keeps against the source counts as agreed: only a later change in
    the source is sent.
    """
    write: Values = {}
    conflicts: list[tuple[str, Any, Any]] = []
    kept: list[str] = []
    for address, value in values.items():
        current = there.get(address, ABSENT)
        if agree(address, value, current):
            continue
        if address in merged or policy == "source" or (policy == "fill_empty" and current in (ABSENT, None, "")):
            write[address] = value
        elif policy == "hold":
            conflicts.append((address, value, None if current is ABSENT else current))
        else:
            kept.append(address)
    return Meeting(write, dict(values), conflicts, kept)


class Candidate(NamedTuple):
    """A destination record that has the same match key."""

    id: str
    values: Values
    linked_to: str | None
    """The source record that it is linked to already."""


class Identity(NamedTuple):
    """The answer to: which destination record is this?"""

    kind: Literal["matched", "new", "held"]
    candidate: Candidate | None = None
    reason: str = ""


def identify(source_id: str, key: str | None, twin: str | None, candidates: Sequence[Candidate]) -> Identity:
    """Decide which destination record a source record is: one, none, or not to be told.

    `twin` is another source record with the same match key. Ambiguous is never created.
    """
    if key is None:
        return Identity("held", reason="it has no match key: no one can tell whether the destination has it already")
    free = [candidate for candidate in candidates if candidate.linked_to in (None, source_id)]
    if twin is not None and twin != source_id:
        return Identity("held", reason=f"source record {twin} has the same match key")
    if len(free) == 1 and len(candidates) == 1:
        return Identity("matched", free[0])
    if not candidates:
        return Identity("new")
    ids = ", ".join(candidate.id for candidate in candidates[:5])
    if not free:
        owner = candidates[0].linked_to
        return Identity("held", reason=f"its counterpart {ids} is linked to source record {owner} already")
    return Identity("held", reason=f"{len(candidates)} records of the destination have the same match key: {ids}")


def differing(values: Values, there: Values, agree: Callable[[str, Any, Any], bool]) -> dict[str, tuple[Any, Any]]:
    """Return {address: (the mapping's value, the destination's)} of the fields that do not say the same.

    Empty is empty, whether it is told as null, as no text or not at all. What the destination does not say is `ABSENT`.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for address, value in values.items():
        current = there.get(address, ABSENT)
        if not agree(address, value, current) and not (value in _EMPTY and current in _EMPTY):
            found[address] = value, current
    return found


_EMPTY = (None, "", ABSENT)
