"""Everything that happened to one record, across both systems, in order."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tieline.model.records import decode_json
from tieline.store import calls, journal, letters, links, outbox, pairs, runs, staged
from tieline.store.calls import Call
from tieline.store.database import Database
from tieline.store.delivery import Delivery
from tieline.store.journal import Event
from tieline.store.pairs import Side

if TYPE_CHECKING:
    from tieline.config.models.integrations import Integration

_LOOK_UPS = ("find", "get", "list")


class Moment(msgspec.Struct):
    """One thing that happened."""

    at: float
    what: str
    """accepted, attempt, look-up, delivered, parked, held, set aside, superseded, resolved, discarded, owed, or an event's name."""
    text: str
    run: int | None = None
    delivery: int | None = None
    fields: dict[str, Any] | None = None
    before: dict[str, Any] | None = None
    call: Call | None = None
    why: dict[str, Any] | None = None
    to: str | None = None
    """Of a two-way integration: where it went, or was to go."""


class Story(msgspec.Struct):
    """A record's life in one integration."""

    integration: str
    source: str
    source_id: str
    target: str
    target_id: str | None
    verdict: str
    last_seen: dict[str, Any]
    """The source's fields that the mapping uses, as last read; of a two-way integration, what stands on the left."""
    last_agreed: dict[str, Any] | None
    """The destination's fields, as last confirmed; of a two-way integration, what stands on the right."""
    moments: list[Moment]
    two_way: bool = False
    """Whether `source` is the left side and `target` the right one; an id is empty where there is no record."""


def explain(db: Database, integrations: Mapping[str, Integration], connection: str, resource: str, id: str) -> list[Story]:
    """Return the stories of a record, one for each integration that has met it."""
    place = f"{connection}.{resource}"
    stories = []
    for name, spec in sorted(integrations.items()):
        known = runs.state_of(db, name)
        if known is None:
            continue
        if spec.two_way:
            for side, end in (("left", spec.source), ("right", spec.target)):
                if end == place and (story := story_of_pair(db, name, spec, known.id, "left" if side == "left" else "right", id)):
                    stories.append(story)
            continue
        if spec.source == place and (story := _story(db, name, spec, known.id, links.of_sources(db, known.id, [id]).get(id), id)):
            stories.append(story)
        if spec.target == place:
            link = links.of_targets(db, known.id, [id]).get(id)
            if link is not None and (story := _story(db, name, spec, known.id, link, link.source_id)):
                stories.append(story)
    return stories


def _story(db: Database, name: str, spec: Integration, number: int, link: links.Link | None, source_id: str) -> Story | None:
    deliveries = outbox.of_record(db, number, source_id)
    events = journal.events_of(db, number, source_id)
    if link is None and not deliveries and not events:
        return None
    target_id = (link.target_id if link else None) or next((d.target_id for d in reversed(deliveries) if d.target_id), None)
    moments = told_of(db, deliveries, events, calls.named_of(db, number, source_id), target_id)
    put_in_order(moments)
    return Story(
        name, spec.source, source_id, spec.target, target_id,
        link.verdict if link else "deleted",
        decode_json(link.source_shadow) if link else {}, decode_json(link.target_shadow) if link and link.target_id and link.target_shadow else None, moments,
    )  # fmt: skip


def told_of(
    db: Database, deliveries: Sequence[Delivery], events: Sequence[Event], named: Sequence[Call], target_id: str | None
) -> list[Moment]:
    """Return what happened to a record on its way to the other system, in no order; `named` are the calls that were about it."""
    settling = calls.by_id(db, [d.call for d in deliveries if d.call is not None])
    moments = [Moment(event.at, event.kind, _event_text(event.detail), event.run) for event in events]
    for delivery, successor, of in itertools.zip_longest(deliveries, deliveries[1:], _targets(deliveries, target_id)):
        moments += _moments(delivery, of, settling, successor)
    moments += _resolved(deliveries)
    # A call that a delivery names is told with it; what is left are the attempts before, and what was looked up.
    told = {moment.call.id for moment in moments if moment.call is not None}
    return moments + [_attempt(call) for call in named if call.id not in told and _matters(call, deliveries)]


def _targets(deliveries: Sequence[Delivery], latest: str | None) -> list[str | None]:
    """Return which record each delivery was about. One that made its record does not name it: what came after does, up to the next creation."""
    found: list[str | None] = []
    following = latest
    for delivery in reversed(deliveries):
        following = delivery.target_id or following
        found.append(following)
        if delivery.operation == "create" and delivery.state == "delivered":
            following = None
    return found[::-1]


def put_in_order(moments: list[Moment]) -> None:
    """By time, and a later run after an earlier one even if the clock was set back between them; what people did keeps to the run before."""
    moments.sort(key=lambda moment: moment.at)
    latest, run = 0, {}
    for moment in moments:
        latest = moment.run or latest
        run[id(moment)] = latest
    moments.sort(key=lambda moment: run[id(moment)])


def _matters(call: Call, deliveries: Sequence[Delivery]) -> bool:
    """Whether a call is part of a record's story: a search that led to nothing is not, each run may make it again."""
    if call.operation not in _LOOK_UPS or call.failure is not None:
        return True
    return any(d.accepted_at <= call.at and (d.settled_at is None or call.at <= d.settled_at) for d in deliveries)


def _attempt(call: Call) -> Moment:
    failed = f": {call.failure}" if call.failure else ""
    if call.operation in _LOOK_UPS:
        page = f", page {call.page}" if call.page else ""
        return Moment(call.at, "look-up", f"{call.operation} in {call.connection}.{call.resource}{page}{failed}", call.run, call=call)
    refused = ": this record was refused, others went well" if call.refused else ""
    return Moment(call.at, "attempt", f"{call.operation or 'call'} number {call.attempt}{failed}{refused}", call.run, call=call)


def _resolved(deliveries: Sequence[Delivery]) -> list[Moment]:
    """Return the moments at which something that came later arrived, and so resolved what had been set aside before."""
    found: list[Moment] = []
    before: list[Delivery] = []
    for delivery in deliveries:
        if delivery.state == "superseded" and letters.was_letter(delivery.state, delivery.why):
            before.append(delivery)
        elif delivery.state == "delivered" and (settled := [letter for letter in before if _settles(delivery, letter)]):
            numbers = ", ".join(str(letter.id) for letter in settled)
            text = f"dead letter {numbers}: a later version of it arrived"
            found.append(Moment(delivery.settled_at or delivery.accepted_at, "resolved", text, delivery.settled_run, settled[-1].id))
            before = [letter for letter in before if letter not in settled]
    return found


def _settles(delivery: Delivery, letter: Delivery) -> bool:
    """Whether what arrived is of what a letter was about: of a conflict, of the fields that both sides disagreed in."""
    fields = {*(letter.why.get("left") or ()), *(letter.why.get("right") or ())}
    return delivery.operation != "update" or not fields or not fields.isdisjoint(delivery.fields)


def _moments(delivery: Delivery, target_id: str | None, calls: Mapping[int, Call], successor: Delivery | None) -> list[Moment]:
    before = decode_json(delivery.before) if delivery.before else None
    call = calls.get(delivery.call) if delivery.call is not None else None
    why = delivery.why or None
    where = f" of {delivery.target_id}" if delivery.target_id and delivery.operation != "create" else ""
    accepted = Moment(
        delivery.accepted_at,
        "accepted",
        f"{delivery.operation}{where} was decided",
        delivery.run,
        delivery.id,
        delivery.fields or None,
        before,
    )
    if delivery.operation == "none":
        accepted.text = "read; it could not be sent on"
    if delivery.state in ("owed", "sending", "unknown"):
        text = str(why["message"]) if why else "on its way"
        at = max(delivery.accepted_at, _answered(call))
        return [accepted, Moment(at, "owed", text, delivery.run, delivery.id, call=call, why=why)]
    what = {"dead": "parked"}.get(delivery.state, delivery.state)
    settled_at = delivery.settled_at if delivery.settled_at is not None else delivery.accepted_at
    moments = [accepted]
    if what == "delivered":
        attempts = f" after {delivery.attempts} attempts" if delivery.attempts > 1 else ""
        moments.append(
            Moment(
                settled_at,
                what,
                f"{delivery.operation}{f' of {target_id}' if target_id else ''} confirmed{attempts}",
                delivery.settled_run,
                delivery.id,
                call=call,
            )
        )
    else:
        undecided = delivery.operation == "none" and why is not None and why.get("kind") in letters.ON_ITS_WAY
        if what in ("superseded", "discarded") and why and why.get("message"):
            # It was set aside first; that stays part of the story.
            aside = "undecided" if undecided else "set aside"
            moments.append(
                Moment(
                    max(delivery.accepted_at, _answered(call)), aside, str(why["message"]), delivery.run, delivery.id, call=call, why=why
                )
            )
        followed = (
            "it could be decided"
            if undecided and (successor is None or successor.operation != "none")
            else "a later version took its place"
            if successor
            else "nothing of it has to be sent any more"
        )
        text = {"superseded": followed, "discarded": f"given up by hand: {(why or {}).get('discarded', '')}"}.get(
            what, str((why or {}).get("message", ""))
        )
        again = what in ("superseded", "discarded")
        moments.append(
            Moment(settled_at, what, text, delivery.settled_run, delivery.id, call=None if again else call, why=None if again else why)
        )
    return moments


def _answered(call: Call | None) -> float:
    """Return when a call was answered, or given up."""
    return call.at + call.seconds if call is not None else 0.0


def _event_text(detail: str | None) -> str:
    if not detail:
        return ""
    return ", ".join(
        f"{key}: {value if isinstance(value, str) else msgspec.json.encode(value).decode()}"
        for key, value in decode_json(detail.encode()).items()
        if value is not None
    )


# -- both ways


def story_of_pair(db: Database, name: str, spec: Integration, number: int, side: Side, id: str) -> Story | None:
    """Return the story of a pair, told from either side; of a record without a counterpart its own."""
    beside = runs.state_of(db, runs.back(name))
    pair = pairs.of(db, number, side, [id]).get(id)
    ids: dict[Side, str | None] = {each: pair.id_of(each) if pair is not None else id if each == side else None for each in pairs.SIDES}
    places: dict[Side, str] = {"left": spec.source, "right": spec.target}
    numbers = {"left": number, "right": beside.id if beside is not None else -1}
    if pair is None:
        # The pair is gone, and what was done to this record, its deletion too, was owed because of the other one.
        other = pairs.OTHER[side]
        was = next(iter(outbox.sources_of(db, numbers[other], id)), None)
        if was is not None and was not in pairs.of(db, number, other, [was]):
            ids[other] = was
    moments: list[Moment] = []
    both: set[tuple[float, str]] = set()
    for each in pairs.SIDES:
        here, other = ids[each], pairs.OTHER[each]
        if here is None:
            continue
        deliveries = outbox.of_record(db, numbers[each], here)
        events = [event for event in journal.events_of(db, numbers[each], here) if (event.at, event.kind) not in both]
        both |= {(event.at, event.kind) for event in events if event.kind in _OF_BOTH}
        named = [call for call in calls.named_of(db, number, here) if _is_about(call, places[each], places[other])]
        some = told_of(db, deliveries, events, named, ids[other] if pair is not None else None)
        sent = {delivery.id for delivery in deliveries if delivery.operation != "none"}
        for moment in some:
            moment.to = places[other] if moment.delivery in sent or moment.what == "attempt" else None
        for one in staged.of(db, number, each, [here]).values():
            if one.kind != "held":
                what = "was deleted" if one.kind == "gone" else "was read" if one.kind == "seen" else "is to be decided again"
                some.append(Moment(one.at, "staged", f"{places[each]} {what}, and is not decided yet", one.run))
        moments += some
        if pair is not None:
            moments += _written_before(db, number, numbers[other], other, here, ids[other], places[each])
    if pair is None and not moments:
        return None
    put_in_order(moments)
    says = {each: _says(pair, each) if pair is not None else None for each in pairs.SIDES}
    verdict = pair.verdict if pair is not None else "deleted"
    return Story(
        name, spec.source, ids["left"] or "", spec.target, ids["right"], verdict, says["left"] or {}, says["right"], moments, two_way=True
    )


def _written_before(
    db: Database, number: int, outbox_number: int, side: Side, target_id: str, counterpart: str | None, place: str
) -> list[Moment]:
    """Return what was written to a record because of counterparts that are gone now: it is no part of any other story that is told of it."""
    found: list[Moment] = []
    for was in outbox.sources_of(db, outbox_number, target_id):
        if was == counterpart or was in pairs.of(db, number, side, [was]):
            continue
        deliveries = outbox.of_record(db, outbox_number, was)
        mine = [one for one, of in zip(deliveries, _targets(deliveries, None), strict=True) if of == target_id]
        for moment in told_of(db, mine, [], [], target_id):
            moment.to = place
            found.append(moment)
    return found


_OF_BOTH = ("matched", "linked by hand", "unlinked by hand")
"""Events that are noted with either record of a pair."""


def _is_about(call: Call, here: str, there: str) -> bool:
    """Whether a call that names an id means a record of this side: writes and searches go to the other one, and only what is asked for is here."""
    place = f"{call.connection}.{call.resource}"
    return place == there if call.operation != "get" else place in (here, there)


def _says(pair: pairs.Pair, side: Side) -> dict[str, Any] | None:
    """Return what stands on a side: what it said, and what was written to it since."""
    shadow, sent = pair.shadow_of(side), pair.sent_of(side)
    if pair.id_of(side) is None or (shadow is None and sent is None):
        return None
    return {**decode_json(shadow or b"{}"), **decode_json(sent or b"{}")}
