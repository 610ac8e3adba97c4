"""Kinto: a tidy record store over REST, its data in memory."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from systems import calls
from systems.calls import Answer
from systems.server import Command, Recipe, Site, started

RECIPE = Recipe(name="kinto", version="26.5.0", requirements=("kinto==26.5.0", "waitress==3.0.2", "pyramid==2.1"))

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Kinto:
    """A running Kinto and an account on it."""

    url: str
    user: str
    password: str

    def call(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request with the account's credentials; the path is what follows the address."""
        signed = {"Authorization": calls.basic(self.user, self.password), **(headers or {})}
        return calls.call(method, self.url + path, body, headers=signed)

    def fresh_collection(self) -> "Collection":
        """Make an empty collection in a bucket of its own."""
        bucket = f"bucket-{next(_numbers)}"
        self.call("PUT", f"/buckets/{bucket}", {}).expect(201)
        self.call("PUT", f"/buckets/{bucket}/collections/contacts", {}).expect(201)
        return Collection(self, bucket, "contacts")


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection of records that one test has to itself."""

    server: Kinto
    bucket: str
    name: str

    @property
    def path(self) -> str:
        """Where its records are, after the server's address."""
        return f"/buckets/{self.bucket}/collections/{self.name}/records"

    def call(self, method: str, path: str = "", body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request; the path is what follows that of the records."""
        return self.server.call(method, self.path + path, body, headers=headers)

    def create(self, **fields: Any) -> dict[str, Any]:
        """Create a record under an id of the server's making."""
        return _data(self.call("POST", "", {"data": fields}).expect(201))

    def put(self, record_id: str, **fields: Any) -> dict[str, Any]:
        """Create or replace the record of an id."""
        return _data(self.call("PUT", f"/{record_id}", {"data": fields}).expect(200, 201))

    def patch(self, record_id: str, **fields: Any) -> dict[str, Any]:
        """Change some fields of a record."""
        return _data(self.call("PATCH", f"/{record_id}", {"data": fields}).expect(200))

    def delete(self, record_id: str) -> None:
        """Delete a record, which leaves a tombstone."""
        self.call("DELETE", f"/{record_id}").expect(200)

    def get(self, record_id: str) -> dict[str, Any] | None:
        """Return a record, or None when there is none."""
        answer = self.call("GET", f"/{record_id}").expect(200, 404)
        return _data(answer) if answer.status == 200 else None

    def records(self, **query: Any) -> list[dict[str, Any]]:
        """Return all records, page after page."""
        found: list[dict[str, Any]] = []
        answer = self.call("GET", f"?{urlencode(query)}").expect(200)
        while True:
            found += answer.json()["data"]
            following = answer.headers.get("Next-Page")
            if not following:
                return found
            answer = self.server.call("GET", following.removeprefix(self.server.url)).expect(200)

    def count(self) -> int:
        """Return how many records there are."""
        return int(self.call("HEAD").expect(200).headers["Total-Objects"])


@contextlib.contextmanager
def run_kinto(
    *,
    page: int = 100,
    backoff_seconds: int | None = None,
    ends: str | None = None,
    history: bool = False,
) -> Iterator[Kinto]:
    """Run Kinto.

    `page` caps a page; `backoff_seconds` asks for patience in every good answer; `ends` is the ISO day of the API's end
    of life, announced when ahead and enforced by 410 when past; `history` keeps a change log in every bucket.
    """
    configure = partial(_configure, page=page, backoff_seconds=backoff_seconds, ends=ends, history=history)
    with started(RECIPE, configure, answers_at="/v1/__heartbeat__") as site:
        kinto = Kinto(f"{site.url}/v1", "sync", "sync-pass")
        # An API past its end answers 410 to this too.
        calls.call("PUT", f"{kinto.url}/accounts/sync", {"data": {"password": kinto.password}}).expect(201, 410)
        yield kinto


def _configure(site: Site, *, page: int, backoff_seconds: int | None, ends: str | None, history: bool) -> Command:
    plugins = ["kinto.plugins.accounts", "kinto.plugins.flush", *(["kinto.plugins.history"] if history else [])]
    lines = [
        "[server:main]",
        "use = egg:waitress#main",
        "host = 127.0.0.1",
        f"port = {site.port}",
        "[app:main]",
        "use = egg:kinto",
        f"kinto.includes = {' '.join(plugins)}",
        "kinto.storage_backend = kinto.core.storage.memory",
        "kinto.cache_backend = kinto.core.cache.memory",
        "kinto.permission_backend = kinto.core.permission.memory",
        "kinto.userid_hmac_secret = not-a-secret",
        "kinto.flush_endpoint_enabled = true",
        f"kinto.paginate_by = {page}",
        "multiauth.policies = account",
        "multiauth.policy.account.use = kinto.plugins.accounts.AccountsPolicy",
        "kinto.account_create_principals = system.Everyone",
        "kinto.account_write_principals = account:admin",
        "kinto.bucket_create_principals = system.Authenticated",
    ]
    if backoff_seconds is not None:
        lines.append(f"kinto.backoff = {backoff_seconds}")
    if ends is not None:
        lines += [f'kinto.eos = "{ends}"', "kinto.eos_message = this API version ends"]
        lines.append("kinto.eos_url = http://127.0.0.1/eos")
    ini = site.folder / "kinto.ini"
    ini.write_text("\n".join(lines) + "\n" + _LOGGING)
    return Command((site.installed.script("kinto"), "start", "--ini", ini))


_LOGGING = """\
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = plain
[formatter_plain]
format = %(asctime)s %(levelname)s %(name)s %(message)s
"""


def _data(answer: Answer) -> dict[str, Any]:
    data: dict[str, Any] = answer.json()["data"]
    return data
