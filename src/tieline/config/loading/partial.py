"""A project of which some files are wrong: what can be used all the same.

At three in the morning someone must see how things are, whatever was pushed the evening before; and an integration whose own files are fine
is not stopped by an error in another's. An integration's own files are its file, the project file, `mappings.py` where it calls a function,
and what its two connections and their connectors stand in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from tieline.config.loading.folder import CONNECTION_FILES, PROJECT_FILES, Kind, Project
from tieline.config.loading.functions import FILE
from tieline.config.models.base import Declared
from tieline.config.models.integrations import Integration, Rule
from tieline.config.models.project import ProjectFile
from tieline.model.errors import Complaint, SpecError

D = TypeVar("D", bound=Declared)

_PLACE: Final = re.compile(r"^(from|to):[ \t]+([\w.-]+)", re.MULTILINE)
_ONE_LINERS: Final = ("purpose", "owner", "freshness")


def in_part(project: Project, errors: Sequence[Complaint], claims: Mapping[tuple[Kind, str], Collection[str]], *, all_: bool) -> Project:
    """Return a project as far as it can be used, with its `errors` and `unusable` integrations.

    `claims` are the files in which a connector or an integration is declared, by name; with `all_`, no integration may be run. Raises
    `SpecError` when no one can know where the store is.
    """
    integrations = dict(project.integrations)
    for kind, name in project.broken:
        if kind == "integration" and (spec := _salvaged_integration(project, name, claims.get((kind, name), ()))) is not None:
            integrations[name] = spec
    blame = _Blame(project, errors, claims)
    named = sorted({*integrations, *(name for kind, name in project.broken if kind == "integration")})
    wrong = {name: tuple(errors if all_ else blame.of_integration(name, integrations.get(name))) for name in named}
    return dataclasses.replace(
        project,
        file=_salvaged_file(project, errors) if ("project", "") in project.broken else project.file,
        integrations=integrations,
        errors=tuple(errors),
        unusable={name: complaints for name, complaints in wrong.items() if complaints},
    )


class _Blame:
    """Says which of the errors concern an integration."""

    def __init__(self, project: Project, errors: Sequence[Complaint], claims: Mapping[tuple[Kind, str], Collection[str]]) -> None:
        self._project, self._errors, self._claims = project, errors, claims

    def of_integration(self, name: str, spec: Integration | None) -> list[Complaint]:
        files = {*PROJECT_FILES, *self._claims.get(("integration", name), ())}
        if spec is None:
            return self._in(files) or [*self._errors]
        if any(isinstance(rule, Rule) and rule.call for rule in spec.map.values()):
            files.add(FILE)
        wrong = self._in(files)
        for place in dict.fromkeys((spec.source, spec.target)):
            connection, _, resource = place.partition(".")
            wrong += self._of_connection(connection)
            if not wrong and not self._has(connection, resource):
                return [*self._errors]  # whichever of them it is
        return list(dict.fromkeys(wrong))

    def _of_connection(self, name: str) -> list[Complaint]:
        own = [c for c in self._in(CONNECTION_FILES) if not c.key or c.key.partition(".")[0] == name]
        connection = self._project.connections.get(name)
        if connection is None:
            return own
        connector = connection.connector
        own += self._in(self._claims.get(("connector", connector), ()))
        if connector not in self._project.connectors and not own:
            own = [c for c in self._errors if c.file.startswith("connectors")]
        return own

    def _has(self, connection: str, resource: str) -> bool:
        declared = self._project.connections.get(connection)
        connector = self._project.connectors.get(declared.connector) if declared is not None else None
        return connector is not None and resource in connector.resources

    def _in(self, files: Collection[str]) -> list[Complaint]:
        return [complaint for complaint in self._errors if complaint.file in files]


def _salvaged_file(project: Project, errors: Sequence[Complaint]) -> ProjectFile:
    written = project.sources["project", ""][0].value
    if not isinstance(written, dict):
        raise SpecError([*errors])
    kept = _salvaged(ProjectFile, {"project": "unreadable"}, written, [*ProjectFile.model_fields])
    if kept is None or ("store" in written and kept.store != written["store"]):
        raise SpecError([*errors])  # another store would show another project's records, or none
    return kept


def _salvaged_integration(project: Project, name: str, files: Collection[str]) -> Integration | None:
    source = project.sources.get(("integration", name))
    written: Any = source[0].value if source is not None else {}
    if source is None:  # no YAML: perhaps the lines that say from where to where are
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for file in sorted(files):
                written.update(_PLACE.findall((project.folder / file).read_text("utf-8")))
    if not isinstance(written, dict):
        return None
    return _salvaged(Integration, {"from": written.get("from"), "to": written.get("to"), "map": {}}, written, _ONE_LINERS)


def _salvaged(model: type[D], needed: dict[str, Any], written: Mapping[str, Any], keys: Collection[str]) -> D | None:
    """Return what can be read of something that can't be read whole: what is needed, and those of the keys that are right."""
    kept = _read(model, needed)
    for key in keys:
        if kept is not None and key in written and (more := _read(model, {**needed, key: written[key]})) is not None:
            needed, kept = {**needed, key: written[key]}, more
    return kept


def _read(model: type[D], values: Mapping[str, Any]) -> D | None:
    try:
        return model.model_validate(values)
    except ValidationError:
        return None
