"""What became of each record of a batch. A record that the answer does not speak of has an unknown outcome, never success."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tieline.dialects.dialect import Item, Receipt
from tieline.dialects.ids import IdReader
from tieline.model.errors import (
    NotThere,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    RemoteError,
    Stale,
    Unavailable,
    Undecodable,
)
from tieline.model.paths import get
from tieline.model.records import ABSENT
from tieline.spec.connectors import BatchResults
from tieline.transport.classify import error_text, is_already


def read_results(
    answer: Any,
    declared: BatchResults,
    items: Sequence[Item],
    id_field: str,
    read_id: IdReader,
    call: int | None,
    mask: Callable[[str], str],
) -> list[Receipt]:
    """Return a receipt for each item, in order. Raises `Undecodable` when there are no results where they should be."""
    results = get(answer, declared.records) if declared.records else answer
    if not isinstance(results, list):
        raise Undecodable(f"the batch answer has no list at `{declared.records}`")
    if declared.by == "position":
        if len(results) > len(items):
            raise Undecodable(f"the batch answer has {len(results)} results for {len(items)} records: they can't be told apart by position")
        found: list[Any] = [*results, *[ABSENT] * (len(items) - len(results))]
    else:
        field = declared.field
        name: Callable[[Any], str | None] = _text if field and field != id_field else read_id
        by_key = {key: result for result in results if (key := name(get(result, declared.key)))}
        found = [by_key.get((name(get(item.record, field)) if field else item.id) or "", ABSENT) for item in items]
    return [_receipt(result, declared, item, id_field, read_id, call, mask) for result, item in zip(found, items, strict=True)]


def _receipt(
    result: Any, declared: BatchResults, item: Item, id_field: str, read_id: IdReader, call: int | None, mask: Callable[[str], str]
) -> Receipt:
    if result is ABSENT:
        return Receipt(None, OutcomeUnknown("the batch answer does not say what became of this record"), call)
    status = get(result, declared.status) if declared.status else ABSENT
    text = mask(error_text(result, declared.error)) if declared.error else ""
    if not _succeeded(status, text, declared):
        error = _error(status, text or "refused without a reason")
        if is_already(error, declared.already):
            return Receipt(item.id, None, call, already=True)
        return Receipt(None, error, call)
    known = item.id or (read_id(get(result, declared.id)) if declared.id else None) or read_id(get(item.record, id_field))
    if known is None:
        return Receipt(None, OutcomeUnknown("the batch answer says that the record was written, but not its id"), call)
    return Receipt(known, None, call)


def _succeeded(status: Any, text: str, declared: BatchResults) -> bool:
    if declared.ok:
        return status in declared.ok or str(status) in map(str, declared.ok)
    if status is not ABSENT and str(status).isdigit():
        return 200 <= int(status) < 300
    return not text


def _error(status: Any, text: str) -> RemoteError:
    number = int(status) if str(status).isdigit() else None
    said = f"{number}: {text}" if number else text
    if number == 429:
        return RateLimited(said, status=number, text=text)
    kind: type[RemoteError] = Rejected
    if number is not None:
        kind = Unavailable if number >= 500 else NotThere if number in (404, 410) else Stale if number in (409, 412) else Rejected
    return kind(said, status=number, text=text)


def _text(value: Any) -> str | None:
    return None if value is ABSENT else str(value)
