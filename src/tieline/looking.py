"""A project folder to look at: what its files say, and what its store knows. Nothing is called, and nothing is decided.

`app` adds what speaks to systems and moves records. Commands that only look import this alone: the engine takes longer to import than they
take to answer.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tieline.config.loading.dotenv import Environment
from tieline.config.loading.folder import Project, find_project_folder
from tieline.config.loading.references import is_loopback, resolve
from tieline.dialects.ids import spelling_of
from tieline.dialects.rest.templates import Template
from tieline.engine.core.allowances import KIND
from tieline.engine.review import dead_letters
from tieline.engine.review.renamed import Orphan, orphans, predecessor, what_to_do
from tieline.lint.cache import recall
from tieline.model.clock import Clock, SystemClock
from tieline.model.ends import End, end_at
from tieline.model.errors import SpecError, TielineError
from tieline.model.ids import named
from tieline.model.secret import Redactor
from tieline.model.verified import Verified
from tieline.observe.calls import hide_in_call, records_meant
from tieline.observe.explain import Story, explain
from tieline.observe.limits import Side
from tieline.observe.status import IntegrationStatus, SystemDown, status_of, webhooks_of
from tieline.store import state
from tieline.store.calls import Call, Search
from tieline.store.database import Database
from tieline.store.runs import names as integration_names
from tieline.store.runs import state_of
from tieline.transport.limits.rate_budget import Allowance
from tieline.transport.outages import Outage
from tieline.transport.recording import private_fields

if TYPE_CHECKING:
    from tieline.config.models.connections import Connection
    from tieline.config.models.connectors import Connector, Resource
    from tieline.config.models.integrations import Integration

BREAKER = "breaker"
"""Kind of values that tell which systems are down, by connection."""
VERIFIED = "verified"
"""Kind of values that tell what the last `verify` found, by integration."""
_NOTICE_DAYS = 183


class Looking:
    """An open project, to look at."""

    def __init__(
        self,
        project: Project,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        database: Database | None = None,
    ) -> None:
        self.project = project
        self.redactor = Redactor()
        self.clock: Clock = clock or SystemClock()
        self.environ = Environment(project.folder, os.environ if environ is None else environ)
        self._db = database
        self._remembered = False

    @classmethod
    def open(cls, folder: Path, *, in_part: bool = False, clock: Clock | None = None) -> Self:
        """Open the project in this folder or the nearest one above it. Raises `SpecError` with everything that is wrong in its files.

        With `in_part`, what can be read is used: `project.errors` says what is wrong, and an integration raises `SpecError` when it is
        run although its own files are wrong.
        """
        from tieline.lint.project import read_project, read_project_in_part  # slow to import

        read = read_project_in_part if in_part else read_project
        return cls(read(find_project_folder(folder)), clock=clock)

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Open a project of which some files may be wrong, only to look at it: what is remembered of the same files is not read again."""
        found = find_project_folder(folder)
        if (project := recall(found, os.environ)) is not None:
            looking = cls(project)
            looking._remembered = True
            return looking
        from tieline.lint.project import read_project_in_part  # slow to import

        return cls(read_project_in_part(found, kept=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the store. Connections to systems are closed by `aclose`."""
        if self._db is not None:
            self._db.close()
            self._db = None

    @property
    def db(self) -> Database:
        """The project's store, opened at first use."""
        if self._db is None:
            self._db = Database(self._store_file)
        return self._db

    def orphans(self) -> list[Orphan]:
        """Return the integrations that the store knows, and that have no file any more."""
        if not self.has_store:
            return []  # looking makes no store
        return orphans(self.db, self.names())

    def predecessor(self, name: str) -> Orphan | None:
        """Return the integration without a file that joined what this one joins, if this one has met nothing yet: it may have been renamed."""
        if not self.orphans():
            return None
        self.check_usable(name)
        spec = self.project.integrations[name]
        return predecessor(self.db, name, (self._end(spec.source), self._end(spec.target)), self.names())

    def what_to_do(self, one: Orphan) -> str:
        """Say how it goes on with an integration without a file: with the name that it seems to have now, where there is one."""
        usable = [name for name in self.names() if name not in self.project.unusable]
        successor = next((name for name in usable if (other := self.predecessor(name)) is not None and other.name == one.name), "NEW")
        return what_to_do(one, successor)

    def names(self, name: str | None = None, *, gone: bool = False) -> list[str]:
        """Return the integration that is meant, or all. With `gone`, one that has no file any more may be meant as well.

        Raises `TielineError` for an unknown name.
        """
        known = sorted({*self.project.integrations, *self.project.unusable})
        if name is None:
            return known
        if name not in known:
            if (orphan := next((one for one in self.orphans() if one.name == name), None)) is not None:
                if gone:
                    return [name]
                raise TielineError(
                    f"integrations/{name}.yaml is gone; the store has {orphan.linked} links and {orphan.open} open letters of it",
                    next_step=self.what_to_do(orphan),
                )
            raise TielineError(
                f"there is no integration `{name}`", next_step=f"there {'is' if len(known) == 1 else 'are'}: {', '.join(known) or 'none'}"
            )
        return [name]

    def owner(self, name: str) -> str | None:
        """Return who must see it when an integration needs a person."""
        spec = self.project.integrations.get(name)
        return (spec.owner if spec is not None else None) or self.project.file.owner

    def check_usable(self, name: str) -> None:
        """Raise `SpecError` when an integration's own files are wrong."""
        if complaints := self.project.unusable.get(name):
            raise SpecError([*complaints])

    def is_two_way(self, name: str) -> bool:
        """Return whether an integration moves records both ways."""
        spec = self.project.integrations.get(name)
        return spec is not None and spec.two_way

    @property
    def one_way(self) -> set[str]:
        """The integrations that move records one way, as they are declared now."""
        return {name for name, spec in self.project.integrations.items() if not spec.two_way}

    def place_of(self, name: str, side: str) -> str:
        """Return what a side of a two-way integration is called: its `CONNECTION.RESOURCE`, or just the side while its files are wrong."""
        spec = self.project.integrations.get(name)
        return side if spec is None else spec.source if side == "left" else spec.target

    def outages(self) -> dict[str, Outage]:
        """Return the systems that are known to be down, by connection."""
        if not self.has_store:
            return {}  # looking makes no store
        return state.all_of(self.db, BREAKER, Outage)

    def status(self) -> list[IntegrationStatus]:
        """Return how each integration is doing."""
        now, down = self.clock.now(), self.outages()
        budgets, verified = state.all_of(self.db, KIND, Allowance), state.all_of(self.db, VERIFIED, Verified)
        found = []
        for name in self.names():
            spec, wrong = self.project.integrations.get(name), self.project.unusable.get(name, ())
            sides = self._sides(spec, budgets) if spec is not None and not wrong else ()
            status = status_of(self.db, name, spec, owner=self.owner(name), now=now, sides=sides)
            status.wrong, status.verified = [str(complaint) for complaint in wrong], verified.get(name)
            if spec is not None and not wrong:
                status.notices = [*status.notices, *self._endings(spec, now)]
                status.webhooks = webhooks_of(
                    self.db, name, spec, [place for place in (spec.source, spec.target) if self._takes_webhooks(place)]
                )
            connections = {place.partition(".")[0]: None for place in ((spec.source, spec.target) if spec is not None else ())}
            status.outages = [
                SystemDown(connection, outage.since, outage.until, outage.why)
                for connection in connections
                if (outage := down.get(connection)) is not None
            ]
            found.append(status)
        for orphan in self.orphans():
            status = status_of(self.db, orphan.name, None, owner=self.owner(orphan.name), now=now)
            status.no_file = self.what_to_do(orphan)
            found.append(status)
        return found

    def explain(self, connection: str, resource: str, id: str) -> list[Story]:
        """Return everything that happened to a record, one story for each integration."""
        self._check_place(connection, resource)
        named(id, f"of a record of {connection}.{resource}")
        return explain(self.db, self.project.integrations, connection, resource, id)

    def search_calls(
        self,
        *,
        integration: str | None = None,
        record: tuple[str, str, str] | None = None,
        connection: str | None = None,
        run: int | None = None,
        status: int | None = None,
        failed: bool = False,
        since: float | None = None,
        slow_seconds: float | None = None,
    ) -> Search:
        """Return a search of the journal of calls, for `store.calls`; `record` is (connection, resource, id), of either side."""
        number = None
        if integration is not None:
            self.names(integration)
            known = state_of(self.db, integration)
            number = known.id if known is not None else -1
        if connection is not None:
            self._check_connection(connection)
        records = None
        if record is not None:
            place, resource, id = record
            self._check_place(place, resource)
            records = records_meant(self.db, self.project.integrations, f"{place}.{resource}", id)
        return Search(number, connection, run, status, failed, since, slow_seconds, records)

    def integration_names(self) -> dict[int, str]:
        """Return {number in the store: name} of every integration that has ever run."""
        return integration_names(self.db)

    def hide_personal(self, call: Call) -> None:
        """Take the values of personal fields out of a call, so that it can be shown to others."""
        declared = self.project.connections.get(call.connection)
        connector = self.project.connectors.get(declared.connector) if declared is not None else None
        if connector is None and self.project.errors:
            raise self._unknown_personal(call.connection)
        resource = connector.resources.get(call.resource) if connector is not None else None
        personal = {address: field.personal for address, field in resource.fields.items()} if resource is not None else {}
        for name, spec in self.project.integrations.items():
            if spec.target == f"{call.connection}.{call.resource}" and name not in self.project.unusable:
                personal |= dict.fromkeys(self._personal_by_mapping(name), True)
        if fields := private_fields(personal):
            hide_in_call(call, fields)

    def dead_letters(self, integration: str | None = None, cause: str | None = None) -> list[dead_letters.DeadLetter]:
        """Return what needs a person, oldest first; a thousand at most (`engine.review.dead_letters` reads and groups any number)."""
        return dead_letters.list_letters(self.db, integration=integration, cause=cause)

    def rule_text(self, name: str, field: str | None, side: str | None = None) -> tuple[str, str] | None:
        """Return where the rule of a field stands now, as file and line, and how it reads there; None if there is none.

        `side` is that of the record, in a two-way integration: of the right's, the field is one of the left.
        """
        spec = self._read().integrations.get(name)
        if spec is None or field is None:
            return None
        from tieline.config.models.backwards import rule_back_to  # it knows rules as they are declared

        keys: tuple[str, ...] | None = ("map", field) if field in spec.map else (field,) if field == "when" else None
        if side == "right" or (keys is None and spec.two_way):
            back = rule_back_to(spec.map, field)
            keys = ("map", *back) if back is not None else None
        if keys is None:
            return None
        file, line = self.project.where("integration", name, *keys)
        try:
            lines = (self.project.folder / file).read_text("utf-8").splitlines()[line - 1 :]
        except (OSError, UnicodeDecodeError):
            return None
        return f"{file}:{line}", "\n".join(_block(lines))

    def page_of(self, place: str, id: str) -> str | None:
        """Return the address of a record in the vendor's own user interface, if the connector says where that is."""
        connection, _, resource = place.partition(".")
        declared = self.project.connections.get(connection)
        connector = self.project.connectors.get(declared.connector) if declared is not None else None
        if declared is None or connector is None or resource not in connector.resources:
            return None  # its file is wrong
        page = connector.resources[resource].page
        return Template(page, self.variables_of(declared, connector), part="page").fill({"id": id}) if page is not None else None

    def personal_fields(self, name: str) -> frozenset[str]:
        """Return the addresses of an integration's fields, on both sides, that are marked as personal data."""
        if name in self.project.unusable:
            raise self._unknown_personal(name)
        spec = self.project.integrations[name]
        sides = (self._resource(spec.source), self._resource(spec.target))
        declared = {address for side in sides for address, field in side.fields.items() if field.personal}
        return frozenset(declared | self._personal_by_mapping(name))

    # -- details

    def _read(self) -> Project:
        """Return the project as its files declare it, for what rules mean: a remembered one only says how things are called."""
        if self._remembered:
            from tieline.lint.project import read_project_in_part  # slow to import

            self.project, self._remembered = read_project_in_part(self.project.folder), False
        return self.project

    @property
    def _store_file(self) -> Path:
        return self.project.folder / self.project.file.store

    def _takes_webhooks(self, place: str) -> bool:
        """Whether webhooks can come for the records of a resource, `CONNECTION.RESOURCE`."""
        declared = self.project.connections[place.partition(".")[0]]
        return bool(declared.webhook_secrets) and self._resource(place).webhook is not None

    def _check_connection(self, connection: str) -> None:
        broken = self.project.broken
        if connection not in self.project.connections and not {("connection", connection), ("connection", "*")} & broken:
            raise TielineError(
                f"there is no connection `{connection}`", next_step=f"there are: {', '.join(sorted(self.project.connections))}"
            )

    def _check_place(self, connection: str, resource: str) -> None:
        self._check_connection(connection)
        declared = self.project.connections.get(connection)
        connector = self.project.connectors.get(declared.connector) if declared is not None else None
        if connector is None:
            return  # its file is wrong, so that no one can say what it has
        resources = connector.resources
        if resource not in resources:
            raise TielineError(f"`{connection}` has no resource `{resource}`", next_step=f"it has: {', '.join(sorted(resources))}")

    def _personal_by_mapping(self, name: str) -> set[str]:
        """Return the destination's fields that are made of personal fields of the source."""
        spec = self.project.integrations[name]
        personal = {address for address, field in self._resource(spec.source).fields.items() if field.personal}
        if not personal:
            return set()
        from tieline.mapping import compile_mapping  # only what is masked asks for it

        sources = compile_mapping(self._read().integrations[name].map, functions=self.project.functions).sources

        def is_personal(read: str) -> bool:
            return any(read in ("", each) or each.startswith(f"{read}.") or read.startswith((f"{each}.", f"{each}[")) for each in personal)

        return {address for address, reads in sources.items() if any(map(is_personal, reads))}

    def _unknown_personal(self, name: str) -> TielineError:
        return TielineError(
            f"which fields are personal data can't be told while the files of `{name}` are wrong",
            next_step="correct the files (`tieline check`)",
        )

    def _sides(self, spec: Integration, budgets: Mapping[str, Allowance]) -> list[Side]:
        sides = []
        for place, is_target in ((spec.source, spec.two_way), (spec.target, True)):
            name = place.partition(".")[0]
            declared = self.project.connections[name]
            limits = declared.limits if declared.limits is not None else self.project.connectors[declared.connector].limits
            sides.append(Side(name, limits, self._resource(place), is_target, budgets.get(name)))
        return sides

    def _endings(self, spec: Integration, now: float) -> list[str]:
        notices = []
        for place in (spec.source, spec.target):
            connection = place.partition(".")[0]
            version = self.project.connectors[self.project.connections[connection].connector].version
            if version is not None and version.retires is not None:
                days = (version.retires - dt.datetime.fromtimestamp(now, dt.UTC).date()).days
                if days <= _NOTICE_DAYS:
                    when = f"ends in {days} days" if days >= 0 else "has ended"
                    notices.append(
                        f"version {version.name} of {connection}'s API {when} ({version.retires.isoformat()}): move the connector to a newer one"
                    )
        return notices

    def _end(self, place: str) -> End:
        """Say which records are meant, with every reference resolved: another address, path or variable means other records, as a rule."""
        connection, _, resource = place.partition(".")
        declared = self.project.connections[connection]
        connector, r = self.project.connectors[declared.connector], self._resource(place)
        written = connector.environments[declared.environment]
        variables = {name: value for name, value in self.variables_of(declared, connector).items() if name != "version"}
        url = resolve(written, self.project.folder, self.environ)
        path = next((call.path for call in (r.list, r.create, r.get) if call is not None), "")
        secret = frozenset(name for name, value in declared.variables.items() if "${" in value)
        for name, value in variables.items():
            url, path = url.replace("{" + name + "}", value), path.replace("{" + name + "}", value)
        hidden = "${" in written or any("{" + name + "}" in written + path for name in secret)
        host = urlsplit(written).hostname or ""
        at = "" if not host or "{" in host or is_loopback(host) else f" at {host}"
        told = "".join(f", {name} {value}" for name, value in sorted(declared.variables.items()))
        name = f"{declared.connector}.{resource}"
        before = f"{name} of `{declared.environment}`{at}{told}"
        ids = spelling_of(self._resource(place))
        return end_at(name, declared.environment, url, path, variables, hidden=hidden, secret=secret, before=before, ids=ids)

    def _resource(self, place: str) -> Resource:
        connection, _, resource = place.partition(".")
        return self.project.connectors[self.project.connections[connection].connector].resources[resource]

    @property
    def has_store(self) -> bool:
        """Whether there is a store: a look makes none."""
        return self._db is not None or self._store_file.exists()

    def variables_of(self, declared: Connection, connector: Connector) -> dict[str, str]:
        """Return what a connection's variables stand for, the version of its API among them."""
        variables = {name: resolve(value, self.project.folder, self.environ) for name, value in declared.variables.items()}
        if connector.version is not None:
            variables["version"] = connector.version.name
        return variables


def _block(lines: Sequence[str]) -> list[str]:
    """Return the first line and those that belong to it: they are indented further."""
    if not lines:
        return []
    indent = len(lines[0]) - len(lines[0].lstrip())
    block = [lines[0]]
    for line in lines[1:]:
        if not line.strip() or len(line) - len(line.lstrip()) <= indent:
            break
        block.append(line)
    return [line[indent:] for line in block]
