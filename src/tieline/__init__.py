"""tieline: declare two business systems and what must move between them; it moves it, keeps it right, and tells you when it can't.

    from tieline import Tieline

    with Tieline.open(Path("my-project")) as project:
        outcome = await project.run("qualified-leads")

The names below are imported when they are first used, so that `tieline version` answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tieline._version import __version__

if TYPE_CHECKING:
    from tieline.app import Tieline
    from tieline.engine.core.ledger import Counts
    from tieline.engine.runs.passes import Outcome, Wanted
    from tieline.engine.runs.plan import Plan, PlannedWrite
    from tieline.model.errors import Complaint, MappingError, RemoteError, SafetyStop, SpecError, StoreError, TielineError
    from tieline.observe.explain import Story
    from tieline.observe.status import IntegrationStatus

__all__ = [
    "Complaint",
    "Counts",
    "IntegrationStatus",
    "MappingError",
    "Outcome",
    "Plan",
    "PlannedWrite",
    "RemoteError",
    "SafetyStop",
    "SpecError",
    "StoreError",
    "Story",
    "Tieline",
    "TielineError",
    "Wanted",
    "__version__",
]

_HOME = {
    "Counts": "tieline.engine.core.ledger",
    "IntegrationStatus": "tieline.observe.status",
    "Outcome": "tieline.engine.runs.passes",
    "Plan": "tieline.engine.runs.plan",
    "PlannedWrite": "tieline.engine.runs.plan",
    "Story": "tieline.observe.explain",
    "Tieline": "tieline.app",
    "Wanted": "tieline.engine.runs.passes",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tieline' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME.get(name, "tieline.model.errors")), name)
