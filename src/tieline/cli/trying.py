"""`check --live`, beyond a ping: does each resource that an integration uses show what its list shows, when it is asked for it?

A record of the first page of the list is asked for by its id, and found by the fields that integrations search by. What can't be tried is said.
A deletion is believed because `get` has none: where it never has any, that proves nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tieline.app import Tieline
from tieline.dialects.dialect import System
from tieline.model.errors import TielineError
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record

_TRIED = 3


class Trial(NamedTuple):
    """What was tried of a resource."""

    what: str
    error: str | None = None


async def tried(project: Tieline, connection: str) -> list[Trial]:
    """Try `get`, `find` and the credentials of a connection, for each resource that an integration uses."""
    found: list[Trial] = []
    system = project.system(connection)
    if not await project.needs_credentials(connection):
        found.append(Trial("its ping answers without credentials, too: it proves nothing about them"))
    for resource, fields in sorted(_used(project, connection).items()):
        try:
            found += await _of_resource(system, resource, fields)
        except TielineError as error:
            found.append(Trial("", f"{resource}: {error}{f' ({error.next_step})' if error.next_step else ''}"))
    return found


def _used(project: Tieline, connection: str) -> dict[str, set[str]]:
    """Return the resources of a connection that integrations use, each with the fields that they are matched by there."""
    used: dict[str, set[str]] = {}
    for spec in project.project.integrations.values():
        sides: list[tuple[str, Any]] = [(spec.source, spec.match_back if spec.two_way else {}), (spec.target, spec.match)]
        for place, match in sides:
            name, _, resource = place.partition(".")
            if name == connection:
                used.setdefault(resource, set()).update(match)
    return used


async def _of_resource(system: System, resource: str, fields: set[str]) -> list[Trial]:
    features = system.features(resource)
    searched = sorted(fields & features.find)
    if not features.list:
        return (
            [Trial(f"{resource}: it can't be listed, so whether `get` and `find` work can't be tried")] if features.get or searched else []
        )
    if not features.get and not searched:
        return []
    records = await _listed(system, resource)
    if not records:
        return [Trial(f"{resource}: its list shows no record, so whether `get` and `find` work can't be tried")]
    found = []
    if features.get:
        found.append(await _by_id(system, resource, records))
    found += [await _by_field(system, resource, field, records) for field in searched]
    return found


async def _listed(system: System, resource: str) -> dict[str, Record]:
    pages = system.read(resource, None)
    try:
        async for page in pages:
            if records := {id: record for id, record in zip(page.ids, page.records, strict=True) if id is not None}:
                return records
    finally:
        await pages.aclose()  # type: ignore[attr-defined]  # it is a generator
    return {}


async def _by_id(system: System, resource: str, records: dict[str, Record]) -> Trial:
    asked = list(records)[:_TRIED]
    for id in asked:
        record = await system.get(resource, id)
        if record is not None and system.id_of(resource, record) == id:
            return Trial(f"{resource}: get shows {id}, as the list does")
    return Trial(
        "",
        f"{resource}: the list shows {', '.join(asked)}, and `get` does not: a deletion could not be told from it (correct the path of `get` in the "
        "connector, or let the credentials read single records)",
    )


async def _by_field(system: System, resource: str, field: str, records: dict[str, Record]) -> Trial:
    filled = {id: value for id, record in records.items() if (value := _value(record, field)) not in (None, ABSENT, "")}
    for id, value in list(filled.items())[:_TRIED]:
        if any(system.id_of(resource, record) == id for record in await system.find(resource, field, value)):
            return Trial(f"{resource}: find by {field} shows {id}, as the list does")
    if not filled:
        return Trial(f"{resource}: no listed record has a value in `{field}`, so whether it can be found by it can't be tried")
    return Trial(
        "",
        f"{resource}: the list shows {', '.join(list(filled)[:_TRIED])}, and `find` by `{field}` does not: a second record would be made (correct "
        f"`find.{field}` in the connector)",
    )


def _value(record: Record, field: str) -> Any:
    try:
        return get(record, field)
    except ValueError:
        return ABSENT
