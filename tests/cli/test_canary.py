"""A secret goes into URL, headers and bodies, and a system says it back in every spelling: it must come out nowhere.

What is searched is every byte of the store with its log of unfinished pages, and everything that every command prints.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, quote_plus

from cli.world import Command, World

CORE = {"bearer": "Zx7CanaryOwl9Qw4", "query": "Wv5CanaryFox8Kj2", "basic": "Ty3CanaryElk6Mn1"}
"""Letters and digits, which no spelling changes."""
SECRETS = {name: f"{core[:5]}/+=&%{core[5:]}~é!" if name == "query" else f"{core[:5]}-/+=_{core[5:]}" for name, core in CORE.items()}
USER = "service-account"


def spellings(secret: str) -> list[str]:
    """A secret as it may be said back."""
    coded = [base64.b64encode((" " * shift + secret).encode()).decode() for shift in range(3)]
    return [
        secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret), html.escape(secret), repr(secret), *coded,
        base64.urlsafe_b64encode(f"{USER}:{secret}".encode()).decode(), quote(coded[0], safe=""), "".join(char if char.isalnum() else f"\\u{ord(char):04x}" for char in secret),
    ]  # fmt: skip


class Echo(BaseHTTPRequestHandler):
    """A system that says back whatever it was told, and refuses every write in another way."""

    protocol_version = "HTTP/1.1"
    writes = 0
    told: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        people = [{"id": number, "email": f"p{number}@example.org"} for number in range(1, 8)]
        self._answer(200, {"people": people if self.headers.get("Authorization", "").startswith("Bearer") else []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        kinds = (422, 400, 500, 409, 200, 403, 404)
        status = kinds[Echo.writes % len(kinds)]
        Echo.writes += 1
        said = [spelled for secret in self._told() for spelled in spellings(secret)]
        filler = "x" * (400 + 7 * Echo.writes)  # so that a secret stands where a text is cut
        text = f"{filler} {' '.join(said)} {self.path} {dict(self.headers)} {body}"
        self._answer(status, {"message": text, "you_said": dict(self.headers), "at": self.path} if status != 200 else text)

    def _answer(self, status: int, value: object) -> None:
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, secret in zip(("X-Request-Id", "Set-Cookie", "Location"), sorted(self._told()), strict=False):
            self.send_header(name, f"session={quote(secret)}")
        self.end_headers()
        self.wfile.write(body)

    def _told(self) -> set[str]:
        heard = f"{self.path} {self.headers}"
        credentials = base64.b64encode(f"{USER}:{SECRETS['basic']}".encode()).decode()
        told = {secret for secret in SECRETS.values() if secret in heard or quote_plus(secret) in heard}
        told |= {SECRETS["basic"]} if credentials in heard else set()
        Echo.told |= told
        return told

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
        pass


@contextlib.contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


CONNECTOR = """
protocol: rest
environments: { production: "${env:ECHO_URL}" }
auth: { AUTH }
errors: { message: message }
resources:
  people:
    id: id
    fields: { id: { type: integer }, email: { type: string, personal: true } }
    list: { path: /people, records: people }
    find: { email: { path: /found, params: { email: "{value}" }, records: people } }
    create: { path: /people }
    update: { method: PATCH, path: "/people/{id}" }
"""
AUTHS = {
    "bearer": ("bearer: {}", 'bearer: "${env:BEARER}"'),
    "query": ("api_key: { query: api_key }", 'api_key: "${env:QUERY}"'),
    "basic": ("basic: {}", f'basic: {{ username: {USER}, password: "${{env:BASIC}}" }}'),
}
INTEGRATION = """
purpose: A test of what leaks.
from: bearer.people
to: TO.people
direction: one-way
freshness: 5m
match: { email: email }
unmatched: create
conflict: source
unavailable: { keep: 7d }
retry: { attempts: 2, base: 10ms }
map: { email: email }
"""


def project(folder: Path) -> None:
    (folder / "connectors").mkdir(parents=True)
    (folder / "integrations").mkdir()
    folder.joinpath("tieline.yaml").write_text("project: leaks\nowner: test@example.com\njournal: { sample: 100%, personal: always }\n")
    connections = ""
    for name, (declared, used) in AUTHS.items():
        (folder / "connectors" / f"{name}.yaml").write_text(f"connector: {name}" + CONNECTOR.replace("{ AUTH }", f"{{ {declared} }}"))
        connections += f"{name}: {{ connector: {name}, environment: production, auth: {{ {used} }} }}\n"
    (folder / "connections.yaml").write_text(connections)
    for name in ("query", "basic"):
        (folder / "integrations" / f"to-{name}.yaml").write_text(INTEGRATION.replace("TO", name))


def leaks(found: bytes) -> list[str]:
    """Which secrets, or recognisable parts of them, are in there."""
    leaked = []
    for name, secret in SECRETS.items():
        core = CORE[name][5:]
        needles = [core.encode(), quote(secret, safe="").encode()]
        for shift in range(3):
            coded = base64.b64encode(b" " * shift + secret.encode())
            needles.append(coded[4:-4])
        leaked += [f"{name}: {needle!r}" for needle in needles if needle in found]
    return leaked


def test_a_secret_comes_out_nowhere(tmp_path: Path, cache: Path, world: World) -> None:
    project(tmp_path / "p")
    Echo.told.clear()
    with serving() as url:
        variables = {"ECHO_URL": url, "BEARER": SECRETS["bearer"], "QUERY": SECRETS["query"], "BASIC": SECRETS["basic"]}
        environ = {**world.environ, **variables, "TIELINE_LOG": "text", "TIELINE_TRACE": "1"}
        said: dict[str, str] = {}

        def tieline(*arguments: str) -> str:
            said[" ".join(arguments)] = Command(arguments, tmp_path / "p", environ).end().said
            return said[" ".join(arguments)]

        for arguments in (
            ["check", "--live"],
            ["plan", "to-query"],
            ["run"],
            ["run", "--json", "--log", "json"],
            ["status"],
            ["status", "--json"],
        ):
            tieline(*arguments)
        tieline("explain", "bearer", "people", "1")
        tieline("explain", "bearer", "people", "1", "--json")
        letters = json.loads(tieline("dead-letters", "--json"))
        assert isinstance(letters, list), letters
        for letter in letters[:4]:
            tieline("dead-letters", "show", str(letter["id"]))
        tieline("dead-letters")
        tieline("dead-letters", "redrive", "--integration", "to-query")
        tieline("calls", "--limit", "10000", "--body")
        calls = [json.loads(line) for line in tieline("calls", "--json", "--body").splitlines()]
        for call in calls[:: max(1, len(calls) // 8)]:
            tieline("calls", str(call["call"]))
        store = {path.name: path.read_bytes() for path in (tmp_path / "p" / ".tieline").iterdir()}

    assert {command: [] for command in said} == {command: leaks(text.encode()) for command, text in said.items()}
    assert {name: [] for name in store} == {name: leaks(found) for name, found in store.items()}
    assert all("***" in call["said"]["answer"] for call in calls if call["method"] == "POST" and call["status"] != 200)
    assert {"rejected", "unavailable", "stale", "undecodable"} <= {call["class"] for call in calls}
    assert {*SECRETS.values()} == Echo.told
    assert any("api_key=***" in call["url"] for call in calls)
