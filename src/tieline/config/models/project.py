"""The project file, `tieline.yaml`."""

from __future__ import annotations

from typing import Literal

from tieline.config.models.base import Declared, Duration, Name, Share, Size


class Retention(Declared):
    """How long what happened is kept, and how much of it."""

    history: Duration = 90 * 86400.0
    """Settled deliveries, events and runs."""
    calls: Duration = 30 * 86400.0
    """The journal of calls."""
    bodies: Duration = 7 * 86400.0
    """What was said in calls: headers and bodies of failures, and of the sample."""
    calls_size: Size = 500 * 2**20
    """The most room for calls and what was said in them. Beyond it the oldest go first, bodies before lines, and `tieline calls` says so."""


class Journal(Declared):
    """What is written down of calls. Secrets never are."""

    sample: Share = 0.0
    """Of how many calls that went well the headers and bodies are kept: `1%`. Of calls that failed they always are."""
    personal: Literal["failures", "always", "never"] = "failures"
    """Where values of fields marked `personal: true` are kept in URLs and bodies: of calls that failed, so that the record can be corrected; of all; or of none."""
    body: Size = 16 * 2**10
    """The most that is kept of a request's body, and of an answer's; the rest is cut off."""


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
    journal: Journal = Journal.model_construct()
    """What is written down of calls."""
