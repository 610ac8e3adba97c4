"""`tieline calls`: the journal of calls, searched, and one of them whole."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from pathlib import Path

import msgspec

from tieline.cli.layout import Whole
from tieline.cli.opening import looked_at
from tieline.cli.output import OK, age, escape, output, plain, plural, when
from tieline.looking import Looking
from tieline.model.errors import TielineError
from tieline.model.records import decode_json, encode_json
from tieline.model.shown import shown_json
from tieline.observe import calls as journal
from tieline.store import calls
from tieline.store.calls import Call, Search

_SHOWN = 50
_MOST_NAMED = 20
_MOST_LINES, _MOST_WIDTH = 20, 1000
"""Of a body, where many calls are shown; one by itself is shown whole."""


class Filter(msgspec.Struct, frozen=True):
    """What was asked for, as it was written."""

    record: tuple[str, str, str] | None = None
    since: str | None = None
    slow: str | None = None
    run: int | None = None
    connection: str | None = None
    status: int | None = None
    failed: bool = False


def show_calls(folder: Path, what: str | None, wanted: Filter, *, limit: int | None, bodies: bool, mask: bool) -> int:
    """Search the journal of calls; `what` is an integration's name, or the number of one call."""
    with looked_at(folder) as project:
        if what is not None and what.isdecimal():
            if wanted != Filter() or limit is not None:
                raise TielineError("a number shows one call whole; no option chooses among calls then", next_step=f"tieline calls {what}")
            return _show_one(project, int(what), mask=mask)
        search = _search(project, what, wanted)
        if output.json_mode:
            _print_lines(project, search, limit, bodies=bodies, mask=mask)
        else:
            _print_table(project, search, limit or _SHOWN, bodies=bodies, mask=mask)
        return OK


def _search(project: Looking, name: str | None, wanted: Filter) -> Search:
    now = project.clock.now()
    return project.search_calls(
        integration=name,
        connection=wanted.connection,
        run=wanted.run,
        status=wanted.status,
        failed=wanted.failed,
        since=moment(wanted.since, now) if wanted.since is not None else None,
        slow_seconds=_seconds(wanted.slow, "--slow") if wanted.slow is not None else None,
        record=wanted.record,
    )


def moment(text: str, now: float) -> float:
    """Return seconds since 1970 for a length of time before now, or a date or time as ISO 8601 writes it, local where it names no zone."""
    from tieline.config.models.base import parse_duration  # slow to import

    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise TielineError(
            f"--since: `{text}` is neither a length of time nor a moment", next_step="such as 1h, 2d, 2026-01-31 or 2026-01-31T09:30"
        ) from None
    return found.astimezone().timestamp() if found.tzinfo is None else found.timestamp()


def _seconds(text: str, option: str) -> float:
    from tieline.config.models.base import parse_duration  # slow to import

    try:
        return parse_duration(text)
    except ValueError as error:
        raise TielineError(f"{option}: `{text}`: {error}", next_step=f"such as {option} 2s") from None


# -- many


def _print_lines(project: Looking, search: Search, limit: int | None, *, bodies: bool, mask: bool) -> None:
    names = project.integration_names()
    for call in calls.find(project.db, search, limit):
        call.body = calls.body_of(project.db, call.id) if bodies else None
        if mask:
            project.hide_personal(call)
        name = names.get(call.integration) if call.integration is not None else None
        line = journal.as_json(call, name, calls.records_of(project.db, call), call.body)
        sys.stdout.write(shown_json(encode_json(line).decode()) + "\n")


_HEADINGS = f"{'no.':>7}  {'at':<19}  {'run':>5}  {'status':>6}  {'class':<13} {'took':>9}  call"


def _print_table(project: Looking, search: Search, limit: int, *, bodies: bool, mask: bool) -> None:
    number, exact = calls.count(project.db, search)
    if number:
        output.hanging((_HEADINGS, "dim"), hang=9)
    for call in calls.find(project.db, search, limit):
        call.body = calls.body_of(project.db, call.id) if bodies else None
        if mask:
            project.hide_personal(call)
        _print_row(call)
        if call.body is not None:
            _print_body("request", call.body.request_headers, call.body.request, most=_MOST_LINES)
            _print_body("answer", call.body.answer_headers, call.body.answer, most=_MOST_LINES)
    for line in _closing(project, number, exact, limit):
        output.hanging((line, "dim"), hang=2)


def _print_row(call: Call) -> None:
    judged = call.failure or (f"{call.refused} refused" if call.refused else "")
    style = "red" if call.failure else "yellow" if call.refused else "green"
    run = str(call.run) if call.run is not None else "plan" if call.integration is not None else "-"
    status = str(call.status) if call.status is not None else "-"
    waited = f"  waited {age(call.waited)}" if call.waited >= 0.01 else ""
    tried = f"  try {call.attempt}" if call.attempt > 1 else ""
    head = f"{call.id:>7}  {when(call.at)}  {run:>5}  "
    output.hanging(
        head, (f"{status:>6}  {judged:<13}", style), " ", f"{_took(call.seconds):>9}", "  ",
        Whole(f"{call.method} {call.url}"), (f"  {_about(call)}{waited}{tried}", "dim"), hang=9,
    )  # fmt: skip


def _about(call: Call) -> str:
    number = sum(last - first + 1 for first, last in calls.ranges(call.deliveries))
    what = f"{call.operation} {call.resource}".strip()
    if call.page is not None:
        return f"{what} page {call.page}"
    return f"{what}, {plural(number, 'record')}" if number else what


def _took(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else age(seconds)


def _closing(project: Looking, number: int, exact: bool, limit: int) -> list[str]:
    kept, sums, oldest = project.project.file.retention, calls.tally(project.db), calls.oldest(project.db)
    count = plural(number, "call") if exact else f"more than {number:,} calls"
    if number > limit:
        lines = [f"the latest {limit:,} of {count}; --limit N shows more, --json all of them"]
    elif number:
        lines = [count]
    else:
        lines = ["there is no such call in the journal"]
    if number:
        lines[0] += "; `tieline calls NO` shows one whole"
    if oldest is not None:
        lines.append(f"calls are kept for {age(kept.calls)}; the oldest is of {when(oldest)}")
    if dropped := int(sums["calls dropped"]):
        until = when(sums["calls dropped until"])
        lines.append(f"{plural(dropped, 'call')} made until {until} went because they took more than `retention: calls_size`")
    return lines


# -- one


def _show_one(project: Looking, id: int, *, mask: bool) -> int:
    story = journal.tell(project.db, id)
    call = story.call
    call.body = story.body
    if mask:
        project.hide_personal(call)
        for delivery in story.deliveries:
            delivery.message = None
    story.body = call.body
    if output.json_mode:
        line = journal.as_json(call, story.integration, story.records, story.body)
        output.json({**line, "deliveries": plain(story.deliveries), "likely": story.likely, "next": story.next_step})
        return OK
    _print_call(story, call)
    _print_outcome(story)
    return OK


def _print_call(story: journal.CallStory, call: Call) -> None:
    answer = str(call.status) if call.status is not None else "no answer"
    style = "red" if call.failure else "green"
    output.hanging(
        (f"call {call.id}", "bold"), " ", Whole(f"{call.method} {call.url}"), " → ", (answer, style), f" in {_took(call.seconds)}", hang=10
    )
    for_whom = f"run {call.run} of {story.integration}" if call.run is not None else f"a plan of {story.integration}"
    if call.integration is None:
        for_whom = "no one's run: the connection was tried"
    _line("at", f"{when(call.at)}, {for_whom}, attempt {call.attempt}")
    _line("what", f"{_about(call)}, of {call.connection}")
    if call.waited >= 0.01:
        _line("waited", f"{age(call.waited)} for the limits")
    _line("size", f"{call.sent:,} bytes sent, {call.received:,} received")
    if call.failure:
        _line("class", call.failure + (f": {story.likely}" if story.likely else ""))
    if call.refused:
        _line("class", f"went well, but {plural(call.refused, 'record')} of it {'was' if call.refused == 1 else 'were'} refused")
    if call.answer:
        _line("says", call.answer)
    if story.body is not None:
        _print_body("request", story.body.request_headers, story.body.request)
        _print_body("answer", story.body.answer_headers, story.body.answer)
    elif call.failure:
        _line("said", "what was said is not kept any more (`retention: bodies`)")
    else:
        _line("said", "is not kept of calls that went well, but for a sample (`journal: sample`)")


def _print_outcome(story: journal.CallStory) -> None:
    if story.records and not story.deliveries:
        _line("records", _some(story.records))
    for delivery in story.deliveries[:_MOST_NAMED]:
        state = {"dead": "parked", "unknown": "owed, outcome unknown", "sending": "on its way"}.get(delivery.state, delivery.state)
        by = delivery.settled_by
        how = f" by call {by}" if by not in (None, story.call.id) and delivery.state == "delivered" else ""
        said = f": {delivery.message}" if delivery.message else ""
        _line(f"{delivery.delivery}", f"{delivery.operation} of {delivery.record}: {state}{how}{said}")
    if len(story.deliveries) > _MOST_NAMED:
        _line("", f"… and {len(story.deliveries) - _MOST_NAMED} more deliveries (--json)")
    if story.next_step:
        _line("next", story.next_step)


def _line(label: str, text: str) -> None:
    output.labelled(label, text, room=7)


def _print_body(label: str, headers: dict[str, str], body: str, *, most: int | None = None) -> None:
    for name, value in headers.items():
        output.console.print(f"  [dim]{label:7}[/] [dim]{escape(name)}: {escape(value)}[/]", soft_wrap=True)
    if not body:
        return
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        body = msgspec.json.format(encode_json(decode_json(body.encode())), indent=2).decode()
    lines = body.splitlines()
    for line in lines[:most]:
        if most is not None and len(line) > _MOST_WIDTH:  # a body that was cut when it was kept is no JSON any more, and one line
            line = f"{line[:_MOST_WIDTH]}… {plural(len(line) - _MOST_WIDTH, 'more character')} (--json)"
        output.console.print(f"  [dim]{label:7}[/] {escape(line)}", soft_wrap=True)
    if most is not None and len(lines) > most:
        output.console.print(f"  [dim]{label:7} … {plural(len(lines) - most, 'more line')} (--json)[/]", soft_wrap=True)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
