"""The dead-letter commands that look: list and show."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tieline.cli.layout import Whole
from tieline.cli.opening import looked_at, tell_of_orphans
from tieline.cli.output import ACT, OK, output, plain, plural, value_text, when
from tieline.cli.recognised import match_fields, recognised
from tieline.cli.report import personal_values
from tieline.engine.review import dead_letters
from tieline.engine.review.dead_letters import DeadLetter, LetterGroup
from tieline.looking import Looking
from tieline.model.errors import TielineError
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

    def check(self, project: Looking, command: str) -> None:
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

    def by_integration(self, project: Looking) -> dict[str, tuple[int, ...] | Chosen]:
        """Return what is meant, by integration. Raises `TielineError` when there is none of a cause or field that was named."""
        if self.ids:
            ids: dict[str, tuple[int, ...]] = {}
            for id in self.ids:
                letter = dead_letters.get_open_letter(project.db, id)
                ids[letter.integration] = (*ids.get(letter.integration, ()), id)
            return {**ids}
        counts = dead_letters.count_letters(project.db, integration=self.integration, chosen=self.chosen)
        if not counts and (self.cause is not None or self.field is not None):
            groups = dead_letters.group_letters(project.db, integration=self.integration)
            known = sorted({group.cause + (f" of `{group.field}`" if group.field else "") for group in groups})
            named = f"of cause `{self.cause}`" if self.cause is not None else f"of field `{self.field}`"
            raise TielineError(f"there is no dead letter {named}", next_step=f"there are: {', '.join(known) or 'none'}")
        return dict.fromkeys(counts, self.chosen)


def list_letters(folder: Path, which: Which, *, groups_only: bool, mask: bool) -> int:
    """List what needs a person: the groups, then the oldest of each integration."""
    with looked_at(folder) as project:
        if which.integration is not None:
            project.names(which.integration, gone=True)
        meant: dict[str, Any] = {"integration": which.integration, "chosen": which.chosen, "one_way": project.one_way}
        groups, letters = dead_letters.group_letters(project.db, **meant), dead_letters.read_letters(project.db, **meant)
        if mask:
            hidden = [
                *(group.example for group in groups),
                *itertools.islice(dead_letters.read_letters(project.db, **meant), which.limit or _SHOWN),
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


def _way(project: Looking, name: str, side: Side) -> str:
    return f"{project.place_of(name, side)} → {project.place_of(name, OTHER[side])}"


def _print_group(project: Looking, group: LetterGroup, *, command: bool) -> None:
    way = f" ({_way(project, group.integration, group.side)})" if group.side is not None else ""
    field = f" of `{group.field}`" if group.field else ""
    told = f" × {group.integration}{way}: {group.cause}{field}, since "
    output.hanging((f"{group.number:,}", "bold"), told, Whole(when(group.since)), hang=4)
    if group.rule:
        output.hanging("    ", ("rule", "dim"), f" {group.rule}", hang=9)
    example = group.example
    such = f" {example.id}, record "
    output.hanging("    ", ("such as", "dim"), such, Whole(example.source_id), _named(project, example), f": {_why(example)}", hang=8)
    if command:
        output.hanging("    ", ("all of them", "dim"), " ", Whole(group.command), hang=8)


def _named(project: Looking, letter: DeadLetter) -> str:
    """Return by what a letter's record is recognised, in brackets."""
    said = recognised(letter.record or {}, match_fields(project, letter.integration, letter.side), 3)
    return f" ({said})" if said else ""


def _print_table(project: Looking, letters: Iterator[DeadLetter]) -> None:
    """Print two lines a letter: ids whole, to be copied, and why below them."""
    for letter in letters:
        state = STATES.get(letter.state, letter.state)
        record = letter.source_id if letter.side is None else f"{project.place_of(letter.integration, letter.side)} {letter.source_id}"
        head = f"{letter.id:>7}  {letter.integration}  "
        output.hanging(Whole(head), Whole(record), _named(project, letter), f"  {state} since ", Whole(when(letter.accepted_at)), hang=9)
        output.hanging(" " * 9, (_cut(letter.message), "dim"), hang=9)


def show_letter(folder: Path, id: int, *, mask: bool) -> int:
    """Show a dead letter whole."""
    with looked_at(folder) as project:
        letter = dead_letters.get_letter(project.db, id, one_way=project.one_way)
        if not dead_letters.was_letter(letter):
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
            if call is not None:
                project.hide_personal(call)
        if output.json_mode:
            now = {"rule_now": {"at": rule[0], "text": rule[1]} if rule else None, "sent": call, "history": history}
            output.json({**plain(letter), **now})
            return OK
        state = STATES.get(letter.state, letter.state)
        named = _named(project, letter)
        output.hanging(
            (f"dead letter {letter.id}", "bold"),
            f" {letter.integration}, record ",
            Whole(letter.source_id),
            named,
            ": ",
            (state, "red"),
            hang=2,
        )
        if letter.side is not None:
            _line("way", f"{_way(project, letter.integration, letter.side)}")
        _line("since", f"{when(letter.accepted_at)}, {plural(letter.attempts, 'attempt')}")
        _line("cause", f"{letter.cause}{f' of `{letter.field}`' if letter.field else ''}")
        _line("why", f"{letter.message}")
        if letter.value is not None:
            _line("value", f"{value_text(letter.value)}")
        _print_rule(letter, rule)
        _print_sent(letter, call)
        if letter.candidates:
            _line("there", f"{', '.join(letter.candidates)}")
        if letter.record is not None:
            _print_values("record", letter.record)
        if letter.fields:
            _print_values("fields", letter.fields)
        if letter.why.get("discarded"):
            _line("given up", f"{letter.why['discarded']}")
        if history is not None:
            _line("history", Whole(history))
        _line("next", letter.next_step.replace(" NO ", f" {letter.id} "))
        return OK


def _history(project: Looking, letter: DeadLetter) -> str | None:
    """Return the command that tells a record's history; None when its integration is not in the project any more."""
    spec = project.project.integrations.get(letter.integration)
    if spec is None:
        return None
    place = spec.source if letter.side is None else project.place_of(letter.integration, letter.side)
    return f"tieline explain {place.replace('.', ' ')} {shlex.quote(letter.source_id)}"


def _line(label: str, text: str) -> None:
    output.labelled(label, text, room=7)


def _print_rule(letter: DeadLetter, rule: tuple[str, str] | None) -> None:
    if letter.rule and (rule is None or rule[0] != letter.rule):
        _line("rule", f"{letter.rule}{' then' if rule else ''}")
    if rule is not None:
        _line("rule", f"{rule[0]}{' now' if letter.rule and rule[0] != letter.rule else ''}")
        for line in rule[1].splitlines():
            output.hanging(f"            {line}")


def _print_sent(letter: DeadLetter, call: calls.Call | None) -> None:
    request = letter.why.get("request")
    if request or call:
        sent = f"{call.method} {call.url}" if call else ""
        what = f"{request.get('operation')} {request.get('id') or ''}".strip() if request else ""
        _line("request", "  ".join(text for text in (what, sent) if text))
    for address, value in ((request or {}).get("body") or {}).items():
        output.hanging(f"            {address}: {value_text(value)}", hang=14)
    status = letter.why.get("status") or (call.status if call else None)
    if status is not None:
        _line("status", f"{status}")
    if answer := letter.why.get("answer") or (call.answer if call else None):
        _line("answer", f"{answer}")


def _print_values(heading: str, values: dict[str, Any]) -> None:
    output.print(f"  {heading}")
    for address, value in values.items():
        output.hanging(f"            {address}: {value_text(value)}", hang=14)


def _why(letter: DeadLetter) -> str:
    """Return a letter's reason, with the value that it is about."""
    value = "" if letter.value is None else value_text(letter.value)
    return _cut(letter.message) + (f": {_cut(value)}" if value and value not in letter.message else "")


def _cut(text: str) -> str:
    return text if len(text) <= 160 else text[:159] + "…"
