"""Commands that set a project up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tieline.cli.tree.options import HERE, Folder, Json
from tieline.cli.tree.spoken import spoken

commands = typer.Typer()


@commands.command(rich_help_panel="Set up")
@spoken
def init(
    folder: Annotated[Path | None, typer.Argument(help="The folder to create. Asked for if missing.", show_default=False)] = None,
    template: Annotated[str | None, typer.Option(help="`demo` or `blank`. Asked for if missing.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Create a project folder, from a template or by answering questions."""
    from tieline.cli import begin

    begin.init(folder, template)


@commands.command(rich_help_panel="Set up")
@spoken
def check(
    live: Annotated[bool, typer.Option("--live", help="Also try the connections.")] = False,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Find mistakes, gaps and risks in the files, and run the mappings' examples."""
    from tieline.cli import operate

    return operate.check(project, live=live)


@commands.command(rich_help_panel="Set up")
@spoken
def demo(
    folder: Annotated[Path, typer.Option(help="Where to create the project folder.")] = Path("tieline-demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the sandbox systems running afterwards, until Ctrl-C.")] = False,
    json: Json = False,
) -> int:
    """See tieline at work: two sandbox systems, one integration, a bad record, how it is explained and corrected."""
    from tieline.cli import demo as demonstration

    return demonstration.demo(folder, keep=keep)
