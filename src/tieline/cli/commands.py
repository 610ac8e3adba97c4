"""The command tree: which commands there are, where they are, and what runs the one that was asked for."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import typer

from tieline.cli.output import BROKEN, INTERRUPTED, escape, output, was_interrupted
from tieline.cli.quick import take_plainly

_GROUPS: Final = {
    "conflicts": ("conflicts", "Decide"),
    "unmatched": ("unmatched", "Decide"),
    "links": ("links", "Records"),
    "dead-letters": ("dead_letters", "Decide"),
    "connector": ("connector", "Set up"),
}
"""Groups of commands, by name: the module that has them, and the heading under which help shows them."""
_SINGLE: Final = {
    "set_up": ("init", "check", "demo"),
    "run": ("plan", "run", "receive", "undo"),
    "watch": ("status", "verify", "explain", "calls"),
    "about": ("schema", "version"),
}
"""Commands that stand alone, by the module that has them."""


def _cancelled() -> type[BaseException]:
    import asyncio  # not needed to look

    return asyncio.CancelledError


def asked_for(arguments: Sequence[str]) -> typer.Typer:
    """Return the command tree, of which only the command that is asked for is imported and built: a look takes less than all of them.

    It is whole where no command comes first, or none that is known: help, completion and what is said of a wrong name need all.
    """
    wanted = arguments[0] if arguments else ""
    if wanted in _GROUPS:
        return _tree(groups=[wanted], modules=["about"])
    if (module := next((module for module, names in _SINGLE.items() if wanted in names), None)) is not None:
        return _tree(groups=[], modules=[module, "about" if module != "about" else "watch"], only=wanted)
    return _tree(groups=list(_GROUPS), modules=list(_SINGLE))


def _commands_of(module: str) -> typer.Typer:
    commands = importlib.import_module(f"tieline.cli.tree.{module}").commands
    assert isinstance(commands, typer.Typer)
    return commands


def _tree(*, groups: Sequence[str], modules: Sequence[str], only: str | None = None) -> typer.Typer:
    """Return a tree of some groups and modules; with `only`, of that command and one more, since one alone would be no tree."""
    tree = typer.Typer(
        name="tieline",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=True,
        rich_markup_mode="rich",
        help="Moves records between business systems, keeps them right, and tells you when it can't. New here? `tieline demo` takes a minute.",
        epilog="Exit codes: 0 all is well · 1 someone must act · 2 a file or option is wrong · 3 changes are owed, a system can't be reached · "
        "4 stopped for safety · 5 the store or tieline failed · 130 interrupted",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for module in modules:
        tree.registered_commands += _commands_of(module).registered_commands
    if only is not None:
        mine = [one for one in tree.registered_commands if one.callback is not None and (one.name or one.callback.__name__) == only]
        tree.registered_commands = [*mine, next(one for one in tree.registered_commands if one not in mine)]
    for name in groups:
        module, panel = _GROUPS[name]
        tree.add_typer(_commands_of(module), name=name, rich_help_panel=panel)
    return tree


def run_command_line() -> int:
    """Run the command that was asked for; return its exit code."""
    try:
        tree = typer.main.get_command(asked_for(() if "_TIELINE_COMPLETE" in os.environ else sys.argv[1:]))
        take_plainly(tree)
        code = tree(standalone_mode=False)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # whoever reads had enough, and no one must act; click says 1
            return 0
        return end.code if isinstance(end.code, int) else BROKEN
    except typer.Exit as end:
        return int(end.exit_code)
    except (KeyboardInterrupt, typer.Abort, _cancelled()):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if was_interrupted(error):
            sys.stderr.write("interrupted\n")
            return INTERRUPTED
        show = getattr(error, "show", None)
        if show is not None:  # click's own errors know how to speak
            if "--json" in sys.argv:  # what would have set the mode was never reached
                context = getattr(error, "ctx", None)
                where = context.command_path if context is not None else "tieline"
                output.json_mode = True
                output.json({"error": error.format_message(), "next": f"`{where} --help` says what it takes"})  # type: ignore[attr-defined]
            else:
                show()
            return int(getattr(error, "exit_code", 2))
        if "TIELINE_TRACE" in os.environ:
            raise
        told, next_step = f"{type(error).__name__}: {error}", "run again with TIELINE_TRACE=1 for the whole trace, and report it"
        if "--json" in sys.argv:
            output.json_mode = True
            output.json({"error": f"an error in tieline itself: {told}", "next": next_step})
        else:
            output.stderr.print(f"[red]error in tieline itself[/] {escape(told)}", markup=True)
            output.stderr.print(f" [dim]next[/] {next_step}")
        return BROKEN
    return code if isinstance(code, int) else 0
