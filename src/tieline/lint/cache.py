"""What a project's files say, remembered beside its store, so that commands that look need not read and check them each time.

What is remembered holds for exactly these bytes in exactly these files, read by exactly this tieline: a digest over all of them is
compared first. What else a judgement depends on, the addresses that references in the environment make, is in the digest as well. Commands
that run, and `check`, read the files themselves. Only what a rule's function imports from elsewhere is not seen to change.

A declaration comes back as `Plain`: the same attributes, without the machinery that checks them. No secret is kept: references stay
references, and of files that hold a secret in the clear nothing is remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import pickle  # what it may make is named below
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from tieline._version import __version__
from tieline.config.loading import dotenv
from tieline.config.loading.folder import CONNECTION_FILES, PROJECT_FILES, Kind, Project
from tieline.config.loading.functions import Functions
from tieline.config.loading.references import resolve
from tieline.model.errors import TielineError

if TYPE_CHECKING:
    from tieline.config.loading.yaml_source import Key, Source

FOLDER: Final = ".tieline"
FILE: Final = "files.remembered"
_DECLARING: Final = ("config", "lint", "mapping", "connectors", "dialects", "model")
"""Parts of tieline that say what files mean, or what is wrong in them."""
_MADE: Final = frozenset(
    {
        (__name__, "Plain"),
        ("tieline.model.errors", "Complaint"),
        ("datetime", "date"),
        ("decimal", "Decimal"),
        ("builtins", "frozenset"),
        ("builtins", "set"),
    }
)
"""What may be made of the remembered bytes."""


class Plain:
    """A declaration without what checks it. What was not kept of it is asked of its real class, which takes longer to import."""

    _class: tuple[str, str]

    def __getattr__(self, name: str) -> Any:
        module, kind = self.__dict__.get("_class", ("", ""))
        if name.startswith("__") or not module.startswith("tieline.config."):
            raise AttributeError(name)
        values = {key: value for key, value in self.__dict__.items() if key != "_class"}
        return getattr(getattr(importlib.import_module(module), kind).model_construct(**values), name)


def digest_of(folder: Path) -> bytes:
    """Return a digest of all that decides what a project's files mean, addresses aside."""
    found = hashlib.blake2b(digest_size=16)
    for name, data in _parts(folder):
        found.update(f"{len(name)} {len(data)} {name}".encode("utf-8", "surrogateescape") + data)
    return found.digest()


def recall(folder: Path, environ: Mapping[str, str]) -> Project | None:
    """Return the project as it was read the last time, if its files are the same; `where` reads them. None where nothing is remembered."""
    try:
        kept = (folder / FOLDER / FILE).read_bytes()
        if kept[:16] != digest_of(folder):
            return None
        told = _Unpickler(io.BytesIO(kept[32:])).load()
        project = Project(folder=folder, functions=Functions(folder), sources=_Sources(folder), **told)
        return project if kept[16:32] == _addresses(project, environ) else None
    except Exception:  # noqa: BLE001 - whatever stands there is no use, and the files say it
        return None


def remember(project: Project, digest: bytes, environ: Mapping[str, str]) -> None:
    """Keep what was read of files with this digest. Where that can't be written, or there is no store yet, nothing is kept."""
    folder = project.folder / FOLDER
    if not folder.is_dir():
        return
    bytes_ = io.BytesIO()
    told = {
        "file": project.file, "connectors": dict(project.connectors), "connections": dict(project.connections),
        "integrations": dict(project.integrations), "broken": project.broken, "errors": project.errors, "unusable": dict(project.unusable),
    }  # fmt: skip
    _Pickler(bytes_, protocol=5).dump(told)
    half = folder / f"{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(digest + _addresses(project, environ) + bytes_.getvalue())
        half.replace(folder / FILE)
        return
    with contextlib.suppress(OSError):
        half.unlink()


def _parts(folder: Path) -> Iterator[tuple[str, bytes]]:
    yield __version__, sys.version.encode()
    code = Path(__file__).parent.parent
    for part in _DECLARING:
        with os.scandir(code / part) as entries:
            for entry in entries:
                if entry.name.endswith((".py", ".yaml")):
                    status = entry.stat()
                    yield f"{part}/{entry.name}", b"%d %d" % (status.st_mtime_ns, status.st_size)
    for name in sorted((*PROJECT_FILES, *CONNECTION_FILES, *_names(folder, ".py"))):
        yield name, _bytes(folder / name)
    for part in ("connectors", "integrations"):
        for name in _names(folder / part):
            yield f"{part}/{name}", _bytes(folder / part / name)


def _names(folder: Path, ending: str = "") -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(ending))
    except OSError as error:
        return [] if ending else [f"\0{error.errno}"]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        return f"\0{getattr(error, 'errno', '')}".encode()


def _addresses(project: Project, environ: Mapping[str, str]) -> bytes:
    """Return a digest of the addresses that references lead to: whether one can be used is part of what is remembered."""
    found, known = hashlib.blake2b(digest_size=16), dotenv.Environment(project.folder, environ)
    for name, declared in sorted(project.connections.items()):
        connector = project.connectors.get(declared.connector)
        written = connector.environments.get(declared.environment, "") if connector is not None else ""
        for text in (written, *declared.variables.values()):
            if "${" in text:
                with contextlib.suppress(TielineError):
                    text = resolve(text, project.folder, known)
                found.update(f"{name} {len(text)} {text}".encode("utf-8", "surrogateescape"))
    return found.digest()


class _Sources(Mapping["tuple[Kind, str]", "tuple[Source, tuple[Key, ...]]"]):
    """The files of a remembered project, read when a line in them is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: Mapping[tuple[Kind, str], tuple[Source, tuple[Key, ...]]] | None = None

    @property
    def _sources(self) -> Mapping[tuple[Kind, str], tuple[Source, tuple[Key, ...]]]:
        if self._read is None:
            from tieline.lint.project import read_project_in_part  # slow to import

            self._read = read_project_in_part(self._folder).sources
        return self._read

    def __getitem__(self, key: tuple[Kind, str]) -> tuple[Source, tuple[Key, ...]]:
        return self._sources[key]

    def __iter__(self) -> Iterator[tuple[Kind, str]]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


class _Pickler(pickle.Pickler):
    """Writes declarations as `Plain`, each with what its properties say."""

    def reducer_override(self, thing: Any) -> Any:
        kind = type(thing)
        if not hasattr(kind, "model_fields"):
            return NotImplemented
        values = {name: getattr(thing, name) for name in kind.model_fields}
        for each in kind.__mro__:
            if each.__module__.startswith("tieline."):
                for name, member in vars(each).items():
                    if isinstance(member, property):
                        with contextlib.suppress(Exception):  # one that has no answer here is asked again where it is needed
                            values[name] = getattr(thing, name)
        return Plain, (), {**values, "_class": (kind.__module__, kind.__qualname__)}


class _Unpickler(pickle.Unpickler):
    """Makes nothing but what is named in `_MADE`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _MADE:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a declaration")
        return cast("Any", super().find_class(module, name))
