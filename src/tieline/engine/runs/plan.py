"""A plan: what a run would write, worked out by the run itself on a copy of the store that is thrown away.

Because the same code decides, a plan can't differ from the run for any reason but a changed world; and because it works on a copy and has
no destination, it can't write. `run --plan` works out the plan again, refuses when it differs, and looks at every decision of the real
run as well.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from tieline.engine.review.conflicts import Conflict
from tieline.engine.review.who_is_who import Listed, Meeting, conflicts_of, meeting_of
from tieline.engine.runs.passes import Outcome, Wanted
from tieline.engine.runs.run import Engine
from tieline.model.errors import Complaint, RemoteError, SafetyStop, SpecError, TielineError, Unavailable
from tieline.model.records import decode_json, encode_json
from tieline.store import meetings, runs
from tieline.store.database import Database
from tieline.store.delivery import Delivery
from tieline.store.pairs import OTHER, SIDES, Side

_FORMAT = 1


class PlannedWrite(msgspec.Struct):
    """One write that a run would make, or one record that it would set aside."""

    source_id: str
    operation: str
    state: str
    """sending: would be written; held and dead: would be set aside."""
    target_id: str | None
    fields: dict[str, Any]
    before: dict[str, Any]
    reason: str | None = None
    cause: str | None = None
    """The kind of that reason."""
    to: Side | None = None
    """Of a two-way integration: the side that would be written to."""

    @property
    def digest(self) -> str:
        """A fingerprint of what would be written."""
        return hashlib.sha256(encode_json([self.operation, self.state, self.target_id, self.fields])).hexdigest()


class Plan:
    """A finished plan. Use as a context: it holds a temporary copy of the store."""

    def __init__(self, folder: tempfile.TemporaryDirectory[str], db: Database, outcome: Outcome, fingerprint: str) -> None:
        self._folder, self._db, self.outcome, self.fingerprint = folder, db, outcome, fingerprint

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._db.close()
        self._folder.cleanup()

    def writes(self) -> Iterator[PlannedWrite]:
        """Yield what the run would do, by source id."""
        return writes_of(self._db, self.outcome.run)

    def counts(self) -> dict[str, int]:
        """Return how many records would be created, updated, deleted, held and parked."""
        counts = {"create": 0, "update": 0, "delete": 0, "held": 0, "dead": 0}
        for operation, state, number in self._db.read(
            "SELECT operation, state, count(*) FROM delivery WHERE run = ? GROUP BY 1, 2", (self.outcome.run,)
        ):
            counts[operation if state == "sending" else state] += number
        return counts

    @property
    def held_besides(self) -> int:
        """How many of the records of which something would be written would also have a field held: they are counted once, as written."""
        sql = """SELECT count(*) FROM (SELECT 1 FROM delivery WHERE run = ? AND state IN ('held', 'sending')
                 GROUP BY integration, source_id HAVING count(DISTINCT state) = 2)"""
        return int(self._db.read(sql, (self.outcome.run,))[0][0])

    def writes_to(self) -> dict[Side, dict[str, int]]:
        """Return how many records would be created, updated and deleted on each side of a two-way integration."""
        sides, found = runs.sides(self._db), {side: {"create": 0, "update": 0, "delete": 0} for side in SIDES}
        for number, operation, count in self._db.read(
            "SELECT integration, operation, count(*) FROM delivery WHERE run = ? AND state = 'sending' GROUP BY 1, 2", (self.outcome.run,)
        ):
            found[OTHER[sides[number]]][operation] += count
        return found

    def meeting(self, limit: int) -> Meeting:
        """Return which records of a two-way integration would meet, and which have no counterpart: what is new, the first `limit` of each."""
        return meeting_of(self._db, self.outcome.integration, self.outcome.run, limit)

    def conflicts(self, limit: int) -> Listed[Conflict]:
        """Return the conflicts of a two-way integration that would be held for a person."""
        return conflicts_of(self._db, self.outcome.integration, self.outcome.run, limit)

    def expected(self, source_id: str) -> set[str]:
        """Return the digests of what would be done with a record."""
        rows = self._db.read(
            "SELECT operation, state, target_id, changed FROM delivery WHERE run = ? AND source_id = ?", (self.outcome.run, source_id)
        )
        return {PlannedWrite(source_id, row[0], row[1], row[2], _json(row[3]), {}).digest for row in rows}

    def save(self, path: Path) -> None:
        """Write the plan as JSON lines: a header, then one line a write."""
        try:
            file = path.open("wb")
        except OSError as error:
            raise TielineError(f"the plan can't be written to {path}: {error.strerror}", next_step="choose another file") from None
        with file:
            header = {
                "tieline_plan": _FORMAT,
                "integration": self.outcome.integration,
                "mapping": self.fingerprint,
                "counts": self.counts(),
            }
            file.write(encode_json(header) + b"\n")
            for write in self.writes():
                file.write(encode_json({**msgspec.structs.asdict(write), "digest": write.digest}) + b"\n")


def writes_of(db: Database, run: int) -> Iterator[PlannedWrite]:
    """Yield what a run does, by source id: what it would, where it was made for a plan."""
    sides = runs.sides(db)
    for row in db.stream(
        """SELECT source_id, operation, state, target_id, changed, before, reason, integration FROM delivery
           WHERE run = ? ORDER BY source_id, integration, id""",
        (run,),
    ):
        source_id, operation, state, target_id, changed, before, reason, number = row
        why = decode_json(reason) if reason else {}
        to = OTHER[sides[number]] if number in sides else None
        yield PlannedWrite(source_id, operation, state, target_id, _json(changed), _json(before), why.get("message"), why.get("kind"), to)


async def make_plan(open_engine: Callable[[Database], Engine], db: Database, name: str, fingerprint: str, wanted: Wanted) -> Plan:
    """Work out what a run would write. Raises what the run would raise."""
    folder: tempfile.TemporaryDirectory[str] = tempfile.TemporaryDirectory(prefix="tieline-plan-")
    try:
        copy = Path(folder.name) / "store.db"
        db.backup_to(copy)
        scratch = Database(copy)
        try:
            scratch.write(lambda connection: connection.execute("UPDATE integration SET holder = NULL, lease_until = 0"))
            scratch.write(meetings.remember_met)
            outcome = await open_engine(scratch).run(name, msgspec.structs.replace(wanted, send=False))
            if outcome.state in ("owed", "attention") and outcome.error is not None and not outcome.wrong:
                raise Unavailable(outcome.error, next_step="try again when it is back")
            if outcome.state in ("failed", "halted"):
                raise (SafetyStop if outcome.state == "halted" else RemoteError)(
                    outcome.error or "the plan could not be made", next_step=outcome.next_step
                )
            return Plan(folder, scratch, outcome, fingerprint)
        except BaseException:
            scratch.close()
            raise
    except BaseException:
        folder.cleanup()
        raise


def check_plan(path: Path, plan: Plan) -> None:
    """Compare a saved plan with one made now. Raises `SafetyStop` with the first differences."""
    header, lines = _read(path)
    if header["integration"] != plan.outcome.integration:
        raise SafetyStop(f"{path} is a plan of {header['integration']}", next_step=f"run {header['integration']} with it")
    if header["mapping"] != plan.fingerprint:
        raise SafetyStop(f"the mapping has changed since {path} was made", next_step="make the plan again and look at it")
    differences: list[str] = []
    for source_id, then, now in _merged(lines, plan.writes()):
        if then is None:
            differences.append(f"{source_id}: not in the plan; now: {_words(now)}")
        elif now is None:
            differences.append(f"{source_id}: planned: {_words(then)}; now: nothing to do")
        elif then.digest != now.digest:
            differences.append(f"{source_id}: planned: {_words(then)}; now: {_words(now)}")
        if len(differences) > 10:
            differences[10:] = ["… and more"]
            break
    if differences:
        raise SafetyStop(
            f"the world has changed since {path} was made; nothing was written:",
            details=differences,
            next_step="make the plan again and look at it",
        )


def guard_by(plan: Plan) -> Callable[[Delivery], None]:
    """Return a guard that refuses whatever the plan does not hold."""

    def guard(delivery: Delivery) -> None:
        decided = PlannedWrite(delivery.source_id, delivery.operation, delivery.state, delivery.target_id, delivery.fields, {})
        if decided.digest not in plan.expected(delivery.source_id):
            raise SafetyStop(
                f"record {delivery.source_id} changed while the plan was being carried out: {_words(decided)} is not in it",
                next_step="what was written before is in the plan; make a new one for the rest",
            )

    return guard


def _merged(then: Iterable[PlannedWrite], now: Iterable[PlannedWrite]) -> Iterator[tuple[str, PlannedWrite | None, PlannedWrite | None]]:
    left, right = iter(then), iter(now)
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and _place(a) < _place(b)):
            assert a is not None
            yield a.source_id, a, None
            a = next(left, None)
        elif a is None or _place(a) > _place(b):
            yield b.source_id, None, b
            b = next(right, None)
        else:
            yield a.source_id, a, b
            a, b = next(left, None), next(right, None)


def _place(write: PlannedWrite) -> tuple[bytes, bool]:
    return write.source_id.encode(), write.to == "left"


def _read(path: Path) -> tuple[dict[str, Any], Iterator[PlannedWrite]]:
    def bad(what: str) -> SpecError:
        return SpecError([Complaint(str(path), None, "", what, "make it with `tieline plan INTEGRATION --out FILE`")])

    try:
        file = path.open("rb")
    except OSError as error:
        raise bad(f"can't be read: {error.strerror}") from None
    try:
        header = decode_json(file.readline())
    except (msgspec.DecodeError, UnicodeDecodeError):
        header = None
    if not isinstance(header, dict) or header.get("tieline_plan") != _FORMAT:
        file.close()
        raise bad("is not a plan of this version of tieline")

    def lines() -> Iterator[PlannedWrite]:
        with file:
            for number, line in enumerate(file, 2):
                try:
                    entry = decode_json(line)
                    entry.pop("digest")
                    yield PlannedWrite(**entry)
                except (msgspec.DecodeError, TypeError, KeyError, AttributeError):
                    raise bad(f"line {number} is damaged") from None

    return header, lines()


def _words(write: PlannedWrite | None) -> str:
    if write is None:
        return "nothing"
    if write.state != "sending":
        return f"{'park' if write.state == 'dead' else 'hold'} ({write.reason})"
    return f"{write.operation} {write.target_id or ''} {', '.join(f'{k}={v!r}' for k, v in list(write.fields.items())[:6])}".replace(
        "  ", " "
    )


def _json(raw: bytes | None) -> dict[str, Any]:
    return decode_json(raw) if raw else {}
