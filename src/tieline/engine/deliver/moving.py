"""Values that move from one record to another: Ann gives up a name, and Bob takes it, in the same run.

Where only one record may have a value, the vendor refuses Bob until Ann's write is done, and which of them comes first no one has ordered. So
a refusal is held back until all else that the run has to send is settled. Bob goes again if a write that was done has given up a value that he
wants, as often as that helps; then he is parked, with the vendor's words. Two that want each other's value can't be helped by any order: both
are parked, and each names the other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tieline.engine.core.ledger import Ledger
from tieline.model.errors import Rejected, RemoteError, Stale
from tieline.model.records import Values, decode_json
from tieline.store import outbox
from tieline.store.delivery import Delivery
from tieline.sync.decide import same

_MOST = 500
"""So many refusals are held back at a time. Where more come, the records are at fault, or the connector: the others are parked at once."""
_MOST_NAMED = 3

Taken = frozenset[tuple[str, str]]
"""Values by address, in a form in which they can be compared."""


class Released(NamedTuple):
    """What becomes of refusals that were held back."""

    again: list[Delivery]
    owed: list[tuple[Delivery, RemoteError]]
    """They wait for a write that is owed itself, for another run."""
    parked: list[tuple[Delivery, RemoteError]]


class Moving:
    """The refusals that are held back by one sender."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: list[tuple[Delivery, RemoteError]] = []
        self._free: set[tuple[str, str]] | None = None
        """What the writes of this run have given up since the held ones were sent last; None before anybody has looked."""

    def __bool__(self) -> bool:
        return bool(self._held)

    @property
    def held(self) -> list[Delivery]:
        """The deliveries that are held back."""
        return [delivery for delivery, _ in self._held]

    def may_pass(self, delivery: Delivery, error: RemoteError) -> bool:
        """Whether a refusal may be about a value that another record still has, and there is room for it."""
        return delivery.operation in ("create", "update") and isinstance(error, (Rejected, Stale)) and len(self._held) < _MOST

    def hold_back(self, delivery: Delivery, error: RemoteError) -> None:
        """Keep a refused delivery until all others are settled."""
        self._held.append((delivery, error))

    def confirmed(self, deliveries: Iterable[Delivery]) -> None:
        """Take note of writes that were done since the held ones were first looked at."""
        if self._free is not None:
            for delivery in deliveries:
                self._free |= given_up(delivery)

    def take(self, oldest: int) -> Released:
        """Return what is sent again, and what not, now that all else is settled; `oldest` is the first delivery that this run has sent."""
        if self._free is None:
            self._free = set()
            for delivery, earlier in outbox.replaced_by(self._ledger.db, self._ledger.integration, self._ledger.run, oldest):
                self._free |= given_up(delivery, earlier)
        again = [delivery for delivery, _ in self._held if not self._free.isdisjoint(wanted(delivery))]
        if again:
            going, self._free = {delivery.id for delivery in again}, set()
            self._held = [one for one in self._held if one[0].id not in going]
            return Released(again, [], [])
        late = self._given_up_later()
        owed = [(delivery, error) for delivery, error in self._held if not late.isdisjoint(wanted(delivery))]
        waits = {delivery.id for delivery, _ in owed}
        parked = [(delivery, self._named(delivery, error)) for delivery, error in self._held if delivery.id not in waits]
        self._held, self._free = [], None
        return Released([], owed, parked)

    def _given_up_later(self) -> set[tuple[str, str]]:
        """Return what is given up by writes that stay owed, for another reason than that they were refused."""
        ours = {delivery.id for delivery in self.held}
        late: set[tuple[str, str]] = set()
        after, ledger = 0, self._ledger
        while chunk := outbox.open_of(ledger.db, ledger.integration, ("owed", "unknown"), after=after):
            after = chunk[-1].id
            for delivery in chunk:
                if delivery.id not in ours:
                    late |= given_up(delivery)
        return late

    def give_back(self) -> list[tuple[Delivery, RemoteError]]:
        """Return all that is held back, because nothing more is sent in this run."""
        held, self._held, self._free = self._held, [], None
        return held

    def _named(self, delivery: Delivery, error: RemoteError) -> RemoteError:
        wants = wanted(delivery)
        others = [other.source_id for other in self.held if other is not delivery and not wants.isdisjoint(given_up(other))]
        if not others:
            return error
        named = copy.copy(error)
        named.next_step = (
            f"a value that it takes is to be given up by {_listed(others)}, whose write was refused too: give one of them another value by hand, "
            "then redrive them"
        )
        return named


def wanted(delivery: Delivery) -> Taken:
    """Return the values that a delivery writes."""
    return _comparable(delivery.fields)


def given_up(delivery: Delivery, earlier: bytes | None = None) -> Taken:
    """Return the values that the destination no longer has at this record once a delivery is done; `earlier` is what another one wrote before."""
    if delivery.operation == "create":
        return frozenset()
    if earlier is not None:
        return given_up(delivery) | _replaced(delivery, decode_json(earlier))
    return _replaced(delivery, decode_json(delivery.before)) if delivery.before else frozenset()


def _replaced(delivery: Delivery, before: Values) -> Taken:
    if delivery.operation == "delete":
        return _comparable(before)
    return _comparable(
        {address: value for address, value in before.items() if address in delivery.fields and not same(delivery.fields[address], value)}
    )


def _comparable(values: Values) -> Taken:
    return frozenset(
        (address, str(value).strip().casefold())
        for address, value in values.items()
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != ""
    )


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return ", ".join(ids[:_MOST_NAMED]) + more
