"""A look that was answered with rubbish: cut off, not what is declared, about another record. It tells nothing, and is asked again.

A read is asked again within the run, as often as `retry` says (`Wire.read`). What is rubbish even then stays owed, and the next runs look
again by themselves. After as many runs as `retry` has attempts, and three at least, the record is set aside, with the call named. So it is with the first search for a
counterpart, with the look after a lost answer, and with the look before a deletion; one way and both ways.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tieline.config.models.integrations import RetryPolicy
from tieline.model.errors import RemoteError, Undecodable
from tieline.store.delivery import Delivery

_FEWEST_RUNS: Final = 3
"""A single answer that was cut off is no reason to need a person, where `retry` allows no second attempt either."""


def may_look_again(error: RemoteError, earlier: Iterable[Delivery], policy: RetryPolicy) -> bool:
    """Say whether a later run is to look again, after a look that failed; `earlier` are the record's open deliveries, which know how often it was so.

    The error is told how often that was, for the reason of what stays owed.
    """
    if not isinstance(error, Undecodable) or error.lasts:
        return False
    error.looked = max((one.why.get("looked", 0) for one in earlier), default=0) + 1
    return error.looked < max(policy.attempts, _FEWEST_RUNS)
