"""Commands about deliveries that need a person."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tieline.cli.tree.options import (
    HERE,
    Cause,
    Field,
    Folder,
    Groups,
    Integration,
    Json,
    Letter,
    Letters,
    Log,
    Mask,
    Most,
    OfCause,
    OfField,
    OfIntegration,
    Shown,
)
from tieline.cli.tree.spoken import spoken

commands = typer.Typer(no_args_is_help=False, help="Records that could not be delivered and need a person.", invoke_without_command=True)


@commands.callback()
def dead_letters(
    context: typer.Context,
    cause: Cause = None,
    field: Field = None,
    limit: Shown = None,
    groups: Groups = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Records that could not be delivered and need a person; lists them."""
    if context.invoked_subcommand is None:
        list_letters(None, cause, field, limit, groups, False, project, json)
    elif json or groups or limit is not None or cause is not None or field is not None or project != HERE:
        raise typer.BadParameter(f"options come after `{context.invoked_subcommand}`")


@commands.command("list")
@spoken
def list_letters(
    integration: Integration = None,
    cause: Cause = None,
    field: Field = None,
    limit: Shown = None,
    groups: Groups = False,
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """List dead letters: groups by cause, field and rule first, each with the command that handles the whole group."""
    from tieline.cli import letters as work

    which = work.Which((), integration, cause, field, limit)
    return work.list_letters(project, which, groups_only=groups, mask=mask)


@commands.command()
@spoken
def show(letter: Letter, mask: Mask = False, project: Folder = HERE, json: Json = False) -> int:
    """Show one dead letter: record, request, answer, reason, and the rule as it is in the file now."""
    from tieline.cli import letters as work

    return work.show_letter(project, letter, mask=mask)


@commands.command()
@spoken
def edit(
    letter: Letter,
    set: Annotated[  # noqa: A002 - the option's name
        list[str] | None, typer.Option("--set", help="FIELD=VALUE in the source record; VALUE is JSON or text.", show_default=False)
    ] = None,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Correct the record of a dead letter, with --set or in $EDITOR. `redrive` sends it."""
    from tieline.cli import redriving as work

    return work.edit_letter(project, letter, set or [])


@commands.command()
@spoken
def redrive(
    letter: Letters = None,
    integration: OfIntegration = None,
    cause: OfCause = None,
    field: OfField = None,
    rate: Annotated[
        str | None, typer.Option(help="Maximum rate: 5/s, 10/m or 100/h. The connection's own limits apply as well.", show_default=False)
    ] = None,
    limit: Most = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Process dead letters again with the current mapping, oldest first. After an interruption, run the same command to continue."""
    from tieline.cli import redriving as work
    from tieline.cli.letters import Which

    which = Which(tuple(letter or ()), integration, cause, field, limit)
    return work.redrive(project, which, rate)


@commands.command()
@spoken
def resolve(
    letter: Letters = None,
    target: Annotated[str | None, typer.Option("--as", help="Link it to this record of the destination.", show_default=False)] = None,
    not_done: Annotated[bool, typer.Option("--not-done", help="It was never created: send it again.")] = False,
    keep: Annotated[
        Literal["source", "target"] | None,
        typer.Option(
            help="Which values to keep where they differ: `source` sends them, `target` leaves the destination as it is.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the record's history.")] = "",
    integration: OfIntegration = None,
    cause: OfCause = None,
    field: OfField = None,
    limit: Most = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Tell tieline what it can't find out: which record it is, that it was never created, or which values to keep."""
    from tieline.cli import redriving as work
    from tieline.cli.letters import Which
    from tieline.engine.runs.redrive import Settlement

    which = Which(tuple(letter or ()), integration, cause, field, limit)
    return work.resolve(project, which, Settlement(reason, target, not_done, keep))


@commands.command()
@spoken
def discard(
    letter: Letters = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the record's history.")] = "",
    integration: OfIntegration = None,
    cause: OfCause = None,
    field: OfField = None,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Discard dead letters, with a reason. Later changes of the record are processed as usual."""
    from tieline.cli import redriving as work
    from tieline.cli.letters import Which

    return work.discard(project, Which(tuple(letter or ()), integration, cause, field), reason)
