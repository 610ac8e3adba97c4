"""The dead-letter commands that decide: edit, redrive, resolve, discard."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tieline.app import Tieline
from tieline.cli.letters import Which
from tieline.cli.opening import opened
from tieline.cli.output import OK, output, value_text
from tieline.cli.running import checked_reason, code_of, gravity, outcome_json, print_outcome, progress_of, run_each, stop_gently, within
from tieline.engine.review import dead_letters, unmatched
from tieline.engine.review.dead_letters import DeadLetter
from tieline.engine.runs.passes import Outcome, Wanted
from tieline.engine.runs.redrive import Settlement
from tieline.model.errors import TielineError
from tieline.model.records import decode_json, encode_json
from tieline.store.letters import Chosen


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
    letter = dead_letters.get_open_letter(project.db, id)
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
        left = sum(dead_letters.count_letters(project.db, integration=outcome.integration, chosen=which.chosen).values())
        if not which.ids and left:
            output.print(f"  {left:,} of these are open; the same command goes on with the oldest", style="dim")
    return code


def edit_letter(folder: Path, id: int, assignments: Sequence[str]) -> int:
    """Correct the record that a dead letter keeps."""
    with opened(folder) as project:
        if assignments:
            changes = dict(_assignment(text) for text in assignments)
        else:
            changes = _edited_by_hand(dead_letters.get_letter(project.db, id))
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
        raise TielineError(f"dead letter {letter.id} keeps no source record to edit", next_step="correct the record in its system")
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
