"""The composition root: opens a project folder and hands every part what it needs.

with Tieline.open(Path(".")) as project:
    outcome = await project.run("qualified-leads")
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from tieline.config.loading.folder import Project
from tieline.config.loading.functions import FILE
from tieline.config.loading.references import resolve_secret
from tieline.config.models.connectors import Resource
from tieline.config.models.fields import Fields
from tieline.config.models.integrations import Integration, Rule
from tieline.config.models.zones import with_zones
from tieline.config.suggestions import meant
from tieline.dialects.dialect import System
from tieline.dialects.ids import IdReader, id_reader, text_id
from tieline.engine.core.compiled import CompiledIntegration, Where
from tieline.engine.core.failures import PASSING
from tieline.engine.core.ledger import Counts
from tieline.engine.core.two_sides import TwoWayIntegration
from tieline.engine.intake.webhooks import Receiving
from tieline.engine.review import dead_letters, linking, pairing
from tieline.engine.review.discard import Standing
from tieline.engine.review.renamed import Orphan, adopt, retire, what_to_do
from tieline.engine.review.suggestions import Likeness
from tieline.engine.review.unmatched import Unmatched
from tieline.engine.runs.passes import EVERYTHING, Outcome, Wanted
from tieline.engine.runs.plan import Plan, PlannedWrite, check_plan, guard_by, make_plan, writes_of
from tieline.engine.runs.run import Engine
from tieline.engine.runs.undo import LEFT_ALONE, left_alone
from tieline.engine.verify.pairs import apart, meet_anew, verify_pairs
from tieline.engine.verify.sweep import Verification, verify
from tieline.looking import VERIFIED, Looking
from tieline.mapping import BACK
from tieline.model import events
from tieline.model.clock import Clock
from tieline.model.errors import Refused, SafetyStop, TielineError
from tieline.model.ids import named
from tieline.model.paths import get
from tieline.model.records import ABSENT, encode_json
from tieline.model.verified import Verified
from tieline.store import journal, runs, state
from tieline.store.database import Database
from tieline.store.letters import Chosen
from tieline.store.retention import Retention
from tieline.store.runs import both_outboxes, sides
from tieline.store.runs import names as integration_names
from tieline.transport.caller import READ_RETRIES
from tieline.transport.limits.priority import PRIORITY
from tieline.transport.ports import Transport
from tieline.wiring.systems import Systems


class Tieline(Looking):
    """An open project: `Looking`, and what speaks to systems. Nothing is called and nothing is written before something is asked of it."""

    def __init__(
        self,
        project: Project,
        *,
        environ: Mapping[str, str] | None = None,
        transport: Transport | None = None,
        clock: Clock | None = None,
        database: Database | None = None,
    ) -> None:
        super().__init__(project, environ=environ, clock=clock, database=database)
        self._systems = Systems(self, transport)
        self._engine: Engine | None = None
        self.tell: events.Listener = events.nobody
        """Called with what happens in runs."""

    @classmethod
    def open(cls, folder: Path, *, in_part: bool = False, transport: Transport | None = None, clock: Clock | None = None) -> Self:
        """Open the project, as `Looking.open` does; `transport` speaks to its systems."""
        project = super().open(folder, in_part=in_part, clock=clock)
        project._systems.transport = transport
        return project

    async def aclose(self) -> None:
        """Let go of the connections to the systems, of what was granted to this process and not used, and journal the calls made for no run."""
        await self._systems.aclose()

    def _check_renamed(self, name: str) -> None:
        """Raise `SafetyStop` for an integration that is perhaps another one under a new name."""
        if (one := self.predecessor(name)) is not None:
            raise SafetyStop(
                f"{name} joins what {one.name} has joined, which has no file any more: {name} would meet everything again, and make twice "
                f"what it does not find; the store has {one.linked} links and {one.open} open letters of {one.name}",
                next_step=what_to_do(one, name),
            )

    def adopt(self, old: str, new: str) -> Orphan:
        """Give what an integration without a file has in the store to the one that it is called now. Raises `Refused`."""
        if old in self.names():
            raise Refused(
                f"{old} has a file: what it has linked is its own; nothing was changed", next_step=f"rename its file to {new}.yaml"
            )
        return adopt(self.db, old, self.names(new)[0], now=self.clock.now())

    def retire(self, name: str, reason: str) -> int:
        """Give up an integration without a file, and its open letters; return how many these were. Raises `Refused`."""
        if name in self.names():
            raise Refused(f"{name} has a file; nothing was changed", next_step="delete its file first")
        retire(self.db, name, reason, now=self.clock.now())
        return dead_letters.discard_all(self.db, reason, integration=name, chosen=Chosen(), now=self.clock.now())

    def compiled(self, name: str) -> CompiledIntegration | TwoWayIntegration:
        """Return an integration, ready to run. Raises `SpecError` when its own files are wrong."""
        self.check_usable(name)
        spec = self.project.integrations[name]
        source, target = self._as_connected(spec.source), self._as_connected(spec.target)
        features = [self.system(place.partition(".")[0]).features(place.partition(".")[2]) for place in (spec.source, spec.target)]
        where, text, ends = self._where(name), self._functions_text(spec), (self._end(spec.source), self._end(spec.target))
        if spec.two_way:
            return TwoWayIntegration(
                name, spec, source, target, features[0], features[1], self.project.functions, where, text, ends, self._ids_of
            )
        return CompiledIntegration(name, spec, source, target, features[1], self.project.functions, where, text, ends, ids_of=self._ids_of)

    def _as_connected(self, place: str) -> Resource:
        """Return a resource with what its connection says of it."""
        declared = self.project.connections[place.partition(".")[0]]
        return with_zones(self._resource(place), self.variables_of(declared, self.project.connectors[declared.connector]))

    def _ids_of(self, integration: str) -> IdReader:
        """Return what reads the ids of an integration's `from` side; those of its `to` side for `NAME/back`."""
        other = self.project.integrations.get(integration.removesuffix(BACK))
        if other is None:
            return text_id
        return id_reader(self._resource(other.target if integration.endswith(BACK) else other.source))

    def _where(self, name: str) -> Where:
        """Return the function that tells file and line of the rule of a field, or of a key of an integration; keys of the rule may follow."""
        spec = self.project.integrations[name]
        return lambda field, *more: self.project.where("integration", name, *(("map", field, *more) if field in spec.map else (field,)))

    def two_way(self, name: str) -> TwoWayIntegration:
        """Return an integration that moves records both ways. Raises `Refused` for another."""
        job = self.compiled(self.names(name)[0])
        if not isinstance(job, TwoWayIntegration):
            if both_outboxes(self.db, name) is not None:
                raise Refused(
                    f"{name} goes one way now: nothing decides what it held while it went both ways",
                    next_step=f"`tieline dead-letters list {name}`, and `discard` gives it up; or make it `direction: two-way` again",
                )
            raise Refused(f"{name} is no two-way integration", next_step="see `tieline dead-letters` and `tieline links`")
        return job

    def _one_way(self, name: str) -> CompiledIntegration:
        """Return an integration that moves records one way. Raises `Refused` for another."""
        job = self.compiled(self.names(name)[0])
        if isinstance(job, TwoWayIntegration):
            raise Refused(f"{name} is a two-way integration", next_step="see `tieline conflicts` and `tieline unmatched`")
        return job

    def system(self, connection: str) -> System:
        """Return a connection, spoken to. Raises `TielineError` when its references lead nowhere."""
        return self._systems.of(connection)

    async def needs_credentials(self, connection: str) -> bool:
        """Return whether a ping is refused without the credentials; where it is answered all the same, it proves nothing about them."""
        return await self._systems.needs_credentials(connection)

    def receiving(self, tell: events.WebhookListener = events.nobody) -> dict[str, Receiving]:
        """Return what takes the webhooks of each connection that has a secret for them, and whose files are right.

        Raises `TielineError` for a secret that can't be used.
        """
        found = {}
        for name, declared in sorted(self.project.connections.items()):
            connector = self.project.connectors.get(declared.connector)
            if connector is None or connector.webhooks is None or self._is_wrong(name):
                continue
            try:
                secrets = [resolve_secret(text, self.project.folder, self.environ) for text in declared.webhook_secrets]
                for secret in secrets:
                    self.redactor.add(secret)
                if secrets:
                    found[name] = Receiving(name, connector, [secret.reveal() for secret in secrets], self.db, self.clock, tell)
            except TielineError as error:
                raise TielineError(f"connection `{name}`: `webhook_secret`: {error}", next_step=error.next_step) from None
        return found

    def _is_wrong(self, connection: str) -> bool:
        """Whether something is wrong in the files of a connection: what is declared wrong may verify nothing."""
        errors = self.project.errors
        if not errors:
            return False
        file, _ = self.project.where("connector", self.project.connections[connection].connector)
        own, _ = self.project.where("connection", connection)
        return any(c.file == file or (c.file == own and c.key.partition(".")[0] in ("", connection)) for c in errors)

    def engine(self, db: Database | None = None) -> Engine:
        """Return the engine, over the project's store or another."""
        jobs = _Lazily(self.compiled)
        systems = _Lazily(self.system)
        if db is not None:
            return Engine(db, self.clock, systems, jobs, journal_db=self.db, tell=self._tell_of_plan)
        if self._engine is None:
            declared = self.project.file.retention
            keep = Retention(declared.history, declared.calls, declared.bodies, declared.calls_size)
            self._engine = Engine(self.db, self.clock, systems, jobs, keep=keep, tell=lambda event: self.tell(event))
        return self._engine

    # -- what people ask for

    async def run(self, name: str, wanted: Wanted = EVERYTHING, *, progress: Callable[[Counts], None] = lambda counts: None) -> Outcome:
        """Run an integration once."""
        self._check_renamed(name)
        return await self.engine().run(name, wanted, progress=progress)

    async def run_plan(
        self, name: str, path: Path, wanted: Wanted = EVERYTHING, *, progress: Callable[[Counts], None] = lambda counts: None
    ) -> Outcome:
        """Carry out a saved plan. Raises `SafetyStop` when the world has changed since."""
        with await self.plan(name, wanted) as plan:
            check_plan(path, plan)
            return await self.engine().run(name, wanted, guard=guard_by(plan), progress=progress)

    async def plan(self, name: str, wanted: Wanted = EVERYTHING) -> Plan:
        """Work out what a run would write. Nothing is written, neither to a system nor to the store."""
        self._check_renamed(name)
        return await make_plan(self.engine, self.db, name, self.compiled(name).fingerprint, wanted)

    async def link(self, name: str, source_id: str, target_id: str, reason: str) -> None:
        """Say that a source record's counterpart is this one. Raises `Refused` when that can't be, or the destination has no such record."""
        both_ways = self.is_two_way(name)
        named(source_id, "of the left record" if both_ways else "of the source record")
        named(target_id, "of the right record" if both_ways else "of the destination's record")
        if both_ways:
            await self._link_pair(self.two_way(name), {"left": source_id, "right": target_id}, reason)
            return
        job = self._one_way(name)
        target, there = self.system(job.target_connection), None
        source_id = self.system(job.source_connection).read_id(job.source_resource, source_id) or source_id
        target_id = target.read_id(job.target_resource, target_id) or target_id
        if job.target.get:
            record = await target.get(job.target_resource, target_id)
            if record is None:
                raise Refused(f"{job.spec.target} has no record {target_id}; nothing was changed", next_step="look up its id there")
            there = job.without_lists(job.project_target(record))
        linking.link(self.db, name, source_id, target_id, there, reason, now=self.clock.now())

    def unlink(self, name: str, source_id: str, reason: str) -> str:
        """Forget a record's counterpart, and return its id. Raises `Refused` for a record without one, or with something open."""
        named(source_id, "of the record")
        if self.is_two_way(name):
            return pairing.unlink(self.db, name, source_id, reason, now=self.clock.now())
        return linking.unlink(self.db, self.names(name)[0], source_id, reason, now=self.clock.now())

    def outbox_of(self, number: int) -> tuple[str, Literal["left", "right"]]:
        """Return which two-way integration an outbox is of, and the side whose changes are in it."""
        return integration_names(self.db)[number], sides(self.db)[number]

    def wanted_of_pair(self, name: str, left_id: str) -> Wanted:
        """Return what is wanted of a run that decides one pair; of all where a side can't be asked for one record."""
        alone = all(half.features.get for half in self.two_way(name).halves.values())
        return Wanted(only=left_id) if alone else EVERYTHING

    def propose(self, found: Iterable[Unmatched]) -> None:
        """Add to records without a counterpart those of the other side that resemble them."""
        likeness: dict[str, Likeness] = {}
        for one in found:
            if one.integration not in likeness:
                likeness[one.integration] = Likeness(self.two_way(one.integration), self.db)
            one.alike = likeness[one.integration].candidates(one)

    async def _link_pair(self, job: TwoWayIntegration, ids: Mapping[Literal["left", "right"], str], reason: str) -> None:
        """Link two records of a two-way integration; one that is not known yet is read."""
        seen: list[pairing.Seen] = []
        ids = {side: self.system(half.connection).read_id(half.resource, ids[side]) or ids[side] for side, half in job.halves.items()}
        for side, id in pairing.unknown(self.db, job.name, ids):
            half = job.halves[side]
            record = await self.system(half.connection).get(half.resource, id) if half.features.get else None
            if record is None:
                how = "look up its id there" if half.features.get else f"`tieline run {job.name}` reads it first"
                raise Refused(f"{half.place} has no record {id}, as far as is known; nothing was changed", next_step=how)
            seen.append(pairing.Seen(side, id, half.key(record), encode_json(half.project(record)), half.at(record)))
        pairing.link(self.db, job.name, ids, seen, reason, now=self.clock.now())

    async def verify(self, name: str, *, progress: Callable[[Verified], None] = lambda verified: None) -> Verification:
        """Read both systems whole and account for every record; nothing is written. Use the result as a context."""
        job = self.compiled(self.names(name)[0])
        urgency, retries = PRIORITY.set("live"), READ_RETRIES.set(job.spec.retry)
        try:
            if isinstance(job, TwoWayIntegration):
                systems = {side: self.system(half.connection) for side, half in job.halves.items()}
                verification = await verify_pairs(job, systems, self.db, self.clock, progress=progress)
            else:
                source, target = self.system(job.source_connection), self.system(job.target_connection)
                verification = await verify(job, source, target, self.db, self.clock, progress=progress)
        except PASSING as error:  # of a run it would be true that the next one goes on
            error.next_step = f"nothing was compared; `tieline verify {name}` again, once it answers"
            raise
        finally:
            PRIORITY.reset(urgency)
            READ_RETRIES.reset(retries)
        self.db.write(lambda store: state.put(store, VERIFIED, name, verification.verified))
        return verification

    async def mend(
        self, name: str, verification: Verification, *, allow: int | None = None, progress: Callable[[Counts], None] = lambda counts: None
    ) -> Outcome:
        """Bring in line what a verification found to have gone astray; `allow` is the most that may be made again.

        One way, what was changed or is gone in the destination is sent again. Both ways, pairs that are apart meet again, and what is gone
        on one side is made again there, rather than deleted on the other.
        """
        self._check_renamed(name)
        if self.project.integrations[name].two_way:
            meet_anew(self.db, name, list(apart(verification)), self.clock.now())
            wanted = Wanted(full=True, remake=True, allow_deletes=allow)
        else:
            most = self.project.integrations[name].brakes.deletes if allow is None else allow
            wanted = Wanted(mend=verification.mending(most))
        outcome = await self.engine().run(name, wanted, progress=progress)
        if outcome.state in ("green", "attention", "owed"):
            verification.verified.mended_by = outcome.run
            self.db.write(lambda store: state.put(store, VERIFIED, name, verification.verified))
        return outcome

    def integration_of(self, run: int) -> str:
        """Return the integration that a run was of. Raises `Refused` when there was no such run."""
        known = runs.get(self.db, run)
        name = self.integration_names().get(known.integration) if known is not None else None
        if name is None:
            raise Refused(f"there was no run {run}", next_step="`tieline status` and `tieline explain` tell the numbers of runs")
        return self.names(name)[0]

    def writes_of(self, run: int) -> Iterator[PlannedWrite]:
        """Yield what a run wrote, owes or has set aside, by source id."""
        return writes_of(self.db, run)

    def not_undone(self, run: int) -> list[dict[str, Any]]:
        """Return what a run that undid another did not put back: record, target_id, why."""
        return left_alone(journal.events_of_run(self.db, run, LEFT_ALONE))

    def discard_letters(self, which: Sequence[int] | Chosen, reason: str, *, integration: str | None = None) -> int:
        """Give up on dead letters, by number or all that are meant; return how many. Both sides of a pair stand as they are."""
        stand, now = Standing(self.db, lambda name: self.two_way(name) if self.is_two_way(name) else None), self.clock.now()
        if isinstance(which, Chosen):
            return dead_letters.discard_all(self.db, reason, integration=integration, chosen=which, now=now, stand=stand)
        return dead_letters.discard(self.db, which, reason, now=now, stand=stand)

    def edit_letter(self, id: int, changes: Mapping[str, Any]) -> dead_letters.DeadLetter:
        """Change fields of the source record that a dead letter keeps."""
        letter = dead_letters.get_open_letter(self.db, id)
        (name,) = self.names(letter.integration)
        self.check_usable(name)
        if letter.side is not None:
            raise Refused(
                f"{name} goes both ways, and decides by what both systems say: a record edited here would be neither's",
                next_step=f"correct it in {self.place_of(name, letter.side)}, record {letter.source_id}; the next run takes it from there",
            )
        source = self.project.integrations[name].source
        if letter.record is not None:
            self._check_fields(source, letter.record, changes)
        connection, _, resource = source.partition(".")
        system = self.system(connection)
        return dead_letters.edit(self.db, id, changes, lambda record: system.id_of(resource, record), now=self.clock.now())

    def _check_fields(self, place: str, record: dict[str, Any], addresses: Iterable[str]) -> None:
        """Raise `TielineError` for a field that the resource does not declare and the record does not have."""
        declared = self._resource(place).fields
        fields = Fields(self._resource(place))
        for address in addresses:
            problem = fields.problem(address)
            if problem is None:
                continue
            with contextlib.suppress(ValueError):
                if get(record, address) is not ABSENT:
                    continue
            hint = meant(address, declared)
            raise TielineError(
                f"{place}: {problem[0]}; nothing was changed",
                next_step=f"{f'{hint} ' if hint else ''}it has: {', '.join(declared)}",
            )

    # -- details

    def _tell_of_plan(self, event: events.Event) -> None:
        if isinstance(event, events.CallFailed):  # its calls are real; the rest of it happens on paper
            self.tell(event)

    def _functions_text(self, spec: Integration) -> str:
        """Return the functions that the mapping may call, as written: a changed function is a changed mapping."""
        if not any(isinstance(rule, Rule) and rule.call for rule in spec.map.values()):
            return ""
        return (self.project.folder / FILE).read_text("utf-8")


T = TypeVar("T")


class _Lazily(Mapping[str, T]):
    """A mapping whose values are made when they are asked for."""

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)
