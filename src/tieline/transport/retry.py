"""When to try again: a pure function of the attempt, the policy and a number from chance."""

from __future__ import annotations

from tieline.config.models.integrations import RetryPolicy
from tieline.model.errors import OutcomeUnknown, RemoteError, Unavailable, Unreachable

TRANSIENT: tuple[type[RemoteError], ...] = (Unreachable, Unavailable, OutcomeUnknown)
"""Failures that pass by themselves."""

_MOST_DOUBLINGS = 32


def wait_seconds(attempt: int, policy: RetryPolicy, chance: float) -> float:
    """Return the seconds before attempt `attempt + 1`: base, 2 base, 4 base … up to `most`, of which the upper half is jitter.

    `chance` is in [0, 1). Many callers that failed together so come back spread out.
    """
    full = min(policy.most, policy.base * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))
    return full * (0.5 + 0.5 * chance)
