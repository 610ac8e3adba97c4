"""Commands about conflicts of two-way integrations."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tieline.cli.tree.options import HERE, MOST, Field, Folder, Integration, Json, Listed, Log, Mask, OfField, OfIntegration
from tieline.cli.tree.spoken import spoken

commands = typer.Typer(
    no_args_is_help=False,
    help="Field conflicts of two-way integrations: open ones, and how earlier ones were decided.",
    invoke_without_command=True,
)


@commands.callback()
def conflicts_alone(context: typer.Context, project: Folder = HERE, json: Json = False) -> None:
    """Field conflicts of two-way integrations; lists the open ones."""
    if context.invoked_subcommand is None:
        list_conflicts(None, None, False, None, False, project, json)
    elif json or project != HERE:
        raise typer.BadParameter(f"options come after `{context.invoked_subcommand}`")


@commands.command("list")
@spoken
def list_conflicts(
    integration: Integration = None,
    field: Field = None,
    decided: Annotated[
        bool, typer.Option("--decided", help="Show decided conflicts instead, newest first: the value kept and the value overwritten.")
    ] = False,
    limit: Listed = None,
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """List open conflicts with the value on each side. With --decided, conflicts that a policy or a person decided."""
    from tieline.cli import conflicts as work

    listed = work.list_decided if decided else work.list_conflicts
    return listed(project, integration, field, limit=limit, mask=mask)


@commands.command("show")
@spoken
def show_conflict(
    conflict: Annotated[int, typer.Argument(help="The conflict's number.", min=1, max=MOST)],
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Show one conflict: both values of each field, the rule, and the commands for the history of both records."""
    from tieline.cli import conflicts as work

    return work.show_conflict(project, conflict, mask=mask)


@commands.command("resolve")
@spoken
def resolve_conflicts(
    conflict: Annotated[list[int] | None, typer.Argument(help="Conflict numbers.", min=1, max=MOST, show_default=False)] = None,
    keep: Annotated[
        Literal["left", "right"] | None,
        typer.Option(
            help="The side to keep: `left` is `from`, `right` is `to`. If the record is deleted there, the other side is deleted too."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the record's history.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All open conflicts; narrow them with --integration and --field.")] = False,
    integration: OfIntegration = None,
    field: OfField = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Choose the side to keep and send its values to the other. Overwritten values are kept: see `list --decided`."""
    from tieline.cli import resolving as work

    chosen = work.Chosen(tuple(conflict or ()), everything, integration, field)
    return work.resolve(project, chosen, keep, reason)


@commands.command("restore")
@spoken
def restore_values(
    event: Annotated[list[int], typer.Argument(help="Numbers from `list --decided`.", min=1, max=MOST)],
    reason: Annotated[str, typer.Option(help="Why; kept in the record's history.")] = "",
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Restore values that a decided conflict overwrote. Both records are read first, then the values are written to both."""
    from tieline.cli import resolving as work

    return work.restore(project, tuple(event), reason)
