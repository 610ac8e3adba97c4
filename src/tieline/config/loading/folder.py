"""A project folder, as it is handed on once its files were read; and where the nearest one is. `config.loading.loader` reads it.

Nothing here needs what the files are checked with: commands that look import this, and what they remember of the files (`lint.cache`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from tieline.model.errors import Complaint, SpecError

if TYPE_CHECKING:
    from tieline.config.loading.yaml_source import Key, Source
    from tieline.config.models.connections import Connection
    from tieline.config.models.connectors import Connector
    from tieline.config.models.integrations import Integration
    from tieline.config.models.project import ProjectFile

PROJECT_FILES: Final = ("tieline.yaml", "tieline.yml")
CONNECTION_FILES: Final = ("connections.yaml", "connections.yml")

Kind: TypeAlias = Literal["project", "connector", "connection", "integration"]


@dataclass(frozen=True)
class Project:
    """A project folder, read."""

    folder: Path
    file: ProjectFile
    connectors: Mapping[str, Connector]
    """Connectors by name: the project's own, and those built in that a connection uses."""
    connections: Mapping[str, Connection]
    integrations: Mapping[str, Integration]
    """Integrations by the name of their file."""
    functions: Mapping[str, Callable[..., Any]]
    """What `mappings.py` defines, as `mappings:NAME`; the file is run when a function is first asked for."""
    sources: Mapping[tuple[Kind, str], tuple[Source, tuple[Key, ...]]] = field(repr=False)
    """The file of each thing, and the keys under which it stands there."""
    broken: frozenset[tuple[Kind, str]] = frozenset()
    """What is there but could not be read; nothing is said about those who refer to it. Empty in a project that was read whole."""
    errors: tuple[Complaint, ...] = ()
    """What is wrong in its files, of a project that was read in part."""
    unusable: Mapping[str, tuple[Complaint, ...]] = field(default_factory=dict)
    """Integrations that can't be run because of that, each with what is wrong. Of one that could be read at all, `integrations` has what
    could be read."""

    def where(self, kind: Kind, name: str, *keys: Key) -> tuple[str, int]:
        """Return file and line of a key, or of its nearest parent: `where("integration", "leads", "map", "email")`."""
        source, inside = self.sources[kind, name]
        return source.name, source.line(*inside, *keys)

    def complaint(
        self, kind: Kind, name: str, keys: tuple[Key, ...], message: str, hint: str = "", *, severity: str = "error"
    ) -> Complaint:
        """Return a complaint about a key, with its file and line."""
        source, inside = self.sources[kind, name]
        return source.complaint((*inside, *keys), message, hint, severity=severity)


def find_project_folder(start: Path) -> Path:
    """Return the folder with a `tieline.yaml`: this one or the nearest above it. Raises `SpecError`."""
    start = Path(os.path.abspath(start))  # noqa: PTH100 - resolve() would follow a link out of the folder that a person is in
    if not start.exists():  # a folder whose name is misspelt must not become the project around it
        raise no_project(start, "there is no such folder")
    for folder in (start, *start.parents):
        if any((folder / name).exists() for name in PROJECT_FILES):
            return folder
    raise no_project(start)


def no_project(folder: Path, why: str = "") -> SpecError:
    """Return the error that says that there is no project here."""
    told = f"is looked for in {folder}, and {why}" if why else f"there is none in {folder}, nor in a folder above it"
    error = SpecError([Complaint("tieline.yaml", None, "", told)])
    error.next_step = "go to a project's folder, or begin one here with `tieline init`"
    return error
