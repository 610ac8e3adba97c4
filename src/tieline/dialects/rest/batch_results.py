"""What became of each record of a batch. A record that the answer does not speak of has an unknown outcome, never success.

Number and identity are checked here, and nowhere else: results by position that are more or fewer than the records, or one that repeats the
id or key of another record, or what another record says, tell nothing of any; a key or an index that comes twice, among the records or in the answer, tells nothing of those.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from tieline.config.models.connectors import Errors
from tieline.config.models.operations import BatchErrors, BatchResults
from tieline.dialects.dialect import Item, Receipt
from tieline.dialects.ids import IdReader
from tieline.model.errors import OutcomeUnknown, RemoteError, Undecodable, Untold
from tieline.model.paths import get
from tieline.model.records import ABSENT
from tieline.transport.classify import error_text, is_already, kind_of_status, refusal

_NOT_SPOKEN_OF = "the batch answer does not say what became of this record"


class Answer(NamedTuple):
    """How an answer is read, for all of its results."""

    id_field: str
    """The resource's field of the id."""
    read_id: IdReader
    errors: Errors
    call: int | None
    mask: Callable[[str], str]


def read_results(answer: Any, declared: BatchResults, items: Sequence[Item], how: Answer) -> list[Receipt]:
    """Return a receipt for each item, in order. Raises `Undecodable` when there are no results where they should be."""
    refused: dict[int, Receipt] = {}
    lists = declared.errors if isinstance(declared.errors, tuple) else (declared.errors,)
    told_apart = 0
    for errors in lists:
        entries = get(answer, errors.records) if errors.records else answer
        if isinstance(entries, (list, dict)):
            told_apart += len(entries)
            named = _named(entries, errors, items, how)
            refused |= {
                place: _refused(entry, errors, declared, items[place], how) for place, entry in named.items() if place not in refused
            }
    found = _found(answer, declared, items, refused, told_apart, how)
    untold = f"{_NOT_SPOKEN_OF}{_beside(answer, declared)}"
    receipts = [
        refused[place] if place in refused else _receipt(found.get(place, ABSENT), declared, item, how, untold)
        for place, item in enumerate(items)
    ]
    # Two records can't have become one: an id that comes twice tells of neither.
    ids = Counter(receipt.id for receipt, item in zip(receipts, items, strict=True) if receipt.id is not None and item.id is None)
    return [
        Receipt(None, Untold(f"{_NOT_SPOKEN_OF}: two results have the id {receipt.id}"), how.call)
        if receipt.id is not None and ids[receipt.id] > 1
        else receipt
        for receipt in receipts
    ]


def _found(
    answer: Any, declared: BatchResults, items: Sequence[Item], refused: dict[int, Receipt], told_apart: int, how: Answer
) -> dict[int, Any]:
    """Return the results by the place of their record in the batch."""
    addresses = declared.records if isinstance(declared.records, tuple) else (declared.records,)
    results: list[Any] = []
    members: dict[str, Any] = {}
    missing = 0
    for address in addresses:
        entries = get(answer, address) if address else answer
        if declared.by == "member" and isinstance(entries, dict):
            members |= entries
        elif isinstance(entries, list) and declared.by != "member":
            results += entries
        elif entries in (ABSENT, None) and (told_apart or len(addresses) > 1):
            missing += 1  # all of them are among the errors, or in another list
        else:
            raise Undecodable(f"the batch answer has no {'object' if declared.by == 'member' else 'list'} at `{address}`")
    if missing == len(addresses) and not told_apart:
        raise Undecodable(f"the batch answer has no list at `{'`, `'.join(addresses)}`")
    if declared.by != "position":
        named = _named(members if declared.by == "member" else results, declared, items, how)
        return {} if declared.by == "index" and _mixed_up(named, declared, items, how) else named
    # Errors that are listed apart leave no gap; where one of them can't be named, no one knows whose place is empty.
    places = [place for place in range(len(items)) if place not in refused] if len(refused) == told_apart else []
    if len(results) == len(items):
        places = list(range(len(items)))
    if len(results) != len(places) or not all(
        _is_of(result, declared, items[place], how) for place, result in zip(places, results, strict=True)
    ):
        return {}
    found = dict(zip(places, results, strict=True))
    return {} if _mixed_up(found, declared, items, how) else found


def _mixed_up(found: dict[int, Any], declared: BatchResults, items: Sequence[Item], how: Answer) -> bool:
    """Whether one of the results repeats what another record says, rather than what its own does.

    Vendors that work on a batch side by side answer in the order in which they were done. One that spells values in its own way repeats no other's.
    """
    at = declared.id.removesuffix(how.id_field)
    base = at.removesuffix(".") if at.endswith(".") else ""
    shown = {place: get(result, base) if base else result for place, result in found.items()}
    said = [{address: text for address, value in (item.fields or item.record).items() if (text := _plain(value))} for item in items]
    strange: dict[int, dict[str, str]] = {}
    for place, record in shown.items():
        if isinstance(record, dict):
            other = {a: text for a, own in said[place].items() if (text := _plain(get(record, a))) and text != own}
            if other:
                strange[place] = other
    if not strange:
        return False
    whose: dict[tuple[str, str], set[int]] = {}
    for place, values in enumerate(said):
        for value in values.items():
            whose.setdefault(value, set()).add(place)
    for place, other in strange.items():
        others = Counter(holder for value in other.items() for holder in whose.get(value, ()))
        own = sum(
            _plain(get(shown[place], address)) == text and len(whose[address, text]) < len(items) for address, text in said[place].items()
        )
        if others and max(others.values()) > own:
            return True
    return False


def _plain(value: Any) -> str:
    """Return a text or number in one spelling; nothing for what tells no records apart."""
    return str(value).strip().casefold() if isinstance(value, (str, int, float, Decimal)) and not isinstance(value, bool) else ""


def _is_of(result: Any, declared: BatchResults, item: Item, how: Answer) -> bool:
    """Whether a result, as far as it repeats a key or an id, repeats that of the record."""
    if declared.key and (key := get(result, declared.key)) is not ABSENT and key is not None:
        wanted = get(item.record, declared.field) if declared.field else item.id
        if wanted is not None and wanted is not ABSENT and not _same(key, wanted, how, is_id=not declared.field):
            return False
    if declared.id and item.id is not None and (id := get(result, declared.id)) is not ABSENT and id is not None:
        return _same(id, item.id, how, is_id=True)
    return True


def _same(one: Any, other: Any, how: Answer, *, is_id: bool) -> bool:
    return str(one) == str(other) or (is_id and (read := how.read_id(one)) is not None and read == how.read_id(other))


def _named(entries: Any, declared: BatchResults | BatchErrors, items: Sequence[Item], how: Answer) -> dict[int, Any]:
    """Return entries by the place of the record that they name; those that name none, or one that comes twice, are left out."""
    if declared.by == "index":
        wanted = {str(place + declared.first): place for place in range(len(items))}
        pairs = [(_text(get(entry, declared.index)), entry) for entry in entries] if isinstance(entries, list) else []
    else:
        is_id = not declared.field or declared.field == how.id_field
        text: Callable[[Any], str | None] = (lambda value: how.read_id(value) or _text(value)) if is_id else _text
        keys = [text(get(item.record, declared.field) if declared.field else item.id) for item in items]
        twice = {key for key, count in Counter(keys).items() if count > 1}
        wanted = {key: place for place, key in enumerate(keys) if key is not None and key not in twice}
        if declared.by == "member":
            pairs = [(text(name), entry) for name, entry in entries.items()] if isinstance(entries, dict) else []
        else:
            pairs = [(text(get(entry, declared.key)), entry) for entry in entries] if isinstance(entries, list) else []
    often = Counter(key for key, _ in pairs)
    return {wanted[key]: entry for key, entry in pairs if key is not None and key in wanted and often[key] == 1}


def _refused(entry: Any, errors: BatchErrors, declared: BatchResults, item: Item, how: Answer) -> Receipt:
    status = get(entry, errors.status) if errors.status else ABSENT
    text = error_text(entry, errors.error) if errors.error else entry if isinstance(entry, str) else error_text(entry, "")
    return _as_refused(status, how.mask(text), declared, item, how)


def _as_refused(status: Any, text: str, declared: BatchResults, item: Item, how: Answer) -> Receipt:
    error = _error(status, text or "refused without a reason", how.errors)
    if is_already(error, declared.already):
        return Receipt(item.id, None, how.call, already=True)
    return Receipt(None, error, how.call)


def _beside(answer: Any, declared: BatchResults) -> str:
    """Return where the answer may say more than is declared: lists that hold something, and what is called an error."""
    if not isinstance(answer, dict):
        return ""
    records = declared.records if isinstance(declared.records, tuple) else (declared.records,)
    errors = declared.errors if isinstance(declared.errors, tuple) else (declared.errors,)
    read = {re.split(r"[.\[]", address)[0] for address in (*records, *(each.records for each in errors))}
    names = [
        f"`{name}`"
        for name, value in answer.items()
        if name not in read and value and (isinstance(value, list) or (isinstance(value, dict) and re.search("(?i)err|fail", name)))
    ]
    return f"; it has {' and '.join(names[:3])} beside, which `results: errors` in the connector can name" if names else ""


def _receipt(result: Any, declared: BatchResults, item: Item, how: Answer, untold: str) -> Receipt:
    if result is ABSENT:
        return Receipt(None, Untold(untold), how.call)
    status = get(result, declared.status) if declared.status else ABSENT
    text = how.mask(error_text(result, declared.error)) if declared.error else ""
    if not _succeeded(status, text, declared):
        return _as_refused(status, text, declared, item, how)
    id = get(result, declared.id) if declared.id else ABSENT
    if item.id is not None and id is not ABSENT and id is not None and not _same(id, item.id, how, is_id=True):
        return Receipt(None, Untold(f"{_NOT_SPOKEN_OF}: the result is of {id}"), how.call)
    known = item.id or how.read_id(id) or how.read_id(get(item.record, how.id_field))
    if known is None:
        return Receipt(None, OutcomeUnknown("the batch answer says that the record was written, but not its id"), how.call)
    return Receipt(known, None, how.call)


def _succeeded(status: Any, text: str, declared: BatchResults) -> bool:
    if declared.ok:
        return status in declared.ok or str(status) in map(str, declared.ok)
    if status is not ABSENT and str(status).isdecimal():
        return 200 <= int(str(status)[:9]) < 300
    return not text


def _error(status: Any, text: str, errors: Errors) -> RemoteError:
    number = int(str(status)) if str(status).isdecimal() and len(str(status)) == 3 else None
    said = f"{number}: {text}" if number else text
    if (passing := refusal(number, text, errors, said=said)) is not None:
        return passing
    return kind_of_status(number if number is not None and number >= 400 else 400)(said, status=number, text=text)


def _text(value: Any) -> str | None:
    return None if value in (ABSENT, None, "") else str(value)
