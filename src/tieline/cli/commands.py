"""The command tree and its options."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from tieline.cli.output import BROKEN, INTERRUPTED, escape, output, spoken_errors, was_interrupted
from tieline.cli.quick import take_plainly

app = typer.Typer(
    name="tieline", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=True, rich_markup_mode="rich",
    help="Moves records between business systems, keeps them right, and tells you when it can't. New here? `tieline demo` takes a minute.",
    epilog="Exit codes: 0 all is well · 1 someone must act · 2 a file or option is wrong · 3 changes are owed, a system can't be reached · "
    "4 stopped for safety · 5 the store or tieline failed · 130 interrupted",
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
letters = typer.Typer(no_args_is_help=False, help="Deliveries that need a person.", invoke_without_command=True)
app.add_typer(letters, name="dead-letters", rich_help_panel="Decide")
conflicts = typer.Typer(
    no_args_is_help=False, help="Conflicts of two-way integrations: what waits for you, and what was decided.", invoke_without_command=True
)
app.add_typer(conflicts, name="conflicts", rich_help_panel="Decide")
unmatched = typer.Typer(
    no_args_is_help=False, help="Records of two-way integrations that have no counterpart.", invoke_without_command=True
)
app.add_typer(unmatched, name="unmatched", rich_help_panel="Decide")
pairs = typer.Typer(no_args_is_help=True, help="Which record is which.")
app.add_typer(pairs, name="links", rich_help_panel="Decide")
connectors = typer.Typer(no_args_is_help=True, help="Help with describing a vendor's API.")
app.add_typer(connectors, name="connector", rich_help_panel="Set up")

ShowWrites = Annotated[int, typer.Option(help="How many records to show.", min=0)]
Mask = Annotated[bool, typer.Option("--mask", help="Hide personal data, so that the output can be shared.")]
MOST = 2**63 - 1
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Log = Annotated[
    Literal["off", "text", "json"],
    typer.Option("--log", envvar="TIELINE_LOG", help="Log lines on standard error, for a scheduler: what goes wrong, begins and ends."),
]
Folder = Annotated[
    Path, typer.Option("--project", "-p", help="The project folder; this one or the nearest above it by default.", show_default=False)
]
Integration = Annotated[str | None, typer.Argument(help="The integration; all of them without it.", show_default=False)]
OneIntegration = Annotated[str, typer.Argument(help="The integration.")]
OnlySide = Annotated[
    Literal["left", "right"] | None,
    typer.Option("--side", help="With --only, of a two-way integration: the side of that record; left by default.", show_default=False),
]
AllowDeletes = Annotated[
    int | None,
    typer.Option(
        help="The most deletions of this run, in place of what `brakes` allows; of a two-way integration: on each side.",
        min=0, max=MOST, show_default=False,
    ),
]  # fmt: skip
AllowClears = Annotated[
    int | None,
    typer.Option(
        help="Of a two-way integration: the most records of a side in which this run may empty the same field, in place of what `brakes` allows.",
        min=0, max=MOST, show_default=False,
    ),
]  # fmt: skip
Letters = Annotated[list[int] | None, typer.Argument(help="Dead letters by number.", min=1, max=MOST, show_default=False)]
Letter = Annotated[int, typer.Argument(help="The dead letter's number.", min=1, max=MOST)]
Cause = Annotated[str | None, typer.Option(help="Only this cause.", show_default=False)]
Field = Annotated[str | None, typer.Option(help="Only of this field.", show_default=False)]
Shown = Annotated[
    int | None, typer.Option(help="How many to show below the groups: 50, with --json all, without it.", min=1, show_default=False)
]
Groups = Annotated[bool, typer.Option("--groups", help="Only the groups.")]
OfIntegration = Annotated[str | None, typer.Option(help="All of this integration.", show_default=False)]
OfCause = Annotated[str | None, typer.Option(help="All of this cause.", show_default=False)]
OfField = Annotated[str | None, typer.Option(help="All of this field.", show_default=False)]
Most = Annotated[int | None, typer.Option(help="Only so many, the oldest: to try a few first.", min=1, max=MOST, show_default=False)]
Full = Annotated[bool, typer.Option("--full", help="Read the whole source, whatever was read before; what was ignored is looked at again.")]
Moved = Annotated[bool, typer.Option("--moved", help="A system is declared otherwise than before, and is the same: go on with its links.")]
Listed = Annotated[int | None, typer.Option(help="Only so many; 50 without it, all as JSON.", min=1, max=MOST, show_default=False)]
HERE = Path()


@app.command(rich_help_panel="Set up")
def init(
    folder: Annotated[Path | None, typer.Argument(help="The folder to make; asked for without it.", show_default=False)] = None,
    template: Annotated[str | None, typer.Option(help="demo or blank; asked for without it.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Begin a project in a new folder, from a template or by answering questions."""
    output.json_mode = json
    from tieline.cli import begin

    with spoken_errors():
        begin.init(folder, template)


@app.command(rich_help_panel="Set up")
def check(
    live: Annotated[bool, typer.Option("--live", help="Try the connections as well.")] = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Read every file and say what is wrong, unanswered or risky; run the mappings' examples."""
    output.json_mode = json
    from tieline.cli import operate

    with spoken_errors():
        raise SystemExit(operate.check(project, live=live))


@app.command(rich_help_panel="Run")
def plan(
    integration: OneIntegration,
    out: Annotated[Path | None, typer.Option("--out", help="Save the plan, for `run --plan`.", show_default=False)] = None,
    limit: Annotated[
        int | None, typer.Option(help="Look at so many records only; not of a two-way integration.", min=1, show_default=False)
    ] = None,
    only: Annotated[str | None, typer.Option(help="Look at the record with this id only.", show_default=False)] = None,
    side: OnlySide = None,
    full: Full = False,
    moved: Moved = False,
    allow_deletes: AllowDeletes = None,
    allow_clears: AllowClears = None,
    show: ShowWrites = 20,
    mask: Mask = False,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Show what a run would create and update, field by field; of a two-way integration also who is who. Nothing is written."""
    output.json_mode, output.log = json, log
    from tieline.cli import operate
    from tieline.engine.runs.passes import Wanted

    with spoken_errors():
        wanted = Wanted(limit=limit, only=only, side=side, full=full, moved=moved, allow_deletes=allow_deletes, allow_clears=allow_clears)
        raise SystemExit(operate.plan(project, integration, wanted, out=out, show=show, mask=mask))


@app.command(rich_help_panel="Run")
def run(
    integration: Integration = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Carry out a saved plan; refused when the world has changed.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Stop after so many records; not of a two-way integration.", min=1, show_default=False)
    ] = None,
    only: Annotated[str | None, typer.Option(help="Only the record with this id.", show_default=False)] = None,
    side: OnlySide = None,
    full: Full = False,
    moved: Moved = False,
    allow_deletes: AllowDeletes = None,
    allow_clears: AllowClears = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Move what must move, now."""
    output.json_mode, output.log = json, log
    from tieline.cli import operate
    from tieline.engine.runs.passes import Wanted

    with spoken_errors():
        wanted = Wanted(limit=limit, only=only, side=side, full=full, moved=moved, allow_deletes=allow_deletes, allow_clears=allow_clears)
        raise SystemExit(operate.run(project, integration, wanted, plan=plan))


@app.command(rich_help_panel="Run")
def receive(
    host: Annotated[str, typer.Option(help="Where to listen; other machines reach it only if you name another address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes one that is free.", min=0, max=65535)] = 8920,
    url: Annotated[
        str | None,
        typer.Option(help="Where vendors find it, such as `https://hooks.example.com`: what ends TLS before it.", show_default=False),
    ] = None,
    log: Annotated[
        Literal["off", "text", "json"], typer.Option("--log", envvar="TIELINE_LOG", help="Log lines on standard error, of what goes wrong.")
    ] = "text",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Receive webhooks until asked to end. What they tell of is kept, and is taken up by the next run."""
    output.json_mode, output.log = json, log
    from tieline.cli import receiving

    with spoken_errors():
        raise SystemExit(receiving.receive(project, host=host, port=port, url=url))


@app.command(rich_help_panel="Watch")
def status(integration: Integration = None, project: Folder = HERE, json: Json = False) -> None:
    """Show how each integration is doing, one line each, what needs you first; with a name, all of one. The exit code is 1 when you must act."""
    output.json_mode = json
    from tieline.cli import report

    with spoken_errors():
        raise SystemExit(report.status(project, integration))


@app.command(rich_help_panel="Watch")
def verify(
    integration: OneIntegration,
    repair: Annotated[bool, typer.Option("--repair", help="Send again what was changed, or is gone, in the destination.")] = False,
    allow: Annotated[
        int | None,
        typer.Option(
            help="With --repair: the most records that may be gone, in place of `brakes: {deletes: N}`.",
            min=0,
            max=MOST,
            show_default=False,
        ),
    ] = None,
    show: Annotated[int, typer.Option(help="How many records to show.", min=0)] = 20,
    mask: Mask = False,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Read both systems whole and account for every record on either side. Nothing is written without --repair."""
    output.json_mode, output.log = json, log
    from tieline.cli import verifying

    with spoken_errors():
        raise SystemExit(verifying.verify(project, integration, repair=repair, allow=allow, show=show, mask=mask))


@app.command(rich_help_panel="Run")
def undo(
    run: Annotated[int, typer.Argument(help="The run's number; `status` and `explain` tell it.", min=1, max=MOST)],
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be written.")] = False,
    delete_filled: Annotated[
        bool,
        typer.Option("--delete-filled", help="Delete what the run created even where it has values in fields that tieline does not write."),
    ] = False,
    show: ShowWrites = 20,
    log: Log = "off",
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Put back what a run wrote. What somebody has edited since stays as it is, and is listed; what was put back stays until its source changes."""
    output.json_mode, output.log = json, log
    from tieline.cli import undoing

    with spoken_errors():
        raise SystemExit(undoing.undo(project, run, plan=plan, delete_filled=delete_filled, show=show, mask=mask))


@app.command(rich_help_panel="Watch")
def explain(
    connection: Annotated[str, typer.Argument(help="The connection, either side.")],
    resource: Annotated[str, typer.Argument(help="The resource.")],
    id: Annotated[str, typer.Argument(help="The record's id there.")],
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Tell everything that happened to one record, across both systems, in order."""
    output.json_mode = json
    from tieline.cli import report

    with spoken_errors():
        raise SystemExit(report.explain(project, connection, resource, id, mask=mask))


@app.command(rich_help_panel="Watch")
def calls(
    what: Annotated[
        str | None, typer.Argument(metavar="INTEGRATION or NO", help="The integration, or the number of one call.", show_default=False)
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only calls that failed, or in which records were refused.")] = False,
    record: Annotated[
        tuple[str, str, str] | None,
        typer.Option("--record", metavar="CONNECTION RESOURCE ID", help="Only calls about this record of either side.", show_default=False),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only of the last `1h`, or since `2026-01-31T09:30`.", show_default=False)
    ] = None,
    slow: Annotated[str | None, typer.Option("--slow", help="Only calls that took at least so long: `2s`.", show_default=False)] = None,
    run: Annotated[int | None, typer.Option("--run", help="Only calls of this run.", min=1, max=MOST, show_default=False)] = None,
    connection: Annotated[str | None, typer.Option("--connection", help="Only calls of this connection.", show_default=False)] = None,
    status: Annotated[
        int | None, typer.Option("--status", help="Only answers with this status: `429`.", min=100, max=999, show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="The latest so many; 50 without it, all as JSON.", min=1, max=MOST, show_default=False)
    ] = None,
    body: Annotated[bool, typer.Option("--body", help="What was said as well, where it is kept.")] = False,
    mask: Mask = False,
    project: Folder = HERE,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: one line a call.")] = False,
) -> None:
    """Search the journal of calls, or show one whole: request, answer, records, what came of it, what to do next."""
    output.json_mode = json
    from tieline.cli.calls import Filter, show_calls

    with spoken_errors():
        wanted = Filter(record, since, slow, run, connection, status, failed)
        raise SystemExit(show_calls(project, what, wanted, limit=limit, bodies=body, mask=mask))


@conflicts.callback()
def conflicts_alone(context: typer.Context, project: Folder = HERE, json: Json = False) -> None:
    """Conflicts of two-way integrations; without a further command, the list of those that wait for you."""
    if context.invoked_subcommand is None:
        list_conflicts(None, None, False, None, False, project, json)
    elif json or project != HERE:
        raise typer.BadParameter(f"options come after `{context.invoked_subcommand}`")


@conflicts.command("list")
def list_conflicts(
    integration: Integration = None,
    field: Field = None,
    decided: Annotated[
        bool, typer.Option("--decided", help="What was decided instead, newest first: what was kept, and what it overwrote.")
    ] = False,
    limit: Listed = None,
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """List the conflicts that wait for you, with what either side says; or what a policy has decided."""
    output.json_mode = json
    from tieline.cli import conflicts as work

    with spoken_errors():
        listed = work.list_decided if decided else work.list_conflicts
        raise SystemExit(listed(project, integration, field, limit=limit, mask=mask))


@conflicts.command("show")
def show_conflict(
    conflict: Annotated[int, typer.Argument(help="The conflict's number.", min=1, max=MOST)],
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Show one whole: both values of each field, the rule, and where the history of either record is told."""
    output.json_mode = json
    from tieline.cli import conflicts as work

    with spoken_errors():
        raise SystemExit(work.show_conflict(project, conflict, mask=mask))


@conflicts.command("resolve")
def resolve_conflicts(
    conflict: Annotated[list[int] | None, typer.Argument(help="Conflicts by number.", min=1, max=MOST, show_default=False)] = None,
    keep: Annotated[
        Literal["left", "right"] | None,
        typer.Option(help="Which side holds: `left` is that of `from`, `right` that of `to`. If it is deleted, the other is deleted too."),
    ] = None,
    reason: Annotated[str, typer.Option(help="How you know; it stays in the record's history.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All of them, or all of an --integration and a --field.")] = False,
    integration: OfIntegration = None,
    field: OfField = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Say which side holds, and send it to the other. What it overwrites is kept: see `list --decided`."""
    output.json_mode, output.log = json, log
    from tieline.cli import resolving as work

    with spoken_errors():
        chosen = work.Chosen(tuple(conflict or ()), everything, integration, field)
        raise SystemExit(work.resolve(project, chosen, keep, reason))


@conflicts.command("restore")
def restore_values(
    event: Annotated[list[int], typer.Argument(help="Decided conflicts, by the number in `list --decided`.", min=1, max=MOST)],
    reason: Annotated[str, typer.Option(help="Why; it stays in the record's history.")] = "",
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Give back what a decided conflict has overwritten: it is written to both sides. Both are read first."""
    output.json_mode, output.log = json, log
    from tieline.cli import resolving as work

    with spoken_errors():
        raise SystemExit(work.restore(project, tuple(event), reason))


OfSide = Annotated[Literal["left", "right"] | None, typer.Option(help="Only of this side: `left` is that of `from`.", show_default=False)]
Unmatched = Annotated[list[int] | None, typer.Argument(help="Records by number.", min=1, max=MOST, show_default=False)]
Everyone = Annotated[bool, typer.Option("--all", help="All that wait for you, or all of an --integration and a --side.")]
Record = Annotated[
    list[str] | None,
    typer.Option("--record", help="Those that wait for nobody, by their ids on --side of --integration.", show_default=False),
]


@unmatched.callback()
def unmatched_alone(context: typer.Context, project: Folder = HERE, json: Json = False) -> None:
    """Records of two-way integrations that have no counterpart; without a further command, the list of them."""
    if context.invoked_subcommand is None:
        list_unmatched(None, None, False, False, None, False, project, json)
    elif json or project != HERE:
        raise typer.BadParameter(f"options come after `{context.invoked_subcommand}`")


@unmatched.command("list")
def list_unmatched(
    integration: Integration = None,
    side: OfSide = None,
    fuzzy: Annotated[
        bool, typer.Option("--fuzzy", help="With records of the other side that resemble them, by match fields and names.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that wait for nobody: ignored ones, and those that stand for themselves.")
    ] = False,
    limit: Listed = None,
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """List the records without a counterpart that wait for you."""
    output.json_mode = json
    from tieline.cli import unmatched as work

    with spoken_errors():
        raise SystemExit(work.list_unmatched(project, integration, side, fuzzy=fuzzy, everything=everything, limit=limit, mask=mask))


@unmatched.command("link")
def link_unmatched(
    number: Annotated[int, typer.Argument(metavar="NO", help="The record's number.", min=1, max=MOST)],
    id: Annotated[str, typer.Argument(help="The id of its counterpart on the other side.")],
    reason: Annotated[str, typer.Option(help="How you know; it stays in the history of both.")] = "",
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Say which record of the other side is the same thing. They meet at once, as if they had been matched."""
    output.json_mode, output.log = json, log
    from tieline.cli import settling as work

    with spoken_errors():
        raise SystemExit(work.link(project, number, id, reason))


@unmatched.command("create")
def create_unmatched(
    number: Unmatched = None,
    reason: Annotated[str, typer.Option(help="How you know; it stays in the record's history.")] = "",
    everything: Everyone = False,
    integration: OfIntegration = None,
    side: OfSide = None,
    record: Record = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Have their counterparts made on the other side."""
    output.json_mode, output.log = json, log
    from tieline.cli import settling as work

    with spoken_errors():
        chosen = work.Chosen(tuple(number or ()), everything, integration, side, tuple(record or ()))
        raise SystemExit(work.settle(project, chosen, "create", reason))


@unmatched.command("ignore")
def ignore_unmatched(
    number: Unmatched = None,
    reason: Annotated[str, typer.Option(help="Why; it stays in the record's history.")] = "",
    everything: Everyone = False,
    integration: OfIntegration = None,
    side: OfSide = None,
    record: Record = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Leave them as they are: no counterpart is made, and you are not asked again. One that turns up is still matched."""
    output.json_mode, output.log = json, log
    from tieline.cli import settling as work

    with spoken_errors():
        chosen = work.Chosen(tuple(number or ()), everything, integration, side, tuple(record or ()))
        raise SystemExit(work.settle(project, chosen, "ignore", reason))


@pairs.command("list")
def list_links(
    integration: OneIntegration,
    unlinked: Annotated[bool, typer.Option("--unlinked", help="The records that have no counterpart, and why.")] = False,
    limit: Annotated[
        int | None, typer.Option(help="Only so many; 50 without it, all as JSON.", min=1, max=MOST, show_default=False)
    ] = None,
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """List the pairs of records that are the same thing in both systems."""
    output.json_mode = json
    from tieline.cli import links as work

    with spoken_errors():
        raise SystemExit(work.list_links(project, integration, unlinked=unlinked, limit=limit, mask=mask))


@pairs.command()
def link(
    integration: OneIntegration,
    source_id: Annotated[str, typer.Argument(help="The record's id in `from`: the source, or the left side.")],
    target_id: Annotated[str, typer.Argument(help="The id of its counterpart in `to`: the destination, or the right side.")],
    reason: Annotated[str, typer.Option(help="How you know; it stays in the record's history.")] = "",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Say that two records are the same thing. The next run compares them: one way it sends what differs, both ways they meet as if matched."""
    output.json_mode = json
    from tieline.cli import linking

    with spoken_errors():
        raise SystemExit(linking.link(project, integration, source_id, target_id, reason))


@pairs.command()
def unlink(
    integration: OneIntegration,
    source_id: Annotated[str, typer.Argument(help="The record's id in `from`: the source, or the left side.")],
    reason: Annotated[str, typer.Option(help="Why; it stays in the record's history.")] = "",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Take two records apart; both stay as they are. One way, the source record is matched anew; both ways, each stands for itself."""
    output.json_mode = json
    from tieline.cli import linking

    with spoken_errors():
        raise SystemExit(linking.unlink(project, integration, source_id, reason))


@pairs.command()
def adopt(
    old: Annotated[str, typer.Argument(help="What the integration was called: it has no file any more.")],
    new: Annotated[str, typer.Argument(help="What it is called now.")],
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Go on with a renamed integration: links, open letters, cursors and history of the old name are the new one's."""
    output.json_mode = json
    from tieline.cli import linking

    with spoken_errors():
        raise SystemExit(linking.adopt(project, old, new))


@pairs.command()
def retire(
    old: Annotated[str, typer.Argument(help="An integration that has no file any more.")],
    reason: Annotated[str, typer.Option(help="Why; it stays in the history of its records.")] = "",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Say that an integration without a file is at its end. Its open letters are given up; another may join what it joined."""
    output.json_mode = json
    from tieline.cli import linking

    with spoken_errors():
        raise SystemExit(linking.retire(project, old, reason))


@letters.callback()
def dead_letters(
    context: typer.Context,
    cause: Cause = None,
    field: Field = None,
    limit: Shown = None,
    groups: Groups = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Deliveries that need a person; without a further command, the list of them."""
    if context.invoked_subcommand is None:
        list_letters(None, cause, field, limit, groups, False, project, json)
    elif json or groups or limit is not None or cause is not None or field is not None or project != HERE:
        raise typer.BadParameter(f"options come after `{context.invoked_subcommand}`")


@letters.command("list")
def list_letters(
    integration: Integration = None,
    cause: Cause = None,
    field: Field = None,
    limit: Shown = None,
    groups: Groups = False,
    mask: Mask = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """List what needs a person: groups of one cause, field and rule first, each with the command that deals with all of it."""
    output.json_mode = json
    from tieline.cli import letters as work

    with spoken_errors():
        which = work.Which((), integration, cause, field, limit)
        raise SystemExit(work.list_letters(project, which, groups_only=groups, mask=mask))


@letters.command()
def show(letter: Letter, mask: Mask = False, project: Folder = HERE, json: Json = False) -> None:
    """Show one whole: record, request, answer, reason, and the rule as it stands in the file now."""
    output.json_mode = json
    from tieline.cli import letters as work

    with spoken_errors():
        raise SystemExit(work.show_letter(project, letter, mask=mask))


@letters.command()
def edit(
    letter: Letter,
    set: Annotated[  # noqa: A002 - the option's name
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of the source record; VALUE is JSON, or text.", show_default=False)
    ] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Mend the record that a dead letter keeps (in $EDITOR without --set). Send it with `redrive`."""
    output.json_mode = json
    from tieline.cli import redriving as work

    with spoken_errors():
        raise SystemExit(work.edit_letter(project, letter, set or []))


@letters.command()
def redrive(
    letter: Letters = None,
    integration: OfIntegration = None,
    cause: OfCause = None,
    field: OfField = None,
    rate: Annotated[
        str | None, typer.Option(help="How fast: 5/s, 10/m or 100/h, on top of the connection's limits.", show_default=False)
    ] = None,
    limit: Most = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Decide dead letters again, with today's mapping, oldest first, and send them. Interrupted, the same command goes on."""
    output.json_mode, output.log = json, log
    from tieline.cli import redriving as work
    from tieline.cli.letters import Which

    with spoken_errors():
        which = Which(tuple(letter or ()), integration, cause, field, limit)
        raise SystemExit(work.redrive(project, which, rate))


@letters.command()
def resolve(
    letter: Letters = None,
    target: Annotated[str | None, typer.Option("--as", help="It is this record of the destination: link them.", show_default=False)] = None,
    not_done: Annotated[bool, typer.Option("--not-done", help="It was never made: send it again.")] = False,
    keep: Annotated[
        Literal["source", "target"] | None,
        typer.Option(help="Whose values hold where they differ: source sends, target leaves.", show_default=False),
    ] = None,
    reason: Annotated[str, typer.Option(help="How you know; it stays in the record's history.")] = "",
    integration: OfIntegration = None,
    cause: OfCause = None,
    field: OfField = None,
    limit: Most = None,
    log: Log = "off",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Say what tieline can't find out: which record it is, that it was never made, or whose values hold. Then it goes on."""
    output.json_mode, output.log = json, log
    from tieline.cli import redriving as work
    from tieline.cli.letters import Which
    from tieline.engine.runs.redrive import Settlement

    with spoken_errors():
        which = Which(tuple(letter or ()), integration, cause, field, limit)
        raise SystemExit(work.resolve(project, which, Settlement(reason, target, not_done, keep)))


@letters.command()
def discard(
    letter: Letters = None,
    reason: Annotated[str, typer.Option(help="Why; it stays in the record's history.")] = "",
    integration: OfIntegration = None,
    cause: OfCause = None,
    field: OfField = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Give up on dead letters, for a reason. A later version of the record goes its way as any other."""
    output.json_mode = json
    from tieline.cli import redriving as work
    from tieline.cli.letters import Which

    with spoken_errors():
        raise SystemExit(work.discard(project, Which(tuple(letter or ()), integration, cause, field), reason))


@connectors.command("list")
def connector_list(json: Json = False) -> None:
    """List the connectors that come with tieline: a connection that names one needs no file."""
    output.json_mode = json
    from tieline.cli import catalogue

    with spoken_errors():
        raise SystemExit(catalogue.show_list())


@connectors.command("show")
def connector_show(
    name: Annotated[str, typer.Argument(help="The connector, such as `pipedrive`.")],
    json: Json = False,
) -> None:
    """Print the file of a connector that comes with tieline."""
    output.json_mode = json
    from tieline.cli import catalogue

    with spoken_errors():
        raise SystemExit(catalogue.show(name))


@connectors.command("add")
def connector_add(
    name: Annotated[str, typer.Argument(help="The connector, such as `pipedrive`.")],
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Copy a connector that comes with tieline into `connectors/`: it is yours then, to change, and no new version changes it."""
    output.json_mode = json
    from tieline.cli import catalogue

    with spoken_errors():
        raise SystemExit(catalogue.add(project, name))


@connectors.command()
def sample(
    resource: Annotated[str, typer.Argument(metavar="CONNECTION.RESOURCE", help="The resource, such as `crm.contacts`.")],
    write: Annotated[
        bool, typer.Option("--write", help="Put them into the connector's file, where the resource declares no field yet.")
    ] = False,
    of_file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="A file with an answer of the API, or records; nothing is called.", show_default=False),
    ] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Read a page of records and print the fields that they have, as `fields:` of a connector; of those that it does not declare yet."""
    output.json_mode = json
    from tieline.cli import sampling

    with spoken_errors():
        raise SystemExit(sampling.sample(project, resource, write=write, of_file=of_file))


@app.command(rich_help_panel="Set up")
def schema(
    kind: Annotated[
        str | None, typer.Argument(help="tieline, connector, connections or integration; all without it.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write one file a kind into this folder.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Print the JSON Schema of the files, for an editor's completion and checks."""
    output.json_mode = json
    from tieline.cli import begin

    with spoken_errors():
        raise SystemExit(begin.schema(kind, out))


@app.command(rich_help_panel="Set up")
def demo(
    folder: Annotated[Path, typer.Option(help="Where the project folder is made.")] = Path("tieline-demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the sandbox systems running afterwards, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show the whole: two sandbox systems, one integration, a bad record, and how it is explained and mended."""
    output.json_mode = json
    from tieline.cli import demo as demonstration

    with spoken_errors():
        raise SystemExit(demonstration.demo(folder, keep=keep))


@app.command(rich_help_panel="Project")
def version(json: Json = False) -> None:
    """Print the version."""
    from tieline._version import __version__

    if json:
        output.json_mode = True
        output.json({"version": __version__})
    else:
        output.print(f"tieline {__version__}")


def _cancelled() -> type[BaseException]:
    import asyncio  # not needed to look

    return asyncio.CancelledError


def asked_for(arguments: Sequence[str]) -> typer.Typer:
    """Return the command tree, of which only the command that is asked for needs to be built: a look takes less than all of them.

    It is whole where no command comes first, or none that is known: help, completion and what is said of a wrong name need all.
    """
    wanted = arguments[0] if arguments else ""
    commands = [one for one in app.registered_commands if one.callback is not None and (one.name or one.callback.__name__) == wanted]
    groups = [one for one in app.registered_groups if one.name == wanted]
    if not commands and not groups:
        return app
    some = copy.copy(app)
    # A second command, because `typer` makes a tree of one command that command.
    second = next(one for one in app.registered_commands if one not in commands)
    some.registered_commands = [*commands, second]
    some.registered_groups = groups
    return some


def run_command_line() -> int:
    """Run the command that was asked for; return its exit code."""
    try:
        tree = typer.main.get_command(asked_for(() if "_TIELINE_COMPLETE" in os.environ else sys.argv[1:]))
        take_plainly(tree)
        code = tree(standalone_mode=False)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # whoever reads had enough, and nobody must act; click says 1
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
