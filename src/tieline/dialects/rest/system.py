"""REST with JSON, as a connector declares it: `reader` reads, `writer` writes, over one `wire`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tieline.config.models.connectors import Connector
from tieline.config.models.operations import Request
from tieline.dialects.dialect import Features, Waiting
from tieline.dialects.rest.pagination import pager
from tieline.dialects.rest.reader import Reader
from tieline.dialects.rest.wire import Wire, checks_of
from tieline.dialects.rest.writer import Writer, way_of
from tieline.transport.caller import Caller
from tieline.transport.recording import Purpose


class RestSystem:
    """A connection to a REST API."""

    def __init__(self, name: str, connector: Connector, variables: Mapping[str, str], caller: Caller) -> None:
        """`variables` are the connection's, with `version` among them."""
        self.name, self.concurrency = name, caller.account.concurrency
        self._wire = Wire(name, connector, variables, caller)
        self._reader = Reader(self._wire)
        self._writer = Writer(self._wire, self._reader)
        self.id_of, self.get, self.find, self.holds = self._wire.id_of, self._reader.get, self._reader.find, self._reader.holds
        self.read, self.write, self.write_many = self._reader.read, self._writer.write, self._writer.write_many

    def features(self, resource: str) -> Features:
        """Say what a resource can do."""
        r = self._wire.resources[resource]
        batch = {name: b.size for name in ("create", "update", "upsert", "delete") if (b := getattr(r.batch, way_of(r, name))) is not None}
        for name in ("update", "delete"):  # such a write needs the record as it is, so each goes alone
            one = getattr(r, name)
            if one is not None and ((name == "update" and r.merges_updates) or (one.condition is not None and one.condition.always)):
                batch.pop(name, None)
        upsert = r.upsert.by if r.upsert else (r.id if r.batch.upsert else None)
        by_upsert = way_of(r, "update") == "upsert"
        return Features(
            list=r.list is not None,
            changed_since=r.list is not None and r.list.changed_since is not None,
            get=r.get is not None,
            find=frozenset(r.find),
            create=r.create is not None or upsert is not None or "create" in batch,
            update=r.update is not None or upsert is not None or "update" in batch,
            upsert=upsert,
            delete=r.delete is not None or "delete" in batch,
            idempotency=self._wire.connector.idempotency is not None,
            key_life=self._wire.connector.idempotency.keeps if self._wire.connector.idempotency is not None else None,
            whole_update=by_upsert or (r.update is not None and r.update.whole and not r.merges_updates),
            update_by=upsert if by_upsert else None,
            merged_update=not by_upsert and r.merges_updates,
            batch=batch,
            list_calls=frozenset(r.lists),
            conditional={
                name: declared.condition.field
                for name in ("update", "delete")
                if (declared := getattr(r, name)) is not None and declared.condition is not None and r.get is not None
            },
        )

    def read_id(self, resource: str, value: Any) -> str | None:
        """Return an id that a person or another system has written in the spelling of this one; None where it can't be one."""
        return self._wire.read_ids[resource](value)

    def lag(self, resource: str) -> float | None:
        """Return how many seconds a list or `get` can be behind what was written, as declared; None where nothing is."""
        r = self._wire.resources[resource]
        declared = [one.lag for one in (r, r.list, r.get) if one is not None and one.lag is not None]
        return max(declared, default=None)

    def find_lag(self, resource: str, field: str) -> float | None:
        """Return how many seconds a new record can be missing from `find`, as declared; None where nothing is."""
        return self._wire.resources[resource].find[field].lag

    @property
    def is_down(self) -> bool:
        """Whether the system is known not to answer at the moment."""
        return self._wire.caller.breaker.outage is not None

    @property
    def is_down_for_long(self) -> bool:
        """Whether it has not answered for a while, so that it is for the next run to try again."""
        return self._wire.caller.breaker.is_open_for_long

    def waiting(self) -> Waiting | None:
        """Return until when no call of the present priority leaves for it, and why; None while they may."""
        if (outage := self._wire.caller.breaker.outage) is not None:
            return Waiting(self._wire.name, outage.until, outage.why, down=True)
        closed = self._wire.caller.budget.waiting()
        return Waiting(self._wire.name, closed.until, closed.why, down=False) if closed is not None else None

    async def until_it_may_pass(self) -> None:
        """Wait until a call may be tried, because it is time for a probe, or the system is back."""
        await self._wire.caller.breaker.until_it_may_pass()

    def find_cache(self, resource: str, field: str) -> float | None:
        """Return how many seconds what `find` showed may be remembered; None for not at all."""
        return self._wire.resources[resource].find[field].cache

    async def ping(self) -> str:
        """Make a cheap call with the credentials, once, because someone is waiting; return what was asked."""
        declared: Request | None = self._wire.connector.ping
        if declared is not None:
            call = self._wire.call(declared)
            url = call.url({}, {})
            checks = checks_of(declared)
            await self._wire.caller.read(
                declared.method, url, call.headers, None, declared.cost, once=True, purpose=Purpose("ping"), in_success=checks
            )
            return f"{declared.method} {declared.path}"
        for name, r in self._wire.resources.items():
            if r.list is not None and r.list.method == "GET":
                question, listing = self._wire.question(r.list), r.list
                url, headers, _ = question.ask(pager(listing.paging, question.gaps).first().further)
                response = await self._wire.caller.read(
                    "GET",
                    url,
                    headers,
                    None,
                    listing.cost,
                    listing.empty,
                    once=True,
                    purpose=Purpose("ping", name),
                    in_success=checks_of(listing),
                )
                self._reader.list_of(response, listing, name, listing.empty, r)
                return f"GET {r.list.path}"
        return "nothing: the connector declares no ping and no list"

    @property
    def caller(self) -> Caller:
        """What sends the requests: budget, waits, journal."""
        return self._wire.caller
