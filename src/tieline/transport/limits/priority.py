"""Who goes first when calls are scarce: what a person waits for, then what is live, then what fills up history.

A share is a weight, never an order: while all three want more than there is, each gets its part of it, so the lowest neither starves nor
starves the others (stride scheduling: Waldspurger and Weihl, 1995). What one does not use, the others may.
"""

from __future__ import annotations

import contextvars
from typing import Final, Literal, get_args

Priority = Literal["interactive", "live", "backfill"]

PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
"""The most urgent first."""
WEIGHTS: Final[dict[str, float]] = {"interactive": 16.0, "live": 4.0, "backfill": 1.0}
"""Shares while all want more than there is."""

PRIORITY: Final[contextvars.ContextVar[Priority]] = contextvars.ContextVar("priority", default="interactive")
"""On whose behalf calls are made. The engine sets it for each run; outside of a run, a person is waiting."""
