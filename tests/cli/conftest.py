"""The two systems once, and a fresh world for each test: their first records, a project folder, an empty store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from cli.world import LEADS, MEMBERS, Sandbox, World, sandbox

TEMPLATE = Path(str(resources.files("tieline.templates") / "demo"))


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
    return World(Path(shutil.copytree(TEMPLATE, tmp_path / "project")), *systems, cache)
