"""The laws of a mapping that runs both ways, tried on a record.

*There and back*: what the record makes on the right, in the form in which the forward rules write it, comes forward again as the same
after it went back. *Back and there*: going back changes nothing of the record that the mapping does not write.
Look-ups need other integrations' links; a mapping without those rules is tried.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tieline.mapping.compiler import Links
from tieline.mapping.convert.values import same
from tieline.mapping.inverse.bidirectional import BothWays
from tieline.model.errors import MappingError
from tieline.model.paths import flatten, format_path, nest, parse_path, put
from tieline.model.records import ABSENT, Record, Values


@dataclass(frozen=True, slots=True)
class Broken:
    """A law that does not hold for a record."""

    law: Literal["there and back", "back and there"]
    address: str
    """The field of the right whose rule it is; of `back and there`, the field of the left that was changed."""
    before: Any
    after: Any
    """What it was, and what it became; `ABSENT` for nothing."""
    problem: str = ""
    """Why what the right says can't go back, or not forward again."""


def broken_laws(both: BothWays, left: Record, links: Links | None = None) -> list[Broken]:
    """Return where the laws do not hold for a record of the left. Raises `MappingError` when it can't be mapped at all."""
    links = links or {}
    right = both.forward(left, links)
    try:
        returned = both.back(nest(dict(right)), links)
    except MappingError as error:
        return [
            Broken(
                "there and back", _right_of(both, error.target), right.get(error.source, ABSENT), ABSENT, f"can't go back: {error.problem}"
            )
        ]
    after = written(left, returned)
    changed = [Broken("back and there", *one) for one in _lost(both, flatten(left), flatten(after))]
    try:
        again = both.forward(after, links)
    except MappingError as error:
        return [
            *changed,
            Broken("there and back", error.target, right.get(error.target, ABSENT), ABSENT, f"can't come forward again: {error.problem}"),
        ]
    compared = dict.fromkeys(
        a for strand in both.strands if strand.forward and strand.back for a in strand.right if a in both.forward.writes
    )
    return changed + [
        Broken("there and back", address, right.get(address, ABSENT), again.get(address, ABSENT))
        for address in compared
        if not same(right.get(address, ABSENT), again.get(address, ABSENT))
    ]


def written(record: Record, values: dict[str, Any]) -> Record:
    """Return a record with fields set, as a system would have it after the write."""
    after = copy.deepcopy(record)
    for address, value in values.items():
        put(after, address, value)
    return after


def _lost(both: BothWays, before: Values, after: Values) -> Iterator[tuple[str, Any, Any]]:
    """Yield what was changed though no rule writes it, and what went with an object that was written as a whole."""
    if both.forward.reads_all:
        return
    reads = [parse_path(address) for address in both.forward.reads]
    writes = [parse_path(address) for address in both.back.writes]
    for address, value in before.items():
        parts = parse_path(address)
        now = after.get(address, ABSENT)
        within = any(parts[: len(one)] == one for one in writes)
        around = any(one[: len(parts)] == parts for one in writes)
        read = any(one[: len(parts)] == parts[: len(one)] for one in reads)
        if not same(value, now) and not around and not read and not (within and now is not ABSENT):
            yield address, value, now


def _right_of(both: BothWays, left: str) -> str:
    """Return the fields of the right that give a field of the left its value."""
    return ", ".join(both.back.sources.get(format_path(parse_path(left)), ())) or left
