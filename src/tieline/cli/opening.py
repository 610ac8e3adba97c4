"""Opens a project for commands that work in spite of wrong files; those are told on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from tieline.cli.output import escape, output
from tieline.engine.review.renamed import what_to_do
from tieline.looking import Looking
from tieline.model.errors import Complaint, TielineError

if TYPE_CHECKING:
    from tieline.app import Tieline

_MOST_TOLD = 10


def looked_at(folder: Path) -> Looking:
    """Open a project to look at it, whatever is wrong in its files. Raises `SpecError` when not even its store can be found."""
    project = Looking.at(folder)
    warn_of_files(project)
    return project


def opened(folder: Path) -> Tieline:
    """Open a project to work in it, whatever is wrong in its files. Raises `SpecError` when not even its store can be found."""
    from tieline.app import Tieline  # slow to import

    project = Tieline.open(folder, in_part=True)
    warn_of_files(project)
    return project


def tell_of_orphans(project: Looking, shown: Collection[str]) -> None:
    """Say of integrations that were shown, and that have no file any more, how it goes on with them."""
    for one in project.orphans():
        if one.name in shown:
            output.print(f"integrations/{one.name}.yaml is gone: {project.what_to_do(one)}", style="yellow")


def renamed(project: Looking) -> list[Complaint]:
    """Return what to say of integrations that the store knows and that have no file any more; of a store that can't be read, nothing."""
    found: list[Complaint] = []
    told: set[str] = set()
    with contextlib.suppress(TielineError):
        for name in project.names():
            if name in project.project.unusable or (one := project.predecessor(name)) is None:
                continue
            told.add(one.name)
            file, _ = project.project.where("integration", name)
            what = f"joins what `{one.name}` has joined, which has no file any more: it does not run before you say which it is"
            found.append(Complaint(file, 1, "", what, what_to_do(one, name), "warning"))
        for one in project.orphans():
            if one.name not in told:
                what = f"is gone; the store has {one.linked} links and {one.open} open letters of it"
                found.append(Complaint(f"integrations/{one.name}.yaml", None, "", what, project.what_to_do(one), "warning"))
    return found


def warn_of_files(project: Looking, but: Collection[str] = ()) -> None:
    """Say what is wrong in the files, except what is wrong with these integrations: who runs them is told."""
    told = {complaint for name in but for complaint in project.project.unusable.get(name, ())}
    errors = [complaint for complaint in project.project.errors if complaint not in told]
    for complaint in errors[:_MOST_TOLD]:
        output.stderr.print(f"[yellow]warning[/] {escape(str(complaint))}")
    if errors:
        more = f"{len(errors) - _MOST_TOLD} more, and all of it: " if len(errors) > _MOST_TOLD else ""
        output.stderr.print(f" [dim]next[/] {more}`tieline check`; what is not concerned by it goes on")
