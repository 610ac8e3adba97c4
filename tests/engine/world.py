"""Two fake systems, an integration between them, and people who edit records: all that the engine's tests need, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tieline.app import Tieline
from tieline.config.loading.folder import Project
from tieline.config.loading.yaml_source import Source
from tieline.config.models.connections import Connection
from tieline.config.models.connectors import Connector
from tieline.config.models.integrations import Integration
from tieline.config.models.project import ProjectFile
from tieline.dialects.webhooks import Incoming
from tieline.engine.core.ledger import Counts
from tieline.engine.review import dead_letters
from tieline.engine.review.dead_letters import DeadLetter
from tieline.engine.runs.passes import Outcome, Wanted
from tieline.model.records import Record
from tieline.observe.explain import Story
from tieline.store import calls, outbox, runs
from tieline.store.calls import Call, Search
from tieline.store.delivery import Delivery
from tieline.testing import Collection, FakeSystem, ManualClock, Network, Process, SimulatedDatabase

T = TypeVar("T")
EVERY_CALL = Search()

NAME = "leads"
"""The integration between `crm.leads` and `mail.members`."""

FIELDS: dict[str, dict[str, Any]] = {"email": {"type": "string"}, "name": {"type": "string"}, "rev": {"type": "integer"}}
_WRITTEN = ("created", "updated", "deleted", "unchanged", "filtered", "held", "parked", "owed", "superseded", "matched")
_CARRIED = ("repeated", "carried_delivered", "carried_parked", "carried_owed")


def leads(**habits: Any) -> Collection:
    """Return a source collection."""
    return Collection("leads", FIELDS, **habits)


def members(**habits: Any) -> Collection:
    """Return a destination collection, which finds its records by e-mail address."""
    return Collection("members", FIELDS, **{"find": ("email",), **habits})


class World:
    """A CRM, an email platform, and what must move between them. Each run is a process of its own."""

    def __init__(
        self,
        folder: Path,
        source: Collection | None = None,
        target: Collection | None = None,
        *more: Collection,
        beside: Sequence[Collection] = (),
        integrations: Mapping[str, Mapping[str, Any]] | None = None,
        crm: Mapping[str, Any] | None = None,
        mail: Mapping[str, Any] | None = None,
        connection: Mapping[str, Any] | None = None,
        connector: Callable[[dict[str, Any]], None] = lambda declared: None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        file: Mapping[str, Any] | None = None,
        seed: int = 0,
        **integration: Any,
    ) -> None:
        """`crm` and `mail` are habits of the systems, `integration` what differs from a plain one; `more` collections belong to the CRM.

        Those `beside` belong to the email platform. `connector` may change the connector of the destination as it is declared; `connection` is the destination's,
        `file` what the project file says besides.
        """
        self.folder, self.seed = folder, seed
        self.clock = ManualClock(seed=seed)
        self.leads, self.members = source or leads(), target or members()
        self.crm = FakeSystem("crm", self.clock.elsewhere, self.leads, *more, **(crm or {}))
        self.mail = FakeSystem("mail", self.clock.elsewhere, self.members, *beside, **(mail or {}))
        self.network = Network(self.clock, self.crm, self.mail, seed=seed)
        self._connector, self._connection = connector, dict(connection or {})
        self._functions, self._file = dict(functions or {}), dict(file or {})
        self._others = dict(integrations or {})
        self.declare(**integration)
        self.database: Callable[[SimulatedDatabase], None] = lambda db: None
        """Called with the store of each process before it is used."""

    def declare(self, *, connection: Mapping[str, Any] | None = None, **integration: Any) -> None:
        """Write the integration again, and the destination's `connection` where it is given."""
        if connection is not None:
            self._connection = dict(connection)
        declared = {NAME: plain(**integration), **{name: plain(**other) for name, other in self._others.items()}}
        described = self.mail.connector()
        self._connector(described)
        connectors = {"crm": Connector.model_validate(self.crm.connector()), "mail": Connector.model_validate(described)}
        environ = "${env:TOKEN}"
        hooks = {
            name: {"webhook_secret": f"${{env:{name.upper()}_HOOK}}"} if one.webhooks is not None else {}
            for name, one in connectors.items()
        }
        connections = {
            "crm": Connection.model_validate({"connector": "crm", "auth": {"bearer": environ}, **hooks["crm"]}),
            "mail": Connection.model_validate({"connector": "mail", "auth": {"bearer": environ}, **hooks["mail"], **self._connection}),
        }
        sources = {("integration", name): (Source(f"integrations/{name}.yaml", None, (7, None)), ()) for name in declared}
        self.project = Project(
            self.folder,
            ProjectFile.model_validate({"project": "test", "owner": "test@example.com", **self._file}),
            connectors,
            connections,
            {name: Integration.model_validate(spec) for name, spec in declared.items()},
            self._functions,
            sources,  # type: ignore[arg-type]  # integrations are all that is asked for
        )

    # -- processes

    def life(self, process: Process | None = None) -> Life:
        """Start a process."""
        return Life(self, process or Process())

    def within(self, work: Callable[[Tieline], Awaitable[T]], process: Process | None = None) -> T:
        """Do some work in a process of its own. Raises `Crash` when it ended before."""
        with self.life(process) as life:
            return life.do(work)

    def run(
        self, name: str = NAME, *, process: Process | None = None, progress: Callable[[Counts], None] = lambda counts: None, **wanted: Any
    ) -> Outcome:
        """Run an integration once."""
        return self.within(lambda tieline: tieline.run(name, Wanted(**wanted), progress=progress), process)

    def webhook(self, collection: str, kind: str, id: object, *, into: object = None, forged: bool = False) -> None:
        """Have the system of a collection tell of a record by a webhook; a forged one has another's signature."""
        system = self.crm if collection in self.crm.collections else self.mail
        headers, body = system.webhook(collection, kind, id, into=into)
        if forged:
            headers, _ = system.webhook(collection, kind, "another")

        async def receive(tieline: Tieline) -> None:
            await tieline.receiving()[system.name].receive(Incoming(headers, body))

        self.within(receive)

    def calls(self, *, system: str = "mail", method: str | None = None) -> list[tuple[str, str]]:
        """Return what has been asked of a system over the network, whether it arrived or not: (method, end of the path)."""
        return [
            (e.request.method, e.request.url.split("?")[0].rsplit("/", 1)[-1])
            for e in self.network.exchanges
            if e.system == system and method in (None, e.request.method)
        ]

    # -- looking

    def letters(self) -> list[DeadLetter]:
        """Return what needs a person."""
        with self.store() as db:
            return dead_letters.list_letters(db)

    def story(self, id: object) -> Story:
        """Return what happened to a lead."""
        with self.life() as life:
            return life.tieline.explain("crm", "leads", str(id))[0]

    def deliveries(self, id: object, name: str = NAME) -> list[Delivery]:
        """Return every delivery of a record, oldest first."""
        with self.store() as db:
            known = runs.state_of(db, name)
            assert known is not None
            return outbox.of_record(db, known.id, str(id))

    def journal(self, search: Search = EVERY_CALL, limit: int | None = None) -> list[Call]:
        """Return calls of the journal, oldest first, with what was said in them."""
        with self.store() as db:
            found = list(calls.find(db, search, limit))
            for call in found:
                call.body = calls.body_of(db, call.id)
                call.records = tuple(calls.records_of(db, call))
            return found

    def balance(self, name: str = NAME) -> dict[str, int]:
        """Return what became of all accepted changes."""
        with self.store() as db:
            known = runs.state_of(db, name)
            return outbox.balance(db, known.id) if known is not None else {}

    def store(self) -> SimulatedDatabase:
        """Open the store, to look at it or to change it; use it as a context."""
        return SimulatedDatabase(self.folder / "store.db", self.clock)

    @property
    def arrived(self) -> list[Record]:
        """The destination's records without their ids, by e-mail address."""
        return sorted(({k: v for k, v in r.items() if k != "id"} for r in self.members.records), key=lambda r: str(r.get("email")))


class Life:
    """A process: its own engine over the store that all share."""

    def __init__(self, world: World, process: Process) -> None:
        self.process = process
        self.db = SimulatedDatabase(world.folder / "store.db", world.clock, process)
        world.database(self.db)
        self._clock = world.clock
        self.tieline = Tieline(
            world.project,
            environ={"TOKEN": world.mail.token, "CRM_HOOK": world.crm.hook_secret, "MAIL_HOOK": world.mail.hook_secret},
            transport=world.network.connect(process),
            clock=world.clock,
            database=self.db,
        )

    def do(self, work: Callable[[Tieline], Awaitable[T]]) -> T:
        """Do some work in virtual time."""

        async def working() -> T:
            return await work(self.tieline)

        return self._clock.run(self.process.live(working()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.db.close()


def plain(**changes: Any) -> dict[str, Any]:
    """Return an integration that writes leads into the list; None takes an answer out."""
    declared = {
        "purpose": "a test",
        "owner": "test@example.com",
        "from": "crm.leads",
        "to": "mail.members",
        "direction": "one-way",
        "freshness": "5m",
        "unavailable": {"keep": "7d"},
        "match": {"email": "email"},
        "unmatched": "create",
        "conflict": "source",
        "map": {"email": "email", "name": "name", "rev": "rev"},
        **changes,
    }
    return {key: value for key, value in declared.items() if value is not None}


def told(outcome: Outcome) -> dict[str, int]:
    """Return the counts of a run that are not zero, after its state with what was read."""
    counts = {name: number for name in (*_WRITTEN, *_CARRIED) if (number := getattr(outcome.counts, name))}
    return {outcome.state: outcome.counts.read, **counts}


def together(*work: Awaitable[Any]) -> Awaitable[Any]:
    """Do things at the same time."""
    return asyncio.gather(*work)
