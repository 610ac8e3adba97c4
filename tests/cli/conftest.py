"""The two systems once, and a fresh world for each test: their first records, a project folder, an empty store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from cli.world import LEADS, MEMBERS, Sandbox, World, sandbox

TEMPLATE = Path(str(resources.files("tieline.templates") / "demo"))


def project_of_one(folder: Path) -> Path:
    """Copy the template without its second integration, which wants a third system: what goes both ways has tests of its own."""
    shutil.copytree(TEMPLATE, folder)
    for file in ("integrations/customers.yaml", "connectors/ledgerly.yaml"):
        (folder / file).unlink()
    connections = folder / "connections.yaml"
    connections.write_text(connections.read_text("utf-8").partition("\nerp:")[0], "utf-8")
    return folder


@pytest.fixture(scope="session")
def systems() -> Iterator[tuple[Sandbox, Sandbox]]:
    """A CRM and an email platform."""
    with sandbox("crm", "--leads", str(LEADS)) as crm, sandbox("email", "--members", str(MEMBERS)) as email:
        yield crm, email


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where commands keep their compiled modules, so that they start as fast as an installed tieline."""
    return tmp_path_factory.mktemp("pycache")


@pytest.fixture
def world(tmp_path: Path, systems: tuple[Sandbox, Sandbox], cache: Path) -> World:
    """A project between two systems that have just been set up."""
    for system in systems:
        system.ask("POST", "reset")
    folder = project_of_one(tmp_path / "project")
    return World(folder, *systems, cache)
