"""A seed's world: two vendors with habits of their own, people who edit, a network with weather, processes that die; and then peace.

What must be so at every commit is looked at after every commit; what must be so in the end, when all has been quiet for a while.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.books import Books, Broken
from engine.manners import give_manners, give_spelling
from engine.people import People
from engine.world import FIELDS, NAME, World
from tieline.app import Tieline
from tieline.engine.review.dead_letters import DeadLetter
from tieline.engine.runs.passes import Outcome, Wanted
from tieline.model.errors import Refused, SafetyStop, StoreError
from tieline.model.records import Record, decode_json
from tieline.model.verified import Finding, Verified
from tieline.testing import (
    UNANSWERED,
    Collection,
    Crash,
    Exchange,
    Fault,
    Process,
    SimulatedDatabase,
    Stuck,
    Weather,
    error,
    mistaken,
    throttled,
)
from tieline.testing.collection import Entry
from tieline.transport.ports import HttpRequest

_LONG_WAIT_SECONDS = 2000.0
BAD = "refuse me"
"""A name that the destination refuses."""
_MOST_EDITS = 80
"""So many are made during one run: a list that grows faster than it can be read has no end."""
_MORE_FIELDS = {
    "ext": {"type": "any"},
    "tag": {"type": "string"},
    "handle": {"type": "string"},
    "status": {"type": "string"},
    "archived": {"type": "boolean"},
    "origin": {"type": "string"},
}


class Simulation:
    """One seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.chance = seed, random.Random(seed)
        self.rough = rough = seed % 4 == 3
        """All that can go wrong does so often: every fourth world is like that."""
        chance = self.chance
        self.source, self.deletes = self._source(), "ignore"
        give_spelling(self.source, f"source {seed}")
        self._work = random.Random(f"work {seed}")
        self.busy = self._work.random() < 0.5 and self.source.changed_since in ("time", "version") and self.source.ceiling is None
        """While the source's list is read, what it has shown changes, and then what it will show: its largest time is no safe mark."""
        if self.busy:
            self.source.order, self.source.paging, self.source.counted_marks, self.source.page_size = "made", "cursor", False, 2
        self.target, mail = self._target()
        if self.source.tombstones:
            self.deletes = chance.choice(["ignore", "delete", "archive"])
        self.absent = self.deaf = False
        self.runs = 0
        self._apart()
        self.when = "new.status == 'open'" if chance.random() < 0.25 else None
        matched = bool(self.target.find or self.target.lists) and (not mail["idempotency"] or chance.random() < 0.8)
        if not matched and not self.target.upsert and self.target.tells == "nothing":
            self.target.tells = "record"
        give_manners(self.target, seed, lambda: self.weather.calm)
        late = random.Random(f"late reads {seed}")
        if self.target.find and late.random() < 0.4:
            self.target.lag = late.choice([30.0, 600.0])
            self.target.declared_lag = late.choice([self.target.lag, None])
        self.moves = self._may_move()
        """People give up handles, and others take them: only one may have each."""
        given = {"id": "id"} if self.target.ids == "given" else {}
        self.mapping = {
            **given,
            "email": "email",
            "name": "name",
            "rev": "rev",
            "ext": "id",
            "tag": "tag",
            **({"handle": "handle"} if self.moves else {}),
        }
        self.integration: dict[str, Any] = {
            "match": {"email": "email"} if matched or self.target.upsert else None,
            "when": self.when,
            "deletes": {"archive": {"archived": True}} if self.deletes == "archive" else self.deletes,
            "brakes": {"deletes": 1000},
            "retry": {"attempts": chance.randint(2, 5)},
        }
        self.constants: dict[str, str] = {}
        self.world = World(
            folder,
            self.source,
            self.target,
            mail=mail,
            crm={"concurrency": 2, "dates": chance.random() < 0.5},
            seed=seed,
            map=self.mapping,
            **self.integration,
        )
        world = self.world
        keyed = mail["idempotency"] and ("upsert" if self.target.upsert else "create") not in self.target.batch
        # A search that finds nothing proves nothing once someone could have changed the key: only a list does.
        self.can_settle = bool(keyed or (self.target.lists and (matched or self.target.upsert)))
        rates = [0.2, 0.3] if rough else [0.0, 0.05, 0.2]
        self.weather = Weather(seed, rate=chance.choice(rates), storms=chance.choice([0.0, 0.0, 0.03]))
        world.network.weather = self._weather
        roads = random.Random(f"roads {seed}")
        world.network.doubles = roads.choice([0.0, 0.05, 0.4])
        world.network.latency = roads.choice([(0.001, 0.02), (0.001, 0.02), (0.001, 3.0)])
        self._moods = random.Random(f"moods {seed}")
        self.strict = self._moods.choice([0.0, 0.0, 0.02])
        """Share of requests that are told to wait for longer than a run does."""
        self._liars = random.Random(f"liars {seed}")
        self.lies = self._liars.choice([0.0, 0.05, 0.3])
        """Share of the records that are asked for by their ids which come as another's, or as no one's."""
        self.renames = self._liars.choice([0.0, 0.5]) if self.target.lists and not mail["idempotency"] and not self.moves else 0.0
        """Share of the creations with lost answers whose records someone renames before anybody looks."""
        self.renamed: set[str] = set()
        world.network.passing = self._passing
        world.database = self._watch
        self.mortality = chance.choice([0.01, 0.03] if rough else [0.0, 0.01, 0.03])
        self.bad_disk = chance.choice([0.0, 0.0, 0.01])
        self.picky = chance.choice([0.06, 0.06, 0.3])
        """Share of the names that the destination refuses."""
        self.restless = 0.7 if rough else chance.choice([0.0, 0.2, 0.7])
        """Share of the source's requests during which someone edits."""
        self.impatient = chance.choice([0.0, 0.0, 0.02])
        """Share of all requests during which someone asks the run to stop."""
        if self.moves:
            self.picky = 0.0  # whoever is refused for another reason keeps a value that another one wants
        self._stop: Callable[[], None] = lambda: None
        self._books = Books()
        self._emails = self._edits = 0
        self.gone: set[str] = set()
        self.people = People(world, chance, lambda **wanted: self._run(self.mortality, **wanted), bad=BAD)
        self.log: list[str] = []
        self._passed: Counter[tuple[Any, ...]] = Counter()
        """Exchanges that must be in the journal of calls, each once."""
        self._began = world.clock.now()
        self.calls_lost = 0
        """Calls of which a crash or a bad disk has left no line."""
        self._waits: list[tuple[str, float, float]] = []
        """(system, told at, seconds): waits that outlive the process that was told."""

    def __str__(self) -> str:
        habits = {
            k: v
            for k, v in vars(self.source).items()
            if k in ("paging", "page_size", "order", "changed_since", "tombstones", "list_lag", "ids")
            or (k in ("feed", "feed_lag", "total", "counted_marks", "ceiling", "at_ceiling", "windows", "conditional", "precision") and v)
        }
        there = {
            k: v
            for k, v in vars(self.target).items()
            if k
            in (
                "find",
                "lists",
                "update",
                "upsert",
                "batch",
                "results",
                "unique",
                "already",
                "tells",
                "ids",
                "find_lag",
                "lag",
                "declared_lag",
                "says_no",
                "apart",
                "result_key",
            )
            and v
        }
        spec = self.world.project.integrations[NAME]
        lines = [
            f"source {habits}",
            f"target {there} idempotency={self.world.mail.idempotency} rate={self.world.mail.rate} declared={self.world.mail.declared_rate} told={self.world.mail.limit_headers} backoff={self.world.mail.backoff}",
            f"integration match={spec.match} when={spec.when} deletes={spec.deletes} attempts={spec.retry.attempts}",
            f"faults {self.weather.rate} storms {self.weather.storms} mortality {self.mortality} disk {self.bad_disk} restless {self.restless} busy {self.busy} doubled {self.world.network.doubled}",
            *self.log,
        ]
        return "\n  ".join(lines)

    # -- the worlds there are

    def _source(self) -> Collection:
        chance = self.chance
        changed_since = chance.choice([None, "time", "version", "mark"])
        order = "changed" if changed_since in ("time", "version") and chance.random() < 0.6 else "made"
        styles = ["cursor", "next_url", "link_header", None, "page", "offset"]
        if changed_since == "time" and order == "changed":
            styles.append("keyset")
        paging, page_size = chance.choice(styles), chance.randint(1, 5)
        more: dict[str, Any] = {}
        if chance.random() < 0.5:
            more["total"] = "asked" if changed_since is None or chance.random() < 0.6 else "all"
        if paging in ("cursor", "next_url", "link_header") and chance.random() < 0.3:
            more["counted_marks"] = True
        if chance.random() < 0.25:
            more["ceiling"] = 2 * page_size + chance.randint(9, 14)
            more["at_ceiling"] = chance.choice(["error", "repeat", "empty", "stop"])
            more["windows"] = order != "changed" or changed_since == "mark" or paging == "keyset" or chance.random() < 0.5
        if chance.random() < 0.3:
            more["conditional"] = chance.choice(["etag", "last_modified"])
        return Collection(
            "leads",
            {**FIELDS, **_MORE_FIELDS},
            ids=chance.choice(["number", "large", "text"]),
            paging=paging,
            page_size=page_size,
            order=order,
            changed_since=changed_since,
            precision=0.001 if "ceiling" in more else chance.choice([0.001, 1.0]),
            list_lag=chance.choice([0.0, 3.0]) if changed_since == "time" else 0.0,
            tombstones=changed_since is not None and chance.random() < 0.6,
            **more,
        )

    def _apart(self) -> None:
        """Let some of the sources that do not tell of deletions in their list tell of them apart."""
        chance = random.Random(f"apart {self.seed}")
        if self.source.tombstones:
            return
        if chance.random() < 0.5:
            self._by_absence()
            return
        self.source.feed = chance.choice(["time", "version", "whole"])
        self.source.feed_lag = chance.choice([0.0, 3.0]) if self.source.feed == "time" else 0.0
        if random.Random(f"late deletes {self.seed}").random() < 0.5:
            self.source.late_deletes = self.source.declared_lag = 600.0
        self.deletes = chance.choice(["ignore", "delete", "archive"])

    def _by_absence(self) -> None:
        """Let deletions be found by what a whole list does not show, which now and then leaves something out that is there.

        Where a record can be asked for by its id, a list may leave out what it likes; elsewhere it does so once for each record.
        """
        chance = random.Random(f"absent {self.seed}")
        if self.source.changed_since is not None or chance.random() < 0.2:
            return
        self.absent, self.source.gets, self.deletes = True, chance.random() < 0.5, chance.choice(["delete", "archive"])
        self.source.declared_lag = chance.choice([0.0, 0.0, 30.0])

        self.deaf = deaf = self.source.gets and random.Random(f"deaf {self.seed}").random() < 0.4

        def hides(way: str, entry: Entry) -> bool:
            if way == "get" and deaf and self.runs % 2 and not self.weather.calm:
                return True  # whatever is asked for by its id is not there: that says nothing of any record
            if way != "list" or self.weather.calm or self.source.conditional is not None:
                return False  # a list that leaves something out is not the same as before, and would have to say so
            if self.source.gets:
                return random.Random(f"{self.seed} {entry.id} {self.runs}").random() < 0.2
            return random.Random(f"{self.seed} {entry.id}").randint(1, 8) == self.runs

        self.source.hides = hides

    def _target(self) -> tuple[Collection, dict[str, Any]]:
        chance = self.chance
        idempotency = chance.random() < 0.4
        find = ("email",) if chance.random() < 0.7 else ()
        upsert = "email" if chance.random() < 0.2 else None
        batch = {}
        for operation in ("create", "update", "delete", *(["upsert"] if upsert else [])):
            if chance.random() < 0.35:
                batch[operation] = chance.randint(2, 5)
        lists = chance.random() < 0.6
        looks = bool(find) or lists
        ids = chance.choice(["number", "large", "text", "given"])
        unique = "email" if upsert or (looks and chance.random() < 0.3) else None
        already: tuple[int | str, ...] = ()
        if unique or ids == "given":
            already = chance.choice([(409,), ("already exists", "taken")]) if looks else ()
        results = chance.choice(["position", "id", "none"] if ids == "given" else ["position", "id"])
        if results == "none":
            batch.pop("delete", None)  # which of many is gone already, such an answer does not tell: a person must look
        target = Collection(
            "members",
            {**FIELDS, **_MORE_FIELDS},
            ids=ids,
            page_size=chance.randint(1, 6),
            paging=chance.choice(["cursor", "page", "offset", "next_url"]),
            total=chance.choice([None, "asked"]),
            lists=lists,
            find=find,
            find_cache=chance.choice([None, 600.0]),
            find_lag=chance.choice([0.0, 0.0, 5.0]),
            update=chance.choice(["patch", "patch", "put"]),
            upsert=upsert,
            batch=batch,
            results=results,
            result_key="email",
            unique=unique,
            already=already,
            tells=chance.choice(["record", "record", "location", "nothing"]) if looks else "record",
            normalise=_tidy if chance.random() < 0.5 else None,
            refuses=lambda operation, record: "this name is not welcome" if record.get("name") == BAD else None,
        )
        rate = chance.choice([None, None, (5, 1.0), (20, 60.0)])
        habits: dict[str, Any] = {
            "idempotency": idempotency,
            "concurrency": chance.randint(1, 6),
            "rate": rate,
            "declared_rate": rate if chance.random() < 0.5 else None,
            "retry_after": chance.choice(["seconds", "date", "never"]),
        }
        # A draw of its own, so that older seeds keep their worlds.
        told = random.Random(f"limits {self.seed}")
        habits["limit_headers"] = told.choice([None, None, "draft", "plain", "epoch"]) if rate else None
        habits["backoff"] = told.choice([*[None] * 9, 2.0])
        return target, habits

    def _may_move(self) -> bool:
        """Choose whether handles are unique at the destination, where nothing else stands in the way of what gives one up."""
        self._moving = random.Random(f"moving {self.seed}")
        target = self.target
        fit = self.when is None and self.deletes == "ignore" and target.unique is None and target.lists and not self.source.list_lag
        if not fit or target.results == "none" or self._moving.random() < 0.4:
            return False
        target.unique, target.refused = "handle", self._moving.choice([409, 422])
        self._handles = 0
        self.moved: set[str] = set()
        """Handles that have moved: once each, so that no two ever want each other's."""
        return True

    # -- what people do

    def _handle(self) -> dict[str, str]:
        if not self.moves:
            return {}
        self._handles += 1
        return {"handle": f"h{self._handles}"}

    def _move(self) -> None:
        """Have someone give up a handle for another one, and someone else take it."""
        free = [record for record in self.source.records if record["handle"] not in self.moved]
        if len(free) < 2:
            return
        giver, taker = self._moving.sample(free, 2)
        handle = giver["handle"]
        self.moved.add(handle)
        for id, value in ((giver["id"], self._handle()["handle"]), (taker["id"], handle)):
            self.source.change(id, handle=value, rev=self.source.record(id)["rev"] + 1)
            self.world.clock.advance(0.002)

    def _edit(self) -> None:
        chance, leads = self.chance, self.source
        ids = [record["id"] for record in leads.records]
        what = chance.random()
        if not ids or what < 0.3:
            self._emails += 1
            email = f"Person{self._emails}@Example.org"
            leads.add(
                **self._handle(), email=email, name=self._name(), rev=1, tag=chance.choice("ab"), status=chance.choice(["open", "lost"])
            )
            return
        id = chance.choice(ids)
        if what < 0.4 and (self.source.tombstones or self.source.feed or (self.absent and len(ids) > 1)):
            leads.remove(id)
            self.gone.add(str(id))
            return
        if what < 0.6:  # back and forth: what is on its way may be undone before it has arrived
            leads.change(id, tag=chance.choice("ab"))
            return
        status = {"status": chance.choice(["open", "lost"])} if chance.random() < 0.3 else {}
        leads.change(id, name=self._name(), rev=leads.record(id)["rev"] + 1, **status)

    def _name(self) -> str:
        return BAD if self.chance.random() < self.picky else f"Name {self.chance.randint(0, 999)} "

    def _weather(self, system: str, request: HttpRequest, now: float) -> Fault | None:
        if not self.weather.calm and self._moods.random() < self.strict:
            return throttled(_LONG_WAIT_SECONDS, date=self._moods.random() < 0.3)
        if not self.weather.calm and request.method == "GET" and "/items/" in request.url and self._liars.random() < self.lies:
            return mistaken(self._liars.choice(["another", "no id", "empty"]))
        lost = system == "mail" and request.method == "POST" and self.renames and self._liars.random() < 0.15
        if lost and not self.weather.calm:
            return UNANSWERED if self._liars.random() < 0.5 else error(502, done=True)
        return self.weather(system, request, now)

    def _passing(self, exchange: Exchange) -> None:
        if self.weather.calm:
            return
        if exchange.system == "crm" and self._edits < _MOST_EDITS and self.chance.random() < self.restless:
            for _ in range(self.chance.randint(1, 3)):
                self._edits += 1
                self._edit()
        if exchange.system == "crm" and self.busy and "after=" in exchange.request.url and self._edits < _MOST_EDITS:
            self._edit_both_ends()
        if self.chance.random() < self.impatient:
            self._stop()
        if self.renames and exchange.system == "mail":
            self._rename_what_was_made()

    def _rename_what_was_made(self) -> None:
        """Have a person rename a record whose creation was not answered, before we have looked."""
        lately = [e for e in self.world.network.exchanges[-12:-1] if e.system == "mail"]  # the last one is about to leave
        looked_at = max((e.sent_at for e in lately if e.request.method == "GET"), default=0.0)
        made = [e for e in lately if e.request.method == "POST" and e.ended_at is not None and e.ended_at > looked_at]
        lost = [e for e in made if e.fault is not None and (e.fault == "unanswered" or e.fault.endswith("after the work"))]
        if not lost or self._liars.random() >= self.renames:
            return
        with self.world.store() as db:
            known = {row[0] for row in db.read("SELECT target_id FROM link WHERE target_id IS NOT NULL")}
        sent = {self.source.meant(found["ext"]) for e in lost for found in _records_in(e.request)}
        for record in self.target.records[-6:]:
            ext = self.source.meant(record.get("ext"))
            if ext in sent and ext not in self.renamed and str(record["id"]) not in known:
                self.renamed.add(ext)
                self.target.change(record["id"], email=f"married-{ext}@example.org")

    def _edit_both_ends(self) -> None:
        """Edit a record that the list has shown, and later, by its times, one that it has not."""
        listed = [entry for entry in self.source.listed() if not entry.deleted]
        if len(listed) > 1 and self._work.random() < 0.7:
            for entry in (listed[self._work.randrange(len(listed) // 2)], listed[-1]):
                tag = "b" if entry.record["tag"] == "a" else "a"
                self.source.change(entry.id, tag=tag, rev=entry.record["rev"] + 1)
                self.world.clock.advance(1.1 * self.source.precision)
                self._edits += 1

    # -- the course of things

    def go(self) -> None:
        """Let it happen. Raises `Broken`."""
        try:
            self._go()
        except Stuck as error:
            raise Broken(f"nothing moves any more: {error}") from error

    def _go(self) -> None:
        chance, clock = self.chance, self.world.clock
        for _ in range(chance.choice([chance.randint(0, 12), chance.randint(0, 12), chance.randint(8, 40)])):
            self._edit()
            clock.advance(0.002)  # no more records of one instant than a vendor shows of a list
        for lead in self.source.records:
            if chance.random() < 0.2 and world_matches(self.world):
                id = {"id": lead["id"]} if self.target.ids == "given" else {}
                self.target.add(**id, email=lead["email"].lower(), name="older", rev=0)
        clock.advance(max(self.target.find_lag, self.target.lag))
        for _ in range(chance.randint(4, 8) if self.rough else chance.randint(1, 4)):
            for _ in range(chance.randint(0, 4)):
                self._edit()
                clock.advance(chance.choice([0.0, 0.001, 2.0]))
            for _ in range(self._moving.randint(0, 3) if self.moves else 0):
                self._move()
            what = chance.random()
            if what < 0.1 and not self.moves:
                self._run(self.mortality, limit=chance.randint(1, 5))
            elif what < 0.15 and not self.source.list_lag:  # what a list hides can't be brought in line
                self._change_the_mapping()
            self._run(self.mortality)
            clock.advance(chance.choice([1.0, 61.0, 3600.0]))
            while chance.random() < 0.6:
                self.people.act()
                clock.advance(61.0)
        self.weather.calm, self.bad_disk, self.world.network.doubles = True, 0.0, 0.0
        self.world.network.late_ones_arrive()
        clock.advance(_LONG_WAIT_SECONDS + 400.0)
        late = self.source.late_deletes
        for _ in range(2 if self.absent or late else 0):
            self._run(0.0)  # one absence may prove nothing, nor does what is told within the lag
            clock.advance(late + 61.0)
        for _ in range(6):
            outcome = self._run(0.0)
            clock.advance(61.0 + self.target.lag + (120.0 if self.target.declared_lag is None else 0.0))
            if outcome is not None and outcome.state in ("green", "attention") and not {"owed", "unknown"} & outcome.open.keys():
                break
        else:
            raise Broken(f"it does not come to rest: {outcome}")
        self._check_the_end()
        before = len(self.world.mail.writes)
        outcome = self._run(0.0)
        written = [f"{r.method} {r.url} {r.body!r}" for r in self.world.mail.writes[before:]]
        if written:
            raise Broken(f"a further run writes: {written}")
        self._check_verification()

    def _check_verification(self) -> None:
        """What `verify` says of both systems agrees with what is true of them."""

        async def work(tieline: Tieline) -> tuple[Verified, list[Finding]]:
            with await tieline.verify(NAME) as verification:
                return verification.verified, list(verification.findings())

        v, findings = self.world.within(work)
        here = v.in_sync + v.differing + v.missing + v.excluded + v.unreadable
        there = v.counterparts + v.left_over + v.only_there + v.target_unreadable
        if v.source_read != here or (v.target_read is not None and v.target_read != there):
            raise Broken(f"a verification does not add up: {v}")
        if astray := [finding for finding in findings if finding.why not in ("parked", "held")]:
            raise Broken(f"a verification finds {astray}, of {v}")

    def _change_the_mapping(self) -> None:
        self.constants = {"origin": "crm"}
        self.world.declare(**self.integration, map={**self.mapping, "origin": {"const": "crm"}})
        self.log.append(f"{self.world.clock.elapsed_seconds:.3f} the mapping changes")

    def _run(self, mortality: float, **wanted: Any) -> Outcome | None:
        world, chance = self.world, self.chance
        process = Process(lambda number, what: chance.random() < mortality)
        first, self._edits = len(world.network.exchanges), 0
        self.runs += 1
        may_lose = True  # a process that dies takes along what no commit has written yet

        async def work(tieline: Tieline) -> Outcome:
            self._stop = lambda: tieline.engine().stop("asked to")
            return await tieline.run(NAME, Wanted(**wanted))

        try:
            outcome = world.within(work, process)
        except Crash:
            if self._books.broken is not None:
                raise self._books.broken from None
            self.log.append(f"{world.clock.elapsed_seconds:.3f} crash {process.steps[-1]}")
            return None
        except Refused as error:
            self.log.append(f"{world.clock.elapsed_seconds:.3f} refused: {error}")
            return None
        except SafetyStop as error:
            self.log.append(f"{world.clock.elapsed_seconds:.3f} {error}")
            absence = "shows no record at all" in str(error) or "has none of the records that it is asked for by id" in str(error)
            if "is being run by" not in str(error) and not (self.absent and absence):
                raise Broken(f"a safety stop without a reason: {error}") from error
            return None
        except StoreError as error:
            self.log.append(f"{world.clock.elapsed_seconds:.3f} {error}")
            if not self.bad_disk:
                raise Broken(f"an error of the store without a reason: {error}") from error
            return None
        else:
            may_lose = self.bad_disk > 0 or process.dead  # it may die of its last commit
        finally:
            self._check_patience(world.network.exchanges[first:])
            self._check_journal(world.network.exchanges[first:], may_lose=may_lose)
            self._remember_waits(world.network.exchanges[first:])
        self.log.append(f"{world.clock.elapsed_seconds:.3f} {outcome.state} {outcome.counts} {outcome.error or ''}")
        if outcome.error is not None and "max_run" in outcome.error:
            raise Broken(f"the run did not end: {outcome.error}")
        if not outcome.counts.balances and outcome.error is None:
            raise Broken(f"the books of a run don't balance: {outcome.counts}")
        return outcome

    # -- what must be so

    def _watch(self, db: SimulatedDatabase) -> None:
        self._books.watch(db)
        db.fails = lambda: StoreError("the disk is full: (simulated)") if self.chance.random() < self.bad_disk else None

    def _check_patience(self, exchanges: list[Exchange]) -> None:
        """Nothing leaves for a system before the time that it has named, to this process or to one before it."""
        waits = [
            *self._waits,
            *((told.system, told.ended_at, wait) for told in exchanges if told.ended_at is not None and (wait := self._wait(told))),
        ]
        for system, told_at, wait in waits:
            for later in exchanges:
                if later.system == system and told_at < later.sent_at < told_at + wait - 1e-6:
                    raise Broken(f"{system} said at {told_at} to wait for {wait} s, and was asked again at {later.sent_at}")

    def _wait(self, told: Exchange) -> float:
        """Return for how long an answer asks to wait."""
        if told.response is None:
            return 0.0
        name = "Retry-After" if told.response.status in (429, 503) else "Backoff"
        said = told.response.headers.get(name, "")
        return float(said) if said.replace(".", "").isdigit() else 0.0

    def _remember_waits(self, exchanges: list[Exchange]) -> None:
        """A wait that was told in good time before its process ended is known to the next one."""
        now = self.world.clock.monotonic()
        self._waits = [(system, told_at, wait) for system, told_at, wait in self._waits if told_at + wait > now]
        if self.bad_disk:
            return  # it may not have been written
        for told in exchanges:
            wait = self._wait(told)
            if told.ended_at is not None and told.ended_at < now - 0.1 and told.ended_at + wait > now:
                self._waits.append((told.system, told.ended_at, wait))

    def _check_journal(self, exchanges: list[Exchange], *, may_lose: bool) -> None:
        """Every exchange is in the journal of calls once, as what it was; only what a crash took along may be missing."""
        passed = Counter((e.system, e.request.method, e.request.url, self._began + e.sent_at) for e in exchanges)
        with self.world.store() as db:
            lines = db.read("SELECT connection, method, url, at, failure, status FROM call")
        found = Counter((system, method, url, at) for system, method, url, at, _, _ in lines)
        if invented := found - self._passed - passed:
            raise Broken(f"in the journal of calls, but no one saw it: {invented}")
        missing = passed - (found - self._passed)
        if missing and not may_lose:
            raise Broken(f"not in the journal of calls: {missing}")
        if gone := self._passed - found:
            raise Broken(f"vanished from the journal of calls: {gone}")
        if unjudged := [
            line for line in lines if line[4] is None and (line[5] is None or (line[5] >= 300 and line[5] not in (304, 404, 409)))
        ]:
            raise Broken(f"calls that failed, and don't say so: {unjudged}")
        self._passed += passed - missing
        if missing:
            self.calls_lost += missing.total()
            self.log.append(f"{self.world.clock.elapsed_seconds:.3f} {missing.total()} calls have left no line in the journal")

    def _check_the_end(self) -> None:
        world = self.world
        balance, letters = world.balance(), world.letters()
        if left := {state: number for state, number in balance.items() if state in ("owed", "unknown", "sending")}:
            raise Broken(f"still owed after all was well: {left}")
        set_aside = {letter.source_id: letter for letter in letters}
        there: defaultdict[str, list[Record]] = defaultdict(list)
        for record in self.target.records:
            there[self.source.meant(record.get("ext"))].append(record)
        emails = Counter(str(record.get("email")).lower() for record in self.target.records)
        if doubled := [email for email, number in emails.items() if number > 1]:
            raise Broken(f"there twice: {doubled}")
        for lead in self.source.records:
            id = str(lead["id"])
            copies = there.get(id, [])
            if any(d.operation == "delete" or "archived" in d.fields for d in world.deliveries(id)):
                raise Broken(
                    f"lead {id} was never deleted, and its counterpart was to be: {[(d.id, d.operation) for d in world.deliveries(id)]}"
                )
            if self.when is not None and lead["status"] != "open":
                continue
            letter, name = set_aside.pop(id, None), self.people.wanted_name(lead)
            if letter is None and self.people.gave_up(id) and len(copies) <= 1:
                continue
            if letter is not None and letter.cause == "unknown" and (not self.can_settle or id in self.renamed):
                if len(copies) > 1:
                    raise Broken(f"lead {id} is there {len(copies)} times, and someone is asked whether it is there")
                continue
            if lead["name"] == BAD and (letter is not None or name == BAD):
                if letter is None:
                    raise Broken(f"lead {id} can't have been accepted, and is no dead letter")
                continue
            if letter is not None and self._waits_for_a_redrive(letter) and len(copies) <= 1:
                continue
            if letter is not None:
                raise Broken(f"lead {id} is set aside without a reason: {letter.state}, {letter.cause}: {letter.message}")
            if len(copies) != 1:
                raise Broken(
                    f"lead {id} is there {len(copies)} times: {lead}; deliveries {[(d.id, d.operation, d.state, d.why) for d in world.deliveries(id)]}"
                )
            wanted: Record = {
                **self.constants,
                "email": lead["email"],
                "name": name,
                "rev": lead["rev"],
                "ext": lead["id"],
                "tag": lead["tag"],
                **({"handle": lead["handle"]} if self.moves else {}),
            }
            wanted = _tidy(wanted) if self.target.normalise is not None else wanted
            found = {field: copies[0].get(field) for field in wanted}
            if wanted != found:
                raise Broken(f"lead {id} arrived as {found}, it should be {wanted}")
        for id in self.gone:
            if id in set_aside and set_aside[id].cause == "unknown" and (not self.can_settle or id in self.renamed):
                continue
            if self.people.gave_up(id) or (id in set_aside and self._waits_for_a_redrive(set_aside[id])):
                continue
            if self.target.update == "put" and id in set_aside and set_aside[id].fields.get("name") == BAD:
                continue  # whoever archives by writing the whole record writes its name too, which is refused
            for copy in there.get(id, []):
                if self.deletes == "delete" or (self.deletes == "archive" and not copy.get("archived")):
                    raise Broken(f"lead {id} was deleted, and its counterpart is {copy}")
        revisions: dict[str, int] = {}
        for write in self.target.written:
            if write.operation == "delete" or "rev" not in write.sent:
                continue
            if write.sent["rev"] < revisions.get(write.id, 0):
                raise Broken(f"{write.id} went back from {revisions[write.id]} to {write.sent['rev']}")
            revisions[write.id] = write.sent["rev"]
        if world.mail.misused_keys:
            raise Broken(f"idempotency keys with two meanings: {world.mail.misused_keys}")

    def _waits_for_a_redrive(self, letter: DeadLetter) -> bool:
        """Whether a letter says what the vendor did while the weather was bad, in its own words: parked, until it is redriven or edited.

        A search, or the look before a deletion, that was answered with rubbish in as many runs as `retry` has attempts; a lock that outlasted
        three runs; a handle that another record gave up in a later run.
        """
        if "looked" in letter.why:
            return bool(letter.why["looked"] >= self.integration["retry"]["attempts"])
        return letter.cause == "passing" or (self.moves and "handle" in letter.message)


def world_matches(world: World) -> bool:
    """Whether what is there already can be recognised."""
    return bool(world.project.integrations[NAME].match)


def _records_in(request: HttpRequest) -> list[Record]:
    sent = decode_json(request.body) if request.body else {}
    return [item for item in sent.get("items", [sent]) if isinstance(item, dict) and "ext" in item]


def _tidy(record: Record) -> Record:
    tidy = dict(record)
    if isinstance(tidy.get("email"), str):
        tidy["email"] = tidy["email"].lower()
    if isinstance(tidy.get("name"), str):
        tidy["name"] = tidy["name"].strip()
    return tidy


def simulate(seed: int, folder: Path) -> Simulation:
    """Run a seed and return what was lived through. Raises `Broken`, with all that happened."""
    simulation = Simulation(seed, folder)
    try:
        simulation.go()
    except Broken as error:
        raise Broken(f"seed {seed}: {error}\n  {simulation}\n\nreplay it: make simulate SEEDS={seed}-{seed}") from error
    return simulation
