"""The fields of a resource from a page of its records: `tieline connector sample`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tieline.app import Tieline
from tieline.cli.opening import opened
from tieline.cli.output import OK, escape, output, plural
from tieline.model.errors import TielineError
from tieline.model.records import Record
from tieline.spec.sample import as_yaml, guess, with_fields, without_zone
from tieline.spec.words import nearest


def sample(folder: Path, place: str, *, write: bool) -> int:
    """Read a page and print the fields that it shows, or write them into the connector's file where it has none."""
    connection, _, name = place.partition(".")
    with opened(folder) as project:
        if connection not in project.project.connections:
            known = sorted(project.project.connections)
            raise TielineError(
                f"there is no connection `{connection}`", next_step=nearest(connection, known) if known else "see `tieline check`"
            )
        connector = project.project.connectors.get(project.project.connections[connection].connector)
        if connector is None or name not in connector.resources:
            known = sorted(connector.resources) if connector is not None else []
            raise TielineError(
                f"`{connection}` has no resource `{name}`", next_step=nearest(name, known) if known else "see `tieline check`"
            )
        resource = connector.resources[name]
        if resource.list is None:
            raise TielineError(f"`{place}` can't be read", next_step="declare `path` or `list` in the connector")
        records = asyncio.run(_first_page(project, connection, name))
        if not records:
            raise TielineError(
                f"the first page of `{place}` has no records",
                next_step="make one there; if it has some, look at `records` in the connector",
            )
        found = guess(records, resource.id)
        new = {address: field for address, field in found.items() if address not in resource.fields}
        file = project.project.sources["connector", connector.connector][0].name
        path = project.project.folder / file
        if write:
            if resource.fields:
                raise TielineError(
                    f"{file} declares fields of `{name}` already: nothing is overwritten",
                    next_step="without `--write` those are printed that it does not declare",
                )
            text = with_fields(path.read_text("utf-8"), name, new) if path.is_file() else None
            if text is None:
                raise TielineError(f"they can't be put into {file}", next_step="without `--write` they are printed; put them in by hand")
            path.write_text(text, "utf-8")
    if output.json_mode:
        output.json({"resource": place, "records": len(records), "fields": new, "file": file if write else None})
        return OK
    if write:
        output.print(f"{file}: {plural(len(new), 'field')} of `{name}`, from {plural(len(records), 'record')}", style="green")
        output.print("next: say what is `required` and how long texts may be; then `tieline check`", style="dim")
    elif new:
        sys.stdout.write("fields:\n" + as_yaml(new, "  "))
    else:
        output.print(f"{plural(len(records), 'record')}, and every field of them is declared in {file}")
    for address in without_zone(records, new):
        output.stderr.print(f"[yellow]note[/] `{escape(address)}` is a time without an offset: say its `zone`, such as `zone: UTC`")
    return OK


async def _first_page(project: Tieline, connection: str, resource: str) -> list[Record]:
    try:
        async for page in project.system(connection).read(resource, None):
            return page.records
        return []
    finally:
        await project.aclose()
