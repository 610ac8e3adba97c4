"""Everything that can stop a run, at every place where it can: nothing is lost, doubled, out of order, or silently wrong.

Each scenario is run to its end once for each step that it takes: the process dies there, or a commit fails there, or a request meets a
fault there; and a new process goes on until all is quiet. What chance does in `test_simulation`, this does without gaps.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from engine.books import Books, Broken
from engine.world import World, leads, members
from tieline.engine.runs.passes import Outcome
from tieline.model.errors import StoreError
from tieline.testing import LOST, REFUSED, UNANSWERED, Crash, Fault, Process, SimulatedDatabase, answering, error, garbled, slow, throttled
from tieline.testing.collection import Burial

BAD = "refuse me"


class Scenario:
    """Some leads that have never been written anywhere; a destination that can be searched."""

    source: ClassVar[Mapping[str, Any]] = {}
    target: ClassVar[Mapping[str, Any]] = {}
    mail: ClassVar[Mapping[str, Any]] = {}
    integration: ClassVar[Mapping[str, Any]] = {}
    can_settle = True
    """Whether tieline can find out by itself what became of a write."""

    def before(self, world: World) -> None:
        """Let happen what happened before."""
        people(world, 3)

    def wanted(self, world: World) -> dict[str, Any]:
        """Return what the run is asked to do."""
        return {}


class FirstMeeting(Scenario):
    """Some are in the destination already, in an older version; the cursor moves with each page."""

    source: ClassVar[Mapping[str, Any]] = {"changed_since": "time", "order": "changed", "page_size": 2}

    def before(self, world: World) -> None:
        """Two of four are there."""
        people(world, 4)
        for number in (1, 3):
            world.members.add(email=f"p{number}@example.com", name="older", rev=0)


class Changes(Scenario):
    """One is new, one is changed, one is changed and then again, one is deleted."""

    source: ClassVar[Mapping[str, Any]] = {"changed_since": "time", "tombstones": True, "page_size": 2}
    integration: ClassVar[Mapping[str, Any]] = {"deletes": "delete"}

    def before(self, world: World) -> None:
        """All but the new one are linked."""
        ids = people(world, 4)
        world.run()
        world.clock.advance(61)
        world.leads.change(ids[0], name="Changed", rev=2)
        world.leads.change(ids[1], name="Changed", rev=2)
        world.leads.change(ids[1], name="Changed again", rev=3)
        world.leads.remove(ids[2])
        world.leads.add(email="new@example.com", name="New", rev=1)


class Told(Scenario):
    """Webhooks tell of a deletion, which no list shows, and of a new one and a change, which the list shows ten minutes later."""

    source: ClassVar[Mapping[str, Any]] = {"changed_since": "time", "webhooks": True, "list_lag": 600.0}
    integration: ClassVar[Mapping[str, Any]] = {"deletes": "delete"}

    def before(self, world: World) -> None:
        """All but the new one are linked."""
        ids = people(world, 3)
        world.clock.advance(601)
        world.run()
        world.clock.advance(61)
        world.leads.remove(ids[0])
        world.leads.change(ids[1], name="Changed", rev=2)
        new = world.leads.add(email="new@example.com", name="New", rev=1)
        for kind, id in (("deleted", ids[0]), ("changed", ids[1]), ("changed", new), ("deleted", 4711), ("changed", 4712)):
            world.webhook("leads", kind, id)


class ToldApart(Scenario):
    """The list hides what was deleted; a feed tells of it, in two pages, and of one that is there all the same."""

    source: ClassVar[Mapping[str, Any]] = {"changed_since": "time", "order": "changed", "feed": "time", "page_size": 2}
    integration: ClassVar[Mapping[str, Any]] = {"deletes": "delete"}

    def before(self, world: World) -> None:
        """All but the new one are linked."""
        ids = people(world, 5)
        world.run()
        world.clock.advance(61)
        world.leads.change(ids[0], name="Changed", rev=2)
        for id in ids[1:4]:
            world.leads.remove(id)
        world.leads.buried.append(Burial(ids[4], world.crm.now(), 0))
        world.leads.add(email="new@example.com", name="New", rev=1)


class Batches(Scenario):
    """One of a batch is refused."""

    target: ClassVar[Mapping[str, Any]] = {"batch": {"create": 3}}

    def before(self, world: World) -> None:
        """The second of five is bad."""
        people(world, 5)
        world.leads.change(world.leads.records[1]["id"], name=BAD)


class AllOrNothing(Batches):
    """A batch with a bad one is refused as a whole, and halved; the ids are ours."""

    target: ClassVar[Mapping[str, Any]] = {"batch": {"create": 3}, "results": "none", "ids": "given", "already": (409,)}
    integration: ClassVar[Mapping[str, Any]] = {"map": {"id": "id", "email": "email", "name": "name", "rev": "rev"}}


class KeysOnly(Scenario):
    """The destination can't be asked for anything, but knows a write by its key when it comes again."""

    target: ClassVar[Mapping[str, Any]] = {"find": (), "lists": False}
    mail: ClassVar[Mapping[str, Any]] = {"idempotency": True}
    integration: ClassVar[Mapping[str, Any]] = {"match": None}


class SearchThatLags(Scenario):
    """What was just written can't be found for five seconds; the connector says so."""

    target: ClassVar[Mapping[str, Any]] = {"find_lag": 5.0}


class IdsThatAreNotTold(Scenario):
    """The answer to a creation is empty: the id is looked up."""

    target: ClassVar[Mapping[str, Any]] = {"tells": "nothing"}


class Upserts(Scenario):
    """Creating and updating are one."""

    target: ClassVar[Mapping[str, Any]] = {"upsert": "email", "unique": "email", "find": (), "lists": False}


class Neither(Scenario):
    """No key, no search, no list: what is in doubt is held for a person."""

    target: ClassVar[Mapping[str, Any]] = {"find": (), "lists": False}
    integration: ClassVar[Mapping[str, Any]] = {"match": None}
    can_settle = False


class Redrive(Scenario):
    """A dead letter is sent again, once the destination has become wiser."""

    def before(self, world: World) -> None:
        """One of three was refused."""
        people(world, 3)
        world.members.refuses = lambda operation, record: "not now" if record["email"] == "p1@example.com" else None
        world.run()
        world.clock.advance(61)
        world.members.refuses = lambda operation, record: None

    def wanted(self, world: World) -> dict[str, Any]:
        """What is open, again."""
        return {"redrive": tuple(letter.id for letter in world.letters())}


class AfterAnOutage(Scenario):
    """A creation and a change are owed, because they could not leave in an earlier run."""

    integration: ClassVar[Mapping[str, Any]] = {"retry": {"attempts": 1}}

    def before(self, world: World) -> None:
        """Of three, one is linked and has changed."""
        first, *_ = people(world, 1)
        world.run()
        world.clock.advance(61)
        world.leads.change(first, name="Changed", rev=2)
        for email in ("q1@example.com", "q2@example.com"):
            world.leads.add(email=email, name="Late", rev=1)
        world.network.strike(REFUSED, system="mail", method="POST", times=2)
        world.network.strike(REFUSED, system="mail", method="PATCH")
        world.run()
        assert {"delivered": 1, "owed": 3} == world.balance()
        world.clock.advance(61)


class AnEarlierDoubt(Scenario):
    """Answers were lost in an earlier run, of a creation and of a change, which has changed again since."""

    integration: ClassVar[Mapping[str, Any]] = {"retry": {"attempts": 1}}

    def before(self, world: World) -> None:
        """One is linked; its change and another's creation are in doubt."""
        first = world.leads.add(email="p0@example.com", name="Name 0", rev=1)
        world.run()
        world.clock.advance(61)
        world.leads.change(first, name="Changed", rev=2)
        world.leads.add(email="p1@example.com", name="Name 1", rev=1)
        world.network.strike(UNANSWERED, system="mail", method="POST")
        world.network.strike(UNANSWERED, system="mail", method="PATCH")
        outcome = world.run()
        assert "owed" == outcome.state
        assert 2 == world.balance()["unknown"]
        world.clock.advance(61)
        world.leads.change(first, name="Changed again", rev=3)


SCENARIOS = [
    FirstMeeting, Changes, Told, ToldApart, Batches, AllOrNothing, KeysOnly, SearchThatLags, IdsThatAreNotTold, Upserts, Neither, Redrive, AfterAnOutage,
    AnEarlierDoubt,
]  # fmt: skip
PAGE = answering(200, b"<html><body>Please log in</body></html>", {"Content-Type": "text/html"})
"""What a proxy says in the vendor's place: nothing was done."""
FAULTS = [REFUSED, LOST, UNANSWERED, error(503), error(502, done=True), garbled(), garbled("html"), PAGE, throttled(), slow(1000.0)]

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


class Stage:
    """A scenario that is set up, up to the run that will be disturbed."""

    def __init__(self, scenario: type[Scenario], folder: Path) -> None:
        folder.mkdir()
        self.scenario = scenario()
        self.world = World(
            folder,
            leads(**{"page_size": 2, **scenario.source}),
            members(**{"refuses": lambda operation, record: "not welcome" if record.get("name") == BAD else None, **scenario.target}),
            mail=scenario.mail,
            **scenario.integration,
        )
        self.books = Books()
        self.on_open: Callable[[SimulatedDatabase], None] = lambda db: None
        self.world.database = self._open
        self.scenario.before(self.world)

    def _open(self, db: SimulatedDatabase) -> None:
        self.books.watch(db)
        self.on_open(db)

    def run(self, process: Process | None = None) -> Outcome:
        """Do what the scenario is about. Raises `Crash`, `StoreError`, `Broken`."""
        try:
            outcome = self.world.run(process=process, **self.scenario.wanted(self.world))
        except Crash:
            if self.books.broken is not None:
                raise self.books.broken from None
            raise
        finally:
            self.world.clock.advance(61)  # whoever died is not waited for: its lease has run out
        if not outcome.counts.balances and outcome.error is None:
            raise Broken(f"the books of a run don't balance: {outcome.counts}")
        return outcome

    def come_to_rest(self) -> None:
        """Let new processes go on until all is quiet, and look whether all is right then."""
        if wanted := self.scenario.wanted(self.world):
            self.world.run(**wanted)
            self.world.clock.advance(61)
        for _ in range(4):
            outcome = self.world.run()
            self.world.clock.advance(61)
            if outcome.state in ("green", "attention"):
                break
        else:
            raise Broken(f"it does not come to rest: {outcome.state}: {outcome.error}")
        self._check()
        writes = len(self.world.mail.writes)
        self.world.run()
        if more := self.world.mail.writes[writes:]:
            raise Broken(f"a further run writes {more}")

    def _check(self) -> None:
        world = self.world
        if left := {state: number for state, number in world.balance().items() if state in ("owed", "sending", "unknown")}:
            raise Broken(f"still owed: {left}")
        letters = {letter.source_id: letter for letter in world.letters()}
        there = Counter(str(record["email"]) for record in world.members.records)
        if doubled := [email for email, number in there.items() if number > 1]:
            raise Broken(f"there twice: {doubled}")
        for lead in world.leads.records:
            letter = letters.pop(str(lead["id"]), None)
            arrived = [
                {field: member[field] for field in ("email", "name", "rev")} for member in world.members.where("email", lead["email"])
            ]
            there[lead["email"]] -= len(arrived)
            if lead["name"] == BAD:
                if letter is None or arrived:
                    raise Broken(f"{lead} can't have been accepted: {arrived}, {letter}")
            elif letter is not None:
                if self.scenario.can_settle or letter.cause != "unknown":
                    raise Broken(f"{lead} is set aside: {letter.cause}: {letter.message}")
            elif arrived != [{field: lead[field] for field in ("email", "name", "rev")}]:
                raise Broken(f"{lead} arrived as {arrived}")
        if letters or +there:
            raise Broken(f"no one's: dead letters {list(letters)}, records {list(+there)}")
        latest: dict[str, int] = {}
        for write in world.members.written:
            revision = write.sent.get("rev", latest.get(write.id, 0))
            if revision < latest.get(write.id, 0):
                raise Broken(f"{write.id} went back from {latest[write.id]} to {revision}")
            latest[write.id] = revision
        if world.mail.misused_keys:
            raise Broken(f"idempotency keys with two meanings: {world.mail.misused_keys}")


def people(world: World, count: int) -> list[Any]:
    """Make leads and return their ids."""
    return [world.leads.add(email=f"p{number}@example.com", name=f"Name {number}", rev=1) for number in range(count)]


def stages(scenario: type[Scenario], folder: Path) -> Iterator[tuple[int, Stage]]:
    """Yield the scenario again, with a number from 1, for as long as it is asked for."""
    for number in range(1, 300):
        yield number, Stage(scenario, folder / str(number))
    raise AssertionError("it never ends")


@every_scenario
def test_a_process_may_die_at_any_step(scenario: type[Scenario], swift_path: Path) -> None:
    """Before, within and after each commit, before and after each request: promises 1, 2 and 3."""
    for number, stage in stages(scenario, swift_path):
        process = Process(lambda step, what, last=number: step == last)
        try:
            try:
                stage.run(process)
            except Crash:
                stage.come_to_rest()
            else:
                break
        except Broken as broken:
            raise Broken(f"dead at step {number}, {process.steps[-1]}: {broken}") from broken
    stage.come_to_rest()
    assert number > 20


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "from-then-on"])
@every_scenario
def test_any_commit_may_fail(scenario: type[Scenario], persistent: bool, swift_path: Path) -> None:
    """Once, as when a backup holds the store for too long, or until someone has made room: the run says so, and the next goes on."""
    for number, stage in stages(scenario, swift_path):
        commits, failed = 0, False

        def fails(last: int = number) -> BaseException | None:
            nonlocal commits, failed
            commits += 1
            if commits == last or (persistent and commits > last):
                failed = True
                return StoreError("the disk is full")
            return None

        def on_open(db: SimulatedDatabase, fails: Callable[[], BaseException | None] = fails) -> None:
            db.fails = fails

        stage.on_open = on_open
        try:
            with contextlib.suppress(StoreError):  # when only the lease could not be renewed, or given back, the run has ended well
                stage.run()
            if persistent and failed:
                with pytest.raises(StoreError, match="the disk is full"):
                    stage.run()
            stage.on_open = lambda db: None
            stage.come_to_rest()
        except Broken as broken:
            raise Broken(f"commit {number} failed: {broken}") from broken
        if not failed:
            break
    assert number > 5


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
@every_scenario
def test_any_request_may_fail(scenario: type[Scenario], fault: Fault, swift_path: Path) -> None:
    """Each request in turn meets the fault, once."""
    for number, stage in stages(scenario, swift_path):
        stage.world.network.strike(fault, after=number - 1)
        first = len(stage.world.network.exchanges)
        try:
            stage.run()
            struck = [exchange.request for exchange in stage.world.network.exchanges[first:] if exchange.fault]
            if not struck:
                break
            stage.come_to_rest()
        except Broken as broken:
            raise Broken(f"request {number}: {broken}") from broken
    assert number > 1
