"""Addresses that are known before the first record: the fast, generated twins of `paths.get` and `paths.nest`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tieline.mapping.expressions.source import Source
from tieline.model.paths import Parts, nest, parse_path
from tieline.model.records import Record, Values


def compile_get(address: str) -> Callable[[Record], Any]:
    """Return the function that gives the value at an address, `ABSENT` when there is none."""
    parts = parse_path(address)
    source = Source()
    with source.block("def get(record):"):
        if not parts:
            source.line("return record")
        else:
            source.line("record_get = record.get")
            source.read(parts, "v", root="record")
            source.line("return v")
    return source.function("get")


def compile_nest(addresses: Sequence[str]) -> Callable[[Values], Record]:
    """Return the function that nests fields at these addresses. Others are nested as well, by the slower way.

    Addresses with an index, or one inside the other, are all left to `nest`.
    """
    paths = [(address, parse_path(address)) for address in dict.fromkeys(addresses)]
    if not _plain([parts for _, parts in paths]):
        return nest
    tree: dict[Any, Any] = {}
    for address, parts in paths:
        node = tree
        for key in parts[:-1]:
            node = node.setdefault(key, {})
        node[parts[-1]] = address
    source = Source()
    source.names |= {"nest": nest, "KeyError": KeyError}
    with source.block("def nested(values):"):
        with source.block(f"if len(values) == {len(paths)}:"):
            source.line(f"try: return {_literal(tree)}")
            source.line("except KeyError: pass")
        source.line("return nest(values)")
    return source.function("nested")


def _plain(paths: Sequence[Parts]) -> bool:
    known = set(paths)
    inside = any(parts[:length] in known for parts in paths for length in range(1, len(parts)))
    return not inside and all(isinstance(key, str) for parts in paths for key in parts)


def _literal(tree: dict[str, Any]) -> str:
    entries = (f"{key!a}: {_literal(value) if isinstance(value, dict) else f'values[{value!a}]'}" for key, value in tree.items())
    return "{" + ", ".join(entries) + "}"
