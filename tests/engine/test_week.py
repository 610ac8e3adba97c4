"""A week of two systems that are kept the same: a run every hour, people on both sides in working hours, and what goes wrong meanwhile.

Its figures, and what `tieline verify` says at its end, stand in `docs/two-way.md`. TIELINE_WRITE_PAGES=1 writes them there.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

from engine.two_sided import REWRITINGS, TwoSided, Watched, canonical
from engine.world import NAME
from tieline.app import Tieline
from tieline.cli.output import output
from tieline.cli.verifying import print_verified
from tieline.engine.review import conflicts
from tieline.model.records import decode_json
from tieline.model.verified import Verified
from tieline.store.pairs import OTHER, SIDES, Side
from tieline.testing import REFUSED, Fault, throttled
from tieline.transport.ports import HttpRequest

PAGE: Final = Path(__file__).parents[2] / "docs" / "two-way.md"
BLOCK: Final = re.compile(r"(?<=<!-- Written by tests/engine/test_week.py. -->\n\n```text\n).*?(?=```\n)", re.DOTALL)
HOUR: Final = 3600.0
_WORKING: Final = range(8, 18)
_DOWN: Final = range(24 + 20, 48 + 6)
"""From Tuesday at eight in the evening until Wednesday at six in the morning."""
_FLOOD: Final = range(72 + 10, 72 + 13)
"""On Thursday, from ten until one."""
_CRASH: Final = 96 + 11
"""On Friday at eleven, or soon after."""
_HABITS: Final[dict[Side, str]] = {"left": "_trims", "right": "_dials"}


class Week(TwoSided):
    """Seven days, the first of which is a Monday; what a person wrote and may get lost is watched as in any two-sided world."""

    def __init__(self, folder: Path) -> None:
        self.people, self.fate = random.Random("people of a week"), random.Random("fate of a week")
        super().__init__(4, folder, webhooks=False)
        self.hour, self.states, self.resolved, self.before = 0, Counter[str](), 0, 0
        self.policies = {
            "email": "left",
            "name": "hold",
            "phone": "left",
            "score": "newest",
            "note": "hold",
            "seen": "right",
            "tags": "union",
        }
        self.gone = {"left": "delete", "right": "delete"}
        self.edited_since, self.unmatched, self.brakes = "hold", {"left": "create", "right": "create"}, {"deletes": 10, "clears": 10}
        self.mortality = self.bad_disk = self.restless = self.impatient = self.strict = 0.0
        self.picky = False
        self.world.network.latency, self.world.network.doubles = (0.02, 0.02), 0.0
        self.world.declare(
            direction="two-way", conflict=None, skew="1s", unmatched=self.unmatched, brakes=self.brakes,
            deletes={**self.gone, "edited": self.edited_since},
            map={field: {"from": field, "conflict": policy} for field, policy in self.policies.items()},
        )  # fmt: skip

    def _collection(self, side: Side) -> Watched:
        (rewriting,) = (one for one in REWRITINGS if one.__name__ == _HABITS[side])

        def normalise(record: dict[str, Any]) -> dict[str, Any]:
            record = dict(record)
            rewriting(record)
            return record

        collection = Watched(
            "leads" if side == "left" else "members", super()._collection(side).fields, ids="number" if side == "left" else "text",
            page_size=50, order="changed", changed_since="time", tombstones=True, find=("email",), normalise=normalise,
        )  # fmt: skip
        collection.side, collection.watcher, collection.rewritings, collection.ignores = side, self, [rewriting], None
        return collection

    def _habits(self) -> dict[str, Any]:
        return {"concurrency": 4}

    def _passing(self, exchange: Any) -> None:
        """No one edits within the seconds of a run."""

    def _weather(self, system: str, request: HttpRequest, now: float) -> Fault | None:
        if self.weather.calm:
            return None
        if self.hour in _DOWN and system == "mail":
            return REFUSED
        if self.hour in _FLOOD and system == "crm" and self.fate.random() < 0.7:
            return throttled(20.0)
        return self.weather(system, request, now) if self.fate.random() < 0.01 else None

    # -- the course of it

    def go(self) -> None:
        """Let it happen. Raises `Broken`."""
        self._begin()
        for self.hour in range(7 * 24):
            self._hour()
        self._decide()
        self._settle()
        self._check_the_end()

    def _begin(self) -> None:
        self.chance = self.people
        for number in range(150):
            email, side, fields = self._person(), self.people.choice(SIDES), self._fields()
            self.sides[side].add(email=email, **fields)
            if number % 4:
                self.sides[OTHER[side]].add(email=email, **(fields if number % 10 else self._fields()))
            self.world.clock.advance(0.002)
        self.before = self.edits.total()

    def _hour(self) -> None:
        clock, began = self.world.clock, self.hour * HOUR
        self.chance = self.people
        if self.hour // 24 < 5 and self.hour % 24 in _WORKING:
            for moment in sorted(self.people.uniform(60.0, HOUR - 300.0) for _ in range(self.people.randint(2, 9))):
                clock.advance(max(0.0, began + moment - clock.elapsed_seconds))
                self._edit()
        clock.advance(max(0.0, began + HOUR - 60.0 - clock.elapsed_seconds))
        self.chance = self.fate
        crashes = self.hour >= _CRASH and not self.states["crashed"]
        outcome = self._run(0.1 if crashes else 0.0)
        self.states[outcome.state if outcome is not None else "crashed"] += 1
        if self.hour // 24 < 5 and self.hour % 24 in (11, 17):
            self._decide()

    def _edit(self) -> None:
        people = self.people
        side, what = people.choice(SIDES), people.random()
        if what < 0.08:
            email = self._person()
            self._add(side, email)
            if what < 0.03:
                self._add(OTHER[side], email)
            return
        record = people.choice(self.sides[side].records)
        if what < 0.11:
            self._remove(side, record["id"])
            return
        fields = ("name", "phone", "score", "note", "seen", "tags")
        field = people.choice(fields)
        self._change(side, record["id"], {field: None if what < 0.15 and field != "tags" else self._value(field)})
        twins = [one for one in self.sides[OTHER[side]].records if canonical("email", one["email"]) == canonical("email", record["email"])]
        if twins and what > 0.7:
            other = field if what > 0.85 else people.choice(fields)
            self._change(OTHER[side], twins[0]["id"], {other: self._value(other)})

    def _decide(self) -> None:
        """Someone looks at the conflicts, and says which side holds."""
        self.chance = self.people
        with self.world.store() as db:
            waiting = [one.id for one in conflicts.held(db)]
            for id in waiting:
                conflicts.rule(db, [id], self.people.choice(SIDES), "asked them", now=self.world.clock.now())
        self.resolved += len(waiting)
        self.chance = self.fate
        if waiting:
            self._run(0.0, redrive=tuple(waiting))

    # -- what is told of it

    def verify(self) -> tuple[Verified, str]:
        """Return what `tieline verify` finds, and says."""

        async def work(tieline: Tieline) -> tuple[Verified, str]:
            with await tieline.verify(NAME) as verification, output.console.capture() as said:
                print_verified(tieline, verification.verified, list(verification.findings()), repairing=False)
            return verification.verified, said.get()

        return self.world.within(work)

    def figures(self) -> str:
        """Return the figures of the week, a line each."""
        with self.world.store() as db:
            decided = list(conflicts.decided(db))
            reasons = [decode_json(reason) for (reason,) in db.read("SELECT reason FROM delivery WHERE operation = 'none'") if reason]
            held = sum(reason.get("kind") in conflicts.KINDS for reason in reasons)
            written = dict(db.read("SELECT operation, count(*) FROM delivery WHERE state = 'delivered' GROUP BY 1"))
        policy = sum(one.by is None for one in decided)
        runs = self.states.total()
        left, right = (len(self.sides[side].records) for side in SIDES)
        rows = {
            "records": f"{left} and {right} in the end",
            "edits by people": f"{self.edits.total() - self.before:,} fields",
            "runs": f"{runs}: {', '.join(f'{number} {state}' for state, number in self.states.most_common())}",
            "calls": f"about {round(len(self.world.network.exchanges), -2):,}, {len(self.world.network.exchanges) / runs:.0f} a run",
            "written": ", ".join(f"{written.get(operation, 0)} {operation}d" for operation in ("create", "update", "delete")),
            "conflicts": f"{policy} decided by a policy, what lost is kept; {held} held, {self.resolved} resolved by a person",
        }
        return "".join(f"{name:<16} {text}\n" for name, text in rows.items())


def test_at_the_end_of_a_week_verify_finds_every_record_accounted_for(swift_path: Path) -> None:
    """An outage of a night, a flood of refusals, a crash and a week of edits on both sides leave nothing behind; the page shows it."""
    week = Week(swift_path)
    week.go()
    verified, said = week.verify()
    told = f"{week.figures()}\n$ tieline verify {NAME}\n{said}"
    page = PAGE.read_text("utf-8")
    if os.environ.get("TIELINE_WRITE_PAGES") == "1":
        PAGE.write_text(BLOCK.sub(lambda _: told, page), "utf-8")
        page = PAGE.read_text("utf-8")

    assert (0, {}) == (verified.wrong, {why: n for why, n in verified.why.items() if not why.startswith("excluded")})
    assert verified.in_sync > 150
    assert week.states["crashed"] == 1
    assert week.states["owed"] >= len(_DOWN) - 1
    assert week.resolved > 0
    assert [told] == BLOCK.findall(page)
