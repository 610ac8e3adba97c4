"""Commands that only look: status, explain, the list of dead letters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tieline.cli.opening import looked_at
from tieline.cli.output import ACT, OK, OWED, STATE_STYLES, WRONG, age, escape, output, plain, plural, tried_again, value_text, when
from tieline.cli.overview import print_overview
from tieline.looking import Looking
from tieline.model.paths import get
from tieline.model.records import ABSENT
from tieline.model.verified import Verified
from tieline.observe.explain import Moment, Story
from tieline.observe.limits import LimitUse
from tieline.observe.status import IntegrationStatus, WebhooksStatus

_MOMENT_STYLES = {
    "delivered": "green",
    "parked": "red",
    "held": "magenta",
    "owed": "yellow",
    "accepted": "cyan",
    "set aside": "red",
    "resolved": "green",
}


def status(folder: Path, name: str | None) -> int:
    """Say how each integration is doing."""
    with looked_at(folder) as project:
        names = project.names(name, gone=True)
        found = [entry for entry in project.status() if name is None or entry.integration in names]
        if output.json_mode:
            output.json([plain(entry) for entry in found])
        else:
            if len(found) > 1 and name is None:
                print_overview(found, project.clock.now())
            else:
                for entry in found:
                    _print_status(entry)
            if not found:
                output.print("there is no integration in this project")
        if any(entry.wrong for entry in found):
            return WRONG
        if any(entry.needs_someone for entry in found):
            return ACT
        return OWED if any(entry.owed or entry.state in ("owed", "waiting") for entry in found) else OK


def _print_status(entry: IntegrationStatus) -> None:
    style = STATE_STYLES.get(entry.state, "")
    output.console.print(f"[bold]{escape(entry.integration)}[/] [{style}]{entry.state}[/]  [dim]{escape(entry.purpose or '')}[/]")
    if entry.wrong:
        more = f", and {len(entry.wrong) - 1} more" if len(entry.wrong) > 1 else ""
        output.console.print(f"  [red]files     can't be used, so it does not run: {escape(entry.wrong[0])}{more}[/]")
    if entry.no_file:
        output.console.print(f"  [red]no file   integrations/{escape(entry.integration)}.yaml is gone: {escape(entry.no_file)}[/]")
    if entry.running:
        output.print(f"  running   by {entry.running}: {plural(entry.calls.get('calls', 0), 'call')} so far")
    if entry.last_run is None:
        output.print("  last run  never: `tieline plan` shows what it would do")
        return
    read = entry.counts.get("read", 0)
    counts = " + ".join(f"{number} {key}" for key, number in entry.counts.items() if number and key not in _NOT_SHOWN) or "nothing"
    what = f"{read} read = {counts}" if read else "nothing read"
    output.print(f"  last run  {entry.last_run}, {when(entry.last_run_at)}, took {age(entry.last_run_seconds)}: {what}")
    if missing := entry.counts.get("missing"):
        output.print(f"  missing   {missing} records could not be read: a system says that it has them, and did not show them")
    if entry.error:
        output.console.print(f"            [{style}]{escape(entry.error)}[/]")
    rate = f", {entry.success_rate:.1%} of what could be sent arrived" if entry.success_rate is not None else ""
    if (pairs := entry.pairs) is not None:
        output.print(f"  pairs     {pairs.in_sync:,} in sync, {pairs.excluded:,} excluded, {pairs.held:,} held, {pairs.failing:,} failing")
        if pairs.staged:
            output.print(f"  staged    {plural(pairs.staged, 'change')} read and not decided yet, since {when(pairs.staged_since)}")
    output.print(f"  records   {entry.linked} linked, {entry.delivered} delivered{rate}")
    output.print(f"  open      {entry.owed} owed, {entry.held} held, {entry.parked} parked")
    promise = f", promised {age(entry.freshness_promise)}" if entry.freshness_promise else ""
    late = entry.freshness_age is not None and entry.freshness_promise is not None and entry.freshness_age > entry.freshness_promise
    words = f"{age(entry.freshness_age)}{promise}" if entry.watermark else f"not known before the first complete run{promise}"
    output.console.print(f"  freshness [{'red' if late else 'green' if entry.watermark else 'dim'}]{words}[/]")
    if entry.watermark is not None:
        output.print(f"  watermark {when(entry.watermark)}: everything older has arrived, or is named above")
    if entry.verified is not None:
        output.console.print(f"  verified  {when(entry.verified.at)}: {_verified_in_words(entry.verified)}")
        if entry.verified.wrong and entry.verified.mended_by is None:
            output.print(f"            `tieline verify {entry.integration}` tells which, and whether they still are", style="dim")
    for hooks in entry.webhooks:
        output.print(f"  webhooks  {hooks.connection}: {_webhooks_in_words(hooks)}")
    calls = entry.calls
    if calls.get("calls"):
        waited = calls["mean_waited_seconds"]
        output.print(
            f"  calls     {calls['calls']} in the last run, {calls['failed']} failed, {calls['mean_seconds'] * 1000:.0f} ms on average"
            + (f", after waiting {age(waited)} for the limits" if waited >= 0.01 else "")
        )
    for limit in entry.limits:
        output.print(f"  limits    {limit.connection}: {_limit_in_words(limit)}")
    for wait in entry.waiting:
        output.console.print(f"  [cyan]waiting   until {when(wait.until)} for {escape(wait.connection)}: {escape(wait.why)}[/]")
    for down in entry.outages:
        output.console.print(
            f"  [yellow]down      {escape(down.connection)} since {when(down.since)}: {escape(down.why)}; {tried_again(down.next_try_at)}[/]"
        )
    if entry.next_try_at is not None and not entry.waiting and not entry.outages:
        output.print(f"  next try  the first of what is owed is due at {when(entry.next_try_at)}")
    for hint in entry.advice:
        output.console.print(f"  [yellow]advice    {escape(hint)}[/]")
    for notice in entry.notices:
        output.console.print(f"  [yellow]notice    {escape(notice)}[/]")
    if entry.state in ("attention", "failed", "halted", "late"):
        output.console.print(f"  [dim]who       {escape(entry.owner or 'no owner is named')}: {escape(_what_to_do(entry))}[/]")


def _verified_in_words(verified: Verified) -> str:
    wrong = f"[yellow]{verified.wrong:,} not as they should be[/]" if verified.wrong else "none astray"
    mended = f"; run {verified.mended_by} has sent again since what went astray" if verified.mended_by is not None else ""
    return f"{verified.in_sync:,} in sync, {verified.excluded:,} excluded, {wrong}{mended}"


def _webhooks_in_words(hooks: WebhooksStatus) -> str:
    came = f"the last one came {when(hooks.last_at)}, {hooks.waiting:,} wait for the next run" if hooks.last_at else "none has come yet"
    counts = [
        (hooks.refused, f"refused because they were not verified, the last one {when(hooks.refused_at)}"),
        (hooks.unusable, "not as the connector says that they look"),
        (hooks.ignored, "of types that no resource declares"),
    ]
    return "; ".join([came, *(f"{number:,} {words}" for number, words in counts if number)])


def _limit_in_words(limit: LimitUse) -> str:
    learned = "learned " if limit.learned else ""
    if limit.share is None:
        return f"{learned}{limit.limit}"
    return f"{learned}{limit.limit}, {limit.share:.0%} used" + ("" if limit.by_all else " by the last run")


_NOT_SHOWN = (
    "read",
    "matched",
    "repeated",
    "pages",
    "total",
    "missing",
    "undated",
    "expired",
    "redeclared",
    "remembered",
    "not_modified",
    "webhooks",
    "carried_delivered",
    "carried_parked",
    "carried_owed",
)


def _what_to_do(entry: IntegrationStatus) -> str:
    if entry.state == "late" and entry.waiting:
        last = max(entry.waiting, key=lambda waiting: waiting.until)
        return (
            f"nothing can leave for {last.connection} before {when(last.until)}: {last.why}; a run after that goes on. "
            "If that is too late, ask the vendor for more"
        )
    if entry.state == "late" and entry.outages:
        down = entry.outages[0]
        return f"find out with the owner of {down.connection} why it does not answer; {tried_again(down.next_try_at)}"
    if entry.state == "late":
        return f"run it (`tieline run {entry.integration}`), and see to it that it is scheduled often enough"
    if entry.pairs is not None and (entry.parked or entry.held):
        return "see `tieline conflicts list`, `tieline unmatched list` and `tieline dead-letters`"
    if entry.parked or entry.held:
        return "see `tieline dead-letters`"
    if entry.state == "attention" and entry.counts.get("undated"):
        from tieline.engine.passes import UNDATED_NEXT, undated_text  # slow to import

        return f"{UNDATED_NEXT}: {undated_text(entry.counts['undated'])}"
    if entry.state == "halted" and entry.kept_too_long:
        when_again = f"; {tried_again(entry.outages[0].next_try_at)}" if entry.outages else ""
        return (
            f"find out with the owner of the destination why it does not take what is owed, or raise `keep`; then run it again{when_again}"
        )
    if entry.state == "halted":
        return f"see the error above; `tieline plan {entry.integration}` shows what is to be done"
    return "see the error above, then run it again"


def explain(folder: Path, connection: str, resource: str, id: str, *, mask: bool) -> int:
    """Tell everything that happened to one record."""
    with looked_at(folder) as project:
        stories = project.explain(connection, resource, id)
        if mask:
            for story in stories:
                seen = [story.last_seen, story.last_agreed, *(m.fields for m in story.moments), *(m.before for m in story.moments)]
                output.hide(personal_values(project, story.integration, seen))
        if output.json_mode:
            output.json([plain(story) for story in stories])
            return OK
        if not stories:
            output.print(f"{connection}.{resource} {id}: no integration has met this record")
            if unread := sorted({*project.project.unusable} - {*project.project.integrations}):
                output.print(f"what {', '.join(unread)} did is not known: it can't be read from where to where it goes", style="dim")
            output.print(
                "it was never read, or its history is older than `retention: history`; `tieline run --only` reads it now", style="dim"
            )
            return OK
        for story in stories:
            _print_story(story)
            pages = [(story.source, story.source_id), (story.target, story.target_id)]
            for place, there in pages:
                if there and (page := project.page_of(place, there)) is not None:
                    output.console.print(f"  [dim]see[/]         {escape(page)}")
        return OK


def _print_story(story: Story) -> None:
    there = f"{story.target} {story.target_id}" if story.target_id else f"nothing in {story.target} yet"
    here = f"{story.source} {story.source_id}" if story.source_id else f"nothing in {story.source} yet"
    output.console.print(
        f"[bold]{escape(here)}[/] {'↔' if story.two_way else '→'} [bold]{escape(there)}[/]  [dim]{escape(story.integration)}, {story.verdict}[/]"
    )
    for moment in story.moments:
        _print_moment(moment)
    if story.last_seen:
        output.console.print(f"  [dim]{'left says' if story.two_way else 'last seen'}[/]   {escape(_fields(story.last_seen))}")
    if story.last_agreed:
        output.console.print(f"  [dim]{'right says ' if story.two_way else 'last agreed'}[/] {escape(_fields(story.last_agreed))}")


def _print_moment(moment: Moment) -> None:
    style = _MOMENT_STYLES.get(moment.what, "")
    number = f" [dim]run {moment.run}[/]" if moment.run else ""
    what = f"[{style}]{escape(moment.what)}[/]" if style else escape(moment.what)
    to = f" [dim]→ {escape(moment.to)}[/]" if moment.to and moment.what in ("accepted", "delivered") else ""
    output.console.print(f"  {when(moment.at)}{number}  {what}  {escape(moment.text)}{to}")
    for address, value in (moment.fields or {}).items() if moment.what == "accepted" else ():
        was = f"{value_text(moment.before[address])} → " if moment.before and address in moment.before else ""
        output.console.print(f"      {escape(address)}: {escape(was)}{escape(value_text(value))}")
    if moment.why and moment.why.get("rule"):
        output.console.print(f"      [dim]rule[/] {escape(str(moment.why['rule']))}")
    if moment.call is not None:
        call = moment.call
        answer = f"{call.status}" if call.status is not None else f"no answer ({call.failure})"
        waited = f", waited {age(call.waited)} for the limit" if call.waited > 0.05 else ""
        output.console.print(
            f"      [dim]call {call.id}[/] {escape(call.method)} {escape(call.url)} → {escape(answer)} in {call.seconds * 1000:.0f} ms{waited}"
        )
        if call.answer:
            output.console.print(f"      [dim]answer[/] {escape(call.answer)}")


def _fields(values: dict[str, Any]) -> str:
    return ", ".join(f"{address}={value_text(value)}" for address, value in values.items())


def personal_values(project: Looking, integration: str, parts: Iterable[dict[str, Any] | None]) -> list[Any]:
    """Return the values of fields that are marked as personal data, in records (nested) or fields (by address)."""
    addresses = project.personal_fields(integration)
    found = [value for part in parts if part for address in addresses for value in (part.get(address), get(part, address))]
    return [value for value in found if value not in (None, ABSENT, "")]
