"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

ShowWrites = Annotated[int, typer.Option(help="Maximum number of records to show.", min=0)]
Mask = Annotated[bool, typer.Option("--mask", help="Hide personal data.")]
MOST = 2**63 - 1
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Log = Annotated[
    Literal["off", "text", "json"],
    typer.Option("--log", envvar="TIELINE_LOG", help="Log to standard error, for schedulers: starts, ends and failures."),
]
Folder = Annotated[
    Path,
    typer.Option("--project", "-p", help="Project folder. Default: the current folder or the nearest one above it.", show_default=False),
]
Integration = Annotated[str | None, typer.Argument(help="Integration. Default: all.", show_default=False)]
OneIntegration = Annotated[str, typer.Argument(help="The integration.")]
OnlySide = Annotated[
    Literal["left", "right"] | None,
    typer.Option("--side", help="Two-way integrations, with --only: the side of that record (default left).", show_default=False),
]
AllowDeletes = Annotated[
    int | None,
    typer.Option(
        help="Maximum deletions in this run, instead of `brakes: deletes`. Two-way integrations: on each side.",
        min=0, max=MOST, show_default=False,
    ),
]  # fmt: skip
AllowClears = Annotated[
    int | None,
    typer.Option(
        help="Two-way integrations: maximum records per side in which this run may empty the same field, instead of `brakes: clears`.",
        min=0, max=MOST, show_default=False,
    ),
]  # fmt: skip
Letters = Annotated[list[int] | None, typer.Argument(help="Dead letter numbers.", min=1, max=MOST, show_default=False)]
Letter = Annotated[int, typer.Argument(help="Dead letter number.", min=1, max=MOST)]
Cause = Annotated[str | None, typer.Option(help="Only this cause.", show_default=False)]
Field = Annotated[str | None, typer.Option(help="Only this field.", show_default=False)]
Shown = Annotated[int | None, typer.Option(help="Maximum rows below the groups (default 50; all with --json).", min=1, show_default=False)]
Groups = Annotated[bool, typer.Option("--groups", help="Show only the groups.")]
OfIntegration = Annotated[str | None, typer.Option(help="All of this integration.", show_default=False)]
OfCause = Annotated[str | None, typer.Option(help="All of this cause.", show_default=False)]
OfField = Annotated[str | None, typer.Option(help="All of this field.", show_default=False)]
Most = Annotated[
    int | None, typer.Option(help="Maximum number, oldest first: try a few before the rest.", min=1, max=MOST, show_default=False)
]
Full = Annotated[bool, typer.Option("--full", help="Read everything again, whatever was read before; ignored records are reconsidered.")]
Moved = Annotated[
    bool, typer.Option("--moved", help="Keep existing links although the system's address or path changed: it is the same system.")
]
Listed = Annotated[
    int | None, typer.Option(help="Maximum number of rows (default 50; all with --json).", min=1, max=MOST, show_default=False)
]
HERE = Path()
OfSide = Annotated[
    Literal["left", "right"] | None, typer.Option(help="Only this side: `left` is `from`, `right` is `to`.", show_default=False)
]
Unmatched = Annotated[list[int] | None, typer.Argument(help="Record numbers from `unmatched list`.", min=1, max=MOST, show_default=False)]
Everyone = Annotated[bool, typer.Option("--all", help="All open ones; narrow them with --integration and --side.")]
Record = Annotated[
    list[str] | None,
    typer.Option("--record", help="Records that need no decision, by their ids on --side of --integration.", show_default=False),
]
