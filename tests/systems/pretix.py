"""pretix: the shop, with orders and customers, on SQLite."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from systems import calls
from systems.calls import Answer
from systems.server import INSIDE, Command, Installed, Recipe, Site, started


@dataclass(frozen=True, slots=True)
class Pretix:
    """A running pretix, with its user and OAuth application, which all organizers share."""

    url: str
    """The address of API v1."""
    user: str = "sync@example.com"
    password: str = "sync-pass"
    client_id: str = "sync-app"
    client_secret: str = "demo-app-secret"
    redirect_uri: str = "https://127.0.0.1:9876/callback"

    def fresh_organizer(self) -> "Organizer":
        """Make an organizer without customers, with one event without orders."""
        door = self.url.removesuffix("/api/v1") + "/fresh-organizer"
        return Organizer(self, **calls.call("POST", door).expect(201).json())


@dataclass(frozen=True, slots=True)
class Organizer:
    """An organizer that one test has to itself."""

    server: Pretix
    slug: str
    event: str
    ticket: int
    """The item sold at 20.00."""
    mug: int
    """The item sold at 8.00."""
    token: str
    weak_token: str
    """The token of a team that may do nothing."""

    @property
    def path(self) -> str:
        """Where the organizer's resources are, after the server's address."""
        return f"/organizers/{self.slug}"

    @property
    def event_path(self) -> str:
        """Where the event's resources are, after the server's address."""
        return f"{self.path}/events/{self.event}"

    def call(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request with the team's token; the path is what follows the server's address."""
        signed = {"Authorization": f"Token {self.token}", **(headers or {})}
        return calls.call(method, self.server.url + path, body, headers=signed)

    def create_customer(self, email: str, **fields: Any) -> dict[str, Any]:
        """Create a customer."""
        return _object(self.call("POST", f"{self.path}/customers/", {"email": email, **fields}).expect(201))

    def create_order(self, email: str, **fields: Any) -> dict[str, Any]:
        """Create an order of one ticket."""
        return _object(self.call("POST", f"{self.event_path}/orders/", self.order(email, **fields)).expect(201))

    def order(self, email: str, **fields: Any) -> dict[str, Any]:
        """Return what to send for an order of one ticket."""
        position: dict[str, Any] = {
            "positionid": 1,
            "item": self.ticket,
            "variation": None,
            "price": "20.00",
            "answers": [],
        }
        return {
            "email": email,
            "locale": "en",
            "sales_channel": "web",
            "payment_provider": "manual",
            "positions": [position],
            **fields,
        }

    def customers(self, **query: Any) -> list[dict[str, Any]]:
        """Return all customers, page after page."""
        return self._all(f"{self.path}/customers/", query)

    def orders(self, **query: Any) -> list[dict[str, Any]]:
        """Return all orders, page after page."""
        return self._all(f"{self.event_path}/orders/", query)

    def _all(self, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page: int | None = 1
        while page:
            answer = self.call("GET", f"{path}?{urlencode({**query, 'page': page})}").expect(200).json()
            found += answer["results"]
            page = page + 1 if answer["next"] else None
        return found


@contextlib.contextmanager
def run_pretix() -> Iterator[Pretix]:
    """Run pretix without any organizer; it may send webhooks to this machine."""
    with started(RECIPE, _configure, answers_at="/api/v1/version") as site:
        yield Pretix(f"{site.url}/api/v1")


def _configure(site: Site) -> Command:
    shutil.copy(INSIDE / "pretix_wsgi.py", site.folder)
    data = site.folder / "data"
    if not data.exists():
        shutil.copytree(site.installed.prepared / "data", data)
    gunicorn = (site.installed.script("gunicorn"), "pretix_wsgi", "--chdir", site.folder, "--pythonpath", site.folder)
    how = ("--bind", f"127.0.0.1:{site.port}", "--workers", "1", "--threads", "4", "--worker-tmp-dir", site.folder)
    settings = _write_settings(site.folder, site.url)
    return Command((*gunicorn, *how), {"PRETIX_CONFIG_FILE": str(settings)})


def _prepare(installed: Installed) -> None:
    """Make the empty database."""
    (installed.prepared / "data").mkdir()
    settings = _write_settings(installed.prepared, "http://127.0.0.1")
    script = shutil.copy(INSIDE / "pretix_tables.py", installed.prepared)
    installed.run(installed.python, script, environment={"PRETIX_CONFIG_FILE": str(settings)})


def _write_settings(folder: Path, url: str) -> Path:
    settings = folder / "pretix.cfg"
    settings.write_text(
        f"""\
[pretix]
instance_name=Tickets
url={url}
datadir={folder / "data"}
registration=off
ecb_rates=off
allow_http_to_private_networks=on
[database]
backend=sqlite3
[django]
secret=not-a-secret
debug=off
[mail]
host=127.0.0.1
port=9
"""
    )
    return settings


def _object(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    return found


RECIPE = Recipe(
    name="pretix",
    version="2026.8.0",
    requirements=("pretix==2026.8.0", "gunicorn==23.0.0"),
    prepare=_prepare,
)
