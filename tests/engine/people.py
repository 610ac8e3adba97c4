"""People who deal with dead letters in a simulation: they edit, redrive, discard, and say what they have seen in the destination."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from engine.world import World
from tieline.app import Tieline
from tieline.engine.review import dead_letters
from tieline.engine.review.dead_letters import DeadLetter
from tieline.engine.runs.redrive import Settlement
from tieline.model.errors import StoreError
from tieline.model.records import Record
from tieline.store.letters import Chosen

_COMPARED = ("email", "name", "rev", "tag")


class People:
    """Someone who looks into the dead letters now and then."""

    def __init__(self, world: World, chance: random.Random, run: Callable[..., Any], *, bad: str) -> None:
        """`run` runs the integration, with what is wanted; `bad` is the name that the destination refuses."""
        self._world, self._chance, self._run, self._bad = world, chance, run, bad
        self._mended: dict[str, tuple[Record, str]] = {}
        self.log: list[str] = []

    def act(self) -> None:
        """Do something about one letter, or about all that are alike."""
        chance, letters = self._chance, self._world.letters()
        if not letters:
            return
        letter = chance.choice(letters)
        what = chance.random()
        if what < 0.25:
            self._redrive_all(letter)
        elif what < 0.4:
            self._discard(letter)
        elif letter.cause == "unknown" and what < 0.85:
            self._say(letter)
        else:
            if letter.record is not None and letter.record.get("name") == self._bad and chance.random() < 0.6:
                self._mend(letter, letter.record)
            if chance.random() < 0.8:
                self._run(redrive=(letter.id,))

    def wanted_name(self, lead: Record) -> str:
        """Return the name with which a lead should have arrived: as someone has corrected it, unless it has changed since."""
        record, name = self._mended.get(str(lead["id"]), ({}, ""))
        return name if record and all(record[field] == lead[field] for field in _COMPARED) else str(lead["name"])

    def gave_up(self, id: str) -> bool:
        """Whether the newest version of a lead was discarded."""
        deliveries = self._world.deliveries(id)
        return bool(deliveries) and deliveries[-1].state == "discarded"

    def _redrive_all(self, letter: DeadLetter) -> None:
        chance = self._chance
        self._run(redrive=Chosen(letter.cause, letter.field), pace=chance.choice([None, 1.0, 20.0]), limit=chance.choice([None, 1, 3]))

    def _discard(self, letter: DeadLetter) -> None:
        self._do(lambda tieline: dead_letters.discard(tieline.db, [letter.id], "no matter", now=tieline.clock.now()))

    def _mend(self, letter: DeadLetter, record: Record) -> None:
        name = f"Corrected {self._chance.randint(0, 99)}"
        if self._do(lambda tieline: tieline.edit_letter(letter.id, {"name": name})):
            # Of a record that was corrected before, the source still says what it said.
            self._mended[letter.source_id] = record, name

    def _say(self, letter: DeadLetter) -> None:
        copies = [record for record in self._world.members.records if str(record.get("ext")) == letter.source_id]
        said: dict[str, Any] = {"target_id": str(copies[0]["id"])} if copies else {"not_done": True}
        self._run(redrive=(letter.id,), settlement=Settlement("looked", **said))

    def _do(self, work: Callable[[Tieline], Any]) -> bool:
        async def working(tieline: Tieline) -> None:
            work(tieline)

        try:
            self._world.within(working)
        except StoreError as error:
            self.log.append(str(error))
            return False
        return True
