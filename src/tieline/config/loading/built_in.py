"""The connectors that come with tieline, in `tieline/connectors`: their names, files and declarations."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from tieline.config.loading.complaints import read_as
from tieline.config.loading.derived import with_derived
from tieline.config.loading.yaml_source import Source, read_source
from tieline.config.models.connectors import Connector
from tieline.model.errors import Complaint


def built_in_file(name: str) -> Path:
    """Return the file of a connector; it need not exist."""
    return Path(str(resources.files("tieline") / "connectors" / f"{name}.yaml"))


def built_in_names() -> list[str]:
    """Return the names of the connectors that come along, sorted."""
    return sorted(path.stem for path in built_in_file("x").parent.glob("*.yaml"))


def read_built_in(name: str, mask: Callable[[str], str]) -> tuple[Source | None, Connector | None, list[Complaint]]:
    """Return a connector's source and declaration, and what is wrong with it: None for a file that can't be used."""
    path = built_in_file(name)
    source, wrong = read_source(path, f"tieline/connectors/{path.name}")
    if source is None:
        return None, None, wrong
    source = with_derived(source)
    connector, more = read_as(Connector, source, (), source.value, mask)
    return source, connector, wrong + more
