"""Commands about records without a counterpart."""

from __future__ import annotations

from typing import Annotated

import typer

from tieline.cli.tree.options import (
    HERE,
    MOST,
    Everyone,
    Folder,
    Integration,
    Json,
    Listed,
    Log,
    Mask,
    OfIntegration,
    OfSide,
    Record,
    Unmatched,
)
from tieline.cli.tree.spoken import spoken

commands = typer.Typer(no_args_is_help=False, help="Records of two-way integrations without a counterpart.", invoke_without_command=True)


@commands.callback()
def unmatched_alone(context: typer.Context, project: Folder = HERE, json: Json = False) -> None:
    """Records of two-way integrations without a counterpart; lists them."""
    if context.invoked_subcommand is None:
        list_unmatched(None, None, False, False, None, False, project, json)
    elif json or project != HERE:
        raise typer.BadParameter(f"options come after `{context.invoked_subcommand}`")


@commands.command("list")
@spoken
def list_unmatched(
    integration: Integration = None,
    side: OfSide = None,
    fuzzy: Annotated[bool, typer.Option("--fuzzy", help="Show similar records of the other side, by match fields and names.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Include records that need no decision: ignored or deliberately unlinked.")
    ] = False,
    limit: Listed = None,
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """List records without a counterpart that need a decision."""
    from tieline.cli import unmatched as work

    return work.list_unmatched(project, integration, side, fuzzy=fuzzy, everything=everything, limit=limit, mask=mask)


@commands.command("link")
@spoken
def link_unmatched(
    number: Annotated[int, typer.Argument(metavar="NO", help="The number in `unmatched list`.", min=1, max=MOST)],
    id: Annotated[str, typer.Argument(help="The id of its counterpart on the other side.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the history of both records.")] = "",
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Link a record to its counterpart on the other side. Both are compared at once, as if just matched."""
    from tieline.cli import settling as work

    return work.link(project, number, id, reason)


@commands.command("create")
@spoken
def create_unmatched(
    number: Unmatched = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the record's history.")] = "",
    everything: Everyone = False,
    integration: OfIntegration = None,
    side: OfSide = None,
    record: Record = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Create their counterparts on the other side."""
    from tieline.cli import settling as work

    chosen = work.Chosen(tuple(number or ()), everything, integration, side, tuple(record or ()))
    return work.settle(project, chosen, "create", reason)


@commands.command("ignore")
@spoken
def ignore_unmatched(
    number: Unmatched = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the record's history.")] = "",
    everything: Everyone = False,
    integration: OfIntegration = None,
    side: OfSide = None,
    record: Record = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Leave them without a counterpart and stop asking. A counterpart that appears later is still matched."""
    from tieline.cli import settling as work

    chosen = work.Chosen(tuple(number or ()), everything, integration, side, tuple(record or ()))
    return work.settle(project, chosen, "ignore", reason)
