"""Commands that run integrations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tieline.cli.tree.options import (
    HERE,
    MOST,
    AllowClears,
    AllowDeletes,
    Folder,
    Full,
    Integration,
    Json,
    Log,
    Mask,
    Moved,
    OneIntegration,
    OnlySide,
    ShowWrites,
)
from tieline.cli.tree.spoken import spoken

commands = typer.Typer()


@commands.command(rich_help_panel="Run")
@spoken
def plan(
    integration: OneIntegration,
    out: Annotated[Path | None, typer.Option("--out", help="Save the plan for `run --plan`.", show_default=False)] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Read at most this many records. Not for two-way integrations, which read both systems completely.",
            min=1,
            show_default=False,
        ),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Only the record with this id.", show_default=False)] = None,
    side: OnlySide = None,
    full: Full = False,
    moved: Moved = False,
    allow_deletes: AllowDeletes = None,
    allow_clears: AllowClears = None,
    show: ShowWrites = 20,
    mask: Mask = False,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Show what a run would create, update and delete, field by field. Two-way integrations: also which records match. Writes nothing."""
    from tieline.cli import operate
    from tieline.engine.runs.passes import Wanted

    wanted = Wanted(limit=limit, only=only, side=side, full=full, moved=moved, allow_deletes=allow_deletes, allow_clears=allow_clears)
    return operate.plan(project, integration, wanted, out=out, show=show, mask=mask)


@commands.command(rich_help_panel="Run")
@spoken
def run(
    integration: Integration = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Carry out a saved plan. Refused if the systems changed since.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Stop after this many records. Not for two-way integrations, which read both systems completely.",
            min=1,
            show_default=False,
        ),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Only the record with this id.", show_default=False)] = None,
    side: OnlySide = None,
    full: Full = False,
    moved: Moved = False,
    allow_deletes: AllowDeletes = None,
    allow_clears: AllowClears = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Send what has changed since the last run."""
    from tieline.cli import operate
    from tieline.engine.runs.passes import Wanted

    wanted = Wanted(limit=limit, only=only, side=side, full=full, moved=moved, allow_deletes=allow_deletes, allow_clears=allow_clears)
    return operate.run(project, integration, wanted, plan=plan)


@commands.command(rich_help_panel="Run")
@spoken
def receive(
    host: Annotated[str, typer.Option(help="Address to listen on; the default accepts connections from this machine only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.", min=0, max=65535)] = 8920,
    url: Annotated[
        str | None,
        typer.Option(help="Public HTTPS URL, such as `https://hooks.example.com` (your reverse proxy).", show_default=False),
    ] = None,
    log: Annotated[
        Literal["off", "text", "json"], typer.Option("--log", envvar="TIELINE_LOG", help="Log failures to standard error.")
    ] = "text",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Receive webhooks until stopped. They are stored, and the next run processes them."""
    from tieline.cli import receiving

    return receiving.receive(project, host=host, port=port, url=url)


@commands.command(rich_help_panel="Run")
@spoken
def undo(
    run: Annotated[int, typer.Argument(help="Run number, as `status` and `explain` show it.", min=1, max=MOST)],
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be written; write nothing.")] = False,
    delete_filled: Annotated[
        bool,
        typer.Option("--delete-filled", help="Also delete created records that have values in fields tieline does not write."),
    ] = False,
    show: ShowWrites = 20,
    log: Log = "off",
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Put back what a run wrote. Records edited since then are left alone and listed."""
    from tieline.cli import undoing

    return undoing.undo(project, run, plan=plan, delete_filled=delete_filled, show=show, mask=mask)
