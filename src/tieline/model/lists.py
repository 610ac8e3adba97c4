"""Lists whose entries come and go one by one: what one side has added is added on the other, what it has taken out is taken out there.

    before [a, b]   now [b, c]           the change: add c, remove a
    there [own, a, b]                    the change applied: [own, b, c]

Both ways the change of each side is applied to the other. One way the source's change is applied to the destination, whose own entries stay.
An entry is the same whatever its letters' case and the white space around it; a number and its digits are one, and so are a value and an
object that holds it (`vip` and `{id: 7, name: vip}`). Pure; lists are never changed in place.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec


class ListChange(msgspec.Struct, frozen=True):
    """What is to happen to a list, whatever else it holds."""

    add: list[Any]
    """Entries that it is to have."""
    remove: list[Any]
    """Entries that it is not to have."""
    keep: list[Any] = []
    """Entries that it should have already: added where they are seen to be missing."""

    def of(self, there: Sequence[Any]) -> list[Any]:
        """Return a list with the change applied: its own entries in their order, and what is new at the end."""
        left = without(there, self.remove)
        return left + once(without([*self.keep, *self.add], left))

    def is_late(self, writes: Sequence[tuple[Any, Any]], shown: Any) -> bool:
        """Whether a list is shown as it was before one of our writes to it, so that this change can't be judged by it.

        `writes` are (what of ours was in it, what was written), oldest first. What was taken out and is still shown would be sent back;
        what was added and is not shown yet could not be taken out.
        """
        out, into = list[Any](), list[Any]()
        for was, written in writes:
            led = change(entries(was), entries(written))
            out = [*without(out, entries(written)), *led.remove]
            into = [*without(into, led.remove), *led.add]
        there = entries(shown)
        return bool(within(without(out, self.remove), there) or without(within(self.remove, into), there))


def change(before: Sequence[Any], now: Sequence[Any]) -> ListChange:
    """Return how a list came from what it was before to what it is now."""
    return ListChange(once(without(now, before)), once(without(before, now)))


def differ(one: Any, other: Any) -> bool:
    """Return whether two lists have other entries, in whatever order; what is no list has none."""
    led = change(entries(one), entries(other))
    return bool(led.add or led.remove)


def ours(agreed: Any, made: Any, own: Sequence[Any]) -> list[Any]:
    """Return what was agreed on of a list, without what others had put there (`own`) and is not made any more: that is not ours to take out."""
    there, now = entries(agreed), entries(made)
    return [*within(there, now), *without(without(there, now), own)]


def entries(value: Any) -> list[Any]:
    """Return what is taken for a list as one; what is none has no entries."""
    return value if isinstance(value, list) else []


def within(some: Iterable[Any], others: Sequence[Any]) -> list[Any]:
    """Return the entries that are among others."""
    is_there = _among(others)
    return [entry for entry in some if is_there(entry)]


def without(some: Iterable[Any], others: Sequence[Any]) -> list[Any]:
    """Return the entries that are not among others."""
    is_there = _among(others)
    return [entry for entry in some if not is_there(entry)]


def once(some: Iterable[Any]) -> list[Any]:
    """Return the entries without those that were there before."""
    found: list[Any] = []
    seen: set[Any] = set()
    for entry in some:
        key = _key(entry)
        if key in seen or (key is None and within([entry], found)):
            continue
        if key is not None:
            seen.add(key)
        found.append(entry)
    return found


def _among(others: Sequence[Any]) -> Callable[[Any], bool]:
    keys = {key for other in others if (key := _key(other)) is not None}
    objects = [other for other in others if _key(other) is None]

    def is_there(entry: Any) -> bool:
        key = _key(entry)
        if key is not None:
            return key in keys or any(_holds(one, key) for one in objects)
        return any(_alike(entry, one) for one in objects) or any(_holds(entry, one) for one in keys)

    return is_there


def _key(entry: Any) -> tuple[str, Any] | None:
    """Return what is the same for all spellings of a plain value; None of an object or a list."""
    if isinstance(entry, (dict, list)):
        return None
    if isinstance(entry, bool) or entry is None:
        return "", entry
    if isinstance(entry, (int, float, Decimal)):
        number = Decimal(repr(entry)) if isinstance(entry, float) else Decimal(entry)
        return "text", str(int(number)) if number.is_finite() and number == number.to_integral_value() else str(number)
    return "text", " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", str(entry)).casefold()).split())


def _holds(one: Any, key: tuple[str, Any]) -> bool:
    return isinstance(one, dict) and key[0] == "text" and any(_key(value) == key for value in one.values())


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        shared = one.keys() & other.keys()
        return bool(shared) and all(_same(one[name], other[name]) for name in shared)
    return bool(one == other)


def _same(one: Any, other: Any) -> bool:
    key = _key(one)
    return key == _key(other) if key is not None else _alike(one, other)
