"""The receiver keeps what it has verified before it answers, and what it has not verified leaves no trace but a number."""

import asyncio
import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml
from multidict import CIMultiDict
from standardwebhooks import Webhook

from tieline.config.models.connectors import Connector
from tieline.engine.intake.webhooks import Receiving
from tieline.model.clock import SystemClock
from tieline.model.errors import StoreError
from tieline.store import inbox
from tieline.store.database import Database
from tieline.web import receiver as module
from tieline.web.receiver import Receiver
from web.served import SRC, Served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
IN_PATH = "4f0d2a97c1e85b36"


def connector(**verify: Any) -> dict[str, Any]:
    """Return a connector whose contacts are told of."""
    webhook = {"changed": ["contact.updated"], "deleted": ["contact.deleted"], "id": "data.id"}
    one = {"fields": {"id": {"type": "integer"}}, "list": {"path": "/contacts"}, "get": {"path": "/contacts/{id}"}, "webhook": webhook}
    webhooks = {"verify": verify or {"standard": {}}, "type": {"body": "type"}}
    return {"connector": "crm", "environments": {"production": "http://127.0.0.1:9"}, "webhooks": webhooks, "resources": {"contacts": one}}


def signed(body: bytes, id: str = "msg_1") -> dict[str, str]:
    """Return the headers of an event that the vendor has signed just now."""
    import datetime as dt

    now = dt.datetime.now(dt.UTC)
    signature = Webhook(SECRET).sign(id, now, body.decode())
    return {"webhook-id": id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}


def event(type_: str = "contact.deleted", id: Any = 7) -> bytes:
    """Return an event about a contact."""
    return json.dumps({"type": type_, "data": {"id": id}}).encode()


class Hooks:
    """A receiver that listens, its store, and a client."""

    def __init__(self, folder: Path, told: list[Any]) -> None:
        self.db = Database(folder / "store.db")
        clock = SystemClock()
        self.receiving = {
            "crm": Receiving("crm", Connector.model_validate(connector()), [SECRET], self.db, clock, told.append),
            "shop": Receiving("shop", Connector.model_validate(connector(path={})), [IN_PATH], self.db, clock, told.append),
        }
        self.receiver = Receiver(self.receiving)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Send a request; return status and answer."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.receiver.address + path, data=io.BytesIO(body), headers=CIMultiDict(headers or {})) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    @property
    def kept(self) -> list[tuple[str, str, str]]:
        """What is in the inbox: connection, kind, id."""
        return self.db.read("SELECT connection, kind, id FROM inbox ORDER BY seq")


@pytest.fixture
def within(tmp_path: Path) -> Iterator[Callable[[Callable[[Hooks], Awaitable[None]]], list[Any]]]:
    """Do something with a receiver that listens; return what was told for the log."""

    def work(do: Callable[[Hooks], Awaitable[None]]) -> list[Any]:
        told: list[Any] = []

        async def working() -> None:
            hooks = Hooks(tmp_path, told)
            await hooks.receiver.start("127.0.0.1", 0)
            try:
                await do(hooks)
            finally:
                await hooks.receiver.stop()
                hooks.db.close()

        asyncio.run(working())
        return told

    return work


Within = Callable[[Callable[[Hooks], Awaitable[None]]], list[Any]]


def test_an_event_is_kept_once_and_then_answered(within: Within) -> None:
    async def work(hooks: Hooks) -> None:
        body = event()
        first, again = await hooks.post("/hooks/crm", body, signed(body)), await hooks.post("/hooks/crm", body, signed(body))
        other = await hooks.post(f"/hooks/shop/{IN_PATH}", event("contact.updated", "ä/7"))
        ping = await hooks.post("/hooks/crm", event("ping"), signed(event("ping"), "msg_2"))
        async with aiohttp.ClientSession() as session, session.get(f"{hooks.receiver.address}/health") as health:
            assert 200 == health.status

        assert [(200, None)] * 4 == [first, again, other, ping]
        assert [("crm", "deleted", "7"), ("shop", "changed", "ä/7")] == hooks.kept
        await hooks.receiving["crm"].flush()
        tally = inbox.tallies(hooks.db)["crm"]
        assert (1, 1, 1, 0) == (tally.accepted, tally.repeated, tally.ignored, tally.refused)

    assert ["webhook.ignored"] == [one.name for one in within(work)]


def test_a_forged_event_leaves_nothing_but_a_number(within: Within) -> None:
    """Whatever is wrong with it, the answer is the same 401, and neither log nor store has a word of it."""

    async def work(hooks: Hooks) -> None:
        body, told = event(), signed(event())
        attempts = [
            {}, {**told, "webhook-signature": "v1,not base64"}, {**told, "webhook-id": "msg_2"}, {**told, "webhook-timestamp": "1"},
            {**told, "webhook-signature": "v1,"}, {**told, "webhook-timestamp": "1e9"},
        ]  # fmt: skip
        answers = [await hooks.post("/hooks/crm", body, headers) for headers in attempts]
        answers += [await hooks.post("/hooks/crm", event(id=8), told)]
        answers += [await hooks.post("/hooks/shop", body), await hooks.post("/hooks/shop/0123456789abcdef", body)]

        assert [(401, {"error": "it is not verified"})] == list({json.dumps(one): one for one in answers}.values())
        assert [] == hooks.kept
        await hooks.receiver.stop()
        assert {"crm": 7, "shop": 2} == {name: tally.refused for name, tally in inbox.tallies(hooks.db).items()}

    told = within(work)
    assert 9 == len(told)
    assert not any(secret in repr(told) for secret in (SECRET, IN_PATH, "0123456789abcdef", "contact.deleted"))


def test_what_can_not_be_taken_is_answered_with_why(within: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(hooks: Hooks) -> None:
        large = b" " * (module._MOST_BYTES + 1)
        bad = event(id=None)
        answers = [
            await hooks.post("/hooks/crm", b"{", signed(b"{")),
            await hooks.post("/hooks/crm", bad, signed(bad)),
            await hooks.post("/hooks/nobody", event(), signed(event())),
            await hooks.post("/hooks/crm/secret", event(), signed(event())),
            await hooks.post("/hooks/crm", large, signed(event())),
            await hooks.post("/hooks/crm", event(), {**signed(event()), "Content-Encoding": "gzip"}),
        ]

        async def full(unit: Any) -> None:
            raise StoreError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(hooks.db, "commit", full)
            answers.append(await hooks.post("/hooks/crm", event(), signed(event())))
        answers.append(await hooks.post("/hooks/crm", event(), signed(event())))

        assert [400, 400, 404, 404, 413, 415, 503, 200] == [status for status, _ in answers]
        assert "not JSON" in answers[0][1]["error"]
        assert "webhook.id" in answers[1][1]["error"]
        assert [("crm", "deleted", "7")] == hooks.kept

    assert ["webhook.unusable", "webhook.unusable", "webhook.not_kept"] == [one.name for one in within(work)]


def test_an_event_without_a_name_that_comes_again_is_looked_at_again(within: Within) -> None:
    """A record can be deleted, entered and deleted once more; where the vendor names no events, both look the same."""

    async def work(hooks: Hooks) -> None:
        await hooks.post(f"/hooks/shop/{IN_PATH}", event())
        taken_up = inbox.end(hooks.db)
        await hooks.post(f"/hooks/shop/{IN_PATH}", event())

        assert [("shop", "deleted", "7")] == hooks.kept
        assert ["7"] == [one.id for one in inbox.portion(hooks.db, "shop", "contacts", after=taken_up, until=99, limit=10)]
        hooks.db.write(lambda connection: connection.execute("DELETE FROM inbox"))
        await hooks.post(f"/hooks/shop/{IN_PATH}", event())
        assert taken_up + 1 < inbox.end(hooks.db), "numbers are never used again"

    within(work)


# -- processes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with one connection that takes webhooks."""
    (tmp_path / "connectors").mkdir()
    files = {
        "tieline.yaml": {"project": "test", "owner": "test@example.com"},
        "connectors/crm.yaml": connector(),
        "connections.yaml": {"crm": {"connector": "crm", "webhook_secret": "${env:CRM_SECRET}"}},
    }
    for name, value in files.items():
        (tmp_path / name).write_text(yaml.safe_dump(value), "utf-8")
    return tmp_path


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., Served]]:
    """Start receivers, which end with the test."""
    started: list[Served] = []

    def start(**habits: Any) -> Served:
        started.append(Served(folder, {"CRM_SECRET": SECRET}, **habits))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


def test_a_receiver_that_is_killed_between_keeping_and_answering_doubles_nothing(folder: Path, serve: Callable[..., Served]) -> None:
    """The vendor hears nothing, sends it again, and it counts once."""
    body = event()
    headers = signed(body)
    first = serve(dies=True)
    lost = first.post("/hooks/crm", body, headers)
    first.process.communicate(timeout=60)
    second = serve()
    again = second.post("/hooks/crm", body, headers)
    forged = second.post("/hooks/crm", body, {**headers, "webhook-id": "msg_2"})
    code, err = second.end()
    with contextlib.closing(sqlite3.connect(folder / ".tieline" / "store.db")) as store:
        kept = store.execute("SELECT connection, resource, id, kind FROM inbox").fetchall()
        tally = json.loads(store.execute("SELECT value FROM state WHERE kind = 'webhooks'").fetchone()[0])

    assert (None, -signal.SIGKILL) == (lost, first.process.returncode)
    assert (200, 401, 0) == (again, forged, code)
    assert [("crm", "contacts", "7", "deleted")] == kept
    assert (1, 1, 1) == (tally["accepted"], tally["repeated"], tally["refused"])
    assert {"crm": f"{second.said['listens']}/hooks/crm"} == second.said["connections"]
    assert "webhook.refused" in err
    assert "Traceback" not in err


def test_a_receiver_says_why_it_can_not_begin(folder: Path, serve: Callable[..., Served]) -> None:
    """No secret, a secret that leads nowhere, a connector that verifies nothing, a port that is taken."""

    def said(*arguments: str, **environ: str) -> tuple[int, str]:
        code = f"import sys, tieline.cli.main as m; sys.argv[1:] = ['receive', *{arguments!r}]; m.main()"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(SRC), **environ}, capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        return done.returncode, done.stderr

    unset = said()
    served = serve()
    port = str(urlsplit(served.said["listens"]).port)
    taken = said("--port", port, CRM_SECRET=SECRET)
    served.end()
    plain = said("--url", "http://hooks.example.com", CRM_SECRET=SECRET)
    wrong = connector(hmac={"header": "X-Signature", "signed": "{timestamp}"})
    (folder / "connectors" / "crm.yaml").write_text(yaml.safe_dump(wrong), "utf-8")
    forgeable = said("--port", "0", CRM_SECRET=SECRET)

    assert 2 == unset[0]
    assert "the environment variable of `${env:CRM_SECRET}` is not set" in unset[1]
    assert 2 == taken[0]
    assert f"nothing can listen on 127.0.0.1:{port}" in taken[1]
    assert 2 == plain[0]
    assert "plain http" in plain[1]
    assert 2 == forgeable[0]
    assert "no connection takes webhooks" in forgeable[1]
    assert "does not hold `{body}`" in forgeable[1]
