"""The project file, `tieline.yaml`."""

from __future__ import annotations

from tieline.spec.base import Declared, Duration, Name


class Retention(Declared):
    """How long what happened is kept."""

    history: Duration = 90 * 86400.0
    """Settled deliveries, calls and runs."""


class ProjectFile(Declared):
    """A folder of files that belong together."""

    project: Name
    """The project's name."""
    owner: str | None = None
    """Who answers for it, where an integration or connection does not say."""
    store: str = ".tieline/store.db"
    """The SQLite file, relative to the project folder."""
    retention: Retention = Retention.model_construct()
    """How long what happened is kept."""
