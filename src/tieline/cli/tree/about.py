"""Commands about tieline itself and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tieline.cli.output import output
from tieline.cli.tree.options import Json
from tieline.cli.tree.spoken import spoken

commands = typer.Typer()


@commands.command(rich_help_panel="Project")
@spoken
def schema(
    kind: Annotated[
        str | None, typer.Argument(help="`tieline`, `connector`, `connections` or `integration`. Default: all.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write one file per kind into this folder.", show_default=False)] = None,
    json: Json = False,
) -> int:
    """Print the JSON Schema of the project's files, for your editor."""
    from tieline.cli import begin

    return begin.schema(kind, out)


@commands.command(rich_help_panel="Project")
def version(json: Json = False) -> None:
    """Print the version."""
    from tieline._version import __version__

    if json:
        output.json_mode = True
        output.json({"version": __version__})
    else:
        output.print(f"tieline {__version__}")
