"""Worlds in virtual time."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.world import World


@pytest.fixture
def swift_path(tmp_path: Path) -> Iterator[Path]:
    """A folder of one's own, in memory where there is such a place: a simulated process is not cut from its power."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of this test alone is made in it
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="tieline-test-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def new_world(swift_path: Path) -> Callable[..., World]:
    """Make a world; see `World`."""

    def new(*arguments: Any, **habits: Any) -> World:
        return World(swift_path, *arguments, **habits)

    return new
