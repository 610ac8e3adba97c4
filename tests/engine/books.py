"""What must be so at every commit, whatever has happened: looked at after each, in simulations and sweeps."""

from __future__ import annotations

from collections import defaultdict

from tieline.testing import SimulatedDatabase

FINAL = ("delivered", "superseded", "discarded")
OPEN = ("owed", "sending", "unknown", "held", "dead")
_FOR_VERDICT = {
    "queued": OPEN,
    "parked": ("dead",),
    "held": ("held",),
    # What comes later may be refused, given up, or wait until the destination can be asked: the doubt stays.
    "unknown": ("held", "dead", "owed", "discarded"),
    "waiting": ("held", "owed"),
    "discarded": ("discarded",),
}


class Broken(AssertionError):
    """A promise was not kept."""


class Books:
    """The deliveries of a store, through all lives of its processes."""

    def __init__(self) -> None:
        self._states: dict[int, str] = {}
        self.broken: Broken | None = None
        """What was found; the process that did it has been ended there."""

    def watch(self, db: SimulatedDatabase) -> None:
        """Look at each commit from now on."""
        db.committed = self._committed

    def _committed(self, db: SimulatedDatabase) -> None:
        try:
            self.check(db)
        except Broken as broken:
            self.broken = broken  # nothing in the process may catch it
            db.process.end("a broken promise")

    def check(self, db: SimulatedDatabase) -> None:
        """Raise `Broken` when a promise about deliveries does not hold.

        A delivery has vanished, what was final has changed, a record has two dead letters or an older version's, or a verdict has no delivery
        that bears it out.
        """
        states: dict[int, str] = {}
        of_record: defaultdict[str, set[str]] = defaultdict(set)
        letters: dict[tuple[int, str], int] = {}
        for id, state, integration, source_id in db.read("SELECT id, state, integration, source_id FROM delivery ORDER BY id"):
            states[id] = state
            of_record[source_id].add(state)
            if earlier := letters.pop((integration, source_id), None):
                raise Broken(f"record {source_id} has delivery {id}, {state}, and {earlier} before it is {states[earlier]}")
            if state in ("held", "dead"):
                letters[integration, source_id] = id
        for id, before in self._states.items():
            if id not in states:
                raise Broken(f"delivery {id} has vanished; it was {before}")
            if before in FINAL and states[id] != before:
                raise Broken(f"delivery {id} was {before} and is {states[id]}")
        if unknown := set(states.values()) - {*FINAL, *OPEN}:
            raise Broken(f"states that are none: {unknown}")
        self._states = states
        for source_id, verdict in db.read("SELECT source_id, verdict FROM link"):
            needed = _FOR_VERDICT.get(verdict)
            if needed is not None and not of_record[source_id] & {*needed}:
                raise Broken(f"record {source_id} is {verdict}, but its deliveries are {of_record[source_id] or 'none'}")
