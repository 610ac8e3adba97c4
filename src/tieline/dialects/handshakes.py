"""What vendors send to a new address before, or beside, events: challenges that want something back, and pings that want nothing.

Nothing of these is kept, and nothing follows from them. So they need no proof, but what could be an event is never taken for one of them.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tieline.config.models.webhooks import Challenge, Webhooks
from tieline.dialects.webhooks import Incoming, Reader, Unusable, Unverified, said_in
from tieline.mapping.convert.values import text_of
from tieline.model.paths import get

_MOST_ECHOED: Final = 2048


class Reply(NamedTuple):
    """What is sent back."""

    status: int = 200
    body: str = ""
    json: bool = False
    headers: Mapping[str, str] = {}
    shown: str | None = None
    """What a person needs to see, to set the vendor up."""


class Handshakes:
    """Answers challenges and pings of a connector."""

    def __init__(self, webhooks: Webhooks, reader: Reader, secrets: Sequence[str]) -> None:
        self._webhooks, self._reader = webhooks, reader
        self._secrets = [secret.encode() for secret in secrets]

    def challenge(self, incoming: Incoming) -> Reply | None:
        """Return the answer to a challenge; None when it is none. Raises `Unverified` when it should hold the secret and does not."""
        for declared in self._webhooks.challenges:
            value = self._asked(declared, incoming)
            if value is None or len(value) > _MOST_ECHOED or not value.isprintable():
                continue
            if declared.secret is not None and not self._knows(incoming.query.get(declared.secret, "")):
                raise Unverified(f"the challenge's `{declared.secret}` does not fit")
            if declared.reply == "show":
                return Reply(shown=value)
            if declared.header is not None:
                return Reply(headers={declared.header: value})
            if declared.reply == "json":
                name = (declared.query or declared.body or "").rpartition(".")[2]
                return Reply(body=json.dumps({name: value}), json=True)
            return Reply(body=value)
        return None

    def _asked(self, declared: Challenge, incoming: Incoming) -> str | None:
        if declared.query is not None:
            return incoming.query.get(declared.query)
        if declared.header is not None:
            return incoming.headers.get(declared.header)
        body = self._harmless(incoming)
        value = get(body, declared.body or "") if body else None
        if not isinstance(value, str) or body is None:
            return None
        fits = all(_same(get(body, address), wanted) for address, wanted in declared.when.items())
        return value if fits else None

    def is_ping(self, incoming: Incoming) -> bool:
        """Whether a request without a proof is one of the declared pings, and holds nothing that would be acted on."""
        if not self._webhooks.pings:
            return False
        body = self._harmless(incoming)
        return body is not None and any(set(body) == set(ping.only) for ping in self._webhooks.pings)

    def _harmless(self, incoming: Incoming) -> dict[str, Any] | None:
        """Return what a body says if no event is in it."""
        try:
            body = said_in(incoming)
            content = self._reader.read(incoming) if body else None
        except Unusable:
            return None
        if content is not None and (content.events or content.listed):
            return None
        return body if isinstance(body, dict) else None

    def _knows(self, given: str) -> bool:
        # All are compared, whichever fits, so that the time it takes tells nothing.
        fits = [hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret) for secret in self._secrets]
        return any(fits)


def _same(value: Any, wanted: Any) -> bool:
    return bool(value == wanted) or (isinstance(value, str) and not isinstance(wanted, dict | list) and value == text_of(wanted))
