"""The body of a write: what goes beside the record, where the record goes, and how it is written as a form.

Constants and what is under `wrap` are one object, merged member by member; where both say something, the record wins. A vendor that takes what
is sent for the whole record gets it whole: as it was read, with what is written merged into it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlencode

from tieline.config.models.connectors import Resource
from tieline.config.models.operations import Batch, Write
from tieline.dialects.rest.escapes import as_text
from tieline.dialects.rest.templates import compile_json
from tieline.model.paths import EACH, get, parse_path, put, step
from tieline.model.records import Record

MakeBody: TypeAlias = Callable[[Record, Mapping[str, Any]], Any]
"""(record, what fills gaps) → the body; None where there is none. What is returned may share parts with the record."""


def compile_body(write: Write, variables: Mapping[str, str], escapes: Mapping[str, Mapping[str, str]]) -> MakeBody:
    """Return what makes the bodies of a write."""
    if write.body is not None:
        shape = compile_json(write.body, variables, escapes)
        return lambda record, values: shape(values)
    if not write.constants and not write.wrap:
        return lambda record, values: record
    beside = compile_json(write.constants, variables, escapes, lambda name: name in ("id", "changed_fields"))
    wrap = write.wrap

    def made(record: Record, values: Mapping[str, Any]) -> Any:
        whole = beside(values)
        if not wrap:
            return merged(whole, record)
        there = get(whole, wrap)
        put(whole, wrap, merged(there, record) if isinstance(there, dict) else record)
        return whole

    return made


def compile_entries(batch: Batch, variables: Mapping[str, str], escapes: Mapping[str, Mapping[str, str]]) -> Callable[[list[Any]], Any]:
    """Return what makes the body of a batch out of its entries."""
    if not batch.wrap:
        return lambda entries: entries
    beside = compile_json(batch.constants, variables, escapes, lambda name: False)

    def made(entries: list[Any]) -> Any:
        whole = beside({})
        put(whole, batch.wrap, entries)
        return whole

    return made


def merged(there: Mapping[str, Any], record: Mapping[str, Any]) -> Record:
    """Return an object with the members of both, objects inside merged likewise; where both say something else, the record wins."""
    result = dict(there)
    for key, value in record.items():
        before = result.get(key)
        result[key] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def written_into(there: Record, record: Record, fields: Mapping[str, Any] | None) -> Record:
    """Return a record as it was read, which may be changed, with what is written in it: entries of lists that are not written stay."""
    if fields is None:
        return merged(there, record)
    result = copy.deepcopy(there)
    try:
        for address, value in fields.items():
            before = get(result, address) if isinstance(value, dict) else None
            put(result, address, merged(before, value) if isinstance(before, dict) else value)
    except ValueError:  # there is a text or a number where the address has an object or a list
        return merged(there, record)
    return result


def with_more(body: Any, more: Mapping[str, Any]) -> Any:
    """Return a body with further values, by address; nothing that it shares is changed."""
    body = copy.deepcopy(body)
    for address, value in more.items():
        put(body, address, value)
    return body


def writable(record: Record, resource: Resource) -> Record:
    """Return a record as it was read without what the vendor sets itself: fields that are `read_only`, and the id unless it can be written."""
    declared = resource.fields.get(resource.id)
    left_out = {address for address, field in resource.fields.items() if field.read_only}
    if declared is None:
        left_out.add(resource.id)
    result = copy.deepcopy(record)
    for address in left_out:
        _take_out(result, address)
    return result


def _take_out(record: Record, address: str) -> None:
    *way, last = parse_path(address)
    nodes: list[Any] = [record]
    for part in way:
        nodes = [there for node in nodes for there in (node if part is EACH and isinstance(node, list) else [step(node, part)])]
    for node in nodes:
        if isinstance(node, dict) and isinstance(last, str):
            node.pop(last, None)


def as_form(body: Mapping[str, Any], style: str | bool, lists: str) -> bytes:
    """Return a body as a form: objects inside as `address[city]` or `address.city`, null as empty, an empty list or object as empty too."""
    pairs = (pair for key, value in body.items() for pair in _pairs(str(key), value, dots=style == "dots", lists=lists))
    return urlencode(list(pairs)).encode()


def _pairs(name: str, value: Any, *, dots: bool, lists: str) -> Iterator[tuple[str, str]]:
    parts: Iterable[tuple[str, Any]]
    if isinstance(value, dict) and value:
        parts = ((f"{name}.{key}" if dots else f"{name}[{key}]", member) for key, member in value.items())
    elif isinstance(value, list) and value:
        numbered = lists == "indexed" or any(isinstance(entry, (dict, list)) for entry in value)
        parts = (
            (f"{name}[{index}]" if numbered else f"{name}[]" if lists == "brackets" else name, entry) for index, entry in enumerate(value)
        )
    else:
        yield name, as_text(value) or ""
        return
    for part, member in parts:
        yield from _pairs(part, member, dots=dots, lists=lists)
