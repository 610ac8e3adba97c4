"""A project folder as declared values: which files there are, and all that is wrong with them at once.

    tieline.yaml                 the project
    connectors/NAME.yaml         vendors' APIs; those that come with tieline need no file
    connections.yaml             accounts
    integrations/NAME.yaml       what must move; the file's name is the integration's
    mappings.py                  functions for mappings

`config.loading.yaml_source` reads a file, `config.loading.complaints` says what is wrong in it, `lint.project` judges how the files fit together.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tieline.config.loading.built_in import built_in_file, read_built_in
from tieline.config.loading.complaints import read_as
from tieline.config.loading.derived import with_derived
from tieline.config.loading.folder import CONNECTION_FILES, PROJECT_FILES, Kind, Project, no_project
from tieline.config.loading.functions import Functions
from tieline.config.loading.secret_scan import literal_secrets
from tieline.config.loading.yaml_source import Key, Source, read_source
from tieline.config.models.connections import Connection
from tieline.config.models.connectors import Connector
from tieline.config.models.integrations import Integration
from tieline.config.models.project import ProjectFile
from tieline.config.suggestions import NAME_WORDS
from tieline.model.errors import Complaint
from tieline.model.secret import MASK, Redactor

_MOST: Final = 100
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def _bounded(complaints: list[Complaint]) -> list[Complaint]:
    """Return at most so many complaints of each file, and a count of the rest: one mistake in a template makes thousands."""
    bounded: list[Complaint] = []
    for file, group in itertools.groupby(complaints, key=lambda complaint: complaint.file):
        every = list(group)
        bounded += every[:_MOST]
        if rest := every[_MOST:]:
            severity = "error" if any(complaint.severity == "error" for complaint in rest) else "warning"
            bounded.append(Complaint(file, rest[0].line, "", f"and {len(rest)} more like these", severity=severity))
    return bounded


class Reading:
    """One reading of a folder: what was found, and what is wrong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sources: dict[tuple[Kind, str], tuple[Source, tuple[Key, ...]]] = {}
        self._broken: set[tuple[Kind, str]] = set()
        self.complaints: list[Complaint] = []
        self.literals: set[str] = set()
        """Secrets that stand in the files: never shown, whatever else is complained of."""
        self.claims: defaultdict[tuple[Kind, str], set[str]] = defaultdict(set)
        """The files in which a connector or an integration is declared, by name; more than one is an error."""
        self._redactor = Redactor()

    def read(self) -> Project:
        if not any((self._folder / name).exists() for name in PROJECT_FILES):
            raise no_project(self._folder)
        file = self._project_file()
        connectors = dict(self._connectors())
        connections = dict(self._connections())
        for connection in connections.values():
            if connection.connector not in connectors:
                connectors.update(self._built_in(connection.connector))
        integrations = dict(self._integrations())
        return Project(
            self._folder,
            file,
            connectors,
            connections,
            integrations,
            Functions(self._folder),
            self._sources,
            frozenset(self._broken),
        )

    def finished(self) -> list[Complaint]:
        """Return the complaints by file and line, without the secrets that someone wrote."""
        mask = self._redactor.mask
        masked = [Complaint(c.file, c.line, mask(c.key), mask(c.message), mask(c.hint), c.severity) for c in self.complaints]
        return _bounded(sorted(dict.fromkeys(masked), key=lambda c: (c.file, c.line or 0, c.key, c.message)))

    # -- the four kinds of files

    def _project_file(self) -> ProjectFile:
        path = self._only(*PROJECT_FILES)
        source = self._source(path) if path is not None else None
        if path is not None and source is None:
            source = Source(path.name, None, (1, None))
        elif source is not None:
            file, wrong = read_as(ProjectFile, source, (), source.value, self._mask)
            self.complaints += wrong
            if file is not None:
                self._sources["project", ""] = source, ()
                return file
        assert source is not None
        self._sources["project", ""] = source, ()
        self._broken.add(("project", ""))
        return ProjectFile(project="unreadable")

    def _connectors(self) -> Iterator[tuple[str, Connector]]:
        seen: dict[str, str] = {}
        for path in self._files("connectors"):
            source = self._source(path)
            self.claims["connector", path.stem].add(path.relative_to(self._folder).as_posix())
            if source is None:
                self._broken.add(("connector", path.stem))
                continue
            source = with_derived(source)
            connector, wrong = read_as(Connector, source, (), source.value, self._mask)
            self.complaints += wrong
            written = source.value.get("connector") if isinstance(source.value, dict) else None
            name = written if isinstance(written, str) else path.stem
            self.claims["connector", name].add(source.name)
            if name in seen:
                what = f"`{name}` is declared in {seen[name]} too"
                self.complaints.append(source.complaint(("connector",), what, "keep one, or rename one"))
                continue
            seen[name] = source.name
            self._sources["connector", name] = source, ()
            if connector is None:
                self._broken.add(("connector", name))
            else:
                yield name, connector

    def _built_in(self, name: str) -> Iterator[tuple[str, Connector]]:
        if ("connector", name) in self._broken:
            return
        if not built_in_file(name).is_file():
            return
        source, connector, wrong = read_built_in(name, self._mask)
        self.claims["connector", name].add(f"tieline/connectors/{name}.yaml")
        if source is not None:
            self._sources["connector", name] = source, ()
        self.complaints += wrong
        if connector is None:
            self._broken.add(("connector", name))
        else:
            yield name, connector

    def _connections(self) -> Iterator[tuple[str, Connection]]:
        path = self._only(*CONNECTION_FILES)
        if path is None:
            return
        source = self._source(path, credentials=True)
        if source is None or not (source.value is None or isinstance(source.value, dict)):
            self._broken.add(("connection", "*"))
            if source is not None:
                expected = "expected a map of connections, each under its name"
                self.complaints.append(source.complaint((), expected, "such as `crm: {connector: crm}`"))
            return
        for name, value in (source.value or {}).items():
            self._sources["connection", name] = source, (name,)
            connection, wrong = read_as(Connection, source, (name,), value, self._mask)
            if not _NAME.fullmatch(name):
                wrong.append(source.complaint((name,), f"expected {NAME_WORDS}"))
                connection = None
            self.complaints += wrong
            if connection is None:
                self._broken.add(("connection", name))
            else:
                yield name, connection

    def _integrations(self) -> Iterator[tuple[str, Integration]]:
        seen: dict[str, str] = {}
        for path in self._files("integrations"):
            name = path.stem
            source = self._source(path)
            shown = f"integrations/{path.name}"
            self.claims["integration", name].add(shown)
            if not _NAME.fullmatch(name):
                wrong = f"the file's name is the integration's: expected {NAME_WORDS}"
                self.complaints.append(Complaint(shown, 1, "", wrong, "rename the file"))
            if name in seen:
                self.complaints.append(Complaint(shown, 1, "", f"`{name}` is declared in {seen[name]} too", "keep one of them"))
                continue
            seen[name] = shown
            integration = None
            if source is not None:
                integration, complaints = read_as(Integration, source, (), source.value, self._mask)
                self.complaints += complaints
                self._sources["integration", name] = source, ()
            if integration is None:
                self._broken.add(("integration", name))
            else:
                yield name, integration

    # -- files

    def _source(self, path: Path, *, credentials: bool = False) -> Source | None:
        name = path.relative_to(self._folder).as_posix()
        source, wrong = read_source(path, name)
        self.complaints += wrong
        if source is not None:
            complaints, literals = literal_secrets(source, credentials=credentials)
            self.complaints += complaints
            self.literals.update(literals)
            for literal in literals:
                self._redactor.add(literal)
        return source

    def _mask(self, text: str) -> str:
        return MASK if text in self.literals else self._redactor.mask(text)

    def _only(self, *names: str) -> Path | None:
        """Return the file that goes by one of these names."""
        there = [self._folder / name for name in names if os.path.lexists(self._folder / name)]
        if len(there) > 1:
            self.complaints.append(Complaint(names[1], 1, "", f"{names[0]} is there too", "keep one of them"))
        return there[0] if there else None

    def _files(self, folder: str) -> list[Path]:
        """Return the YAML files of a folder, by name; those in folders below it would not be read, so they are complained of."""
        top = self._folder / folder
        if not os.path.lexists(top):
            return []
        try:
            entries = sorted(top.iterdir())
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self.complaints.append(Complaint(folder, None, "", f"can't be read: {reason}", "a folder belongs here"))
            return []
        files = []
        for path in entries:
            if path.name.startswith("."):
                continue
            if path.suffix in (".yaml", ".yml"):
                files.append(path)
            elif path.suffix.lower() in (".yaml", ".yml", ".json") or _holds_yaml(path):
                what = "is not read: a file here ends in .yaml, and folders are not looked into"
                name = path.relative_to(self._folder).as_posix()
                self.complaints.append(Complaint(name, None, "", what, f"move it to {folder}/NAME.yaml", "warning"))
        return files


def _holds_yaml(path: Path) -> bool:
    try:
        return path.is_dir() and any(entry.suffix in (".yaml", ".yml") for entry in path.iterdir())
    except OSError:
        return False
