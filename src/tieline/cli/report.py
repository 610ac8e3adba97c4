"""Commands that only look: status, explain, the list of dead letters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tieline.cli.layout import Span, Whole
from tieline.cli.opening import looked_at
from tieline.cli.output import ACT, OK, OWED, STATE_STYLES, WRONG, age, output, plain, plural, tried_again, value_text, when
from tieline.cli.overview import print_overview, progress_in_words
from tieline.cli.recognised import in_order, match_fields
from tieline.looking import Looking
from tieline.model.paths import get
from tieline.model.records import ABSENT, decode_json
from tieline.model.verified import Verified
from tieline.observe.explain import Moment, Story
from tieline.observe.limits import LimitUse
from tieline.observe.status import IntegrationStatus, WebhooksStatus
from tieline.store import outbox

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
    output.hanging((entry.integration, "bold"), " ", (entry.state, style), "  ", (entry.purpose or "", "dim"), hang=12)
    if entry.wrong:
        more = f", and {len(entry.wrong) - 1} more" if len(entry.wrong) > 1 else ""
        output.labelled("files", (f"can't be used, so it does not run: {entry.wrong[0]}{more}", "red"), style="red")
    if entry.no_file:
        output.labelled("no file", (f"integrations/{entry.integration}.yaml is gone: {entry.no_file}", "red"), style="red")
    if entry.running:
        output.labelled("running", f"by {entry.running}: {progress_in_words(entry)}, {plural(entry.calls.get('calls', 0), 'call')} so far")
    if entry.last_run is None:
        output.labelled("last run", "never: `tieline plan` shows what it would do")
        return
    if entry.running and entry.last_run_seconds is None:
        output.labelled("run", f"{entry.last_run}, begun {when(entry.last_run_at)}")
    else:
        _print_last_run(entry, style)
    rate = f", {entry.success_rate:.1%} of what could be sent arrived" if entry.success_rate is not None else ""
    if (pairs := entry.pairs) is not None:
        output.labelled("pairs", f"{pairs.in_sync:,} in sync, {pairs.excluded:,} excluded, {pairs.held:,} held, {pairs.failing:,} failing")
        if pairs.staged:
            output.labelled("staged", f"{plural(pairs.staged, 'change')} read and not decided yet, since {when(pairs.staged_since)}")
    output.labelled("records", f"{entry.linked} linked, {entry.delivered} delivered{rate}")
    output.labelled("open", f"{entry.owed} owed, {entry.held} held, {entry.parked} parked")
    promise = f", promised {age(entry.freshness_promise)}" if entry.freshness_promise else ""
    late = entry.freshness_age is not None and entry.freshness_promise is not None and entry.freshness_age > entry.freshness_promise
    words = f"{age(entry.freshness_age)}{promise}" if entry.watermark else f"not known before the first complete run{promise}"
    output.labelled("freshness", (words, "red" if late else "green" if entry.watermark else "dim"))
    if entry.watermark is not None:
        output.labelled("watermark", f"{when(entry.watermark)}: everything older has arrived, or is named above")
    if entry.verified is not None:
        output.labelled("verified", f"{when(entry.verified.at)}: ", *_verified_in_words(entry.verified))
        if entry.verified.wrong and entry.verified.mended_by is None:
            output.labelled("", (f"`tieline verify {entry.integration}` tells which, and whether they still are", "dim"))
    for hooks in entry.webhooks:
        output.labelled("webhooks", f"{hooks.connection}: {_webhooks_in_words(hooks)}")
    calls = entry.calls
    if calls.get("calls"):
        waited = calls["mean_waited_seconds"]
        output.labelled(
            "calls",
            f"{calls['calls']} in the last run, {calls['failed']} failed, {calls['mean_seconds'] * 1000:.0f} ms on average"
            + (f", after waiting {age(waited)} for the limits" if waited >= 0.01 else ""),
        )
    for limit in entry.limits:
        output.labelled("limits", f"{limit.connection}: {_limit_in_words(limit)}")
    for wait in entry.waiting:
        output.labelled("waiting", (f"until {when(wait.until)} for {wait.connection}: {wait.why}", "cyan"), style="cyan")
    for down in entry.outages:
        told = f"{down.connection} since {when(down.since)}: {down.why}; {tried_again(down.next_try_at)}"
        output.labelled("down", (told, "yellow"), style="yellow")
    if entry.next_try_at is not None and not entry.waiting and not entry.outages:
        output.labelled("next try", f"the first of what is owed is due at {when(entry.next_try_at)}")
    for hint in entry.advice:
        output.labelled("advice", (hint, "yellow"), style="yellow")
    for notice in entry.notices:
        output.labelled("notice", (notice, "yellow"), style="yellow")
    if entry.state in ("attention", "failed", "halted", "late"):
        output.labelled("who", (f"{entry.owner or 'no owner is named'}: {_what_to_do(entry)}", "dim"))


def _print_last_run(entry: IntegrationStatus, style: str) -> None:
    read = entry.counts.get("read", 0)
    counts = " + ".join(f"{number} {key}" for key, number in entry.counts.items() if number and key not in _NOT_SHOWN) or "nothing"
    what = f"{read} read = {counts}" if read else "nothing read"
    output.labelled("last run", f"{entry.last_run}, {when(entry.last_run_at)}, took {age(entry.last_run_seconds)}: {what}")
    if missing := entry.counts.get("missing"):
        output.labelled("missing", f"{missing} records could not be read: a system says that it has them, and did not show them")
    if entry.error:
        output.labelled("", (entry.error, style))


def _verified_in_words(verified: Verified) -> list[Span]:
    wrong = (f"{verified.wrong:,} not as they should be", "yellow") if verified.wrong else "none astray"
    since = f"; run {verified.mended_by} has sent again since what went astray" if verified.mended_by is not None else ""
    return [f"{verified.in_sync:,} in sync, {verified.excluded:,} excluded, ", wrong, since]


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
        from tieline.engine.runs.passes import UNDATED_NEXT, undated_text  # slow to import

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
                hide_story(project, story)
        if output.json_mode:
            output.json([plain(story) for story in stories])
            return OK
        if not stories:
            output.hanging(Whole(f"{connection}.{resource} {id}"), ": no integration has met this record")
            if unread := sorted({*project.project.unusable} - {*project.project.integrations}):
                output.hanging((f"what {', '.join(unread)} did is not known: it can't be read from where to where it goes", "dim"))
            told = "it was never read, or its history is older than `retention: history`; `tieline run --only` reads it now"
            output.hanging((told, "dim"))
            return OK
        for story in stories:
            _print_story(project, story)
            pages = [(story.source, story.source_id), (story.target, story.target_id)]
            for place, there in pages:
                if there and (page := project.page_of(place, there)) is not None:
                    output.labelled("see", page, room=11)
        return OK


def hide_story(project: Looking, story: Story) -> None:
    """Hide the personal values of a story: of its records, of what was sent and refused, and in the calls that were made for it."""
    seen: list[dict[str, Any] | None] = [story.last_seen, story.last_agreed]
    for moment in story.moments:
        seen += [moment.fields, moment.before, {str((moment.why or {}).get("field") or ""): (moment.why or {}).get("value")}]
        found = outbox.get(project.db, moment.delivery) if moment.delivery is not None else None
        if found is not None and found[1].record:
            seen.append(decode_json(found[1].record))
        if moment.call is not None:
            project.hide_personal(moment.call)
    output.hide(personal_values(project, story.integration, seen))


def _print_story(project: Looking, story: Story) -> None:
    here, there = (
        (Whole(f"{place} {id}" if id else f"nothing in {place} yet"), "bold")
        for place, id in ((story.source, story.source_id), (story.target, story.target_id))
    )
    output.hanging(here, " ↔ " if story.two_way else " → ", there, (f"  {story.integration}, {story.verdict}", "dim"), hang=2)
    for moment in story.moments:
        _print_moment(moment)
    sides = (("left", story.last_seen, "left says" if story.two_way else "last seen"),
             ("right", story.last_agreed, "right says" if story.two_way else "last agreed"))  # fmt: skip
    for side, said, label in sides:
        if said:
            keys = match_fields(project, story.integration, side)
            output.labelled(label, _fields(in_order(said, keys)), room=11)


def _print_moment(moment: Moment) -> None:
    number = f" run {moment.run}" if moment.run else ""
    to = f" → {moment.to}" if moment.to and moment.what in ("accepted", "delivered") else ""
    style = _MOMENT_STYLES.get(moment.what, "")
    output.hanging("  ", Whole(when(moment.at)), (number, "dim"), "  ", (moment.what, style), "  ", moment.text, (to, "dim"), hang=6)
    for address, value in (moment.fields or {}).items() if moment.what == "accepted" else ():
        was = f"{value_text(moment.before[address])} → " if moment.before and address in moment.before else ""
        output.hanging(f"      {address}: {was}{value_text(value)}", hang=8)
    if moment.why and moment.why.get("rule"):
        output.hanging("      ", ("rule", "dim"), " ", str(moment.why["rule"]), hang=11)
    if moment.what == "owed" and moment.why and moment.why.get("next"):
        output.hanging("      ", ("next", "dim"), " ", str(moment.why["next"]), hang=11)
    if moment.call is not None:
        call = moment.call
        answer = f"{call.status}" if call.status is not None else f"no answer ({call.failure})"
        waited = f", waited {age(call.waited)} for the limit" if call.waited > 0.05 else ""
        told = f" {call.method} {call.url} → {answer} in {call.seconds * 1000:.0f} ms{waited}"
        output.hanging("      ", (f"call {call.id}", "dim"), told, hang=8)
        if call.answer:
            output.hanging("      ", ("answer", "dim"), f" {call.answer}", hang=13)


def _fields(values: dict[str, Any]) -> str:
    return ", ".join(f"{address}={value_text(value)}" for address, value in values.items())


def personal_values(project: Looking, integration: str, parts: Iterable[dict[str, Any] | None]) -> list[Any]:
    """Return the values of fields that are marked as personal data, in records (nested) or fields (by address)."""
    addresses = project.personal_fields(integration)
    found = [value for part in parts if part for address in addresses for value in (part.get(address), get(part, address))]
    return [value for value in found if value not in (None, ABSENT, "")]
