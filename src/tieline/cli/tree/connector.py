"""Commands about connectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tieline.cli.tree.options import HERE, Folder, Json
from tieline.cli.tree.spoken import spoken

commands = typer.Typer(no_args_is_help=True, help="Connectors: the ones that come with tieline, and help with writing your own.")


@commands.command("list")
@spoken
def connector_list(json: Json = False) -> int:
    """List the connectors that come with tieline. A connection can use them without a file."""
    from tieline.cli import catalogue

    return catalogue.show_list()


@commands.command("show")
@spoken
def connector_show(
    name: Annotated[str, typer.Argument(help="The connector, such as `pipedrive`.")],
    json: Json = False,
) -> int:
    """Print the file of a connector that comes with tieline."""
    from tieline.cli import catalogue

    return catalogue.show(name)


@commands.command("add")
@spoken
def connector_add(
    name: Annotated[str, typer.Argument(help="The connector, such as `pipedrive`.")],
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Copy a connector that comes with tieline into `connectors/`. The copy is yours to change; upgrades leave it alone."""
    from tieline.cli import catalogue

    return catalogue.add(project, name)


@commands.command()
@spoken
def sample(
    resource: Annotated[str, typer.Argument(metavar="CONNECTION.RESOURCE", help="The resource, such as `crm.contacts`.")],
    write: Annotated[
        bool, typer.Option("--write", help="Write the fields into the connector's file, if the resource declares none yet.")
    ] = False,
    of_file: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Read an API response or records from this file instead of calling the API.", show_default=False
        ),
    ] = None,
    project: Folder = HERE,
    json: Json = False,
) -> int:
    """Read one page of records and print their undeclared fields as `fields:` of a connector."""
    from tieline.cli import sampling

    return sampling.sample(project, resource, write=write, of_file=of_file)
