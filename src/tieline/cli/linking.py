"""`tieline links link`, `unlink`, `adopt` and `retire`: which record is which, by hand."""

from __future__ import annotations

from pathlib import Path

from tieline.app import Tieline
from tieline.cli.opening import opened
from tieline.cli.output import OK, escape, output
from tieline.cli.running import checked_reason, within


def adopt(folder: Path, old: str, new: str) -> int:
    """Take over what an integration without a file has."""
    with Tieline.open(folder) as project:
        taken = project.adopt(old, new)
        said = {"integration": new, "was": old, "linked": str(taken.linked), "open": str(taken.open)}
        _say(
            said,
            f"{new} has what was {old}'s: {taken.linked:,} links, {taken.open:,} open letters, its cursors and its history",
            f"`tieline plan {new}` shows what it would do now; rules that say `lookup: {old}` must say `lookup: {new}`",
        )
        return OK


def retire(folder: Path, name: str, reason: str) -> int:
    """Give up an integration without a file."""
    reason = checked_reason(reason, "the shop was closed")
    with opened(folder) as project:
        number = project.retire(name, reason)
        said = {"integration": name, "discarded": str(number)}
        _say(said, f"{name} is at its end: {number:,} open letters were given up; its history stays", "nothing")
        return OK


def link(folder: Path, name: str, source_id: str, target_id: str, reason: str) -> int:
    """Link two records."""
    reason = checked_reason(reason, "Ann knows both")
    with Tieline.open(folder) as project:
        project.names(name)

        async def work() -> int:
            await project.link(name, source_id, target_id, reason)
            between, next_step = "→", f"`tieline run {name} --only {source_id}` decides it again at once"
            if project.is_two_way(name):
                only = f" --only {source_id}" if project.wanted_of_pair(name, source_id).only is not None else ""
                between, next_step = "↔", f"`tieline run {name}{only}` lets both meet, as if they had been matched"
            said = {"integration": name, "source_id": source_id, "target_id": target_id}
            _say(said, f"linked: {source_id} {between} {target_id}", next_step)
            return OK

        return within(project, work)


def unlink(folder: Path, name: str, source_id: str, reason: str) -> int:
    """Forget a counterpart."""
    reason = checked_reason(reason, "two people of one name")
    with Tieline.open(folder) as project:
        was = project.unlink(name, source_id, reason)
        words, next_step = f"unlinked: {source_id}, which was {was}", f"`tieline run {name} --only {source_id}` decides it again at once"
        if project.is_two_way(name):
            words = f"unlinked: {source_id} and {was} stand for themselves now, and are not matched again"
            next_step = f"nothing; `tieline links link {name} {source_id} {was}` puts them together again"
        _say({"integration": name, "source_id": source_id, "was": was}, words, next_step)
        return OK


def _say(said: dict[str, str], words: str, next_step: str) -> None:
    if output.json_mode:
        output.json(said)
        return
    output.print(words)
    output.console.print(f" [dim]next[/] {escape(next_step)}")
