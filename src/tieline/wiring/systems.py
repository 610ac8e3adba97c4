"""Systems: what a connection declares becomes something that can be spoken to, with its credentials, limits and journal."""

from __future__ import annotations

import base64
import contextlib
import functools
from collections.abc import Mapping

import msgspec

from tieline.config.loading.references import check_url, resolve, resolve_secret
from tieline.config.models.connections import Connection
from tieline.config.models.connectors import Connector
from tieline.dialects.rest.system import RestSystem
from tieline.dialects.rest.templates import fill_header
from tieline.engine.core.allowances import KeptAllowances
from tieline.engine.core.ledger import body_of, journaled
from tieline.engine.runs.run import amend, check_lease, observe
from tieline.looking import BREAKER, Looking
from tieline.model.errors import StoreError, TielineError
from tieline.store import calls, state
from tieline.store.calls import Call
from tieline.store.database import reserve
from tieline.transport.caller import Account, Caller
from tieline.transport.outages import Outage
from tieline.transport.ports import Transport
from tieline.transport.recording import CallRecord, Keeping, Said, private_fields


class Systems:
    """The systems of a project, each opened when it is asked for."""

    def __init__(self, project: Looking, transport: Transport | None) -> None:
        """`transport` speaks to them; without one it is HTTP, opened with the first call."""
        self._at, self.transport = project, transport
        self._open_transport: Transport | None = None
        self._made: dict[str, RestSystem] = {}
        self._lone_calls: list[Call] = []

    def of(self, connection: str) -> RestSystem:
        """Return a connection, spoken to. Raises `TielineError` when its references lead nowhere."""
        if connection not in self._made:
            declared = self._at.project.connections[connection]
            connector = self._at.project.connectors[declared.connector]
            variables = self._at.variables_of(declared, connector)
            caller = Caller(
                self._account(connection, declared, connector, variables),
                self._transport,
                self._at.clock,
                outage=self._at.outages().get(connection),
                save_outage=functools.partial(self._save_outage, connection),
                shared=KeptAllowances(lambda: self._at.db, lambda: self._at.has_store),
            )
            caller.observe, caller.amend, caller.may_write = self._observe, self._amend, check_lease
            caller.renew = lambda: self._account(connection, declared, connector, self._at.variables_of(declared, connector))
            self._made[connection] = RestSystem(connection, connector, variables, caller)
        return self._made[connection]

    async def needs_credentials(self, connection: str) -> bool:
        """Return whether a ping is refused without the credentials; where it is answered all the same, it proves nothing about them."""
        declared = self._at.project.connections[connection]
        connector = self._at.project.connectors[declared.connector]
        variables = self._at.variables_of(declared, connector)
        account = self._account(connection, declared, connector, variables)
        if not account.secret_headers and not account.secret_query:
            return True  # there are none to prove, or they are not sent by themselves
        bare = msgspec.structs.replace(account, secret_headers={}, secret_query={})
        caller = Caller(bare, self._transport, self._at.clock)
        caller.observe, caller.amend, caller.may_write = self._observe, self._amend, check_lease
        try:
            await RestSystem(connection, connector, variables, caller).ping()
        except TielineError:
            return True
        finally:
            await caller.budget.close()
        return False

    async def aclose(self) -> None:
        """Let go of connections, of what was granted to this process and not used, and journal the calls made for no run."""
        for system in self._made.values():
            await system.caller.budget.close()
        if made := self._lone_calls:
            self._lone_calls = []
            with contextlib.suppress(StoreError):  # someone tries the connections because something is wrong: the store may be it
                self._at.db.write(lambda connection: calls.record(connection, made))
        if self._open_transport is not None:
            await self._open_transport.close()
            self._open_transport = None

    @property
    def _transport(self) -> Transport:
        if self._open_transport is None:
            if self.transport is None:
                from tieline.transport.http import AiohttpTransport  # heavy, and not needed to look

                self.transport = AiohttpTransport()
            self._open_transport = self.transport
        return self._open_transport

    def _save_outage(self, connection: str, outage: Outage | None) -> None:
        # Without it the next process finds out by itself that the system is down: no reason to stop this one.
        with contextlib.suppress(StoreError):
            if outage is None:
                self._at.db.write(lambda store: state.drop(store, BREAKER, connection))
            else:
                self._at.db.write(lambda store: state.put(store, BREAKER, connection, outage))

    def _observe(self, record: CallRecord) -> int | None:
        """Journal a call: with its run, or by itself when a connection is tried."""
        if (id := observe(record)) is not None:
            return id
        try:
            id = self._at.db.write(lambda connection: reserve(connection, "call", 1))
        except StoreError:
            return None
        self._lone_calls.append(journaled(id, record, None, None))
        return id

    def _amend(self, call: int | None, failure: str | None, said: Said | None) -> None:
        amend(call, failure, said)
        for lone in self._lone_calls:
            if lone.id == call:
                lone.failure, lone.body = failure, body_of(said) if said is not None else None

    def _account(self, name: str, declared: Connection, connector: Connector, variables: Mapping[str, str]) -> Account:
        folder, environ = self._at.project.folder, self._at.environ
        url = resolve(connector.environments[declared.environment], folder, environ)
        for variable, value in variables.items():
            _check_line(name, f"the variable `{variable}`", value)
            url = url.replace("{" + variable + "}", value)
        if wrong := check_url(url):
            raise TielineError(
                f"connection `{name}`: {self._at.redactor.mask(url)}: {wrong}", next_step="correct the environment's URL in the connector"
            )
        filled = {header: fill_header(text, variables) for header, text in connector.headers.items()}
        headers = {"Accept": "application/json", "User-Agent": "tieline", **filled}
        version = connector.version
        if version is not None and version.send == "header" and version.param:
            headers[version.param] = version.name
        secret_headers: dict[str, str] = {}
        secret_query: dict[str, str] = {}

        def secret(text: str) -> str:
            value = resolve_secret(text, folder, environ)
            _check_line(name, f"what `{text}` stands for", value.reveal())
            self._at.redactor.add(value)
            return value.reveal()

        auth, methods = declared.auth, connector.auth
        if auth.bearer is not None and methods.bearer is not None:
            secret_headers["Authorization"] = f"{methods.bearer.scheme} {secret(auth.bearer)}"
        elif auth.basic is not None:
            secret_headers["Authorization"] = _basic(resolve(auth.basic.username, folder, environ), secret(auth.basic.password))
        elif auth.api_key is not None and methods.api_key is not None:
            value = methods.api_key.prefix + secret(auth.api_key)
            if methods.api_key.query is not None:
                secret_query[methods.api_key.query] = value
            else:
                secret_headers[methods.api_key.header or "X-Api-Key"] = value
        return Account(
            name, url, headers, secret_headers, secret_query,
            declared.limits if declared.limits is not None else connector.limits, connector.limit_headers,
            declared.concurrency or connector.concurrency,
            connector.timeouts, int(connector.max_answer_mib * 2**20), connector.errors, self._at.redactor.mask, self._keeping(connector),
            connector.breaker,
        )  # fmt: skip

    def _keeping(self, connector: Connector) -> Keeping:
        journal = self._at.project.file.journal
        fields = {
            name: private_fields({address: field.personal for address, field in resource.fields.items()})
            for name, resource in connector.resources.items()
        }
        return Keeping(self._at.redactor.excerpt, journal.sample, journal.personal, journal.body, fields)


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _check_line(connection: str, what: str, value: str) -> None:
    """Refuse what would break out of the header or the address that it goes into."""
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise TielineError(
            f"connection `{connection}`: {what} holds a line break or another control character: it was pasted badly",
            next_step="set it again, in one line",
        )
