"""Commands about which record is which."""

from __future__ import annotations

from typing import Annotated

import typer

from tieline.cli.tree.options import HERE, MOST, Folder, Json, Mask, OneIntegration
from tieline.cli.tree.spoken import spoken

commands = typer.Typer(no_args_is_help=True, help="Which record on one side is which record on the other.")


@commands.command("list")
@spoken
def list_links(
    integration: OneIntegration,
    unlinked: Annotated[bool, typer.Option("--unlinked", help="List the records without a counterpart, and why.")] = False,
    limit: Annotated[
        int | None, typer.Option(help="Maximum number of rows (default 50; all with --json).", min=1, max=MOST, show_default=False)
    ] = None,
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """List linked records of both systems."""
    from tieline.cli import links as work

    return work.list_links(project, integration, unlinked=unlinked, limit=limit, mask=mask)


@commands.command()
@spoken
def link(
    integration: OneIntegration,
    source_id: Annotated[str, typer.Argument(help="The record's id in `from`.")],
    target_id: Annotated[str, typer.Argument(help="The id of its counterpart in `to`.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the record's history.")] = "",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Link two records. The next run compares them: one way it sends the differences, two ways it treats them as just matched."""
    from tieline.cli import linking

    return linking.link(project, integration, source_id, target_id, reason)


@commands.command()
@spoken
def unlink(
    integration: OneIntegration,
    source_id: Annotated[str, typer.Argument(help="The record's id in `from`.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the record's history.")] = "",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Unlink two records; both stay as they are. One way, the source record is matched again; two ways, both stay unlinked."""
    from tieline.cli import linking

    return linking.unlink(project, integration, source_id, reason)


@commands.command()
@spoken
def adopt(
    old: Annotated[str, typer.Argument(help="The old name of the integration, which has no file any more.")],
    new: Annotated[str, typer.Argument(help="The new name.")],
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Continue a renamed integration: it takes over links, dead letters, cursors and history of the old name."""
    from tieline.cli import linking

    return linking.adopt(project, old, new)


@commands.command()
@spoken
def retire(
    old: Annotated[str, typer.Argument(help="An integration that has no file any more.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the history of its records.")] = "",
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Retire an integration that has no file any more. Its dead letters are discarded; another integration may link the same systems."""
    from tieline.cli import linking

    return linking.retire(project, old, reason)
