"""What can go wrong with a request, and weather: a seeded plan of when it does."""

from __future__ import annotations

import email.utils
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tieline.model.records import decode_json, encode_json
from tieline.testing.vendor import Headers, answer
from tieline.transport.ports import HttpRequest, HttpResponse

Answer = Callable[[HttpResponse | None, float], HttpResponse]
"""Makes the answer that arrives out of the vendor's own, if there is one, and the time (seconds since 1970)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request."""

    name: str
    left: bool = True
    """It left this machine; without it, nothing was sent."""
    done: bool = False
    """The vendor does the work."""
    answer: Answer | None = None
    """What arrives; without it, nothing does."""
    seconds: float = 0.0
    """How much longer the answer takes."""


REFUSED: Final = Fault("refused", left=False)
"""No connection: the request never left."""
LOST: Final = Fault("lost")
"""The request left, and never arrived."""
UNANSWERED: Final = Fault("unanswered", done=True)
"""The work was done, and the answer was lost."""


def error(status: int = 503, *, done: bool = False, text: str = "something went wrong", headers: Mapping[str, str] | None = None) -> Fault:
    """Return an error answer; with `done`, it comes although the work was done."""
    return Fault(
        f"{status}{' after the work' if done else ''}", done=done, answer=lambda own, now: answer(status, {"error": text}, headers)
    )


def throttled(seconds: float | None = 2.0, *, date: bool = False, status: int = 429) -> Fault:
    """Return `too many requests`, with a wait in seconds, as a date, or without one."""

    def too_many(own: HttpResponse | None, now: float) -> HttpResponse:
        headers = {}
        if seconds is not None:
            headers["Retry-After"] = email.utils.formatdate(now + seconds + 0.999, usegmt=True) if date else f"{seconds:g}"
        return answer(status, {"error": "too many requests"}, headers)

    return Fault(f"{status}", answer=too_many)


def garbled(how: str = "truncated", *, status: int | None = None) -> Fault:
    """Return an answer to work that was done, of which only the status and rubbish arrive: `truncated`, `html`, `empty` or `list`."""

    def rubbish(own: HttpResponse | None, now: float) -> HttpResponse:
        if how in ("empty", "list") and own is not None and b'"refused":true' in own.body and b'"code"' not in own.body:
            return own  # where a refusal is told by a flag or a list, nothing in its place is a success, by all that is declared
        body = {
            "truncated": own.body[: len(own.body) // 2] if own is not None else b'{"da',
            "html": b"<!DOCTYPE html><html><body><h1>We'll be right back</h1></body></html>",
            "empty": b"",
            "list": b"[]",
        }[how]
        told = status if status is not None else own.status if own is not None else 200
        return HttpResponse(told, Headers({"Content-Type": "text/html" if how == "html" else "application/json"}), body)

    return Fault(f"garbled: {how}", done=True, answer=rubbish)


def mistaken(how: str) -> Fault:
    """Return an answer about another record than was asked for: `another` id, `no id`, or an `empty` object. One that there is none stays so."""

    def wrong(own: HttpResponse | None, now: float) -> HttpResponse:
        assert own is not None
        if own.status != 200:
            return own
        record = {} if how == "empty" else decode_json(own.body)
        record.pop("id", None)
        if how == "another":
            record["id"] = 999_999_999
        return HttpResponse(200, own.headers, encode_json(record))

    return Fault(f"mistaken: {how}", done=True, answer=wrong)


def answering(status: int, body: bytes, headers: Mapping[str, str] | None = None, *, done: bool = False) -> Fault:
    """Return exactly this answer."""
    return Fault(f"answer {status}", done=done, answer=lambda own, now: HttpResponse(status, Headers(headers or {}), body))


def slow(seconds: float) -> Fault:
    """Return the right answer, later; past the caller's deadline it is lost."""

    def own_answer(own: HttpResponse | None, now: float) -> HttpResponse:
        assert own is not None
        return own

    return Fault(f"slow by {seconds:g} s", done=True, answer=own_answer, seconds=seconds)


@dataclass(slots=True)
class Weather:
    """Chance, from a seed: single faults at a rate, and storms in which every request of a vendor meets the same."""

    seed: int
    rate: float = 0.1
    """Share of requests that meet a fault of their own."""
    storms: float = 0.02
    """Share of requests with which a storm begins."""
    kinds: tuple[str, ...] = ("refused", "lost", "unanswered", "error", "late error", "throttled", "garbled", "slow")
    calm: bool = False
    """Nothing goes wrong any more."""
    _random: random.Random = field(init=False)
    _storms: dict[str, tuple[float, Fault]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable on purpose

    def __call__(self, system: str, request: HttpRequest, now: float) -> Fault | None:
        """Return what goes wrong with a request, or None."""
        if self.calm:
            return None
        until, fault = self._storms.get(system, (0.0, LOST))
        if now < until:
            return fault
        chance = self._random
        if chance.random() < self.storms:
            fault = chance.choice([REFUSED, LOST, error(502), throttled(float(chance.randint(1, 20))), error(401, text="token expired")])
            self._storms[system] = now + chance.choice([2.0, 20.0, 300.0]), fault
            return fault
        return self._one() if chance.random() < self.rate else None

    def _one(self) -> Fault:
        chance = self._random
        match chance.choice(self.kinds):
            case "refused":
                return REFUSED
            case "lost":
                return LOST
            case "unanswered":
                return UNANSWERED
            case "error":
                return error(chance.choice([500, 502, 503, 504]))
            case "late error":
                return error(chance.choice([500, 502, 504]), done=True)
            case "throttled":
                return throttled(chance.choice([None, 0.0, 1.0, 30.0]), date=chance.random() < 0.5, status=chance.choice([429, 429, 503]))
            case "garbled":
                return garbled(chance.choice(["truncated", "html", "empty", "list"]))
            case _:
                return slow(chance.choice([1.0, 50.0, 1000.0]))
