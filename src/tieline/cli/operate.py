"""Commands that do something: check, plan, run, and what a person decides about dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from rich.markup import escape

from tieline.app import Tieline
from tieline.cli.output import ACT, BROKEN, INTERRUPTED, OK, OWED, SAFETY, STATE_STYLES, WRONG, age, exit_code, output, plural, value_text
from tieline.cli.report import personal_values
from tieline.engine import deadletters
from tieline.engine.ledger import Counts
from tieline.engine.planning import PlannedWrite
from tieline.engine.run import Outcome, Wanted
from tieline.model.errors import TielineError
from tieline.model.records import decode_json, encode_json
from tieline.spec.reader import find_project_folder, read_project_with_complaints

T = TypeVar("T")


def check(folder: Path, *, live: bool) -> int:
    """Read and judge every file; try the connections with `live`."""
    home = find_project_folder(folder)
    project, complaints = read_project_with_complaints(home)
    errors = [complaint for complaint in complaints if complaint.severity == "error"]
    calls: list[dict[str, Any]] = []
    if live and project is not None and not errors:
        calls = asyncio.run(_ping(Tieline(project)))
    failed = [call for call in calls if call["error"]]
    if output.json_mode:
        output.json({"complaints": complaints, "connections": calls, "ok": not errors and not failed})
        return WRONG if errors else ACT if failed else OK
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
        output.print(f"{plural(len(errors), 'error')}: nothing can run before they are mended", style="red")
        return WRONG
    examples = sum(len(spec.tests) for spec in project.integrations.values())
    output.print(
        f"{plural(len(project.integrations), 'integration')}, {plural(len(project.connections), 'connection')}, "
        f"{plural(len(project.connectors), 'connector')}, {plural(examples, 'mapping example')}: fine"
        + (f", {plural(len(complaints), 'warning')}" if complaints else ""),
        style="green" if not failed else None,
    )
    return ACT if failed else OK


async def _ping(project: Tieline) -> list[dict[str, Any]]:
    calls = []
    try:
        for name in sorted(project.project.connections):
            try:
                asked, error = await project.system(name).ping(), None
            except TielineError as failure:
                asked, error = "", f"{failure} ({failure.next_step})" if failure.next_step else str(failure)
            calls.append({"connection": name, "asked": asked, "error": error})
    finally:
        await project.aclose()
    return calls


def plan(folder: Path, name: str, *, out: Path | None, limit: int | None, only: str | None, show: int, mask: bool) -> int:
    """Show what a run would write."""
    if out is not None and (limit is not None or only is not None):
        raise TielineError("a part of a plan can't be carried out by itself: --out goes with neither --limit nor --only")
    with Tieline.open(folder) as project:
        project.names(name)

        async def work() -> int:
            with await project.plan(name, Wanted(limit=limit, only=only)) as made:
                if out is not None:
                    made.save(out)
                counts, planned = made.counts(), made.outcome.counts
                if mask:
                    for _, write in zip(range(show), made.writes(), strict=False):
                        output.hide(personal_values(project, name, [write.fields, write.before]))
                if output.json_mode:
                    writes = [_planned_json(write) for _, write in zip(range(show), made.writes(), strict=False)]
                    output.json(
                        {"integration": name, "plan": counts, "counts": planned, "records": writes, "saved": str(out) if out else None}
                    )
                    return OK
                for _, write in zip(range(show), made.writes(), strict=False):
                    _print_planned(write)
                total = sum(counts.values())
                if total > show:
                    output.print(f"… and {total - show} more (--show, --out, --json)", style="dim")
                if total:
                    output.print()
                owed = planned_owed(project, name)
                output.console.print(
                    f"[bold]{escape(name)}[/]: {planned.read} read: {counts['create']} to create, {counts['update']} to update, {counts['delete']} to delete, "
                    f"{planned.unchanged} unchanged, {planned.filtered} filtered, {counts['held']} to hold, {counts['dead']} to park"
                    + (f"; {owed} owed from earlier runs" if owed else "")
                )
                output.print(
                    "nothing was written" + (f"; saved in {out}: `tieline run {name} --plan {out}` does exactly this" if out else ""),
                    style="dim",
                )
                return OK

        return _within(project, work)


def planned_owed(project: Tieline, name: str) -> int:
    """Return how many deliveries of earlier runs a run would send first."""
    return next((status.owed for status in project.status() if status.integration == name), 0)


def run(folder: Path, name: str | None, *, plan: Path | None, limit: int | None, only: str | None) -> int:
    """Run one integration, or all of them one after the other; a failure of one does not stop the others."""
    if plan is not None and (name is None or limit is not None or only is not None):
        raise TielineError(
            "--plan needs the integration's name, and goes with neither --limit nor --only", next_step="tieline run INTEGRATION --plan FILE"
        )
    with Tieline.open(folder) as project:
        names = project.names(name)
        if not names:
            raise TielineError(
                "there is no integration in this project", next_step="describe one in integrations/NAME.yaml, or see `tieline init`"
            )
        outcomes: list[Outcome] = []
        failures: list[dict[str, str]] = []
        codes: list[int] = []

        async def work() -> int:
            _stop_gently(project)
            for each in names:
                try:
                    with _progress(each) as progress:
                        if plan is not None:
                            outcome = await project.run_plan(each, plan, progress=progress)
                        else:
                            outcome = await project.run(each, Wanted(limit=limit, only=only), progress=progress)
                except TielineError as error:
                    failures.append({"integration": each, "error": str(error), "next": error.next_step})
                    if not output.json_mode:
                        output.error(error)
                    codes.append(exit_code(error))
                    continue
                outcomes.append(outcome)
                codes.append(_code(outcome))
                if not output.json_mode:
                    print_outcome(outcome)
                if outcome.state == "stopped":
                    break
            return max(codes, default=OK, key=_gravity)

        code = _within(project, work)
        if output.json_mode:
            output.json([*(outcome_json(outcome) for outcome in outcomes), *failures])
        return code


def redrive(folder: Path, ids: Sequence[int], integration: str | None, cause: str | None) -> int:
    """Decide dead letters again and send them."""
    with Tieline.open(folder) as project:
        if ids:
            letters = [deadletters.get_open_letter(project.db, id) for id in ids]
        elif integration or cause:
            if integration is not None:
                project.names(integration)
            letters = project.dead_letters(integration, cause)
            if not letters and cause is not None:
                known = sorted({letter.cause for letter in project.dead_letters(integration)})
                raise TielineError(f"there is no dead letter of cause `{cause}`", next_step=f"there are: {', '.join(known) or 'none'}")
        else:
            raise TielineError("which ones?", next_step="give numbers, or all of them with --integration or --cause")
        by_integration: dict[str, list[int]] = {}
        for letter in letters:
            by_integration.setdefault(letter.integration, []).append(letter.id)
        outcomes: list[Outcome] = []

        async def work() -> int:
            _stop_gently(project)
            for name, chosen in by_integration.items():
                outcomes.append(await project.run(name, Wanted(redrive=tuple(chosen))))
            return max((_code(outcome) for outcome in outcomes), default=OK, key=_gravity)

        code = _within(project, work)
        if output.json_mode:
            output.json([outcome_json(outcome) for outcome in outcomes])
        else:
            if not letters:
                output.print("there are none")
            for outcome in outcomes:
                print_outcome(outcome)
        return code


def edit_letter(folder: Path, id: int, assignments: Sequence[str]) -> int:
    """Mend the record that a dead letter keeps."""
    with Tieline.open(folder) as project:
        if assignments:
            changes = dict(_assignment(text) for text in assignments)
        else:
            changes = _edited_by_hand(deadletters.get_letter(project.db, id))
        if not changes:
            output.print("nothing was changed")
            return OK
        letter = project.edit_letter(id, changes)
        if output.json_mode:
            output.json(letter)
        else:
            for address, value in changes.items():
                output.print(f"{address} = {value_text(value)}")
            output.print(f"send it with `tieline dead-letters redrive {id}`", style="dim")
        return OK


def discard(folder: Path, ids: Sequence[int], reason: str) -> int:
    """Give up on dead letters."""
    if not reason.strip():
        raise TielineError("a reason is needed", next_step='--reason "a test record"')
    with Tieline.open(folder) as project:
        deadletters.discard(project.db, ids, reason, now=project.clock.now())
        if output.json_mode:
            output.json({"discarded": list(ids), "reason": reason})
        else:
            output.print(f"discarded: {', '.join(map(str, ids))}")
        return OK


# -- how a run is shown


def print_outcome(outcome: Outcome) -> None:
    """Print how a run ended: counts, balance, reason, next step."""
    counts = outcome.counts
    rate = counts.read / outcome.seconds if outcome.seconds > 0 else 0.0
    style = STATE_STYLES.get(outcome.state, "")
    output.console.print(
        f"[bold]{escape(outcome.integration)}[/] run {outcome.run}: [{style}]{outcome.state}[/] in {age(outcome.seconds)}"
        + (f", {rate:,.0f} records/s" if counts.read else "")
    )
    output.print(f"  {counts.read} read = {balance_text(counts)}")
    extra = [
        (counts.matched, "matched with records that were there already"),
        (counts.repeated, "repeated on a page"),
        (counts.carried_delivered, "owed from earlier runs, now delivered"),
        (counts.carried_parked, "owed from earlier runs, now parked or held"),
        (counts.carried_owed, "from earlier runs, still owed"),
    ]
    for number, text in extra:
        if number:
            output.print(f"  {number} {text}")
    if outcome.error:
        output.console.print(f"  [{style}]{escape(outcome.error)}[/]")
    if outcome.open:
        names = {"dead": "parked", "unknown": "owed, outcome unknown"}
        output.print("  open: " + ", ".join(f"{number} {names.get(state, state)}" for state, number in sorted(outcome.open.items())))
    if outcome.next_step:
        output.console.print(f"  [dim]next: {escape(outcome.next_step)}[/]")


def balance_text(counts: Counts) -> str:
    """Return what became of what was read."""
    parts = [
        (counts.created, "created"), (counts.updated, "updated"), (counts.deleted, "deleted"), (counts.unchanged, "unchanged"), (counts.filtered, "filtered"),
        (counts.held, "held"), (counts.parked, "parked"), (counts.owed, "owed"), (counts.superseded, "superseded"),
    ]  # fmt: skip
    return " + ".join(f"{number} {name}" for number, name in parts if number) or "nothing"


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON's types."""
    return {**msgspec.to_builtins(outcome), "written": outcome.counts.written, "balances": outcome.counts.balances}


def _code(outcome: Outcome) -> int:
    return {"green": OK, "attention": ACT, "owed": OWED, "failed": ACT, "halted": SAFETY, "stopped": INTERRUPTED}.get(outcome.state, ACT)


def _gravity(code: int) -> int:
    return [OK, OWED, ACT, SAFETY, WRONG, BROKEN, INTERRUPTED].index(code)


def _planned_json(write: PlannedWrite) -> dict[str, Any]:
    return {**msgspec.structs.asdict(write), "digest": write.digest}


def _print_planned(write: PlannedWrite) -> None:
    sign, style = {"create": ("+ create", "green"), "update": ("~ update", "yellow"), "delete": ("- delete", "red")}.get(
        write.operation, ("", "")
    )
    if write.state == "dead":
        sign, style = "! park", "red"
    elif write.state == "held":
        sign, style = "? hold", "magenta"
    target = f" → {write.target_id}" if write.target_id else ""
    output.console.print(f"[{style}]{sign}[/] {escape(write.source_id)}{escape(target)}")
    if write.reason:
        output.console.print(f"      {escape(write.reason)}")
    for address, value in write.fields.items() if write.state == "sending" else ():
        was = f"{value_text(write.before[address])} → " if address in write.before else ""
        output.console.print(f"      {escape(address)}: {escape(was)}{escape(value_text(value))}")


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[Counts], None]]:
    if not output.stderr.is_terminal or output.json_mode:
        yield lambda counts: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # slow to import

    columns = (
        SpinnerColumn(), TextColumn("[bold]{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(), TextColumn("·"), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with Progress(*columns, console=output.stderr, transient=True, refresh_per_second=8) as bar:
        task = bar.add_task(name, total=None, words="")
        started = time.monotonic()
        shown = 0.0

        def progress(counts: Counts) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown < 0.1:
                return
            shown = now
            rate = counts.read / max(now - started, 0.001)
            words = f"{counts.read:,} read · {counts.written:,} written · {rate:,.0f}/s"
            bar.update(task, total=counts.total or None, completed=min(counts.settled, counts.total or counts.settled), words=words)

        yield progress


# -- running coroutines


def _within(project: Tieline, work: Callable[[], Awaitable[T]]) -> T:
    async def closing() -> T:
        try:
            return await work()
        finally:
            await project.aclose()

    gc.freeze()  # what has been imported stays
    sys.setswitchinterval(0.0002)  # the store's thread asks for the interpreter often and briefly
    try:
        import uvloop
    except ImportError:  # Windows has none
        return _run(asyncio.run, closing())
    return _run(uvloop.run, closing())


def _run(run: Callable[[Coroutine[Any, Any, T]], T], work: Coroutine[Any, Any, T]) -> T:
    try:
        return run(work)
    except asyncio.CancelledError:  # the second Ctrl-C
        raise KeyboardInterrupt from None


def _stop_gently(project: Tieline) -> None:
    """The first Ctrl-C ends the run in good order; the second one at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupted() -> None:
        project.engine().stop("stopped by hand")
        output.stderr.print("[yellow]stopping[/]: waiting for what is under way; press Ctrl-C again to leave at once")
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)
        if task is not None:
            loop.add_signal_handler(signal.SIGINT, task.cancel)

    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGINT, interrupted)
        loop.add_signal_handler(signal.SIGTERM, interrupted)


# -- editing


def _assignment(text: str) -> tuple[str, Any]:
    address, equals, written = text.partition("=")
    if not equals or not address.strip():
        raise TielineError(f"`{text}` is no FIELD=VALUE", next_step="such as --set phone=+61400123456, or --set 'tags=[\"a\"]'")
    try:
        value = decode_json(written.encode())
    except (msgspec.DecodeError, UnicodeError):
        value = written
    if isinstance(value, (int, float)) and not isinstance(value, bool) and written.startswith("+"):
        value = written
    return address.strip(), value


def _edited_by_hand(letter: deadletters.DeadLetter) -> dict[str, Any]:
    if letter.record is None:
        raise TielineError(f"dead letter {letter.id} keeps no source record to edit", next_step="mend the record in its system")
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise TielineError("no editor is set", next_step="use --set FIELD=VALUE, or set $EDITOR")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"dead-letter-{letter.id}.json"
        path.write_bytes(msgspec.json.format(encode_json(letter.record), indent=2))
        subprocess.run([*editor.split(), str(path)], check=True)
        try:
            edited = decode_json(path.read_bytes())
        except (msgspec.DecodeError, UnicodeError) as error:
            raise TielineError(f"what was saved is not JSON: {error}; nothing was changed") from None
    if not isinstance(edited, dict):
        raise TielineError("what was saved is not an object; nothing was changed")
    removed = [key for key in letter.record if key not in edited]
    if removed:
        raise TielineError(f"fields can't be removed here: {', '.join(removed)}; nothing was changed", next_step="set them to null")
    return {_quoted(key): value for key, value in edited.items() if key not in letter.record or letter.record[key] != value}


def _quoted(key: str) -> str:
    return key if key.replace("_", "a").isalnum() else '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
