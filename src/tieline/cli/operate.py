"""Commands that look ahead or move records: check, plan, run."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from tieline.app import Tieline
from tieline.cli.opening import renamed, warn_of_files
from tieline.cli.output import OK, SAFETY, WRONG, escape, exit_code, output, plural, value_text
from tieline.cli.planned import as_json, in_words, is_listed, personal_in, print_meeting
from tieline.cli.report import personal_values
from tieline.cli.running import code_of, gravity, outcome_json, print_outcome, progress_of, stop_gently, within
from tieline.cli.trying import tried
from tieline.config.loading.dotenv import FILE
from tieline.config.loading.folder import find_project_folder
from tieline.engine.decide.brakes import allowing
from tieline.engine.runs.passes import Outcome, Wanted
from tieline.engine.runs.plan import Plan, PlannedWrite
from tieline.lint.project import read_project_in_part, read_project_with_complaints
from tieline.model.errors import Complaint, SpecError, TielineError


def check(folder: Path, *, live: bool) -> int:
    """Read and judge every file; try the connections with `live`. What a system answers has the exit code that a run would have."""
    home = find_project_folder(folder)
    project, complaints = read_project_with_complaints(home)
    complaints += tracked_secrets(home)
    errors = [complaint for complaint in complaints if complaint.severity == "error"]
    if project is not None and not errors:
        with Tieline(project) as opened:
            complaints += renamed(opened)
    calls: list[dict[str, Any]] = []
    if live and project is not None and not errors:
        calls = asyncio.run(_ping(Tieline(project)))
    failed = [call for call in calls if call["error"]]
    code = WRONG if errors else max((call.pop("code") for call in calls), default=OK, key=gravity)
    if output.json_mode:
        output.json({"complaints": complaints, "connections": calls, "ok": not errors and not failed})
        return code
    for complaint in complaints:
        style = "red" if complaint.severity == "error" else "yellow"
        where = f"{complaint.file}:{complaint.line}" if complaint.line else complaint.file
        key = f" {complaint.key}:" if complaint.key else ""
        output.console.print(f"[{style}]{complaint.severity:7}[/] {escape(where)}{escape(key)} {escape(complaint.message)}")
        if complaint.hint:
            output.console.print(f"        [dim]{escape(complaint.hint)}[/]")
    for call in calls:
        mark = "[red]failed [/]" if call["error"] else "[green]ok     [/]"
        output.console.print(f"{mark} {escape(call['connection'])}: {escape(call['error'] or call['asked'])}")
    if project is None or errors:
        output.print(f"{plural(len(errors), 'error')}: {_what_can_not_run(home)} until they are corrected", style="red")
        return WRONG
    examples = sum(len(spec.tests) for spec in project.integrations.values())
    output.print(
        f"{plural(len(project.integrations), 'integration')}, {plural(len(project.connections), 'connection')}, "
        f"{plural(len(project.connectors), 'connector')}, {plural(examples, 'mapping example')}: "
        + (f"the files are fine, but {plural(len(failed), 'connection')} can't be used now" if failed else "fine")
        + (f", {plural(len(complaints), 'warning')}" if complaints else ""),
        style="green" if not failed else None,
    )
    return code


def tracked_secrets(home: Path) -> list[Complaint]:
    """Warn of a `.env` that git has, or would take: whoever has the repository has the credentials."""
    if not (home / FILE).is_file():
        return []

    def git(*arguments: str) -> int:
        try:
            return subprocess.run(["git", "-C", str(home), *arguments], capture_output=True, timeout=10, check=False).returncode
        except (OSError, subprocess.TimeoutExpired):
            return -1

    if git("ls-files", "--error-unmatch", FILE) == 0:
        hint = "`git rm --cached .env`, a line `.env` in .gitignore, and new credentials: the old ones stay in the history"
        return [Complaint(FILE, None, "", "is tracked by git: whoever has the repository has the credentials in it", hint, "warning")]
    if git("rev-parse", "--is-inside-work-tree") == 0 and git("check-ignore", "-q", FILE) == 1:
        return [
            Complaint(FILE, None, "", "is not ignored by git: the next commit may take it along", "write `.env` into .gitignore", "warning")
        ]
    return []


def _what_can_not_run(home: Path) -> str:
    """Say what the errors of a project stop."""
    try:
        partly = read_project_in_part(home)
    except SpecError:
        return "nothing can run"
    stopped = sorted(partly.unusable)
    if not {*partly.integrations} - {*stopped}:
        return "nothing can run"
    return f"{', '.join(f'`{name}`' for name in stopped)} can't run" if stopped else "the integrations can run, but look at them"


async def _ping(project: Tieline) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    try:
        for name in sorted(project.project.connections):
            try:
                asked, error, code = await project.system(name).ping(), None, OK
            except TielineError as failure:
                asked, error, code = "", f"{failure} ({failure.next_step})" if failure.next_step else str(failure), exit_code(failure)
            calls.append({"connection": name, "asked": asked, "error": error, "code": code})
            if error is None:
                calls += [
                    {"connection": name, "asked": t.what, "error": t.error, "code": WRONG if t.error else OK}
                    for t in await tried(project, name)
                ]
    finally:
        await project.aclose()
    return calls


def plan(folder: Path, name: str, wanted: Wanted, *, out: Path | None, show: int, mask: bool) -> int:
    """Show what a run would write. Returns 4 when a brake would hold it."""
    _check_side(wanted)
    if out is not None and (wanted.limit is not None or wanted.only is not None):
        raise TielineError("a part of a plan can't be carried out by itself: --out goes with neither --limit nor --only")
    with Tieline.open(folder, in_part=True) as project:
        project.names(name)
        project.check_usable(name)
        warn_of_files(project)

        async def work() -> int:
            with await project.plan(name, wanted) as made:
                if out is not None:
                    made.save(out)
                counts, planned, brakes = made.counts(), made.outcome.counts, made.outcome.brakes
                code = SAFETY if brakes else OK
                if mask and project.is_two_way(name):
                    output.hide(personal_in(project, name, made, show))
                if mask:
                    for _, write in zip(range(show), made.writes(), strict=False):
                        output.hide(personal_values(project, name, [write.fields, write.before]))
                if output.json_mode:
                    writes = [_planned_json(write) for _, write in zip(range(show), made.writes(), strict=False)]
                    saved = str(out) if out else None
                    said = {
                        "integration": name,
                        "plan": counts,
                        "counts": planned,
                        "records": writes,
                        "saved": saved,
                        "brakes": brakes,
                        "wrong": made.outcome.wrong,
                    }
                    output.json({**said, **(as_json(made, show) if project.is_two_way(name) else {})})
                    return code
                if project.is_two_way(name):
                    print_meeting(project, name, made, show)
                shown = (write for write in made.writes() if not is_listed(write))
                for _, write in zip(range(show), shown, strict=False):
                    print_write(write, project.place_of(name, write.to) if write.to is not None else None)
                total = sum(counts.values()) - (sum(map(is_listed, made.writes())) if project.is_two_way(name) else 0)
                if total > show:
                    output.print(f"… and {total - show} more (--show, --out, --json)", style="dim")
                if total:
                    output.print()
                owed = planned_owed(project, name)
                ways, held, parked = "", f"{counts['held']} to hold", counts["dead"]
                if project.is_two_way(name):
                    held, parked = _held_text(made), planned.parked
                    sides = {project.place_of(name, side): number for side, number in made.writes_to().items()}
                    ways = " (" + "; ".join(f"{place}: {in_words(number)}" for place, number in sides.items()) + ")"
                output.console.print(
                    f"[bold]{escape(name)}[/]: {planned.read} read: {counts['create']} to create, {counts['update']} to update, {counts['delete']} to delete{escape(ways)}, "
                    f"{planned.unchanged} unchanged, {planned.filtered} filtered, {held}, {parked} to park"
                    + (f"; {plural(planned.webhooks, 'webhook')} looked into" if planned.webhooks else "")
                    + (f"; {owed} owed from earlier runs" if owed else "")
                )
                output.print(
                    "nothing was written" + (f"; saved in {out}: `tieline run {name} --plan {out}` does exactly this" if out else ""),
                    style="dim",
                )
                for text in made.outcome.wrong:
                    output.console.print(f"[yellow]attention[/]: {escape(text)}")
                for brake in brakes:
                    output.console.print(f"[red]the brake would hold this run[/]: {brake}")
                if brakes:
                    output.print("everything else would be sent")
                    output.console.print(
                        f" [dim]next[/] {'look at them above; if' if counts['delete'] else 'if'} they are meant: "
                        f"`tieline run {escape(name)} {allowing(brakes)}`"
                    )
                return code

        return within(project, work)


def _check_side(wanted: Wanted) -> None:
    if wanted.side is not None and wanted.only is None:
        raise TielineError("--side goes with --only: a whole run reads both sides", next_step=f"--only ID --side {wanted.side}")


def _held_text(made: Plan) -> str:
    """Return how many records of a two-way integration would be held, or are; a record of which a part is written is counted as written."""
    already = made.outcome.counts.held + made.held_besides - made.counts()["held"]
    in_part = f", and {made.held_besides} of those to write in a part" if made.held_besides else ""
    return f"{made.outcome.counts.held} to hold{f' ({already} are held already)' if already > 0 else ''}{in_part}"


def planned_owed(project: Tieline, name: str) -> int:
    """Return how many deliveries of earlier runs a run would send first."""
    return next((status.owed for status in project.status() if status.integration == name), 0)


def run(folder: Path, name: str | None, wanted: Wanted, *, plan: Path | None) -> int:
    """Run one integration, or all of them one after the other; a failure of one does not stop the others."""
    _check_side(wanted)
    if plan is not None and (name is None or wanted.limit is not None or wanted.only is not None or wanted.full):
        raise TielineError(
            "--plan needs the integration's name, and goes with none of --limit, --only and --full",
            next_step="tieline run INTEGRATION --plan FILE",
        )
    for option, what, most in (
        ("--allow-deletes", "deletions", wanted.allow_deletes),
        ("--allow-clears", "emptied fields", wanted.allow_clears),
    ):
        if most is not None and name is None:
            raise TielineError(
                f"{option} needs the integration's name: {what} are allowed one integration at a time",
                next_step=f"tieline run INTEGRATION {option} {most}",
            )
    if wanted.moved and name is None:
        raise TielineError("--moved needs the integration's name", next_step="tieline run INTEGRATION --moved")
    if wanted.full and wanted.only is not None:
        raise TielineError("--full reads everything, --only one record", next_step="give one of them")
    with Tieline.open(folder, in_part=True) as project:
        names = project.names(name)
        if project.project.errors:
            if not {*names} - {*project.project.unusable}:
                raise SpecError([*(project.project.errors if name is None else project.project.unusable[name])])
            warn_of_files(project, but=names)
        if not names:
            raise TielineError(
                "there is no integration in this project", next_step="describe one in integrations/NAME.yaml, or see `tieline init`"
            )
        outcomes: list[Outcome] = []
        failures: list[dict[str, str]] = []
        codes: list[int] = []

        async def work() -> int:
            stop_gently(project)
            for each in names:
                try:
                    with progress_of(each) as progress:
                        if plan is not None:
                            outcome = await project.run_plan(each, plan, wanted, progress=progress)
                        else:
                            outcome = await project.run(each, wanted, progress=progress)
                except TielineError as error:
                    failures.append({"integration": each, "error": str(error), "next": error.next_step})
                    if not output.json_mode:
                        output.error(error)
                    codes.append(exit_code(error))
                    continue
                outcomes.append(outcome)
                codes.append(code_of(outcome))
                if not output.json_mode:
                    print_outcome(outcome)
                if outcome.state == "stopped":
                    break
            return max(codes, default=OK, key=gravity)

        code = within(project, work)
        if output.json_mode:
            output.json([*(outcome_json(outcome) for outcome in outcomes), *failures])
        return code


def _planned_json(write: PlannedWrite) -> dict[str, Any]:
    return {**msgspec.structs.asdict(write), "digest": write.digest}


def print_write(write: PlannedWrite, place: str | None = None) -> None:
    """Print one write, planned or done, with its fields; `place` is what it is written to, where that could be either side."""
    sign, style = {"create": ("+ create", "green"), "update": ("~ update", "yellow"), "delete": ("- delete", "red")}.get(
        write.operation, ("", "")
    )
    if write.state == "dead":
        sign, style = "! park", "red"
    elif write.state == "held":
        sign, style = "? hold", "magenta"
    target = f" → {place or ''} {write.target_id or ''}".rstrip() if write.target_id or (place and write.operation != "none") else ""
    target = target.replace("→  ", "→ ")
    output.console.print(f"[{style}]{sign}[/] {escape(write.source_id)}{escape(target)}")
    if write.reason and write.state in ("dead", "held"):
        output.console.print(f"      {escape(write.reason)}")
    for address, value in write.fields.items() if write.state not in ("dead", "held") else ():
        was = f"{value_text(write.before[address])} → " if address in write.before and write.operation == "update" else ""
        output.console.print(f"      {escape(address)}: {escape(was)}{escape(value_text(value))}")
