"""The dead-letter commands: list, show, edit, redrive, resolve, discard."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.padding import Padding

from tieline.app import Tieline
from tieline.cli.opening import opened, tell_of_orphans
from tieline.cli.output import ACT, OK, escape, output, plain, plural, value_text, when
from tieline.cli.report import personal_values
from tieline.cli.running import checked_reason, code_of, gravity, outcome_json, print_outcome, progress_of, run_each, stop_gently, within
from tieline.engine import deadletters, unmatched
from tieline.engine.deadletters import DeadLetter, LetterGroup
from tieline.engine.passes import Outcome, Wanted
from tieline.engine.redriving import Settlement
from tieline.model.errors import TielineError
from tieline.model.records import decode_json, encode_json
from tieline.store import calls
from tieline.store.letters import Chosen
from tieline.store.pairs import OTHER, Side

_SHOWN = 50
STATES = {"dead": "parked"}
"""How people call a state, where that is another word."""


class Which(msgspec.Struct, frozen=True):
    """Which dead letters a command is about: some by number, or all that are alike."""

    ids: tuple[int, ...] = ()
    integration: str | None = None
    cause: str | None = None
    field: str | None = None
    limit: int | None = None

    @property
    def chosen(self) -> Chosen:
        """What is asked of the store."""
        return Chosen(self.cause, self.field)

    def check(self, project: Tieline, command: str) -> None:
        """Raise `TielineError` when it names nothing, or two things."""
        alike = self.integration is not None or self.cause is not None or self.field is not None
        if self.integration is not None:
            project.names(self.integration, gone=command == "discard")
        if self.ids and alike:
            raise TielineError("numbers, or --integration, --cause and --field: not both", next_step=f"tieline dead-letters {command} NO")
        if not self.ids and not alike:
            raise TielineError(
                "which ones?",
                next_step="give numbers, or all that are alike with --integration, --cause, --field (see `tieline dead-letters`)",
            )

    def by_integration(self, project: Tieline) -> dict[str, tuple[int, ...] | Chosen]:
        """Return what is meant, by integration. Raises `TielineError` when there is none of a cause or field that was named."""
        if self.ids:
            ids: dict[str, tuple[int, ...]] = {}
            for id in self.ids:
                letter = deadletters.get_open_letter(project.db, id)
                ids[letter.integration] = (*ids.get(letter.integration, ()), id)
            return {**ids}
        counts = deadletters.count_letters(project.db, integration=self.integration, chosen=self.chosen)
        if not counts and (self.cause is not None or self.field is not None):
            groups = deadletters.group_letters(project.db, integration=self.integration)
            known = sorted({group.cause + (f" of `{group.field}`" if group.field else "") for group in groups})
            named = f"of cause `{self.cause}`" if self.cause is not None else f"of field `{self.field}`"
            raise TielineError(f"there is no dead letter {named}", next_step=f"there are: {', '.join(known) or 'none'}")
        return dict.fromkeys(counts, self.chosen)


# -- looking


def list_letters(folder: Path, which: Which, *, groups_only: bool, mask: bool) -> int:
    """List what needs a person: the groups, then the oldest of each integration."""
    with opened(folder) as project:
        if which.integration is not None:
            project.names(which.integration, gone=True)
        meant: dict[str, Any] = {"integration": which.integration, "chosen": which.chosen, "one_way": project.one_way}
        groups, letters = deadletters.group_letters(project.db, **meant), deadletters.read_letters(project.db, **meant)
        if mask:
            hidden = [
                *(group.example for group in groups),
                *itertools.islice(deadletters.read_letters(project.db, **meant), which.limit or _SHOWN),
            ]
            for letter in hidden:
                if letter.integration in project.project.integrations:
                    output.hide(
                        personal_values(project, letter.integration, [letter.record, letter.fields, {letter.field or "": letter.value}])
                    )
        if output.json_mode:
            output.json_list(groups if groups_only else itertools.islice(letters, which.limit))
            return ACT if groups else OK
        if not groups:
            output.print("no dead letters: nothing needs a person", style="green")
            return OK
        number = sum(group.number for group in groups)
        gone = {one.name for one in project.orphans()}
        for group in groups:
            _print_group(project, group, command=group.integration not in gone)
        tell_of_orphans(project, gone)
        if not groups_only:
            limit = which.limit or _SHOWN
            _print_table(project, itertools.islice(letters, limit))
            if number > limit:
                output.print(f"… and {number - limit:,} more (--limit, --cause, --field; --json shows all)", style="dim")
        # A record of a two-way integration is edited where it stands: both systems hold it.
        edit = ", `edit NO --set FIELD=VALUE`" if any(group.side is None for group in groups) else ""
        output.print(f"`tieline dead-letters show NO`{edit}, `redrive NO`, `discard NO --reason …`", style="dim")
        return ACT


def _way(project: Tieline, name: str, side: Side) -> str:
    return f"{project.place_of(name, side)} → {project.place_of(name, OTHER[side])}"


def _print_group(project: Tieline, group: LetterGroup, *, command: bool) -> None:
    way = f" ({_way(project, group.integration, group.side)})" if group.side is not None else ""
    field = f" of `{group.field}`" if group.field else ""
    output.console.print(
        f"[bold]{group.number:,}[/] × {escape(group.integration)}{escape(way)}: {escape(group.cause)}{escape(field)}, since {when(group.since)}"
    )
    if group.rule:
        output.console.print(f"    [dim]rule[/] {escape(group.rule)}")
    example = group.example
    output.console.print(f"    [dim]such as[/] {example.id}, record {escape(example.source_id)}: {escape(_why(example))}")
    if command:
        output.console.print(f"    [dim]all of them[/] {escape(group.command)}")


def _print_table(project: Tieline, letters: Iterator[DeadLetter]) -> None:
    """Print two lines a letter: ids whole, to be copied, and why below them."""
    for letter in letters:
        state = STATES.get(letter.state, letter.state)
        record = letter.source_id if letter.side is None else f"{project.place_of(letter.integration, letter.side)} {letter.source_id}"
        head = f"{letter.id:>7}  {letter.integration}  {record}  {state} since {when(letter.accepted_at)}"
        output.console.print(escape(head), soft_wrap=True)
        output.console.print(Padding(f"[dim]{escape(_cut(letter.message))}[/]", (0, 0, 0, 9), expand=False))


def show_letter(folder: Path, id: int, *, mask: bool) -> int:
    """Show a dead letter whole."""
    with opened(folder) as project:
        letter = deadletters.get_letter(project.db, id, one_way=project.one_way)
        if not deadletters.was_letter(letter):
            raise TielineError(
                f"{id} is no dead letter, but a delivery of record {letter.source_id}: {letter.state}", next_step=_history(project, letter)
            )
        rule = project.rule_text(letter.integration, letter.field, letter.side)
        call = calls.by_id(project.db, [letter.call]).get(letter.call) if letter.call is not None else None
        spec = project.project.integrations.get(letter.integration)
        history = _history(project, letter)
        if mask and spec is not None:
            body = (letter.why.get("request") or {}).get("body")
            said = [letter.record, letter.fields, body, {letter.field or "": letter.value}]
            output.hide(personal_values(project, letter.integration, said))
        if output.json_mode:
            now = {"rule_now": {"at": rule[0], "text": rule[1]} if rule else None, "sent": call, "history": history}
            output.json({**plain(letter), **now})
            return OK
        state = STATES.get(letter.state, letter.state)
        output.console.print(
            f"[bold]dead letter {letter.id}[/] {escape(letter.integration)}, record {escape(letter.source_id)}: [red]{state}[/]"
        )
        if letter.side is not None:
            output.print(f"  way     {_way(project, letter.integration, letter.side)}")
        output.print(f"  since   {when(letter.accepted_at)}, {plural(letter.attempts, 'attempt')}")
        output.print(f"  cause   {letter.cause}{f' of `{letter.field}`' if letter.field else ''}")
        output.print(f"  why     {letter.message}")
        if letter.value is not None:
            output.print(f"  value   {value_text(letter.value)}")
        _print_rule(letter, rule)
        _print_sent(letter, call)
        if letter.candidates:
            output.print(f"  there   {', '.join(letter.candidates)}")
        if letter.record is not None:
            _print_values("record", letter.record)
        if letter.fields:
            _print_values("fields", letter.fields)
        if letter.why.get("discarded"):
            output.print(f"  given up {letter.why['discarded']}")
        if history is not None:
            output.console.print(f"  [dim]history[/] {escape(history)}")
        output.console.print(f"  [dim]next[/]    {escape(letter.next_step.replace(' NO ', f' {letter.id} '))}")
        return OK


def _history(project: Tieline, letter: DeadLetter) -> str | None:
    """Return the command that tells a record's history; None when its integration is not in the project any more."""
    spec = project.project.integrations.get(letter.integration)
    if spec is None:
        return None
    place = spec.source if letter.side is None else project.place_of(letter.integration, letter.side)
    return f"tieline explain {place.replace('.', ' ')} {letter.source_id}"


def _print_rule(letter: DeadLetter, rule: tuple[str, str] | None) -> None:
    if letter.rule and (rule is None or rule[0] != letter.rule):
        output.print(f"  rule    {letter.rule}{' then' if rule else ''}")
    if rule is not None:
        output.print(f"  rule    {rule[0]}{' now' if letter.rule and rule[0] != letter.rule else ''}")
        for line in rule[1].splitlines():
            output.print(f"            {line}")


def _print_sent(letter: DeadLetter, call: calls.Call | None) -> None:
    request = letter.why.get("request")
    if request or call:
        sent = f"{call.method} {call.url}" if call else ""
        what = f"{request.get('operation')} {request.get('id') or ''}".strip() if request else ""
        output.print("  request " + "  ".join(text for text in (what, sent) if text))
    for address, value in ((request or {}).get("body") or {}).items():
        output.print(f"            {address}: {value_text(value)}")
    status = letter.why.get("status") or (call.status if call else None)
    if status is not None:
        output.print(f"  status  {status}")
    if answer := letter.why.get("answer") or (call.answer if call else None):
        output.print(f"  answer  {answer}")


def _print_values(heading: str, values: dict[str, Any]) -> None:
    output.print(f"  {heading}")
    for address, value in values.items():
        output.print(f"            {address}: {value_text(value)}")


def _why(letter: DeadLetter) -> str:
    """Return a letter's reason, with the value that it is about."""
    value = "" if letter.value is None else value_text(letter.value)
    return _cut(letter.message) + (f": {_cut(value)}" if value and value not in letter.message else "")


def _cut(text: str) -> str:
    return text if len(text) <= 160 else text[:159] + "…"


# -- deciding


def redrive(folder: Path, which: Which, rate: str | None) -> int:
    """Decide dead letters again and send them."""
    pace = _pace(rate) if rate is not None else None
    with opened(folder) as project:
        which.check(project, "redrive")
        return _run(project, which, which.by_integration(project), pace=pace)


def resolve(folder: Path, which: Which, settlement: Settlement) -> int:
    """Write down what a person knows about dead letters, and send what follows."""
    checked_reason(settlement.reason, "looked it up in both systems")
    named = settlement.target_id is not None
    if (named or settlement.keep is not None) == settlement.not_done:
        raise TielineError(
            "what became of it?",
            next_step="--as ID: it is this record of the destination; --not-done: it was never made; --keep source or target: whose values hold",
        )
    with opened(folder) as project:
        if settlement.keep is not None and not named and not which.ids and which.cause is None:
            which = msgspec.structs.replace(which, cause="conflict")
        which.check(project, "resolve")
        if not which.ids and (which.cause != "conflict" or settlement.not_done or named):
            raise TielineError(
                "each of these has its own answer", next_step="name them by number; only `--cause conflict --keep …` is for all of a group"
            )
        by_integration = which.by_integration(project)
        if any(project.is_two_way(name) for name in by_integration):
            return _resolve_both_ways(project, which, settlement)
        return _run(project, which, by_integration, settlement=settlement)


def _resolve_both_ways(project: Tieline, which: Which, settlement: Settlement) -> int:
    """Say of a record of a two-way integration who its counterpart is, or that none was made."""
    if settlement.keep is not None:
        raise TielineError(
            "of a two-way integration: `tieline conflicts resolve` says which side holds",
            next_step="tieline conflicts resolve NO --keep left",
        )
    if len(which.ids) != 1:
        raise TielineError("one at a time, of a two-way integration", next_step="name one dead letter by its number")
    (id,) = which.ids
    letter = deadletters.get_open_letter(project.db, id)
    name, other, left = letter.integration, settlement.target_id, letter.source_id
    project.two_way(name)
    if other is None:
        unmatched.never_made(project.db, id, settlement.reason, now=project.clock.now())
        return run_each(project, {name: Wanted(redrive=(id,))}, {"resolved": [id], "reason": settlement.reason})
    right = other
    if letter.side == "right":
        left, right = other, left

    async def link() -> None:
        await project.link(name, left, right, settlement.reason)

    said = {"resolved": [id], "linked": {"left": left, "right": right}, "reason": settlement.reason}
    return run_each(project, {name: project.wanted_of_pair(name, left)}, said, first=link, words=f"linked: {left} ↔ {right}")


def _run(
    project: Tieline,
    which: Which,
    by_integration: dict[str, tuple[int, ...] | Chosen],
    *,
    pace: float | None = None,
    settlement: Settlement | None = None,
) -> int:
    outcomes: list[Outcome] = []

    async def work() -> int:
        stop_gently(project)
        left = which.limit
        for name, chosen in by_integration.items():
            wanted = Wanted(redrive=chosen, limit=left, pace=pace, settlement=settlement)
            with progress_of(name) as progress:
                outcome = await project.run(name, wanted, progress=progress)
            outcomes.append(outcome)
            if left is not None:
                left -= outcome.counts.total
            if outcome.state == "stopped" or (left is not None and left <= 0):
                break
        return max((code_of(outcome) for outcome in outcomes), default=OK, key=gravity)

    code = within(project, work)
    if output.json_mode:
        output.json([outcome_json(outcome) for outcome in outcomes])
        return code
    if not by_integration:
        output.print("there are none")
    for outcome in outcomes:
        print_outcome(outcome)
        left = sum(deadletters.count_letters(project.db, integration=outcome.integration, chosen=which.chosen).values())
        if not which.ids and left:
            output.print(f"  {left:,} of these are open; the same command goes on with the oldest", style="dim")
    return code


def edit_letter(folder: Path, id: int, assignments: Sequence[str]) -> int:
    """Mend the record that a dead letter keeps."""
    with opened(folder) as project:
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


def discard(folder: Path, which: Which, reason: str) -> int:
    """Give up on dead letters."""
    reason = checked_reason(reason, "a test record")
    with opened(folder) as project:
        which.check(project, "discard")
        if which.ids:
            number = project.discard_letters(which.ids, reason)
        else:
            which.by_integration(project)
            number = project.discard_letters(which.chosen, reason, integration=which.integration)
        if output.json_mode:
            output.json({"discarded": list(which.ids) if which.ids else number, "reason": reason})
        else:
            output.print(f"discarded: {', '.join(map(str, which.ids)) or number}")
        return OK


_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _pace(rate: str) -> float:
    """Return how many a second `5/s`, `10/m` or `100/h` is."""
    number, slash, unit = rate.partition("/")
    if not slash or unit.strip() not in _SECONDS or not number.strip().isdecimal() or int(number) < 1:
        raise TielineError(f"`{rate}` is no rate", next_step="such as --rate 5/s, --rate 10/m, --rate 100/h")
    return int(number) / _SECONDS[unit.strip()]


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


def _edited_by_hand(letter: DeadLetter) -> dict[str, Any]:
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
