"""Opens a project for commands that work in spite of wrong files; those are told on standard error."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rich.markup import escape

from tieline.app import Tieline
from tieline.cli.output import output

_MOST_TOLD = 10


def opened(folder: Path) -> Tieline:
    """Open a project to look at it, whatever is wrong in its files. Raises `SpecError` when not even its store can be found."""
    project = Tieline.open(folder, in_part=True)
    warn_of_files(project)
    return project


def warn_of_files(project: Tieline, but: Collection[str] = ()) -> None:
    """Say what is wrong in the files, except what is wrong with these integrations: who runs them is told."""
    told = {complaint for name in but for complaint in project.project.unusable.get(name, ())}
    errors = [complaint for complaint in project.project.errors if complaint not in told]
    for complaint in errors[:_MOST_TOLD]:
        output.stderr.print(f"[yellow]warning[/] {escape(str(complaint))}")
    if errors:
        more = f"{len(errors) - _MOST_TOLD} more, and all of it: " if len(errors) > _MOST_TOLD else ""
        output.stderr.print(f" [dim]next[/] {more}`tieline check`; what is not concerned by it goes on")
