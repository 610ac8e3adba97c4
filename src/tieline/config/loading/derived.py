"""Where a derived operation of a resource comes from, so that a complaint about it names a line that was written."""

from __future__ import annotations

import dataclasses

from tieline.config.loading.yaml_source import Key, Source
from tieline.config.models.derived import expand_noting


def with_derived(source: Source) -> Source:
    """Return a connector's file in which a key of a derived operation leads to the key that it was derived from."""
    resources = source.value.get("resources") if isinstance(source.value, dict) else None
    if not isinstance(resources, dict):
        return source
    derived: dict[tuple[Key, ...], tuple[Key, ...]] = {}
    for name, written in resources.items():
        if not isinstance(written, dict):
            continue

        def note(keys: tuple[str, ...], key: str, of: str, at: tuple[Key, ...] = ("resources", name)) -> None:
            derived[*at, *keys, key] = *at, of

        for operation in expand_noting(written, note).keys() - written.keys():
            derived["resources", name, operation] = "resources", name, "path"
    return dataclasses.replace(source, derived=derived) if derived else source
