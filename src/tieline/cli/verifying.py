"""`tieline verify`: do both systems say the same?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tieline.app import Tieline
from tieline.cli.output import ACT, OK, OWED, age, escape, output, plain, plural, value_text
from tieline.cli.report import personal_values
from tieline.cli.running import code_of, gravity, outcome_json, print_outcome, progress_of, stop_gently, within
from tieline.config.models.integrations import Integration
from tieline.engine.verify.pairs import UNTOLD
from tieline.model.errors import TielineError
from tieline.model.verified import Finding, Verified

_MOST_FIELDS = 6
_MENDED = ("differing: changed there", "differing: apart", "missing: gone there")
_STYLES = {"differing": "yellow", "missing": "red", "left over": "magenta"}
_MENDED_BOTH_WAYS = (*_MENDED, "left over: gone there", *(f"{kind}: {UNTOLD}" for kind in _STYLES))
"""What `--repair` corrects."""


def verify(folder: Path, name: str, *, repair: bool, allow: int | None, show: int, mask: bool) -> int:
    """Compare both systems, and correct what has gone astray with `repair`. Returns 1 when someone must act, 3 when it corrects itself."""
    if allow is not None and not repair:
        raise TielineError("--allow goes with --repair", next_step=f"tieline verify {name} --repair --allow {allow}")
    with Tieline.open(folder) as project:
        project.names(name)

        async def work() -> int:
            stop_gently(project)
            with _progress_of(name) as progress:
                verification = await project.verify(name, progress=progress)
            with verification:
                verified, findings = verification.verified, list(verification.findings(show))
                if mask:
                    output.hide(personal_values(project, name, [side for finding in findings for side in finding.sides]))
                code = code_of_verified(verified)
                if not output.json_mode:
                    print_verified(project, verified, findings, repairing=repair)
                if not repair:
                    if output.json_mode:
                        output.json({**plain(verified), "findings": plain(findings)})
                    return code
                with progress_of(name) as progressing:
                    outcome = await project.mend(name, verification, allow=allow, progress=progressing)
            if output.json_mode:
                output.json({**plain(verified), "findings": plain(findings), "repair": outcome_json(outcome)})
            else:
                output.print()
                print_outcome(outcome)
            mended = sum(verified.why.get(why, 0) for why in (_MENDED_BOTH_WAYS if verified.two_way else _MENDED))
            left = ACT if verified.wrong_for_someone > mended else OWED if verified.wrong > mended else OK
            return max(code_of(outcome), left, key=gravity)

        return within(project, work)


def code_of_verified(verified: Verified) -> int:
    """Return the exit code of what was found."""
    return ACT if verified.wrong_for_someone else OWED if verified.wrong else OK


@contextmanager
def _progress_of(name: str) -> Iterator[Callable[[Verified], None]]:
    if not output.stderr.is_terminal or output.json_mode or output.log != "off":
        yield lambda verified: None
        return
    with output.stderr.status(f"[bold]{escape(name)}[/]") as status:
        shown = 0.0

        def progress(verified: Verified) -> None:
            nonlocal shown
            if time.monotonic() - shown > 0.1:
                shown = time.monotonic()
                there = f"{verified.target_read:,} read there · " if verified.target_read is not None else ""
                status.update(f"[bold]{escape(name)}[/] {there}{verified.source_read:,} read here")

        yield progress


def print_verified(project: Tieline, verified: Verified, findings: list[Finding], *, repairing: bool) -> None:
    """Print what was found, and what can be done about it; with `repairing` it is being done."""
    spec = project.project.integrations[verified.integration]
    output.console.print(f"[bold]{escape(verified.integration)}[/]: both systems read in {age(verified.seconds)}")
    output.print(f"  {verified.source_read:,} in {spec.source}")
    rows = [
        ("in sync", verified.in_sync, _but(verified)),
        ("differing", verified.differing, _whys(verified, "differing")),
        ("missing", verified.missing, _whys(verified, "missing")),
        ("excluded", verified.excluded, _whys(verified, "excluded")),
        ("unreadable", verified.unreadable, "no records, or without an id"),
    ]
    _rows(rows)
    if verified.target_read is None:
        output.print(f"  {spec.target} can't be listed: counterparts were asked for one by one")
    else:
        output.print(f"  {verified.target_read:,} in {spec.target}")
        _rows(
            [
                ("counterparts", verified.counterparts, ""),
                _left_over(verified, spec),
                ("only there", verified.only_there, "left out on purpose" if verified.two_way else "tieline knows nothing of them"),
                ("not listed", verified.unlisted, "counterparts that the list does not show, but that are there; compared as well"),
                ("unreadable", verified.target_unreadable, "no records, or without an id"),
            ]
        )
    if verified.fields:
        output.console.print("  by field: " + escape(", ".join(f"{address} {number}" for address, number in verified.fields.items())))
    if verified.not_shown:
        output.print(f"  not compared, because {spec.target} never shows them: {', '.join(verified.not_shown)}")
    for finding in findings:
        style = _STYLES[finding.kind]
        between = "↔" if verified.two_way else "→"
        target = f" {between} {finding.target_id}" if finding.target_id else ""
        output.console.print(f"  [{style}]{finding.kind}[/] {escape(finding.source_id)}{escape(target)}: {finding.why}")
        for address, (here, there) in list(finding.fields.items())[:_MOST_FIELDS]:
            output.console.print(f"      {escape(address)}: {escape(value_text(here))} by the mapping, {escape(value_text(there))} there")
        if len(finding.fields) > _MOST_FIELDS:
            output.print(f"      … and {plural(len(finding.fields) - _MOST_FIELDS, 'field')} more")
    if (more := verified.wrong - len(findings)) > 0:
        output.print(f"  … and {more:,} more (--show, --json)", style="dim")
    if verified.running:
        output.print(f"  {verified.running} was running it meanwhile: what it had on its way counts as owed")
    for line in next_steps(verified) if not repairing else ():
        output.console.print(f"  [dim]next: {escape(line)}[/]")
    if not verified.wrong:
        output.print("  every record is accounted for, on both sides", style="green")


def _rows(rows: list[tuple[str, int, str]]) -> None:
    for label, number, text in rows:
        if number or label in ("in sync", "counterparts"):
            output.print(f"    {number:>9,} {label}" + (f": {text}" if text else ""))


def _left_over(verified: Verified, spec: Integration) -> tuple[str, int, str]:
    number, why = verified.left_over, _whys(verified, "left over")
    if verified.two_way:
        return "without a counterpart", number, f"{why} in {spec.source}"
    return "left over", number, f"{why}, gone from the source" if number else ""


def _whys(verified: Verified, kind: str) -> str:
    found = {why.partition(": ")[2]: number for why, number in verified.why.items() if why.startswith(f"{kind}: ")}
    return next(iter(found)) if len(found) == 1 else ", ".join(f"{number:,} {why}" for why, number in found.items())


def _but(verified: Verified) -> str:
    parts = [
        (verified.respelled, "spelled differently" + (f" ({', '.join(verified.spelled)})" if verified.spelled else "")),
        (verified.kept, "with fields that the destination was to keep, or that were sent by hand"),
    ]
    return ", ".join(f"{number:,} {text}" for number, text in parts if number)


def next_steps(verified: Verified) -> list[str]:
    """Return what can be done about what was found."""
    name, why = verified.integration, verified.why
    steps = []
    if why.get("differing: apart"):
        steps.append(f"`tieline verify {name} --repair` lets pairs that are apart meet again: the integration's policies decide about them")
    if verified.two_way and (why.get("missing: gone there") or why.get("left over: gone there")):
        steps.append(
            f"`tieline verify {name} --repair` makes again what is gone on one side; `tieline run {name}` does with its counterpart what `deletes` says"
        )
    elif why.get("differing: changed there", 0) + why.get("missing: gone there", 0):
        steps.append(f"`tieline verify {name} --repair` sends again what was changed or is gone there; `tieline explain` tells its history")
    if why.get("differing: not taken there"):
        steps.append(
            "what the destination takes and does not keep is not sent again: look at its rules for that field, or leave the field out of `map`"
        )
    if any(why.get(f"{kind}: {state}") for kind in _STYLES for state in ("parked", "held")):
        steps.append(
            f"`tieline conflicts list {name}`, `tieline unmatched list {name}` and `tieline dead-letters list {name}` show what is held or parked"
            if verified.two_way
            else f"`tieline dead-letters list {name}` shows what is parked or held"
        )
    if any(why.get(f"{kind}: {state}") for kind in _STYLES for state in ("owed", "not read yet")):
        steps.append(f"`tieline run {name}` reads and sends what has not been yet")
    if any(why.get(f"{kind}: {UNTOLD}") for kind in _STYLES):
        steps.append(
            f"`tieline run {name} --full` finds what the list of changes does not tell: a run that reads that list alone never does"
        )
    return steps
