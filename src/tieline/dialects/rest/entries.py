"""Lists that keep their other entries when a record is written: merged with what was read, or changed by calls of their own.

A vendor that takes only the whole list gets it as it was read, with the change applied. One that has calls to add entries and to take them
out (`lists` in the connector) gets those: one call for all, or one each, by what the call's text has: `{entries}` or `{entry}`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from tieline.config.models.operations import ListCall
from tieline.dialects.dialect import Item
from tieline.dialects.rest.templates import Gaps, Shape, compile_json
from tieline.model.errors import Rejected
from tieline.model.lists import ListChange, entries, within, without
from tieline.model.paths import get, nest
from tieline.model.records import ABSENT, Record, encode_json


class Prepared(NamedTuple):
    """A write whose lists were settled."""

    item: Item
    """What is left to be written as a record; lists that stay as they are, and those that have calls of their own, are not in it."""
    apart: dict[str, ListChange]
    """What is to happen to lists that have calls of their own."""
    found: dict[str, list[Any]]
    """Entries that were to be added and were there already."""


def prepared(item: Item, there: Record | None, calls: Collection[str], *, whole: bool) -> Prepared:
    """Return a write with its lists settled by what the record says; `there` is None where it was not read, or is to be made.

    `calls` are the lists that have calls of their own. With `whole`, what stays as it is is sent all the same. Raises `Rejected` for what is no
    list there.
    """
    fields, apart, found = dict(item.fields or {}), dict[str, ListChange](), dict[str, list[Any]]()
    for address, change in item.lists.items():
        now: Any = get(there, address) if there is not None else ABSENT
        if now not in (ABSENT, None, "") and not isinstance(now, list):
            raise Rejected(
                f"`{address}` is no list there, so that no entries can be added to it",
                next_step="correct the mapping, or the field's address; then redrive it",
            )
        if there is not None:
            united = change.of(entries(now))
            found[address] = within(change.add, entries(now))
            # What is there may be shown in another form than it is written in.
            change = ListChange(without(united, entries(now)), within(change.remove, entries(now)))
            if address not in calls and (whole or change.add or change.remove):
                fields[address] = united
                continue
        elif address not in calls:
            continue
        fields.pop(address, None)
        if address in calls and (change.add or change.remove):
            apart[address] = change
    return Prepared(msgspec.structs.replace(item, fields=fields, record=nest(fields), lists={}), apart, found)


class ListRequest(NamedTuple):
    """One call that changes a list."""

    values: Mapping[str, Any]
    """What fills the gaps of its address."""
    body: bytes | None


def list_requests(
    declared: ListCall, some: list[Any], item: Item, variables: Mapping[str, str], escapes: Mapping[str, Mapping[str, str]]
) -> Iterator[ListRequest]:
    """Yield the calls that add entries, or take them out. Raises `Rejected` where a value is missing."""
    body = compile_json(declared.body, variables, escapes) if declared.body is not None else None
    shape: Shape | None = compile_json(declared.entry, variables, escapes) if declared.entry is not None else None
    if declared.one_by_one:
        each: list[dict[str, Any]] = [{"entry": entry} for entry in some]
    else:
        each = [{"entries": [shape({"entry": entry}) if shape is not None else entry for entry in some]}]
    for values in each if some else ():
        gaps = Gaps({"id": item.id, **values}, item.record)
        yield ListRequest(gaps, encode_json(body(gaps)) if body is not None else None)
