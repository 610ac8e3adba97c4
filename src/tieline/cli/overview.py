"""`tieline status` without a name: one line an integration, what needs a person first, so that forty fit on a screen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from tieline.cli.output import STATE_STYLES, age, output, plural, tried_again, when
from tieline.observe.status import IntegrationStatus

_GRAVEST = ("halted", "failed", "late", "attention", "stopped", "owed", "waiting", "never run", "running", "green")
_HEADINGS = ("State", "Integration", "Pending", "Failed", "Held", "Freshness", "Last run")
_RIGHT = (2, 3, 4, 5, 6)
_MOST_NEXT = 8


def print_overview(found: Sequence[IntegrationStatus], now: float) -> None:
    """Print the table, what it comes to, what is down, and what to type next."""
    entries = sorted(found, key=lambda entry: (not (entry.needs_someone or entry.no_file), _grave(entry), entry.integration))
    rows = [_row(entry, now) for entry in entries]
    styles = ["red" if entry.wrong or entry.no_file else STATE_STYLES.get(entry.state, "") for entry in entries]
    output.table([_HEADINGS, *rows], right=_RIGHT, droppable=(6, 5), styles=styles)
    output.console.print(_sum(entries), soft_wrap=True)
    for down in {one.connection: one for entry in entries for one in entry.outages}.values():
        told = f"{down.connection} is down since {when(down.since)}: {down.why}; {tried_again(down.next_try_at)}"
        output.hanging((told, "yellow"), hang=2)
    for wait in {one.connection: one for entry in entries for one in entry.waiting}.values():
        output.hanging((f"{wait.connection} is called again at {when(wait.until)}: {wait.why}", "cyan"), hang=2)
    _print_next(entries)


def _grave(entry: IntegrationStatus) -> int:
    if entry.wrong or entry.no_file:
        return -1
    return _GRAVEST.index(entry.state) if entry.state in _GRAVEST else 0


def progress_in_words(entry: IntegrationStatus) -> str:
    """Return what a run that is going on has done so far, in records."""
    counts = entry.counts
    total = f" of {counts['total']:,}" if counts.get("total", 0) >= counts.get("read", 0) > 0 else ""
    written = sum(counts.get(key, 0) for key in ("created", "updated", "deleted", "carried_delivered"))
    more = [(written, "written"), (counts.get("held", 0), "held"), (counts.get("parked", 0), "parked")]
    return ", ".join([f"{counts.get('read', 0):,}{total} read", *(f"{number:,} {word}" for number, word in more if number)])


def _row(entry: IntegrationStatus, now: float) -> tuple[str, ...]:
    promise = f" of {age(entry.freshness_promise)}" if entry.freshness_promise is not None else ""
    freshness = f"{age(entry.freshness_age)}{promise}" if entry.freshness_age is not None else "-"
    if entry.running and entry.last_run_at is not None:
        last = f"running {age(max(0.0, now - entry.last_run_at))}, {progress_in_words(entry)}"
    else:
        last = f"{age(max(0.0, now - entry.last_run_at))} ago" if entry.last_run_at is not None else "-"
    state = "files" if entry.wrong else "no file" if entry.no_file else entry.state
    numbers = (f"{number:,}" if number else "-" for number in (entry.owed, entry.parked, entry.held))
    return (state, entry.integration, *numbers, freshness, last)


def _sum(entries: Sequence[IntegrationStatus]) -> str:
    need = sum(1 for entry in entries if entry.needs_someone or entry.no_file)
    states = Counter(entry.state for entry in entries if not (entry.needs_someone or entry.no_file))
    parts = [f"{need} need{'s' if need == 1 else ''} you"] if need else []
    parts += [f"{states[state]} {state}" for state in _GRAVEST if states[state]]
    return f"[dim]{plural(len(entries), 'integration')}: {', '.join(parts)}[/]"


def _print_next(entries: Sequence[IntegrationStatus]) -> None:
    """Say what to type, a line for each integration that needs a person; each can be pasted whole."""
    lines = [(_command(entry), _why(entry)) for entry in entries if entry.needs_someone or entry.no_file]
    if not lines:
        output.print("`tieline status NAME` tells all of one", style="dim")
        return
    output.print("Next:")
    width = max(len(command) for command, _ in lines[:_MOST_NEXT])
    for command, why in lines[:_MOST_NEXT]:
        line = f"  {command:{width}}  # {why}"
        output.print(line if len(line) <= output.console.width else f"  {command}  # {why}"[: max(output.console.width, len(command) + 2)])
    if len(lines) > _MOST_NEXT:
        output.print(f"  … and {len(lines) - _MOST_NEXT} more integrations need you", style="dim")


def _command(entry: IntegrationStatus) -> str:
    if entry.no_file and (named := re.search(r"`(tieline [^`]+)`", entry.no_file)):
        return named[1]
    if entry.wrong or entry.no_file:
        return "tieline check"
    if entry.state in ("attention", "green") and entry.parked + entry.held:
        return f"tieline dead-letters list {entry.integration}"
    if entry.state == "late" and not entry.waiting and not entry.outages and not entry.parked + entry.held:
        return f"tieline run {entry.integration}"
    return f"tieline status {entry.integration}"


def _why(entry: IntegrationStatus) -> str:
    if entry.wrong:
        return f"{entry.integration}: {entry.wrong[0]}"
    if entry.no_file:
        return f"integrations/{entry.integration}.yaml is gone"
    counts = [f"{number:,} {word}" for number, word in ((entry.parked, "failed"), (entry.held, "held")) if number]
    return (
        f"{entry.state}: {entry.error}"
        if entry.error and not counts
        else ", ".join(counts) or {"late": "late: run it, and more often"}.get(entry.state, entry.state)
    )
