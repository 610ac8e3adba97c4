"""Time zones that a connection gives: `zone: "{zone}"` in a connector's `changed_since`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tieline.config.models.connectors import Resource
from tieline.config.models.escapes import GAP, gaps
from tieline.config.models.operations import Listing
from tieline.model.errors import TielineError


def zones_of(resource: Resource) -> Iterator[tuple[str, str]]:
    """Yield (`list` or `deleted`, zone) of what a connection has to complete."""
    for way in ("list", "deleted"):
        listing: Listing | None = getattr(resource, way)
        changed = listing.changed_since if listing is not None else None
        if changed is not None and changed.zone is not None and gaps(changed.zone):
            yield way, changed.zone


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return False
    return True


def filled(zone: str, variables: Mapping[str, str]) -> str:
    """Return a zone with its variables filled in; what is no variable stays as it is."""
    return GAP.sub(lambda match: variables.get(match[1], match[0]), zone)


def with_zones(resource: Resource, variables: Mapping[str, str]) -> Resource:
    """Return a resource with a connection's variables in its zones. Raises `TielineError` where that makes no time zone."""
    changes: dict[str, Any] = {}
    for way, zone in zones_of(resource):
        if not is_zone(name := filled(zone, variables)):
            raise TielineError(f"there is no time zone `{name}`", next_step="correct the variable of the connection")
        listing = getattr(resource, way)
        changes[way] = listing.model_copy(update={"changed_since": listing.changed_since.model_copy(update={"zone": name})})
    return resource.model_copy(update=changes) if changes else resource
