"""A project folder, read and judged: `config.loading` reads it, `lint.linter` says how its files fit together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tieline.config.loading import dotenv
from tieline.config.loading.folder import Project
from tieline.config.loading.loader import Reading
from tieline.lint.cache import digest_of, remember
from tieline.lint.linter import lint
from tieline.model.errors import Complaint, SpecError


def read_project(folder: Path, *, check: bool = True, environ: Mapping[str, str] | None = None) -> Project:
    """Read a project, and unless told otherwise judge it as a whole. Raises `SpecError` with every error in every file."""
    reading = Reading(folder)
    project = reading.read()
    if check and not reading.literals:
        reading.complaints += _judge(project, environ)
    errors = [complaint for complaint in reading.finished() if complaint.severity == "error"]
    if errors:
        raise SpecError(errors)
    return project


def read_project_in_part(folder: Path, environ: Mapping[str, str] | None = None, *, kept: bool = False) -> Project:
    """Read and judge a project of which some files may be wrong: it has what can be used, its `errors`, and what those make `unusable`.

    With `kept`, what was read is remembered (`lint.cache`). Raises `SpecError` when not even the store can be found.
    """
    digest = digest_of(folder) if kept else b""  # before anything is read: a file that changes meanwhile is another one
    reading = Reading(folder)
    project = reading.read()
    if not reading.literals:
        reading.complaints += _judge(project, environ)
    errors = [complaint for complaint in reading.finished() if complaint.severity == "error"]
    if errors:
        from tieline.config.loading.partial import in_part  # it reads projects, and is seldom needed

        project = in_part(project, errors, reading.claims, all_=bool(reading.literals))
    if kept and not reading.literals:
        remember(project, digest, os.environ if environ is None else environ)
    return project


def read_project_with_complaints(folder: Path, environ: Mapping[str, str] | None = None) -> tuple[Project | None, list[Complaint]]:
    """Read and judge a project without raising: errors and warnings, by file and line. The project is None when a file can't be used."""
    reading = Reading(folder)
    try:
        project = reading.read()
    except SpecError as error:
        return None, error.complaints
    usable = not any(complaint.severity == "error" for complaint in reading.complaints)
    if not reading.literals:
        reading.complaints += _judge(project, environ)
    return project if usable else None, reading.finished()


def _judge(project: Project, environ: Mapping[str, str] | None) -> list[Complaint]:
    environ = os.environ if environ is None else environ
    wrong: list[Complaint] = []
    if (file := project.folder / dotenv.FILE).is_file():
        try:
            wrong = dotenv.read_dotenv(file)[1]
        except OSError as error:
            wrong = [Complaint(dotenv.FILE, None, "", f"can't be read: {error.strerror}", "let this user read it", "warning")]
    return [*wrong, *lint(project, dotenv.Environment(project.folder, environ))]
