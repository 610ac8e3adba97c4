"""What commands that run something share: the event loop, Ctrl-C, progress, and how an outcome is shown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from tieline.app import Tieline
from tieline.cli.output import ACT, BROKEN, INTERRUPTED, OK, OWED, SAFETY, STATE_STYLES, WRONG, age, escape, output, tried_again, when
from tieline.dialects.dialect import Waiting
from tieline.engine.core.ledger import Counts
from tieline.engine.runs.passes import Outcome, Wanted
from tieline.model.errors import TielineError

T = TypeVar("T")


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
        (counts.repeated, "came once more, on a page or in a list that was read again"),
        (counts.remembered, "looked for in memory instead of in the destination"),
        (counts.webhooks, "told of by webhooks"),
        (counts.undated, "don't say when they changed: a list of changes may never show them"),
        (counts.missing, "could not be read: a system says that it has them, and did not show them"),
        (counts.carried_delivered, "owed from earlier runs, now delivered"),
        (counts.carried_parked, "owed from earlier runs, now parked or held"),
        (counts.carried_owed, "from earlier runs, still owed"),
    ]
    for number, text in extra:
        if number:
            output.print(f"  {number} {text}")
    if counts.expired:
        output.print("  the point of the last read had expired, so everything was read")
    if counts.redeclared:
        output.print("  the connector asks for changes otherwise than at the last read, so everything was read")
    if counts.not_modified:
        output.print("  the source says that nothing has changed since the last run")
    if outcome.error:
        output.console.print(f"  [{style}]{escape(outcome.error)}[/]")
    if outcome.open:
        names = {"dead": "parked", "unknown": "owed, outcome unknown"}
        output.print("  open: " + ", ".join(f"{number} {names.get(state, state)}" for state, number in sorted(outcome.open.items())))
    for waiting in outcome.waiting:
        output.print(f"  {waiting_text(waiting)}")
    if outcome.next_try_at is not None and not outcome.waiting:
        output.print(f"  the first of what is owed is due at {when(outcome.next_try_at)}")
    if outcome.next_step:
        output.console.print(f"  [dim]next: {escape(outcome.next_step)}[/]")


def waiting_text(waiting: Waiting) -> str:
    """Return until when nothing leaves for a system, and what can be done about it."""
    if not waiting.down:
        return f"waiting until {when(waiting.until)} for {waiting.connection}: {waiting.why}"
    return f"down: {waiting.connection} ({waiting.why}); {tried_again(waiting.until)}"


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


def code_of(outcome: Outcome) -> int:
    if outcome.store_failed and outcome.state == "failed":
        return BROKEN
    return {"green": OK, "attention": ACT, "owed": OWED, "failed": ACT, "halted": SAFETY, "stopped": INTERRUPTED}.get(outcome.state, ACT)


def gravity(code: int) -> int:
    return [OK, OWED, ACT, SAFETY, WRONG, BROKEN, INTERRUPTED].index(code)


@contextlib.contextmanager
def progress_of(name: str) -> Iterator[Callable[[Counts], None]]:
    if not output.stderr.is_terminal or output.json_mode or output.log != "off":
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


def checked_reason(reason: str, such_as: str) -> str:
    """Return a reason that a person gives. Raises `TielineError` when there is none."""
    if not reason.strip():
        raise TielineError("a reason is needed: it stays in the record's history", next_step=f'--reason "{such_as}"')
    return reason.strip()


# -- running coroutines


def within(project: Tieline, work: Callable[[], Awaitable[T]]) -> T:
    if output.log != "off":
        from tieline.cli.logs import listener  # no one else needs what writes the lines

        project.tell = listener(output.log, project.redactor)

    async def closing() -> T:
        try:
            return await work()
        finally:
            await project.aclose()

    gc.freeze()  # what has been imported stays
    sys.setswitchinterval(0.00005)  # the store's thread asks for the interpreter often and briefly
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


def stop_gently(project: Tieline) -> None:
    """The first Ctrl-C ends the run in good order; the second one at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupted() -> None:
        project.engine().stop("stopped by hand")
        output.stderr.print("[yellow]stopping[/]: waiting for what is under way; press Ctrl-C again to leave at once")
        for number in ends:
            loop.remove_signal_handler(number)
        if signal.SIGINT in ends and task is not None:
            loop.add_signal_handler(signal.SIGINT, task.cancel)

    ends = on_end(loop, interrupted)


def on_end(loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> list[signal.Signals]:
    """Call `ended` at the first signal that asks the process to end; return which are listened to.

    Ctrl-C, SIGTERM, and the hang-up of a terminal that was closed: no one reads any more then, so nothing more is said to it. A hang-up
    that is ignored (`nohup`) stays ignored.
    """

    def hung_up() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                if stream.isatty():
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        ended()

    taken = [signal.SIGINT, signal.SIGTERM]
    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends the process
        for number in taken:
            loop.add_signal_handler(number, ended)
        hang_up = getattr(signal, "SIGHUP", None)
        if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
            loop.add_signal_handler(hang_up, hung_up)
            taken.append(hang_up)
        return taken
    return []


def run_each(
    project: Tieline,
    wanted: Mapping[str, Wanted],
    said: Mapping[str, Any],
    *,
    words: str = "",
    first: Callable[[], Awaitable[None]] | None = None,
    after: Callable[[], Sequence[str]] | None = None,
) -> int:
    """Do what comes `first`, then run integrations, one after the other, as a person's decision wants it.

    What was done is told in `words`, or as JSON in `said`, and how the runs ended. What came of the decision is asked for `after` them: it
    returns lines to print, and may add to `said`.
    """
    outcomes: list[Outcome] = []

    async def work() -> int:
        stop_gently(project)
        if first is not None:
            await first()
        if words and not output.json_mode:
            output.print(words)
        for name, each in wanted.items():
            with progress_of(name) as progress:
                outcomes.append(await project.run(name, each, progress=progress))
            if outcomes[-1].state == "stopped":
                break
        return max((code_of(outcome) for outcome in outcomes), default=OK, key=gravity)

    code = within(project, work)
    lines = after() if after is not None else ()
    if output.json_mode:
        output.json({**said, "runs": [outcome_json(outcome) for outcome in outcomes]})
    else:
        for line in lines:
            output.print(line)
        for outcome in outcomes:
            print_outcome(outcome)
    return code
