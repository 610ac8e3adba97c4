"""The fields of a resource from a page of its records: `tieline connector sample`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from tieline.app import Tieline
from tieline.cli.opening import opened
from tieline.cli.output import OK, escape, output, plural
from tieline.config.loading.sample import as_yaml, guess, with_fields, without_zone
from tieline.config.suggestions import nearest
from tieline.model.errors import TielineError
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record, decode_json


def sample(folder: Path, place: str, *, write: bool, of_file: Path | None = None) -> int:
    """Read a page, or a file with an answer, and print the fields that it shows, or write them into the connector's file where it has none."""
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
        if resource.list is None and of_file is None:
            raise TielineError(
                f"`{place}` can't be read", next_step="declare `path` or `list` in the connector, or give a file with `--from`"
            )
        if of_file is not None:
            records = read_sample(of_file, resource.list.records if resource.list is not None else "")
        else:
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


def read_sample(file: Path, address: str) -> list[Record]:
    """Return the records of a file: an answer as the vendor's documentation shows it, a list, JSON Lines, or one record.

    In an answer they stand at `address`. Raises `TielineError` for a file that can't be read, or holds none.
    """
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TielineError(f"{file} can't be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from None
    try:
        said = decode_json(text.encode())
    except (msgspec.DecodeError, RecursionError):
        try:
            said = [decode_json(line.encode()) for line in text.splitlines() if line.strip()]
        except (msgspec.DecodeError, RecursionError) as error:
            raise TielineError(f"{file} is neither JSON nor JSON Lines: {error}", next_step="save an answer of the API as it is") from None
    if isinstance(said, dict) and address:
        said = found if (found := get(said, address)) is not ABSENT else said
    records = [one for one in (said if isinstance(said, list) else [said]) if isinstance(one, dict)]
    if not records:
        where = f" at `{address}`" if address else ""
        raise TielineError(
            f"{file} holds no records{where}", next_step="save an answer of the API as it is, and look at `records` in the connector"
        )
    return records


async def _first_page(project: Tieline, connection: str, resource: str) -> list[Record]:
    try:
        async for page in project.system(connection).read(resource, None):
            return page.records
        return []
    finally:
        await project.aclose()
