"""The page of commands, written from the commands themselves: `python -m tieline.cli.reference docs/commands.md`.

What a command takes comes from its declaration; an example and the exit codes stand here, and a command without them is an error.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import typer
from typer.models import ArgumentInfo, OptionInfo

from tieline.cli.commands import asked_for

CODES: Final = {
    0: "all is well",
    1: "someone must act: something is parked or held, a promise is not kept, credentials are refused",
    2: "a file, an option or a name is wrong",
    3: "a system can't be reached or does not take everything; nothing is lost, the next run goes on",
    4: "tieline stopped itself for safety: another runner, a brake, a plan that no longer holds",
    5: "the store or tieline itself failed",
    130: "interrupted (Ctrl-C)",
}
"""What exit codes mean, for every command."""

EXAMPLES: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "init": ("tieline init shop --template blank", (0, 2)),
    "check": ("tieline check --live", (0, 1, 2, 3, 5)),
    "plan": ("tieline plan qualified-leads --show 5\ntieline plan qualified-leads --out plan.jsonl", (0, 1, 2, 3, 4, 5)),
    "run": ("tieline run qualified-leads\ntieline run qualified-leads --plan plan.jsonl\ntieline run qualified-leads --allow-deletes 120", (0, 1, 2, 3, 4, 5, 130)),
    "connector list": ("tieline connector list", (0,)),
    "connector show": ("tieline connector show pipedrive", (0, 2)),
    "connector add": ("tieline connector add pipedrive", (0, 2)),
    "connector sample": ("tieline connector sample crm.contacts\ntieline connector sample crm.contacts --write", (0, 1, 2, 3, 5)),
    "receive": ("tieline receive --port 8920 --url https://hooks.example.com", (0, 2, 5)),
    "status": ("tieline status || notify-the-team", (0, 1, 2, 3, 5)),
    "verify": ("tieline verify qualified-leads\ntieline verify qualified-leads --repair", (0, 1, 2, 3, 4, 5, 130)),
    "undo": ("tieline undo 42 --plan\ntieline undo 42", (0, 1, 2, 3, 4, 5, 130)),
    "explain": ("tieline explain crm leads 6917529027641093161", (0, 2, 5)),
    "calls": ("tieline calls --failed --since 1h\ntieline calls --record crm leads 6917529027641093161\ntieline calls 1042", (0, 2, 5)),
    "dead-letters": ("tieline dead-letters", (0, 1, 2, 5)),
    "dead-letters list": ("tieline dead-letters list qualified-leads --cause mapping\ntieline dead-letters list --groups --json", (0, 1, 2, 5)),
    "dead-letters show": ("tieline dead-letters show 17", (0, 2, 5)),
    "dead-letters edit": ("tieline dead-letters edit 17 --set 'phone=02 5550 0001' --set 'tags=[\"vip\"]'", (0, 2, 5)),
    "dead-letters redrive": ("tieline dead-letters redrive 17\ntieline dead-letters redrive --cause rejected --limit 5\ntieline dead-letters redrive --cause rejected --rate 5/s", (0, 1, 2, 3, 4, 5, 130)),
    "dead-letters resolve": ("tieline dead-letters resolve 17 --as 60b68d34e27ffb77 --reason 'Ann looked it up'\ntieline dead-letters resolve 18 --not-done --reason 'not in the list'\ntieline dead-letters resolve --cause conflict --keep source --reason 'the CRM is right'", (0, 1, 2, 3, 4, 5, 130)),
    "dead-letters discard": ("tieline dead-letters discard 17 18 --reason 'test records'\ntieline dead-letters discard --cause mapping --field phone --reason 'no longer wanted'", (0, 2, 5)),
    "conflicts": ("tieline conflicts", (0, 1, 2, 5)),
    "conflicts list": ("tieline conflicts list people\ntieline conflicts list people --field phone --json\ntieline conflicts list --decided", (0, 1, 2, 5)),
    "conflicts show": ("tieline conflicts show 17", (0, 2, 5)),
    "conflicts resolve": ("tieline conflicts resolve 17 18 --keep left --reason 'the CRM is right'\ntieline conflicts resolve --all --integration people --field phone --keep right --reason 'Ann called them'", (0, 1, 2, 3, 4, 5, 130)),
    "conflicts restore": ("tieline conflicts restore 214 --reason 'the new number was a typing error'", (0, 1, 2, 3, 4, 5, 130)),
    "unmatched": ("tieline unmatched", (0, 1, 2, 5)),
    "unmatched list": ("tieline unmatched list people --fuzzy\ntieline unmatched list people --all --side right --json", (0, 1, 2, 5)),
    "unmatched link": ("tieline unmatched link 21 60b68d34e27ffb77 --reason 'Ann knows both'", (0, 1, 2, 3, 4, 5, 130)),
    "unmatched create": ("tieline unmatched create 21 22 --reason 'looked, it is not there'\ntieline unmatched create --integration people --side right --record 60b68d34e27ffb77 --reason 'she came back'", (0, 1, 2, 3, 4, 5, 130)),
    "unmatched ignore": ("tieline unmatched ignore --all --integration people --side right --reason 'the list has more people'", (0, 1, 2, 3, 4, 5, 130)),
    "links list": ("tieline links list qualified-leads\ntieline links list qualified-leads --unlinked --json", (0, 2, 5)),
    "links adopt": ("tieline links adopt people persons", (0, 2, 5)),
    "links retire": ("tieline links retire people --reason 'the shop was closed'", (0, 2, 5)),
    "links link": ("tieline links link qualified-leads 6917529027641093161 60b68d34e27ffb77 --reason 'Ann knows both'", (0, 1, 2, 3, 4, 5)),
    "links unlink": ("tieline links unlink qualified-leads 6917529027641093161 --reason 'two people of one name'", (0, 2, 4, 5)),
    "schema": ("tieline schema --out .schemas", (0, 2)),
    "demo": ("tieline demo --folder look --keep", (0, 1, 2, 130)),
    "version": ("tieline version", (0,)),
}  # fmt: skip
"""An example and the exit codes of each command."""

_HEAD: Final = """# Commands

<!-- Written by tieline.cli.reference; edit the commands. -->

`tieline COMMAND --help` says the same.

- A command works on the project folder that you are in, or the nearest above it; `--project FOLDER` (`-p`) names another.
- `--json` prints one JSON value and nothing else, errors included: `{"error": ..., "next": ...}`; `calls` prints one a line.
- Colours and progress are for terminals; into a file or a pipe goes plain text.
- What went wrong goes to standard error, with what to do next.

## Exit codes

The same for every command, so that a scheduler can go by them. When several integrations are run, the gravest counts.

| code | means |
| --- | --- |
"""


def commands_page() -> str:
    """Return the page, in Markdown."""
    lines = [_HEAD + "\n".join(f"| {code} | {meaning} |" for code, meaning in CODES.items())]
    for name, function in _commands():
        text, codes = EXAMPLES[name]
        lines += ["", f"## tieline {name}", "", inspect.cleandoc(function.__doc__ or ""), ""]
        lines += [f"    {line}" for line in text.splitlines()]
        if taken := _taken(function):
            lines += ["", "| takes | is | by default |", "| --- | --- | --- |", *taken]
        lines += ["", f"Exit codes: {', '.join(map(str, codes))}."]
    return "\n".join(lines) + "\n"


def _commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    tree = asked_for(())
    for command in tree.registered_commands:
        if (function := command.callback) is not None:
            yield command.name or function.__name__, function
    for group in tree.registered_groups:
        assert group.name is not None
        assert group.typer_instance is not None
        yield from _group(group.name, group.typer_instance)


def _group(name: str, group: typer.Typer) -> Iterator[tuple[str, Callable[..., Any]]]:
    alone = group.registered_callback
    if alone is not None and alone.callback is not None:
        yield name, alone.callback
    for inner in group.registered_commands:
        assert inner.callback is not None
        yield f"{name} {inner.name or inner.callback.__name__}", inner.callback


def _taken(function: Callable[..., Any]) -> list[str]:
    """Return a row for each argument and option, those aside that all commands have."""
    rows = []
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints[name]
        if hint is typer.Context or name in ("json", "project"):
            continue
        kind, info = typing.get_args(hint)[:2]
        several = "list" in str(kind)
        if isinstance(info, ArgumentInfo):
            shown = info.metavar or f"{name.upper()}{' …' if several else ''}"
        else:
            assert isinstance(info, OptionInfo)
            stated = (info.default,) if isinstance(info.default, str) else ()  # in `Annotated`, a name stands in its place
            flags = info.param_decls or stated or (f"--{name.replace('_', '-')}",)
            shown = ", ".join(flags) + ("" if kind is bool else f" {info.metavar or _value(kind)}") + (" …" if several else "")
        default = parameter.default
        if isinstance(info, OptionInfo) and info.envvar:
            shown += f"`, `${info.envvar}"
        words = "**required**" if default is inspect.Parameter.empty else "" if default in (None, False, Path()) else f"`{default}`"
        rows.append(f"| `{shown}` | {info.help or ''} | {words} |")
    return rows


def _value(kind: Any) -> str:
    if choices := _choices(kind):
        return "/".join(choices)
    text = str(kind)
    return "FILE" if "Path" in text else "NUMBER" if "int" in text else "TEXT"


def _choices(kind: Any) -> tuple[str, ...]:
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    return next((choices for part in typing.get_args(kind) if (choices := _choices(part))), ())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(commands_page(), "utf-8")
