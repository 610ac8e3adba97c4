"""A seed's two-way world: two vendors with habits of their own, people who edit on both sides, weather, processes that die; and then peace.

What must be so at every commit is looked at after every commit, what must be so of a write when it arrives at a vendor, and what must be so in
the end when all has been quiet for a while: both sides agree, nothing is there twice, and whatever someone wrote has arrived, still stands
where it was written, or is told of where people look.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from engine.books import Books, Broken
from engine.manners import give_manners
from engine.world import NAME, World
from tieline.app import Tieline
from tieline.dialects.webhooks import Incoming
from tieline.engine.runs.passes import Outcome, Wanted
from tieline.model.errors import Refused, SafetyStop, StoreError
from tieline.model.records import Record, decode_json
from tieline.model.verified import Finding, Verified
from tieline.store import pairs
from tieline.store.pairs import OTHER, SIDES, Pair, Side
from tieline.testing import Collection, Crash, Exchange, Fault, Process, SimulatedDatabase, Stuck, Weather, mistaken, throttled
from tieline.testing.collection import Entry
from tieline.transport.ports import HttpRequest

SYSTEMS: dict[Side, str] = {"left": "crm", "right": "mail"}
FIELDS: dict[str, dict[str, Any]] = {
    "email": {"type": "string"},
    "name": {"type": "string"},
    "phone": {"type": "string"},
    "score": {"type": "number"},
    "note": {"type": "string"},
    "seen": {"type": "string"},
    "tags": {"type": "any"},
}
MAPPED = tuple(FIELDS)
_EDITED = MAPPED[1:]
"""Who a record is about does not change."""
POLICIES = ("left", "right", "newest", "fill_empty", "never", "hold")
BAD = "refuse me"
"""A name that some vendors refuse of us."""
_LONG_WAIT_SECONDS = 2000.0
_MOST_EDITS = 12
"""So many are made during one run."""
_CUT = 12
"""Characters of a note that the vendors keep who keep the fewest."""
_MOST_LATE_EDITS = 4
"""So many are made during one run just before our write to the very record arrives."""
_MOST_ROUNDS = 12
"""So many runs after everybody has fallen silent, nothing is left to be done."""


def canonical(field: str, value: Any) -> Any:
    """Return what a value says, whatever a vendor makes of its spelling."""
    if value is None or value in ("", []):
        return None
    match field:
        case "phone":
            return re.sub("[^0-9]", "", str(value)) or None
        case "score":
            return round(float(value))
        case "note":
            return str(value)[:_CUT].strip().casefold() or None
        case "seen":
            return str(value)[:19]
        case "tags":
            return frozenset(str(one).strip().casefold() for one in value)
    return str(value).strip().casefold() or None


Rewriting = Callable[[Record], None]


def _trims(record: Record) -> None:
    for field in ("name", "note"):
        if isinstance(record.get(field), str):
            record[field] = record[field].strip()


def _lowers(record: Record) -> None:
    for field in ("email", "name"):
        if isinstance(record.get(field), str):
            record[field] = record[field].lower()


def _dials(record: Record) -> None:
    if record.get("phone"):
        digits = re.sub("[^0-9]", "", record["phone"])
        record["phone"] = f"+{digits[:2]} {digits[2:5]} {digits[5:]}"


def _rounds(record: Record) -> None:
    if isinstance(record.get("score"), float):
        record["score"] = round(record["score"])


def _cuts(record: Record) -> None:
    if isinstance(record.get("note"), str):
        record["note"] = record["note"][:_CUT]
    if isinstance(record.get("seen"), str) and record["seen"]:
        record["seen"] = record["seen"][:19] + "Z"


def _empties(record: Record) -> None:
    for field in ("name", "phone", "note"):
        if record.get(field) == "":
            record[field] = None


REWRITINGS: tuple[Rewriting, ...] = (_trims, _lowers, _dials, _rounds, _cuts, _empties)


class Watched(Collection):
    """A collection that tells who wrote what."""

    side: Side
    watcher: TwoSided
    rewritings: list[Rewriting]
    api = True
    """Whether what is made is made by us."""
    picky = False
    """It refuses a name of us, not of people."""
    ignores: str | None
    """A field that the API takes when a record is made, and passes over in silence when it is changed."""

    def _keep(self, entry: Entry, record: Record) -> None:
        super()._keep(entry, record)
        self.watcher.stands(self.side, entry)

    def _judge(self, operation: str, sent: Record, entry: Entry | None) -> None:
        if operation != "create" or sent.get("name") != BAD or self.api:
            super()._judge(operation, sent, entry)

    def create(self, sent: Record, key: str | None) -> Entry:
        self.api = key is not None
        if key is not None:
            self._judge("create", sent, None)
            self.watcher.is_created(self.side, sent)
        entry = super().create(sent, key)
        if key is None:
            self.watcher.edited(self.side, str(entry.id), entry.record)
        else:
            self.watcher.ours.add((self.side, str(entry.id)))
        return entry

    def replace(self, id: str, sent: Record, key: str | None, *, whole: bool) -> Entry:
        before = dict(self.entries[id].record) if id in self.entries else {}
        if key is not None and self.ignores is not None and self.ignores in sent:
            self.watcher.is_ignored(self.side, id, self.ignores, sent[self.ignores])
            sent = {field: value for field, value in sent.items() if field != self.ignores}
            if whole and self.ignores in before:
                sent[self.ignores] = before[self.ignores]
        at = self.entries[id].changed_at if id in self.entries else 0.0
        entry = super().replace(id, sent, key, whole=whole)
        if key is not None:
            self.watcher.is_written(self.side, id, before, entry.record, at)
        return entry

    def delete(self, id: str, key: str | None) -> None:
        at = self.entries[id].changed_at if id in self.entries else 0.0
        super().delete(id, key)
        if key is not None:
            self.watcher.is_deleted(self.side, id, at)


class TwoSidedBooks(Books):
    """What must be so of deliveries at every commit, where a record may have something on its way beside its letter."""

    def check(self, db: SimulatedDatabase) -> None:
        """Raise `Broken` when a delivery has vanished, what was final has changed, or a record has two letters."""
        states: dict[int, str] = {}
        letters: dict[tuple[int, str, bool], int] = {}
        queued: set[tuple[str, str]] = set()
        for id, state, name, integration, source_id, kind in db.read(
            "SELECT d.id, d.state, i.name, d.integration, d.source_id, d.operation = 'none' FROM delivery AS d JOIN integration AS i ON i.id = d.integration ORDER BY d.id"
        ):
            states[id] = state
            if state in ("held", "dead"):
                # A write that was refused, and a conflict about other fields, are two things.
                if (before_ := letters.get((integration, source_id, kind))) is not None:
                    both = db.read("SELECT id, state, operation, reason FROM delivery WHERE id IN (?, ?)", (before_, id))
                    raise Broken(f"record {source_id} has two letters: {both}")
                letters[integration, source_id, kind] = id
            if state in ("owed", "sending", "unknown"):
                queued.add(("right" if name.endswith("/back") else "left", source_id))
        for id, before in self._states.items():
            if id not in states:
                raise Broken(f"delivery {id} has vanished; it was {before}")
            if before in ("delivered", "superseded", "discarded") and states[id] != before:
                raise Broken(f"delivery {id} was {before} and is {states[id]}")
        self._states = states
        for left_id, right_id in db.read("SELECT left_id, right_id FROM pair WHERE verdict = 'queued'"):
            side, id = ("left", left_id) if left_id is not None else ("right", right_id)
            if left_id is not None and right_id is not None:
                raise Broken(f"{left_id} and {right_id} are one thing, and its counterpart is still to be made")
            if (side, id) not in queued:
                raise Broken(f"the counterpart of {side} {id} is to be made, and nothing is on its way")


class Edit:
    """What someone wrote into a field, until it has arrived or someone overwrites it."""

    def __init__(self, value: Any, run: int, at: float) -> None:
        self.value, self.run, self.at = value, run, at


class TwoSided:
    """One seed."""

    def __init__(self, seed: int, folder: Path, *, webhooks: bool = True) -> None:
        self.seed, self.chance = seed, random.Random(f"two sides {seed}")
        self.telling = random.Random(f"telling {seed}")
        tell = webhooks and self.telling.random() < 0.4
        self.told: dict[Side, dict[str, tuple[int, bool]]] = {"left": {}, "right": {}}
        """Of which version of a record its system has told by a webhook."""
        self.tidying = random.Random(f"tidying up {seed}")
        self.late = random.Random(f"late edits {seed}")
        """What people do between our read and our write of a record; only vendors that keep versions can tell us then."""
        self.rough = seed % 4 == 3
        self._liars = random.Random(f"liars {seed}")
        self.lies = self._liars.choice([0.0, 0.0, 0.02, 0.2])
        """Share of the records that are asked for by their ids which come as another's, or as no one's."""
        chance = self.chance
        self.folder = folder
        self.runs = 0
        self.allowed: int | None = None
        """How many deletions someone has allowed the last run."""
        self.began = 0.0
        """When the last run began."""
        self.log: list[str] = []
        self.numbers = itertools.count(1)
        self.pending: dict[tuple[Side, str, str], Edit] = {}
        self.present: dict[tuple[Side, str], set[Any]] = {}
        """What has ever stood in a field of a side."""
        self.past: dict[tuple[Side, str, str], list[Any]] = {}
        self.author: dict[tuple[Side, str, str], str] = {}
        """Who wrote last into a field of an identity: `people`, `again` if they wrote something that was there before, or `us`."""
        self.removed: set[tuple[Side, str]] = set()
        """Whom people have deleted, on which side."""
        self.valued: set[tuple[Side, str, str]] = set()
        """Where something has ever stood in a field of an identity."""
        self.deleted: set[tuple[Side, str]] = set()
        """What we have deleted during this run."""
        self.lost: list[tuple[Side, str, str, Any]] = []
        """What was overwritten by us before it had arrived on the other side: it must be told of."""
        self.confused: set[tuple[Side, str, str]] = set()
        """What someone edited just before our write to it was passed over: the answer shows that edit, as if the vendor had made it of ours."""
        self.hidden: set[tuple[Side, str]] = set()
        """Whom a list that lags behind did not show when we looked, because someone had just edited them."""
        self.respelled: list[tuple[Side, str, str, Any, Any]] = []
        """Where we have written over what someone wrote with another spelling of the same: that it was decided must be told."""
        self.raced = 0
        self.emails: dict[tuple[Side, str], str] = {}
        self.ours: set[tuple[Side, str]] = set()
        """Records that we have made."""
        self.born: dict[tuple[Side, str], int] = {}
        """In which run a person made a record of this identity."""
        self.broken: Broken | None = None
        self.edits: Counter[tuple[str, str]] = Counter()
        """How often people wrote a field of an identity, on either side."""
        self.writes: Counter[tuple[str, str]] = Counter()
        """How often we changed it."""
        self.reading = random.Random(f"reads that lie {seed}")
        """What vendors don't show although it is there, because a copy is behind, or because they say 404 for it; and who looks at one record."""
        self.unreliable = self.reading.random() < 0.4
        self.picky = random.Random(f"picky {seed}").random() < 0.15
        self.sides: dict[Side, Watched] = {side: self._collection(side) for side in SIDES}
        if seed % 2:
            for side, collection in self.sides.items():
                give_manners(collection, f"{seed} {side}", lambda: self.weather.calm)
        for collection in self.sides.values():
            collection.webhooks = tell and self.telling.random() < 0.8
        self.policies = {field: chance.choice(POLICIES) for field in _EDITED}
        self.policies["tags"] = chance.choice([*POLICIES, "union", "union"])
        self.policies["email"] = "left"
        gone: dict[Side, Any] = {side: chance.choice(["ignore", "unlink", "delete", "delete", "archive"]) for side in SIDES}
        if self.unreliable:  # where nothing follows from a deletion, nothing tells whether it was believed
            gone |= {side: "delete" for side in SIDES if self.reading.random() < 0.6}
        self.gone = gone
        self.edited_since = chance.choice(["hold", "delete", "keep"])
        self.unmatched = {side: chance.choice(["create", "create", "create", "create", "hold", "ignore"]) for side in SIDES}
        self.brakes = {"deletes": chance.choice([0, 1, 1000]), "clears": chance.choice([0, 1, 1000])}
        habits: dict[Side, dict[str, Any]] = {side: self._habits() for side in SIDES}
        skew, self.attempts = chance.choice(["1s", "5s"]), chance.randint(2, 4)
        self.world = World(
            folder,
            self.sides["left"],
            self.sides["right"],
            crm=habits["left"],
            mail=habits["right"],
            seed=seed,
            direction="two-way",
            conflict=None,
            skew=skew,
            unmatched=self.unmatched,
            deletes={
                "edited": self.edited_since,
                **{side: {"archive": {"tags": ["archived"]}} if how == "archive" else how for side, how in gone.items()},
            },
            brakes=self.brakes,
            retry={"attempts": self.attempts},
            map={field: {"from": field, "conflict": self.policies[field]} for field in MAPPED},
        )
        world = self.world
        rates = [0.2, 0.3] if self.rough else [0.0, 0.0, 0.05, 0.2]
        self.weather = Weather(seed, rate=chance.choice(rates), storms=chance.choice([0.0, 0.0, 0.03]))
        self.strict = chance.choice([0.0, 0.0, 0.0, 0.02])
        world.network.weather = self._weather
        world.network.doubles = chance.choice([0.0, 0.05, 0.4])
        world.network.latency = chance.choice([(0.001, 0.02), (0.001, 0.02), (0.001, 3.0)])
        world.network.passing = self._passing
        world.database = self._watch
        self.mortality = chance.choice([0.01, 0.03] if self.rough else [0.0, 0.0, 0.01, 0.03])
        self.bad_disk = chance.choice([0.0, 0.0, 0.0, 0.01])
        self.restless = chance.choice([0.0, 0.0, 0.2, 0.6])
        self.impatient = chance.choice([0.0, 0.0, 0.02])
        self._edits_now = self._late_edits_now = 0
        self._stop: Callable[[], None] = lambda: None
        self._books = TwoSidedBooks()

    def __str__(self) -> str:
        lines = []
        for side in SIDES:
            c = self.sides[side]
            habits = {
                k: v
                for k, v in vars(c).items()
                if k in ("ignores", "paging", "page_size", "order", "changed_since", "precision", "tombstones", "list_lag", "find_lag", "find", "ids", "update", "tells", "batch", "gets", "unique", "results", "versions", "webhooks", "lag", "declared_lag", "says_no", "apart")
                and v
            }  # fmt: skip
            system = self.world.crm if side == "left" else self.world.mail
            lines.append(f"{side} {habits} {[f.__name__ for f in c.rewritings]} keys={system.idempotency} rate={system.rate}")
        lines.append(f"policies {self.policies}")
        lines.append(f"gone {self.gone} edited={self.edited_since} unmatched {self.unmatched} brakes {self.brakes}")
        lines.append(
            f"faults {self.weather.rate} storms {self.weather.storms} strict {self.strict} mortality {self.mortality} disk {self.bad_disk} restless {self.restless} impatient {self.impatient} doubles {self.world.network.doubles}"
        )
        return "\n  ".join([*lines, *self.log])

    # -- the worlds there are

    def _collection(self, side: Side) -> Watched:
        chance = self.chance
        changed_since = chance.choice([None, None, "time", "time", "version"])
        order = "changed" if changed_since is not None and chance.random() < 0.6 else "made"
        rewritings = [rewriting for rewriting in REWRITINGS if chance.random() < 0.35]

        def normalise(record: Record) -> Record:
            record = dict(record)
            for rewriting in rewritings:
                rewriting(record)
            if collection.ignores is not None:
                record.setdefault(collection.ignores, None)  # what is not shown at all, no one can miss
            return record

        versions: Any = self.late.choice([None, None, "header", "body"])
        batch = {operation: chance.randint(2, 4) for operation in ("create", "update", "delete") if chance.random() < 0.25}
        unique = "email" if chance.random() < 0.25 else None
        collection = Watched(
            "leads" if side == "left" else "members",
            FIELDS,
            ids=chance.choice(["number", "large", "text"]),
            paging=chance.choice(["cursor", "next_url", "link_header", None, "page", "offset"]),
            page_size=chance.randint(2, 6),
            order=order,
            changed_since=changed_since,
            precision=chance.choice([0.001, 1.0]),
            list_lag=chance.choice([0.0, 0.0, 3.0]) if changed_since == "time" else 0.0,
            tombstones=changed_since is not None and chance.random() < 0.6,
            gets=chance.random() < 0.7 or versions is not None,
            versions=versions,
            find=("email",) if chance.random() < 0.6 else (),
            find_lag=chance.choice([0.0, 0.0, 5.0]),
            update=chance.choice(["patch", "patch", "patch", "put"]),
            batch=batch,
            results=chance.choice(["position", "id"]),
            result_key="email",
            unique=unique,
            already=chance.choice([(409,), ()]) if unique else (),
            tells=chance.choice(["record", "record", "location", "nothing"]),
            normalise=normalise,
            refuses=lambda operation, record: "this name is not welcome" if record.get("name") == BAD and collection.picky else None,
        )
        if self.unreliable:
            self._read_badly(collection)
        collection.side, collection.watcher, collection.rewritings = side, self, rewritings
        collection.picky = self.picky and side == ("left" if self.seed % 2 else "right")
        collection.ignores = chance.choice(["note", "phone"]) if chance.random() < 0.1 else None
        return collection

    def _read_badly(self, collection: Watched) -> None:
        """Let reads be behind writes, as declared or without a word, and some records be shown by no `get`."""
        reading, denied = self.reading, self.reading.random() < 0.5

        def hides(way: str, entry: Entry) -> bool:
            return denied and way == "get" and not self.weather.calm and entry.version % 3 == 0

        collection.lag = reading.choice([0.0, 30.0, 600.0, 3000.0]) if collection.find else 0.0
        told = [collection.lag, None] if collection.lag else [0.0, None]
        collection.declared_lag, collection.hides = reading.choice(told), hides

    def _habits(self) -> dict[str, Any]:
        chance = self.chance
        return {
            "idempotency": chance.random() < 0.4,
            "concurrency": chance.randint(1, 4),
            "rate": chance.choice([None, None, None, (20, 10.0)]),
            "retry_after": chance.choice(["seconds", "date"]),
            "dates": chance.random() < 0.5,
        }

    # -- what people do

    def _person(self) -> str:
        return f"Person{next(self.numbers)}@Example.org"

    def _value(self, field: str) -> Any:
        chance, number = self.chance, next(self.numbers)
        match field:
            case "phone":
                return chance.choice([f"+61 2 {number:06d}", f"+61(2){number:06d}"])
            case "score":
                return number + chance.choice([0.0, 0.25, 0.4])
            case "note":
                return f"N{number:04d} {chance.choice(['', 'and', 'and much more than that '])}"
            case "seen":
                # Never a full minute: that is what a vendor may make of another moment.
                return f"2026-01-02T{number // 3540 % 24:02d}:{number // 59 % 60:02d}:{number % 59 + 1:02d}.25Z"
            case "tags":
                return [f"t{number}", *chance.sample(["a", "b"], chance.randint(0, 2))]
        if self.picky and chance.random() < 0.15:
            return BAD
        return chance.choice([f"Name {number}", f"  Name {number} "])

    def _fields(self) -> Record:
        return {field: self._value(field) for field in _EDITED if self.chance.random() < 0.7}

    def _add(self, side: Side, email: str) -> None:
        self.sides[side].add(email=email, **self._fields())

    def _edit(self) -> None:
        """Do one of the things that people do."""
        chance = self.chance
        side = chance.choice(SIDES)
        here, there = self.sides[side], self.sides[OTHER[side]]
        self.world.network.late_ones_arrive()  # whoever overwrites by no condition can't know that an older write comes later
        records, what = here.records, chance.random()
        if len(records) < 2 or (what < 0.12 and len(records) < 7):
            self._add(side, self._person())
            return
        if what < 0.2 and len(records) < 7:
            email = self._person()
            self._add(side, email)
            self._add(OTHER[side], chance.choice([email, email.lower()]))
            return
        if what < 0.22:
            others = [record.get("email") for record in there.records]
            if others:  # someone types in again what is there already, perhaps
                self._add_if_it_may_be(side, chance.choice(others))
            return
        record = chance.choice(records)
        id, field = record["id"], chance.choice(_EDITED)
        if what < 0.3:
            self._remove(side, id)
        elif what < 0.33:
            other = chance.choice(records)
            if other["id"] != id:
                kept = other.get(field)
                self._remove(side, other["id"])
                self._change(side, id, {field: kept}, new=False)
        elif what < 0.43:
            self._change(
                side, id, {field: chance.choice([None, ""]) if field not in ("tags", "score") else [] if field == "tags" else None}
            )
        elif what < 0.53:
            past = self.past.get((side, str(id), field), [])
            if len(past) > 1:
                self._change(side, id, {field: past[-2]}, new=False)
        elif what < 0.75:
            twins = [one for one in there.records if canonical("email", one.get("email")) == canonical("email", record.get("email"))]
            same = chance.random() < 0.2
            value = self._value(field)
            self._change(side, id, {field: value})
            if twins:
                self._change(OTHER[side], twins[0]["id"], {field: value if same else self._value(field)})
        else:
            self._change(side, id, {field: self._value(field)})

    def _look_again(self) -> None:
        """Run at once once more, or for one record, as someone does who wants to know about it."""
        if self.reading.random() < 0.5:
            self._run(0.0, full=True)
        side = self.reading.choice(SIDES)
        if records := self.sides[side].records:
            self._run(0.0, only=str(self.reading.choice(records)["id"]), side=side)

    def _tidy_up(self) -> None:
        """Delete some records of a side that no one needs any more."""
        side = self.tidying.choice(SIDES)
        for record in self.tidying.sample(self.sides[side].records, min(2, len(self.sides[side].records))):
            self._remove(side, record["id"])

    def _remove(self, side: Side, id: Any) -> None:
        self.removed.add((side, canonical("email", self.sides[side].record(id)["email"])))
        self.sides[side].remove(id)

    def _add_if_it_may_be(self, side: Side, email: str) -> None:
        here = self.sides[side]
        if not any(canonical("email", record.get("email")) == canonical("email", email) for record in here.records) or (
            not here.unique and self.chance.random() < 0.3
        ):
            self._add(side, email)

    def _change(self, side: Side, id: Any, fields: Record, *, new: bool = True) -> None:
        self.sides[side].change(id, **fields)
        self.edited_fields(side, str(id), fields, new=new)

    def edited(self, side: Side, id: str, record: Record) -> None:
        """Someone has made a record."""
        email = canonical("email", record.get("email"))
        self.born[side, email] = self.runs
        self.edited_fields(side, id, {field: record.get(field) for field in _EDITED})

    def edited_fields(self, side: Side, id: str, fields: Record, *, new: bool = True) -> None:
        """Someone has written fields of a record."""
        email = canonical("email", self.sides[side].entries[id].record.get("email"))
        for field in fields:
            self.edits[email, field] += 1
            self.author[side, email, field] = "people" if new else "again"
            value = canonical(field, fields[field])
            if new and value is not None and fields[field] != BAD:
                self.pending[side, id, field] = Edit(value, self.runs, self.world.clock.elapsed_seconds)
            else:
                self.pending.pop((side, id, field), None)

    # -- what is seen of it

    def stands(self, side: Side, entry: Entry) -> None:
        """A record says something from now on."""
        self.emails[side, str(entry.id)] = entry.record["email"]
        email = canonical("email", entry.record["email"])
        for field in MAPPED:
            value = entry.record.get(field)
            if canonical(field, value) is not None:
                self.valued.add((side, email, field))
            self.present.setdefault((side, field), set()).add(canonical(field, value))
            past = self.past.setdefault((side, str(entry.id), field), [])
            if not past or past[-1] != value:
                past.append(value)

    def is_created(self, side: Side, sent: Record) -> None:
        """We make a record. Whoever it is about must not be there already, unless a person was faster than we could know."""
        email = canonical("email", sent.get("email"))
        for field in sent:
            self.author[side, email, field] = "us"
        began = self.world.clock.now() - self.world.clock.elapsed_seconds + self.began
        for entry in self.sides[side].entries.values():
            record = entry.record
            if entry.deleted or canonical("email", record.get("email")) != email:
                continue
            ours, collection = (side, str(entry.id)) in self.ours, self.sides[side]
            if self.born.get((side, email)) == self.runs or entry.changed_at > began - collection.list_lag:
                self.raced += 1  # no list has shown it before we wrote
                if entry.changed_at > self.world.clock.now() - collection.list_lag:
                    self.hidden.add((side, email))
                continue
            if not ours and entry.made_at > began - collection.lag:
                self.raced += 1  # nor could anybody have been shown it; what we made ourselves, we know of
                self.hidden.add((side, email))
                continue
            self._breaks(f"{email} is made on the {side}, and is there already: {record}")

    def is_written(self, side: Side, id: str, before: Record, now: Record, at: float) -> None:
        """We write to a record, which someone changed the last time `at`."""
        email = canonical("email", before.get("email"))
        for field in MAPPED:
            value, old = canonical(field, now.get(field)), canonical(field, before.get(field))
            authors = self.author.get((side, email, field)), self.author.get((OTHER[side], email, field))
            if value == old:
                if str(now.get(field)) != str(before.get(field)) and field in _EDITED and authors == ("people", "us"):
                    self.respelled.append((side, id, field, before.get(field), now.get(field)))
                continue
            unasked = (
                (OTHER[side], email, field) not in self.valued and not self._may_be_unread(side, at) and not self._may_be_unshown(side, id)
            )
            if value is None and unasked:
                self._breaks(f"{field} of {side} {id} is emptied, and the other side never said anything there: {before.get(field)!r}")
            self.author[side, email, field] = "us"
            self.writes[email, field] += 1
            self._overwritten(side, id, field, value, at)

    def is_deleted(self, side: Side, id: str, at: float) -> None:
        """We delete a record, because its counterpart was."""
        email = canonical("email", self.emails[side, id])
        self.deleted.add((side, id))
        allowed = self.allowed if self.allowed is not None else self.brakes["deletes"]
        if (number := sum(one == side for one, _ in self.deleted)) > allowed:
            self._breaks(f"{number} records of the {side} are deleted in one run, and the brake allows {allowed}")
        if (OTHER[side], email) not in self.removed:
            self._breaks(f"{side} {id} is deleted, and its counterpart was not deleted: {email}")
        for field in _EDITED:
            self._overwritten(side, id, field, None, at)

    def is_ignored(self, side: Side, id: str, field: str, value: Any) -> None:
        """We write a field, and the vendor passes over it."""
        self.present.setdefault((side, field), set()).add(canonical(field, value))
        edit = self.pending.get((side, id, field))
        entry = self.sides[side].entries.get(id)
        unread = entry is not None and (self._may_be_unread(side, entry.changed_at) or self._may_be_unshown(side, id))
        if edit is not None and (edit.at > self.began or unread):
            self.confused.add((side, id, field))

    def _overwritten(self, side: Side, id: str, field: str, value: Any, at: float) -> None:
        edit = self.pending.pop((side, id, field), None)
        if self.policies[field] in ("never", "fill_empty"):
            return  # what each side has kept for itself, a later edit of one side may replace
        if edit is None or edit.value in self.present.get((OTHER[side], field), ()):
            return
        if field == "tags" and edit.value is not None:
            there = {entry for one in self.present.get((OTHER[side], field), ()) if one is not None for entry in one}
            if edit.value - there <= (value or frozenset()):
                return  # all of it stands here, or stood there: the person who took an entry out over there has seen it
        conditional = self.sides[side].versions is not None  # what no one could have read can't have been overwritten there
        late = self.sides[side].list_lag and self._may_be_unread(side, at)
        if not conditional and (edit.at > self.began or late or self._may_be_unshown(side, id)):
            self.raced += 1  # no one could have read it before we wrote
            return
        self.lost.append((side, id, field, edit.value))

    def _may_be_unread(self, side: Side, at: float) -> bool:
        """Whether no list may have shown this run what was changed then."""
        began = self.world.clock.now() - self.world.clock.elapsed_seconds + self.began
        return at > began - self.sides[side].list_lag

    def _may_be_unshown(self, side: Side, id: str) -> bool:
        """Whether this run may have been shown nothing of a record, because it was made so lately."""
        entry, collection = self.sides[side].entries.get(id), self.sides[side]
        began = self.world.clock.now() - self.world.clock.elapsed_seconds + self.began
        return bool(collection.lag) and entry is not None and entry.made_at > began - collection.lag

    def _breaks(self, why: str) -> None:
        if self.broken is None:
            self.broken = Broken(why)

    def _weather(self, system: str, request: HttpRequest, now: float) -> Fault | None:
        if not self.weather.calm and self.chance.random() < self.strict:
            return throttled(_LONG_WAIT_SECONDS)
        if not self.weather.calm and request.method == "GET" and "/items/" in request.url and self._liars.random() < self.lies:
            return mistaken(self._liars.choice(["another", "no id", "empty"]))
        return self.weather(system, request, now)

    def _passing(self, exchange: Exchange) -> None:
        if self.weather.calm:
            return
        self._edit_late(exchange.system, exchange.request)
        if self._edits_now < _MOST_EDITS and self.chance.random() < self.restless:
            self._edits_now += 1
            self._edit()
        if self.chance.random() < self.impatient:
            self._stop()

    def _edit_late(self, system: str, request: HttpRequest) -> None:
        """Perhaps write into a record that we are about to write, at a vendor that keeps versions."""
        side: Side = "left" if system == SYSTEMS["left"] else "right"
        id = unquote(request.url.partition("?")[0].rsplit("/", 1)[-1])
        if self.sides[side].versions is None or request.method not in ("PATCH", "PUT", "DELETE") or "/items/" not in request.url:
            return
        there = id in self.sides[side].entries and not self.sides[side].entries[id].deleted
        if there and self._late_edits_now < _MOST_LATE_EDITS and self.late.random() < 0.3:
            self._late_edits_now += 1
            written = [field for field in decode_json(request.body) if field in _EDITED] if request.body else []
            field = self.late.choice([*written, *_EDITED])
            self._change(side, id, {field: self._value(field)})

    def _watch(self, db: SimulatedDatabase) -> None:
        self._books.watch(db)
        db.fails = lambda: StoreError("the disk is full: (simulated)") if self.chance.random() < self.bad_disk else None

    # -- the course of things

    def go(self) -> None:
        """Let it happen. Raises `Broken`."""
        try:
            self._go()
        except Stuck as error:
            raise Broken(f"nothing moves any more: {error}") from error

    def _go(self) -> None:
        chance, clock = self.chance, self.world.clock
        for _ in range(chance.randint(3, 6)):
            email, both = self._person(), chance.random() < 0.4
            side = chance.choice(SIDES)
            self._add(side, email)
            if both:
                self._add(OTHER[side], chance.choice([email, email.lower()]))
            clock.advance(0.002)
        clock.advance(10.0)
        for _ in range(chance.randint(3, 6) if self.rough else chance.randint(1, 4)):
            outcome = self._run(self.mortality, full=chance.random() < 0.2)
            if outcome is not None and outcome.state == "halted" and chance.random() < 0.5:
                self._run(self.mortality, allow_deletes=1000, allow_clears=1000)
            clock.advance(chance.choice([1.0, 61.0, 3600.0]))
            if self.unreliable:
                self._look_again()
            if self.tidying.random() < 0.25:
                self._tidy_up()
            for _ in range(chance.randint(0, 5)):
                self._edit()
                clock.advance(chance.choice([0.0, 0.001, 2.0, 20.0]))
        self._settle()
        self._check_the_end()

    def _settle(self) -> None:
        """Everybody falls silent; what was begun is carried out."""
        world = self.world
        self.weather.calm, self.bad_disk, self.strict, world.network.doubles = True, 0.0, 0.0, 0.0
        world.network.late_ones_arrive()
        world.clock.advance(_LONG_WAIT_SECONDS + 400.0)
        quiet, wanted = 0, {"full": True, "allow_deletes": 1000, "allow_clears": 1000}
        for _ in range(_MOST_ROUNDS):
            before = self._written()
            outcome = self._run(0.0, **wanted)
            # What is not shown is gone once it was so for as long as reads may be late.
            world.clock.advance(9000.0 if self.unreliable else 61.0)
            at_rest = outcome is not None and outcome.state in ("green", "attention") and not {"owed", "unknown"} & outcome.open.keys()
            quiet = quiet + 1 if at_rest and self._written() == before else 0
            if quiet == 2:
                break
        else:
            raise Broken(f"it does not come to rest: {outcome}")
        self._check_plan()

    def _written(self) -> int:
        return sum(len(side.written) for side in self.sides.values())

    def _check_plan(self) -> None:
        """A plan finds nothing to do. It is made in a copy of the store."""
        world, folder = self.world, self.folder / "plan"
        folder.mkdir()
        shutil.copy(world.folder / "store.db", folder / "store.db")
        world.folder = folder
        try:
            outcome = world.run(send=False)
            with world.store() as db:
                planned = db.read("SELECT integration, source_id, operation, changed FROM delivery WHERE run = ?", (outcome.run,))
        finally:
            world.folder = self.folder
        if planned:
            raise Broken(f"a plan is not empty: {planned}")
        if outcome.brakes:
            raise Broken(f"a plan is braked: {outcome.brakes}")

    def _tell(self) -> None:
        """Have systems tell of what has changed, as webhooks do: some are lost, some come twice, none in order, and some are mistaken."""
        telling, world, events = self.telling, self.world, []
        for side, collection in self.sides.items():
            if not collection.webhooks:
                continue
            for id, entry in collection.entries.items():
                now = entry.version, entry.deleted
                if self.told[side].get(id) == now or telling.random() < 0.2:
                    continue
                self.told[side][id] = now
                mistaken = collection.gets and telling.random() < 0.1  # where no one can be asked, it is believed
                kind = "deleted" if entry.deleted != mistaken else "changed"
                events += [(collection.name, kind, id)] * telling.choice([1, 1, 2])
            if telling.random() < 0.1:
                events.append((collection.name, telling.choice(["changed", "deleted"]), "4711"))
        telling.shuffle(events)

        async def receive(tieline: Tieline) -> None:
            receiving = tieline.receiving()
            for name, kind, id in events:
                system = world.crm if name in world.crm.collections else world.mail
                headers, body = system.webhook(name, kind, system.collections[name].spelled(id, "webhook"))
                with contextlib.suppress(StoreError):  # the vendor sends it again, or does not
                    await receiving[system.name].receive(Incoming(headers, body))

        if events:
            world.within(receive)

    def _run(self, mortality: float, **wanted: Any) -> Outcome | None:
        self._tell()
        world, chance = self.world, self.chance
        process = Process(lambda number, what: chance.random() < mortality)
        self._edits_now = self._late_edits_now = 0
        self.runs += 1
        self.began = world.clock.elapsed_seconds
        self.deleted.clear()
        self.allowed = wanted.get("allow_deletes")

        async def work(tieline: Tieline) -> Outcome:
            self._stop = lambda: tieline.engine().stop("asked to")
            return await tieline.run(NAME, Wanted(**wanted))

        at = f"{world.clock.elapsed_seconds:.3f} run {self.runs}"
        try:
            outcome = world.within(work, process)
        except Crash:
            if self._books.broken is not None:
                raise self._books.broken from None
            self.log.append(f"{at} crash {process.steps[-1]}")
            return None
        except Refused as error:
            self.log.append(f"{at} refused: {error}")
            return None
        except SafetyStop as error:
            self.log.append(f"{at} {error}")
            if "is being run by" not in str(error):
                raise Broken(f"a safety stop without a reason: {error}") from error
            return None
        except StoreError as error:
            self.log.append(f"{at} {error}")
            if not self.bad_disk:
                raise Broken(f"an error of the store without a reason: {error}") from error
            return None
        finally:
            if self.broken is not None:
                raise self.broken
        counts = {k: v for k, v in vars_of(outcome.counts) if v}
        self.log.append(f"{at} {wanted or ''} {outcome.state} {counts} {outcome.error or ''}")
        if outcome.error is not None and "max_run" in outcome.error:
            raise Broken(f"the run did not end: {outcome.error}")
        if not outcome.counts.balances and (outcome.error is None or "balance" in outcome.error):
            raise Broken(f"the books of a run don't balance: {outcome.counts}")
        return outcome

    # -- what must be so in the end

    def _check_the_end(self) -> None:
        world = self.world
        with world.store() as db:
            everything = list(pairs.every(db, 1))
            events = [decode_json(detail.encode()) for (detail,) in db.read("SELECT detail FROM event WHERE kind = 'conflict decided'")]
            staged = db.read("SELECT side, id, kind FROM staged")
            names = dict(db.read("SELECT id, name FROM integration"))
            open_ = db.read(
                "SELECT integration, source_id, state, operation, reason, changed FROM delivery WHERE state IN ('owed','sending','unknown','held','dead')"
            )
        letters: dict[tuple[Side, str], dict[str, Any]] = {}
        for integration, source_id, state, operation, reason, changed in open_:
            if state not in ("held", "dead"):
                raise Broken(f"still {state} after all was well: {operation} of {source_id}")
            side: Side = "right" if names[integration].endswith("/back") else "left"
            letter = decode_json(reason) if reason else {}
            if operation == "update":
                letter["strands"] = list(decode_json(changed))  # refused as they are
            before = letters.get((side, source_id), {})
            letters[side, source_id] = {**letter, **before, "strands": [*before.get("strands", ()), *letter.get("strands", ())]}
        live = {side: {str(record["id"]): record for record in self.sides[side].records} for side in SIDES}
        self._check_links(everything, live, letters)
        for pair in everything:
            self._check_pair(pair, live, letters)
        self._check_doubles(live)
        of_pairs = {(side, pair.id_of(side)): pair for pair in everything for side in SIDES}
        for side, id, kind in staged:
            pair_ = of_pairs.get((side, id))
            its = [letters.get((each, pair_.id_of(each) or "")) for each in SIDES] if pair_ is not None else []
            if kind not in ("held", "seen", "gone", "again") or not any(its):
                raise Broken(f"{side} {id} is still {kind}, and no one is told of it")
        told: set[tuple[str, Any]] = {(field, canonical(field, value)) for event in events for field, value in event["lost"].items()}
        for side, id, field, value in self.lost:
            if (field, value) not in told and not _is_told_by_letter(letters.values(), field, value):
                raise Broken(f"{field}={value!r} of {side} {id} was overwritten, and nothing tells of it")
        for side, id, field, before, now in self.respelled:
            if (field, canonical(field, before)) not in told:
                raise Broken(f"{field} of {side} {id} said {before!r}, as someone wrote it, and got {now!r} back from us")
        for (email, field), number in self.writes.items():
            if number > 2 * self.edits[email, field] + 4:
                raise Broken(f"{field} of {email} was written {number} times, and people did so {self.edits[email, field]} times")
        for system in (world.crm, world.mail):
            if system.misused_keys:
                raise Broken(f"idempotency keys with two meanings: {system.misused_keys}")
        self._check_verification(everything, live, letters)

    def _check_verification(
        self, everything: list[Pair], live: dict[Side, dict[str, Record]], letters: dict[tuple[Side, str], dict[str, Any]]
    ) -> None:
        """What `verify` says of both systems agrees with what was found here."""

        async def work(tieline: Tieline) -> tuple[Verified, list[Finding]]:
            with await tieline.verify(NAME) as verification:
                return verification.verified, list(verification.findings())

        written = self._written()
        try:
            v, findings = self.world.within(work)
        except Crash:
            raise self._books.broken or Broken("a verification dies") from None
        if self._written() != written:
            raise Broken("a verification has written")
        here = v.in_sync + v.differing + v.missing + v.excluded + v.unreadable
        there = v.counterparts + v.left_over + v.only_there + v.target_unreadable
        if (v.source_read, v.target_read) != (here, there) or (here, there) != (len(live["left"]), len(live["right"])):
            raise Broken(f"a verification does not add up: {v}")
        told: set[int] = set()
        reasons: Counter[str] = Counter()
        in_sync = both = 0
        by_id = {(side, id): pair for pair in everything for side in SIDES if (id := pair.id_of(side)) is not None}
        for finding in findings:
            pair = by_id["left", finding.source_id] if finding.source_id else by_id["right", finding.target_id or ""]
            told.add(pair.id)
            open_ = any((side, pair.id_of(side)) in letters for side in SIDES)
            if finding.why == "apart" and all(
                any((side, pair.id_of(side), field) in self.confused for side in SIDES) for field in finding.fields
            ):
                continue
            if finding.why not in ("parked", "held") or not open_:
                raise Broken(f"a verification finds {finding}, of {v}; {pair}")
        for pair in everything:
            sides = [side for side in SIDES if pair.id_of(side) in live[side]]
            both += len(sides) == 2
            if pair.id in told:
                continue
            in_sync += len(sides) == 2
            if len(sides) == 1:
                reasons[self._why_alone(pair)] += 1
        excluded: Counter[str] = Counter()
        for why, number in v.why.items():
            if why.startswith("excluded: "):
                excluded[why.removeprefix("excluded: ")] = number
        if (v.counterparts, v.in_sync, v.excluded + v.only_there) != (both, in_sync, excluded.total()) or excluded != reasons:
            raise Broken(f"a verification counts otherwise: {v}; {both} pairs, {in_sync} of them in sync, {reasons}")

    def _why_alone(self, pair: Pair) -> str:
        """Return why a record has no counterpart, though no one has to do anything about it."""
        if not pair.linked:
            return {"ignored": "it has no counterpart", "alone": "it stands for itself: its counterpart was deleted, or a person said so"}[
                pair.verdict
            ]
        return "its counterpart was deleted"

    def _check_links(
        self, everything: list[Pair], live: dict[Side, dict[str, Record]], letters: dict[tuple[Side, str], dict[str, Any]]
    ) -> None:
        """Every record is known once; one without a counterpart has a reason."""
        for side in SIDES:
            known = Counter(pair.id_of(side) for pair in everything if pair.id_of(side) is not None)
            if twice := [id for id, number in known.items() if number > 1]:
                raise Broken(f"{side} records in two pairs: {twice}")
            if missing := live[side].keys() - known.keys():
                raise Broken(f"{side} records that no one knows: {missing}")
        for pair in everything:
            if pair.linked:
                if pair.verdict not in ("linked", "gone"):
                    raise Broken(f"linked, and called {pair.verdict}: {pair}")
                continue
            side, id = pair.alone, pair.id_of(pair.alone) or ""
            if id not in live[side] and pair.verdict == "unknown" and letters.get((side, id)) is not None:
                continue  # whether it has a counterpart, someone has to say
            if id not in live[side]:
                raise Broken(f"{side} {id} is gone, and still known: {pair}")
            letter = letters.get((side, id))
            email = canonical("email", live[side][id].get("email"))
            match pair.verdict:
                case "alone":
                    if (OTHER[side], email) not in self.removed:
                        raise Broken(f"{side} {id} is alone, and its counterpart was not deleted")
                case "ignored":
                    if self.unmatched[side] != "ignore":
                        raise Broken(f"{side} {id} is ignored without a reason")
                case "held" | "unknown":
                    if letter is None:
                        raise Broken(f"{side} {id} is {pair.verdict}, and no one is told")
                    held_too = any(one.get("kind") == "deleted" for one in letters.values())
                    # Or a creation whose answer was lost may have made it, and whether it did is for a person to say.
                    held_too = held_too or any(
                        letters.get((OTHER[side], other), {}).get("kind") == "unknown" for other in letter.get("candidates", ())
                    )
                    if (
                        letter.get("kind") == "unmatched"
                        and self.unmatched[side] != "hold"
                        and not self._is_ambiguous(email, live)
                        and not held_too
                    ):
                        raise Broken(f"{side} {id} is held without a reason: {letter}")
                    shown = letter.get("candidates") or "has no record with its match key" in letter["message"]
                    # What an answer left out is not waited for until reads can't be behind.
                    shown = shown or ("reads may be behind" in letter["message"] and self.sides[OTHER[side]].declared_lag != 0.0)
                    if letter.get("kind") == "unknown" and not shown:
                        raise Broken(f"{side} {id} is in doubt, though everything can be asked: {letter}")
                case "parked":
                    if letter is None or live[side][id].get("name") != BAD:
                        raise Broken(f"{side} {id} is parked without a reason: {letter}")
                case verdict:
                    raise Broken(f"{side} {id} has no counterpart and is {verdict}; letter {letter}")

    def _is_ambiguous(self, email: str, live: dict[Side, dict[str, Record]]) -> bool:
        return any(sum(canonical("email", r.get("email")) == email for r in live[side].values()) > 1 for side in SIDES)

    def _check_doubles(self, live: dict[Side, dict[str, Record]]) -> None:
        for side in SIDES:
            ours = Counter(canonical("email", record.get("email")) for id, record in live[side].items() if (side, id) in self.ours)
            for email, number in ours.items():
                if number > 1 and (side, email) not in self.hidden:
                    raise Broken(f"{email} was made on the {side} {number} times")

    def _check_pair(self, pair: Pair, live: dict[Side, dict[str, Record]], letters: dict[tuple[Side, str], dict[str, Any]]) -> None:
        records = {side: live[side].get(pair.id_of(side) or "") for side in SIDES}
        its = [letter for side in SIDES if (letter := letters.get((side, pair.id_of(side) or ""))) is not None]
        if not pair.linked:
            return
        if any(record is None for record in records.values()):
            if records["left"] is None and records["right"] is None:
                raise Broken(f"both are gone, and still known: {pair}")
            gone: Side = "left" if records["left"] is None else "right"
            if any("it was never shown since we made it" in one.get("message", "") for one in its):
                return  # whether it was deleted, a person has to say
            if any(one.get("looked", 0) >= self.attempts for one in its):
                return  # the look before the deletion was answered with rubbish in so many runs, and the deletion is parked
            if self.gone[gone] in ("unlink",) or (self.gone[gone] == "delete" and not any(one.get("kind") == "deleted" for one in its)):
                raise Broken(
                    f"{gone} {pair.id_of(gone)} was deleted ({self.gone[gone]}), and its counterpart is {records[OTHER[gone]]}; {its}"
                )
            return
        if pair.verdict == "gone":
            raise Broken(f"both are there, and it is called gone: {pair}")
        for field in MAPPED:
            left, right = (canonical(field, (records[side] or {}).get(field)) for side in SIDES)
            if left == right:
                continue
            policy = self.policies[field]
            if policy == "never" or (policy == "fill_empty" and left is not None and right is not None):
                continue
            if any(field in letter.get("strands", ()) for letter in its):
                continue
            if any((side, pair.id_of(side), field) in self.confused for side in SIDES):
                continue
            raise Broken(f"`{field}` ({policy}) differs: left {records['left']}, right {records['right']}; {pair}; {its}")


def _is_told_by_letter(letters: Any, field: str, value: Any) -> bool:
    return any(canonical(field, letter.get(side, {}).get(field)) == value for letter in letters for side in SIDES)


def vars_of(counts: Any) -> Iterator[tuple[str, Any]]:
    """Yield the counts that are told."""
    for name in counts.__struct_fields__:
        if name not in ("pages", "total"):
            yield name, getattr(counts, name)


def simulate_two_sides(seed: int, folder: Path, *, webhooks: bool = True) -> TwoSided:
    """Run a seed and return what was lived through. Raises `Broken`, with all that happened."""
    simulation = TwoSided(seed, folder, webhooks=webhooks)
    try:
        simulation.go()
    except Broken as error:
        raise Broken(f"seed {seed}: {error}\n  {simulation}\n\nreplay it: make simulate SEEDS={seed}-{seed}") from error
    return simulation
