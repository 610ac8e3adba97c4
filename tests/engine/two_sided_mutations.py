"""Promises of two-way integrations broken on purpose, one at a time, to see that the simulation notices."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from engine import mutations
from tieline.dialects.rest.reader import Reader
from tieline.engine.decide import meetings
from tieline.engine.decide.brakes import Brakes
from tieline.engine.decide.decided import Decided
from tieline.engine.decide.reconciling import Reconciler
from tieline.engine.intake import absence
from tieline.engine.intake.side_reader import Intake
from tieline.engine.runs.two_way import TwoWayPass
from tieline.model.errors import AnotherRecord, RemoteError
from tieline.model.records import Record, encode_json
from tieline.store import outbox, pairs
from tieline.store.pairs import OTHER
from tieline.sync import identity, reconcile
from tieline.testing import Collection

Mutation = Callable[[pytest.MonkeyPatch], None]
_BLOCKED_SECONDS = 120.0


def noticed(words: str, *seeds: int) -> Callable[[Mutation], Mutation]:
    """Say in which words, a regular expression, a mutation is noticed, and which seeds have done so: these are tried first."""

    def put(mutation: Mutation) -> Mutation:
        mutation.words, mutation.seeds = words, seeds  # type: ignore[attr-defined]
        return mutation

    return put


@noticed("overwritten, and nothing tells of it|differs", 10, 20)
def an_echo_is_known_by_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever changes shortly after we wrote is taken for our own write."""
    stage = Intake._stage

    async def deaf(self: Intake, changed: dict[str, Record], gone: Sequence[str], cursor: str | None, also: Any = None) -> None:
        ledger, side = self._ledger, self._half.side
        db = ledger.db
        sources = {pair.id_of(OTHER[side]) or "": pair for pair in pairs.every(db, self._integration) if pair.linked}
        lately = outbox.delivered_since(db, self._written_by, list(sources), ledger.clock.now() - _BLOCKED_SECONDS) if sources else []
        blocked = {id: sources[source] for source in lately if (id := sources[source].id_of(side)) in changed}
        taken = [
            msgspec.structs.replace(pair, **{f"{side}_shadow": encode_json(self._half.project(changed[id])), f"{side}_sent": None})
            for id, pair in blocked.items()
        ]
        await ledger.commit(lambda connection: pairs.put(connection, taken))
        await stage(self, {id: record for id, record in changed.items() if id not in blocked}, gone, cursor, also)

    monkeypatch.setattr(Intake, "_stage", deaf)


@noticed("its counterpart was not deleted|does not come to rest|differs|overwritten|gone", 150)
def whatever_is_shown_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer with another id means that the record was merged into that one, and one without an id that there is none."""
    declaration, get = Collection.declaration, Reader.get_one
    monkeypatch.setattr(
        Collection,
        "declaration",
        lambda self: {**(said := declaration(self)), **({"get": {**said["get"], "merged": "survivor"}} if "get" in said else {})},
    )

    async def believing(self: Reader, resource: str, id: str) -> Record | None:
        try:
            return await get(self, resource, id)
        except AnotherRecord:
            return None

    monkeypatch.setattr(Reader, "get_one", believing)


@noticed("does not come to rest|got .* back from us|overwritten", 0, 1)
def both_sides_share_a_shadow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the left said when both last agreed is what the right is compared with."""
    remembered = Reconciler._remembered

    def shared(self: Reconciler, *arguments: Any) -> Any:
        pair = remembered(self, *arguments)
        return msgspec.structs.replace(pair, right_shadow=pair.left_shadow) if pair.right_shadow is not None else pair

    monkeypatch.setattr(Reconciler, "_remembered", shared)


@noticed("its counterpart was not deleted|overwritten, and nothing|is there already", 76, 115)
def a_list_that_broke_off_counts_as_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be read is gone."""
    read = Intake.read

    async def hasty(self: Intake) -> None:
        try:
            await read(self)
        except RemoteError:
            with contextlib.suppress(RemoteError):
                await self._find_gone()

    async def not_asked(self: Intake, ids: list[str]) -> tuple[list[str], dict[str, Record]]:
        return ids, {}

    monkeypatch.setattr(Intake, "read", hasty)
    monkeypatch.setattr(Intake, "_asked", not_asked)


@noticed("is there already|overwritten, and nothing tells of it", 2, 0)
def one_side_is_decided_before_the_other_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right is read after what the left says is written to it."""
    decide, read = TwoWayPass._decide, Intake.read

    async def of_the_left(self: Intake) -> None:
        if self._half.side == "left":
            await read(self)

    async def hasty(self: TwoWayPass, again: Any) -> None:
        await decide(self, again)
        if self._both_read:
            await self._drain()
            await read(self._intakes["right"])
            await decide(self, again)

    monkeypatch.setattr(Intake, "read", of_the_left)
    monkeypatch.setattr(TwoWayPass, "_decide", hasty)


@noticed("overwritten, and nothing tells of it", 0, 1)
def what_is_overwritten_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy decides, and the value that lost is nowhere."""
    note = Decided.note

    def silent(self: Decided, side: Any, id: str, kind: str, **detail: Any) -> None:
        if kind != "conflict decided":
            note(self, side, id, kind, **detail)

    monkeypatch.setattr(Decided, "note", silent)


@noticed("differs|overwritten, and nothing tells of it", 0, 1)
def a_conflict_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What both sides say becomes what they are compared with, though no one has decided."""
    monkeypatch.setattr(Reconciler, "_unsettled", lambda self, *arguments: frozenset())


@noticed("overwritten, and nothing tells of it", 22, 26)
def what_is_owed_is_sent_as_it_was_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left over is written before anybody has looked at what both sides say by now."""

    async def blindly(self: TwoWayPass) -> None:
        for way in self.ways:
            if await self._send_owed(way):
                await way.sender.drain()

    monkeypatch.setattr(TwoWayPass, "_settle_doubts", blindly)


@noticed("is there already|was made on the .* times", 30, 21)
def a_creation_is_repeated_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it was done is not looked for."""
    mutations.doubts_are_not_settled(monkeypatch)


@noticed("got .* back from us", 0, 3)
def what_a_vendor_made_of_it_is_an_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the very value that was sent is known as ours."""
    exact: Callable[[Any, Any], bool] = lambda sent, seen: bool(sent == seen)  # noqa: E731
    for module in ("engine.decide.reconciling", "engine.runs.two_way", "sync.reconcile"):
        monkeypatch.setattr(f"tieline.{module}.is_rewriting", exact)


@noticed("never said anything there", 83)
def what_never_was_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two records meet, an empty field wins over a value like any other."""
    met, ends, carry = reconcile._met, reconcile._ends, reconcile._carry

    def both_count(*arguments: Any) -> Any:
        left, right = ends(*arguments)
        if met(left, right) or not left.made or not right.made:
            return left, right
        return left._replace(changed=True), right._replace(changed=True)

    def empties(*arguments: Any) -> Any:
        with monkeypatch.context() as within:
            within.setattr(reconcile, "_met", lambda left, right: True)
            return carry(*arguments)

    monkeypatch.setattr(reconcile, "_ends", both_count)
    monkeypatch.setattr(reconcile, "_carry", empties)


@noticed("does not come to rest|is emptied", 49, 56)
def rounds_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often a field came back as something else is forgotten."""
    remembered = Reconciler._remembered
    monkeypatch.setattr(
        Reconciler, "_remembered", lambda self, *arguments: msgspec.structs.replace(remembered(self, *arguments), rounds=None)
    )


@noticed("are deleted in one run, and the brake allows", 50, 76)
def deletions_have_no_brake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is gone on one side is deleted on the other, however much it is."""
    monkeypatch.setattr(Brakes, "most_deletes", lambda self, side: 1000)


@noticed("is there already|was made on the .* times", 53, 114)
def a_key_may_have_two_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counterpart is made for each record, whoever else has its key."""

    def blindly(*arguments: Any, **more: Any) -> identity.Meeting:
        meeting = identity.meet(*arguments, **more)
        return identity.Meeting("new") if meeting.kind in ("held", "waits") else meeting

    monkeypatch.setattr(meetings, "meet", blindly)


@noticed("overwritten, and nothing tells of it", 14, 17)
def a_condition_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What someone edits between our read and our write is written over, though the vendor could have told."""
    monkeypatch.setattr(Reconciler, "_version", lambda self, *arguments: None)


@noticed("its counterpart was not deleted|was made on the .* times|is there already", 90, 118)
def reads_are_never_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """What we have just made and is not shown is gone, however late the system's reads may be."""
    monkeypatch.setattr(absence, "lag_of", lambda *arguments: absence.Lag(0.0, 0.0, never=True))


@noticed("its counterpart was not deleted|was made on the .* times|is there already", 272)
def one_answer_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is gone because it was asked for once, and was not shown."""
    judge = absence.Absence.judge

    async def hasty(self: absence.Absence, ids: Sequence[str], told: Any) -> list[str]:
        return await judge(self, ids, "list" if told == "get" else told)

    monkeypatch.setattr(absence.Absence, "judge", hasty)


@noticed("its counterpart was not deleted", 876, 894)
def what_nothing_has_shown_is_not_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What we have made, or found by a search, is gone when it is not shown, though no list and no `get` has ever shown it."""
    monkeypatch.setattr(pairs.Pair, "unseen_of", lambda self, side: None)


MUTATIONS: list[Mutation] = [
    what_nothing_has_shown_is_not_in_doubt,
    reads_are_never_late,
    one_answer_is_enough,
    an_echo_is_known_by_its_time,
    whatever_is_shown_is_what_was_asked_for,
    both_sides_share_a_shadow,
    a_list_that_broke_off_counts_as_whole,
    one_side_is_decided_before_the_other_is_read,
    what_is_overwritten_is_not_told,
    a_conflict_is_forgotten,
    what_is_owed_is_sent_as_it_was_decided,
    a_creation_is_repeated_unseen,
    what_a_vendor_made_of_it_is_an_edit,
    what_never_was_is_emptied,
    rounds_are_not_counted,
    deletions_have_no_brake,
    a_key_may_have_two_records,
    a_condition_is_not_sent,
]
