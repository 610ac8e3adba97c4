"""Made-up leads: the same ones for the same seed, as untidy as those of a real CRM.

E-mail addresses in mixed case, telephone numbers as people type them, names from many languages, now and then no
company. All of them can become members of an email platform; `BAD` has what a careless import leaves behind.
"""

from __future__ import annotations

import datetime as dt
import functools
import random
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from importlib import resources
from typing import Any, Final

import yaml

from tieline.model.records import Record

STATUSES: Final = ("new", "working", "qualified", "lost")
FIRST_ID: Final = 6_917_529_027_641_081_856
"""Ids are 64 bits wide: a reader that takes them for floating-point numbers mixes them up."""
ID_STEP: Final = 4096

_FIRST_DAY: Final = dt.datetime(2026, 1, 5, 22, 30, tzinfo=dt.UTC)
_SPAN_SECONDS: Final = 90 * 86_400
_DOMAINS: Final = ("example.com", "Example.com", "example.net", "example.org", "mail.example", "Office.Example")
_UNACCENTED: Final = str.maketrans({"ł": "l", "Ł": "L", "ß": "ss", "đ": "d", "Đ": "D", " ": "", "-": ""})

BAD: Final[dict[str, dict[str, Any]]] = {
    "email": {"email": "jo at example dot com"},
    "no_email": {"email": None},
    "phone": {"phone": "call reception"},
    "name": {"first_name": "Bartholomew " * 8},
}
"""Fields of leads that an email platform won't have, by what is wrong with them."""


def stamp(seconds: float) -> str:
    """Return the time as the CRM writes it: `2026-01-05T22:30:00.125Z`."""
    moment = dt.datetime.fromtimestamp(round(seconds * 1000) // 1000, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{round(seconds * 1000) % 1000:03}Z"


def make_leads(count: int, seed: int) -> Iterator[Record]:
    """Make that many leads; of every five, two are qualified. With another count, the same people come first."""
    people = _People(random.Random(seed))  # noqa: S311 - made-up people, no secrets
    rng = random.Random(seed + 1)  # noqa: S311 - the same
    clock = _FIRST_DAY.timestamp()
    for number in range(count):
        # Every 50th lead begins an import: ten leads that share one time, to the millisecond.
        if number % 50 >= 10:
            clock += 0.001 + rng.random() * 2 * _SPAN_SECONDS / count
        yield people.lead(number, rng, clock)


def bad_lead(kind: str) -> Record:
    """Return a qualified lead with something wrong, without an id."""
    return {
        "first_name": "Jo",
        "last_name": "Careless",
        "email": "Jo.Careless@example.com",
        "phone": "02 5550 0001",
        "company": None,
        "status": "qualified",
        "score": Decimal("0.500"),
        "language": "English",
        **BAD[kind],
    }


@functools.cache
def _names() -> dict[str, Any]:
    text = resources.files("tieline.sandbox").joinpath("people.yaml").read_text(encoding="utf-8")
    names: dict[str, Any] = yaml.safe_load(text)
    return names


class _People:
    """Draws names, addresses and numbers; no address twice."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._names = _names()
        self._shares = [people["share"] for people in self._names["peoples"]]
        self._addresses: set[str] = set()

    def lead(self, number: int, rng: random.Random, seconds: float) -> Record:
        people = rng.choices(self._names["peoples"], self._shares)[0]
        given, family = (self._name(people[part]) for part in ("given", "family"))
        first_name = given[0]
        if rng.random() < 0.01:
            first_name += " " + rng.choice(self._names["flourishes"])
        elif rng.random() < 0.02:
            first_name = unicodedata.normalize("NFD", first_name)  # as macOS writes accents
        company = rng.randrange(len(self._names["companies"])) if rng.random() > 0.03 else None
        lead: Record = {
            "id": FIRST_ID + number * ID_STEP + rng.randrange(ID_STEP),
            "first_name": first_name,
            "last_name": family[0],
            "email": self._address(given[1], family[1]),
            "phone": self._phone(),
            "company": None if company is None else {"id": 9000 + company, "name": self._names["companies"][company]},
            "status": ("qualified", "new", "qualified", "working", rng.choice(("lost", "lost", "new")))[number % 5],
            "score": Decimal(rng.randrange(1001)).scaleb(-3),
            "language": people["language"],
            "created_at": stamp(seconds - rng.randrange(86_400 * 60)),
            "updated_at": stamp(seconds),
        }
        if lead["phone"] == "":
            del lead["phone"]
        return lead

    def _name(self, names: list[str]) -> tuple[str, str]:
        spelled, _, latin = self._rng.choice(names).partition("=")
        return spelled, latin or spelled

    def _address(self, given: str, family: str) -> str:
        local = ".".join(_latin(part) for part in (given, family))
        local = self._rng.choice((local, local.lower(), local.lower(), local.upper()))
        domain = self._rng.choice(_DOMAINS)
        tag = "+news" if self._rng.random() < 0.02 else ""
        address, more = f"{local}{tag}@{domain}", 1
        while address.lower() in self._addresses:
            more += 1
            address = f"{local}{more}{tag}@{domain}"
        self._addresses.add(address.lower())
        return address

    def _phone(self) -> str | None:
        """Return a number as someone typed it, None for null, blank for none at all."""
        rng, kind = self._rng, self._rng.random()
        if kind < 0.05:
            return None
        if kind < 0.10:
            return ""
        if kind < 0.18:
            return self._digits(rng.choice(self._names["abroad"]))
        if kind < 0.60:
            n = rng.choice(self._names["mobiles"])
            spaced = f"{n[1:4]} {n[4:7]} {n[7:]}"
            return rng.choice((n, f"0{spaced}", f"0{spaced}".replace(" ", "-"), f"+61 {spaced}", f"+61{n[1:]}"))
        return self._digits(rng.choice(self._names["landlines"])).replace("@", rng.choice("2378"))

    def _digits(self, pattern: str) -> str:
        return "".join(str(self._rng.randrange(10)) if sign == "#" else sign for sign in pattern)


def _latin(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.translate(_UNACCENTED))
    return plain.encode("ascii", "ignore").decode()
