"""Commands that show what goes on."""

from __future__ import annotations

from typing import Annotated

import typer

from tieline.cli.tree.options import HERE, MOST, Folder, Integration, Json, Log, Mask, OneIntegration
from tieline.cli.tree.spoken import spoken

commands = typer.Typer()


@commands.command(rich_help_panel="Watch")
@spoken
def status(integration: Integration = None, project: Folder = HERE, json: Json = False) -> int:
    """Show each integration in one line, most urgent first; with a name, in full. Exit code 1 means that someone must act."""
    from tieline.cli import report

    return report.status(project, integration)


@commands.command(rich_help_panel="Watch")
@spoken
def verify(
    integration: OneIntegration,
    repair: Annotated[bool, typer.Option("--repair", help="Write what differs or is missing in the destination.")] = False,
    allow: Annotated[
        int | None,
        typer.Option(
            help="With --repair: maximum number of missing records, instead of `brakes: {deletes: N}`.",
            min=0,
            max=MOST,
            show_default=False,
        ),
    ] = None,
    show: Annotated[int, typer.Option(help="Maximum number of records to show.", min=0)] = 20,
    mask: Mask = False,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Compare both systems completely, record by record. Writes nothing without --repair."""
    from tieline.cli import verifying

    return verifying.verify(project, integration, repair=repair, allow=allow, show=show, mask=mask)


@commands.command(rich_help_panel="Records")
@spoken
def explain(
    connection: Annotated[str, typer.Argument(help="The connection, on either side.")],
    resource: Annotated[str, typer.Argument(help="The resource.")],
    id: Annotated[str, typer.Argument(help="The record's id in that system.")],
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Show everything that happened to one record, across both systems, in order."""
    from tieline.cli import report

    return report.explain(project, connection, resource, id, mask=mask)


@commands.command(rich_help_panel="Records")
@spoken
def calls(
    what: Annotated[
        str | None, typer.Argument(metavar="INTEGRATION or NO", help="An integration, or the number of one call.", show_default=False)
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only calls that failed or in which records were refused.")] = False,
    record: Annotated[
        tuple[str, str, str] | None,
        typer.Option("--record", metavar="CONNECTION RESOURCE ID", help="Only calls about this record.", show_default=False),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only since then: `1h` ago, or `2026-01-31T09:30`.", show_default=False)
    ] = None,
    slow: Annotated[str | None, typer.Option("--slow", help="Only calls that took at least this long: `2s`.", show_default=False)] = None,
    run: Annotated[int | None, typer.Option("--run", help="Only calls of this run.", min=1, max=MOST, show_default=False)] = None,
    connection: Annotated[str | None, typer.Option("--connection", help="Only calls of this connection.", show_default=False)] = None,
    status: Annotated[
        int | None, typer.Option("--status", help="Only answers with this status: `429`.", min=100, max=999, show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", help="Maximum number, latest first (default 50; all with --json).", min=1, max=MOST, show_default=False),
    ] = None,
    body: Annotated[bool, typer.Option("--body", help="Include request and response bodies, where they are kept.")] = False,
    mask: Mask = False,
    project: Folder = HERE,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one line per call.")] = False,
) -> int:
    """Search the API calls, or show one in full: request, response, records, outcome, next step."""
    from tieline.cli.calls import Filter, show_calls

    wanted = Filter(record, since, slow, run, connection, status, failed)
    return show_calls(project, what, wanted, limit=limit, bodies=body, mask=mask)
