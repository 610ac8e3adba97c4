"""The outbox against a model of it: people edit, the network loses, the process dies, letters are dealt with, in whatever order.

The model knows, for each record, which creations have left and what is known of them. It watches two places: every commit, and every write
as it leaves.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from engine.books import Books, Broken
from engine.world import NAME, World, leads, members
from tieline.app import Tieline
from tieline.engine.review import dead_letters
from tieline.engine.runs.passes import Wanted
from tieline.engine.runs.redrive import Settlement
from tieline.model.errors import Refused, SafetyStop
from tieline.model.records import Record, decode_json
from tieline.testing import Crash, Exchange, Fault, Process, SimulatedDatabase, error, garbled, throttled
from tieline.testing.faults import LOST, REFUSED, UNANSWERED, slow

BAD = "refuse me"
PICK, NAMES = st.integers(0, 1000), st.sampled_from(["Ann", "Bob", BAD])
FAULTS = {
    "refused": REFUSED,
    "lost": LOST,
    "unanswered": UNANSWERED,
    "500": error(500),
    "502 after the work": error(502, done=True),
    "429": throttled(2.0),
    "cut in half": garbled("truncated"),
    "a page of HTML": garbled("html"),
    "slow": slow(1000.0),
}
HABITS: dict[str, dict[str, Any]] = {
    "can be asked": {"find": ("email",)},
    "can be asked, takes batches": {"find": ("email",), "batch": {"create": 2, "update": 2}},
    "knows keys": {"find": (), "idempotency": True},
    "knows keys, can be asked": {"find": ("email",), "idempotency": True},
    "knows nothing": {"find": ()},
}
EDGES = {
    None: {"sending", "owed", "held", "dead", "unknown"},
    "sending": {"delivered", "owed", "unknown", "held", "dead", "superseded"},
    "owed": {"unknown", "superseded", "dead"},  # a refusal that was held back, and that nothing has helped
    "unknown": {"delivered", "owed", "held", "dead", "superseded"},
    "held": {"superseded", "discarded", "owed", "unknown"},
    "dead": {"superseded", "discarded", "owed", "unknown", "held"},
}
"""What may become of a delivery within a commit, by its state before."""


class Creation(msgspec.Struct):
    """A request that creates a record, and has left."""

    exchange: Exchange
    key: str | None
    place: int
    """Its place in a batch."""

    @property
    def may_have_been_done(self) -> bool:
        """Whether no one was told that it was not."""
        exchange = self.exchange
        if exchange.fault == REFUSED.name:
            return False
        if exchange.response is None:
            return True
        status = exchange.response.status
        with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
            status = decode_json(exchange.response.body)["results"][self.place]["status"]
        return not 400 <= status < 500

    def refuses(self, other: Creation) -> bool:
        """Whether the vendor has said no to this one, and so to the other, which had the same key."""
        answer = self.exchange.response
        return self.key is not None and self.key == other.key and answer is not None and answer.status == 422


class Outbox(RuleBasedStateMachine):
    """A CRM with a handful of leads, an email platform, and one integration between them."""

    @initialize(habits=st.sampled_from(sorted(HABITS)), seed=PICK, attempts=st.integers(1, 3))
    def begin(self, habits: str, seed: int, attempts: int) -> None:
        """Make the world."""
        memory = Path("/dev/shm")  # noqa: S108 - a folder of this test alone is made in it
        self.folder = tempfile.TemporaryDirectory(prefix="tieline-test-", dir=memory if memory.is_dir() else None)
        there = {**HABITS[habits]}
        mail = {"idempotency": there.pop("idempotency", False), "concurrency": 3}
        target = members(**there, refuses=lambda operation, record: "this name is not welcome" if record.get("name") == BAD else None)
        source = leads(changed_since="version", order="changed", tombstones=True, paging="cursor", page_size=3)
        self.looks, self.keys = bool(there["find"]), mail["idempotency"]
        for collection in (source, target):
            collection.fields["ext"] = {"type": "any"}
        self.world = World(
            Path(self.folder.name), source, target, mail=mail, seed=seed,
            match={"email": "email"} if self.looks else None,
            map={"email": "email", "name": "name", "rev": "rev", "ext": "id"},
            deletes="delete", brakes={"deletes": 1000}, retry={"attempts": attempts},
        )  # fmt: skip
        self.books = Books()
        self.deliveries: dict[int, str] = {}
        self.broken: Broken | None = None
        self.faults: Iterator[str | None] = iter(())
        self.edits: list[tuple[int, str]] = []
        self.emails: dict[str, str] = {}
        """By lead, also those that are gone."""
        self.created: defaultdict[str, list[Creation]] = defaultdict(list)
        """By lead."""
        self.not_there: dict[str, float] = {}
        """When a lead was looked for and not found, or a person has said so: when that was asked."""
        self.away: list[tuple[str, Exchange]] = []
        """Writes that are on their way, by lead."""
        self.world.network.passing = self._leaves
        self.world.network.weather = self._weather
        self.world.database = self._watch
        self.db: SimulatedDatabase | None = None
        self.edit([("add", 0, "Ann")] * 5)

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "folder"):
            self.folder.cleanup()

    # -- what happens

    @rule(edits=st.lists(st.tuples(st.sampled_from(["add", "add", "change", "change", "remove"]), PICK, NAMES), min_size=1, max_size=4))
    def edit(self, edits: list[tuple[str, int, str]]) -> None:
        """People make, edit and delete leads."""
        for what, pick, name in edits:
            self._edit(what, pick, name)

    def _edit(self, what: str, pick: int, name: str) -> None:
        leads = self.world.leads
        if what == "add" or not leads.records:
            email = f"p{len(self.emails)}@example.org"
            self.emails[str(leads.add(email=email, name=name, rev=1))] = email
            return
        lead = leads.records[pick % len(leads.records)]
        if what == "remove":
            leads.remove(lead["id"])
        else:
            leads.change(lead["id"], name=name, rev=lead["rev"] + 1)

    @rule(
        seconds=st.sampled_from([1.0, 70.0, 3600.0]),
        faults=st.lists(st.sampled_from([None, *FAULTS]), min_size=2, max_size=8),
        dies_at=st.one_of(st.none(), st.integers(1, 60)),
        edits=st.lists(st.tuples(PICK, NAMES), max_size=2),
    )
    def run(self, seconds: float, faults: list[str | None], dies_at: int | None, edits: list[tuple[int, str]]) -> None:
        """A run, after a while; the email platform's answers meet these faults, the process dies at a step, and someone edits meanwhile."""
        self.world.clock.advance(seconds)
        self.edits = edits
        self._run(faults, dies_at)

    @precondition(lambda self: self.world.letters())
    @rule(
        pick=PICK,
        faults=st.lists(st.sampled_from([None, *FAULTS]), min_size=1, max_size=4),
        dies_at=st.one_of(st.none(), st.integers(1, 30)),
    )
    def redrive(self, pick: int, faults: list[str | None], dies_at: int | None) -> None:
        """Someone redrives a letter."""
        letters = self.world.letters()
        self._run(faults, dies_at, redrive=(letters[pick % len(letters)].id,))

    @precondition(lambda self: self.world.letters())
    @rule(pick=PICK)
    def discard(self, pick: int) -> None:
        """Someone gives a letter up."""
        letters = self.world.letters()
        self._do(lambda tieline: dead_letters.discard(tieline.db, [letters[pick % len(letters)].id], "no matter", now=tieline.clock.now()))

    @precondition(lambda self: any(letter.cause == "unknown" for letter in self.world.letters()))
    @rule(pick=PICK, dies_at=st.one_of(st.none(), st.integers(1, 30)))
    def say(self, pick: int, dies_at: int | None) -> None:
        """Someone looks into the email platform and says what became of a creation."""
        letters = [letter for letter in self.world.letters() if letter.cause == "unknown"]
        letter = letters[pick % len(letters)]
        copies = self._copies(letter.source_id)
        said: dict[str, Any] = {"target_id": str(copies[0]["id"])} if copies else {"not_done": True}
        if copies:
            self.created[letter.source_id].clear()  # it is known what became of them
        else:
            self.not_there[letter.source_id] = self.world.clock.monotonic()
        self._run([], dies_at, redrive=(letter.id,), settlement=Settlement("looked", **said))

    @rule()
    def peace(self) -> None:
        """Nothing goes wrong any more: what is not set aside has arrived, once, as it is now."""
        self.world.clock.advance(4000.0)
        for _ in range(4):
            self._run([], None)
            self.world.clock.advance(70.0)
        if left := {state for state in self.world.balance() if state in ("sending", "owed", "unknown")}:
            raise Broken(f"still {left} after all was well")
        set_aside = {letter.source_id: letter for letter in self.world.letters()}
        for lead in self.world.leads.records:
            id, copies = str(lead["id"]), self._copies(lead["id"])
            newest = self.world.deliveries(id)[-1].state
            if len(copies) > 1:
                raise Broken(f"lead {id} is there {len(copies)} times")
            if id in set_aside or newest == "discarded":
                continue
            wanted = [(lead["name"], lead["rev"])]
            if wanted != [(copy["name"], copy["rev"]) for copy in copies]:
                raise Broken(f"lead {id} is {wanted}, and there {copies}; {[(d.id, d.state, d.why) for d in self.world.deliveries(id)]}")

    # -- what must be so

    def _watch(self, db: SimulatedDatabase) -> None:
        self.db = db
        db.committed = self._committed

    def _committed(self, db: SimulatedDatabase) -> None:
        self._hold(self._check_commit, db)

    def _leaves(self, exchange: Exchange) -> None:
        if exchange.system == "mail":
            self._hold(self._check_request, exchange)
        elif self.edits:
            self._edit("change", *self.edits.pop())

    def _hold(self, check: Any, subject: Any) -> None:
        """End the process at the first thing that must not be: nothing in it may catch that."""
        assert self.db is not None
        if self.db.process.dead or self.broken is not None:
            return
        try:
            check(subject)
        except Broken as broken:
            self.broken = broken
            self.db.process.end("a broken promise")

    def _check_commit(self, db: SimulatedDatabase) -> None:
        self.books.check(db)
        rows = db.read("SELECT id, source_id, state, call, reason FROM delivery ORDER BY id")
        newest = {source_id: id for id, source_id, *_ in rows}
        count = 0
        for id, source_id, state, call, reason in rows:
            count += state == "delivered"
            before = self.deliveries.get(id)
            if before == state:
                continue
            where = f"delivery {id} of lead {source_id}: {before} → {state}"
            if state not in EDGES[before]:
                raise Broken(f"{where} is no way that there is")
            if state in ("owed", "held", "dead") and not reason:
                raise Broken(f"{where}, and nothing says why")
            told = {kind for (kind,) in db.read("SELECT kind FROM event WHERE source_id = ?", (source_id,))}
            match state:
                case "delivered":
                    self.created[source_id].clear()  # it is known what became of them
                    known = call is not None and db.read("SELECT 1 FROM call WHERE id = ?", (call,))
                    if not known and not any(kind.startswith(("looked", "it was there")) for kind in told):
                        raise Broken(f"{where}, and no call or look says so")
                case "discarded" if "discarded by hand" not in told:
                    raise Broken(f"{where}, and no one has done it")
                case "unknown" if before is None and not any(
                    row[1] == source_id and row[0] < id and row[2] == "superseded" and decode_json(row[4] or b"{}").get("kind") == "unknown"
                    for row in rows
                ):
                    raise Broken(f"{where}, and it takes the place of none that was in doubt")
                case "superseded" if newest[source_id] == id and not reason and "redriven by hand" not in told:
                    raise Broken(f"{where}, and there is no later one")
            self.deliveries[id] = state
        for id in [id for id in self.created if self._in_doubt(id)]:
            of_record = [(row[2], decode_json(row[4]) if row[4] else {}) for row in rows if row[1] == id]
            if not any(state in ("sending", "unknown") or why.get("kind") == "unknown" for state, why in of_record):
                raise Broken(f"lead {id} may have been created, and no delivery of it says so: {of_record}")
        (counted,) = db.read("SELECT coalesce(sum(delivered), 0) FROM integration")[0]
        if counted != count:
            raise Broken(f"{count} are delivered, and {counted} are counted")

    def _check_request(self, exchange: Exchange) -> None:
        request = exchange.request
        self.away = [(id, other) for id, other in self.away if other.ended_at is None]
        for place, (id, fields, creates) in enumerate(self._written(exchange)):
            if any(other == id for other, _ in self.away):
                raise Broken(f"{request.method} of lead {id} leaves while another write of it is on its way")
            on_their_way = [d for d in self._deliveries(id) if d[1] in ("sending", "unknown", "owed")]
            if not on_their_way or on_their_way[0][1] == "owed":
                raise Broken(f"{request.method} of lead {id} leaves, and no durable delivery says so: {on_their_way}")
            stored: dict[str, Any] = decode_json(on_their_way[0][2]) if on_their_way[0][2] else {}
            if strange := {field: value for field, value in fields.items() if stored.get(field, value) != value}:
                raise Broken(f"{request.method} of lead {id} says {strange}, and it is the turn of {on_their_way[0]}")
            if creates:
                key = request.headers.get("Idempotency-Key")
                doubts = self._in_doubt(id)
                if doubts and not all(key is not None and creation.key == key for creation in doubts):
                    raise Broken(f"lead {id} is created again, and no one has looked: {[c.exchange for c in doubts]}")
                self.created[id].append(Creation(exchange, key, place))
            self.away.append((id, exchange))

    def _in_doubt(self, id: str) -> list[Creation]:
        """Return the creations of a lead that may have been done, and were not looked for since."""
        for exchange in self.world.network.exchanges:
            if (
                exchange.request.method == "GET"
                and exchange.system == "mail"
                and exchange.response is not None
                and "/search" in exchange.request.url
            ):
                self._heard(exchange)
        asked, created = self.not_there.get(id, -1.0), self.created[id]
        return [
            c
            for c in created
            if c.may_have_been_done
            and not (c.exchange.ended_at is not None and c.exchange.ended_at <= asked)
            and not any(later.refuses(c) for later in created)
        ]

    def _heard(self, exchange: Exchange) -> None:
        if exchange.fault is not None or exchange.response is None or decode_json(exchange.response.body).get("data") != []:
            return
        for id, email in self.emails.items():
            if f"value={email.replace('@', '%40')}" in exchange.request.url:
                self.not_there[id] = max(self.not_there.get(id, -1.0), exchange.sent_at)

    # -- details

    def _run(self, faults: list[str | None], dies_at: int | None, **wanted: Any) -> None:
        self.faults = iter(faults)
        process = Process(lambda number, what: number == dies_at)

        async def work(tieline: Tieline) -> Any:
            return await tieline.run(NAME, Wanted(**wanted))

        try:
            outcome = self.world.within(work, process)
        except (Crash, Refused):
            outcome = None
        except SafetyStop as stop:
            if "is being run by" not in str(stop):
                raise
            outcome = None
        finally:
            self.faults, self.edits = iter(()), []
            self.away.clear()
        if self.broken is not None:
            raise self.broken
        if outcome is not None and outcome.error is None and not outcome.counts.balances:
            raise Broken(f"the books of a run don't balance: {outcome.counts}")

    def _do(self, work: Any) -> None:
        async def working(tieline: Tieline) -> None:
            work(tieline)

        self.world.within(working)

    def _weather(self, system: str, request: Any, now: float) -> Fault | None:
        name = next(self.faults, None) if system == "mail" else None
        return FAULTS[name] if name is not None else None

    def _copies(self, id: Any) -> list[Record]:
        return [record for record in self.world.members.records if str(record.get("ext")) == str(id)]

    def _deliveries(self, id: str) -> list[Any]:
        assert self.db is not None
        return self.db.read("SELECT id, state, changed FROM delivery WHERE source_id = ? ORDER BY id", (id,))

    def _written(self, exchange: Exchange) -> Iterator[tuple[str, Record, bool]]:
        """Yield what a write is about: (lead, fields, whether it creates)."""
        request = exchange.request
        if request.method == "GET":
            return
        path = request.url.split("/members", 1)[1]
        sent: Any = decode_json(request.body) if request.body else {}
        for item in sent["items"] if path.startswith("/batch/") else [sent]:
            if path in ("", "/batch/create"):
                yield str(item["ext"]), item, True
            else:
                target = str(item["id"]) if path.startswith("/batch/") else path.rsplit("/", 1)[1]
                entry = self.world.members.entries.get(target)
                if entry is not None and "ext" in entry.record:
                    yield str(entry.record["ext"]), {k: v for k, v in item.items() if k != "id"}, False


Outbox.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=20,
    deadline=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
TestOutbox = Outbox.TestCase
