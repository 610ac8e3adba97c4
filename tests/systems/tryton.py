"""Tryton: the ERP, with parties, products, companies and stock, on SQLite."""

import base64
import contextlib
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from systems import calls
from systems.calls import Answer
from systems.server import Command, Installed, Recipe, Site, started

_numbers = itertools.count(1)

_DATABASE, _USER, _PASSWORD = "tryton", "admin", "demo-tryton-pw"


@dataclass(frozen=True, slots=True)
class Tryton:
    """A running Tryton with one company and one product; two ways in, JSON-RPC and REST."""

    url: str
    database: str
    user: str
    password: str
    session: str
    """What a JSON-RPC call carries after `Authorization: Session`."""
    key: str
    """The application key, what a REST call carries after `Authorization: Bearer`."""

    @property
    def rest_url(self) -> str:
        """Where the models are in REST."""
        return f"{self.url}/{self.database}/rest/model"

    @property
    def rpc_url(self) -> str:
        """Where JSON-RPC is answered."""
        return f"{self.url}/{self.database}/rpc/"

    def rpc(self, method: str, *parameters: Any) -> Any:
        """Return the result of a JSON-RPC call in the administrator's session."""
        return _rpc(self.rpc_url, method, *parameters, session=self.session)

    def call(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a REST request with the application key; the path is what follows the models' address."""
        signed = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        return calls.call(method, self.rest_url + path, body, headers=signed)

    def fresh_parties(self) -> "Parties":
        """Return an empty set of parties."""
        return Parties(self, f"T{next(_numbers)}-")


@dataclass(frozen=True, slots=True)
class Parties:
    """Parties that one test has to itself: those whose code begins with its prefix."""

    server: Tryton
    prefix: str

    @property
    def domain(self) -> list[list[str]]:
        """What a search must ask for to find these and no others."""
        return [["code", "like", f"{self.prefix}%"]]

    def code(self, suffix: str) -> str:
        """Return a party code that is this test's own."""
        return self.prefix + suffix

    def create(self, suffix: str, **fields: Any) -> dict[str, Any]:
        """Create a party."""
        answer = self.server.call("POST", "/party.party", {"code": self.code(suffix), **fields}).expect(200)
        created: dict[str, Any] = answer.json()
        return created

    def change(self, party_id: int, **fields: Any) -> None:
        """Change some fields of a party."""
        self.server.call("PUT", f"/party.party/{party_id}", fields).expect(200)

    def delete(self, party_id: int) -> None:
        """Delete a party."""
        self.server.call("DELETE", f"/party.party/{party_id}").expect(204)

    def all(self, *fields: str) -> list[dict[str, Any]]:
        """Return these fields of all parties, oldest first."""
        found: list[dict[str, Any]] = self.server.rpc(
            "model.party.party.search_read", self.domain, 0, None, [["id", "ASC"]], ["name", "code", *fields], {}
        )
        return found

    def count(self) -> int:
        """Return how many parties there are."""
        return int(self.server.rpc("model.party.party.search_count", self.domain, {}))


def encoded(domain: object) -> str:
    """Return a search domain as REST wants it in `d`."""
    return base64.urlsafe_b64encode(json.dumps(domain).encode()).decode()


def query(*fields: str, domain: object = None, **more: Any) -> str:
    """Return the query string of a REST search."""
    asked: list[tuple[str, Any]] = [("f", name) for name in fields]
    if domain is not None:
        asked.append(("d", encoded(domain)))
    return "?" + urlencode([*asked, *more.items()])


@contextlib.contextmanager
def run_tryton(*, session_seconds: int = 600) -> Iterator[Tryton]:
    """Run Tryton; a session ends after so many idle seconds."""

    def configure(site: Site) -> Command:
        if not (site.folder / "db").exists():
            shutil.copytree(site.installed.prepared / "db", site.folder / "db")
        settings = _write_settings(site.folder, site.port, session_seconds)
        # Without -d the first log-in fails: the models of the database are not loaded yet.
        return Command((site.installed.script("trytond"), "-c", settings, "-d", _DATABASE))

    with started(RECIPE, configure) as site:
        yield _seeded(site.url)


def _seeded(url: str) -> Tryton:
    """Make an application key, a company and a product."""
    at = f"{url}/{_DATABASE}/rpc/"
    user_id, token = _rpc(at, "common.db.login", _USER, {"password": _PASSWORD}, "en")[:2]
    session = base64.b64encode(f"{_USER}:{user_id}:{token}".encode()).decode()

    def make(model: str, context: dict[str, Any] | None = None, **fields: Any) -> int:
        made: list[int] = _rpc(at, f"model.{model}.create", [fields], context or {}, session=session)
        return made[0]

    application = make("res.user.application", user=user_id, application="rest")
    key = _rpc(at, "model.res.user.application.read", [application], ["key"], {}, session=session)[0]["key"]
    currency = make("currency.currency", name="Australian Dollar", code="AUD", symbol="$", digits=2)
    company = make("company.company", party=make("party.party", name="Our Company"), currency=currency)
    ours = {"companies": [["add", [company]]], "company": company}
    _rpc(at, "model.res.user.write", [user_id], ours, {}, session=session)
    by_symbol = [[["symbol", "=", "u"]], 0, 1, None, ["name"], {}]
    unit = _rpc(at, "model.product.uom.search_read", *by_symbol, session=session)[0]["id"]
    make(
        "product.template",
        {"company": company},
        name="Widget",
        code="W",
        type="goods",
        list_price={"__class__": "Decimal", "decimal": "10.00"},
        default_uom=unit,
        products=[["create", [{"suffix_code": "1"}]]],
    )
    return Tryton(url, _DATABASE, _USER, _PASSWORD, session, key)


def _rpc(url: str, method: str, *parameters: Any, session: str | None = None) -> Any:
    headers = {"Authorization": f"Session {session}"} if session else {}
    body = {"id": 1, "method": method, "params": parameters}
    answer = calls.call("POST", url, body, headers=headers).expect(200).json()
    if "error" in answer:  # an error is a 200 too
        raise AssertionError(f"{method}: {answer['error']}")
    return answer["result"]


def _prepare(installed: Installed) -> None:
    """Make the database with its modules activated."""
    (installed.prepared / "db").mkdir()
    (installed.prepared / "db" / f"{_DATABASE}.sqlite").touch()
    password = installed.prepared / "password"
    password.write_text(f"{_PASSWORD}\n")
    settings = _write_settings(installed.prepared, 0, 600)
    admin = (installed.script("trytond-admin"), "-c", settings, "-d", _DATABASE)
    installed.run(*admin, "--all", "--email", "admin@example.com", environment={"TRYTONPASSFILE": str(password)})
    installed.run(*admin, "-u", "party", "product", "company", "stock", "--activate-dependencies")


def _write_settings(folder: Path, port: int, session_seconds: int) -> Path:
    settings = folder / "trytond.conf"
    settings.write_text(
        f"""\
[database]
uri = sqlite://
path = {folder / "db"}
[web]
listen = 127.0.0.1:{port}
[session]
timeout = {session_seconds}
"""
    )
    return settings


RECIPE = Recipe(
    name="tryton",
    version="8.2.1",
    requirements=(
        "trytond==8.2.1",
        "trytond_company==8.2.0",
        "trytond_country==8.2.0",
        "trytond_currency==8.2.0",
        "trytond_party==8.2.0",
        "trytond_product==8.2.0",
        "trytond_stock==8.2.1",
    ),
    prepare=_prepare,
)
