"""Projects between a shop of pretix and a collection of Kinto."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from systems.kinto import Collection
from systems.pretix import Organizer

from integration.kinto import connection, environ
from integration.projects import Project, new_project


def shop(
    folder: Path, organizer: Organizer, collection: Collection, *, connector: Mapping[str, Any] | None = None, **integration: Any
) -> Project:
    """Return a project between a shop and a collection of Kinto, with an integration `copy`."""
    return new_project(
        folder,
        {**environ(collection.server), "PRETIX_URL": organizer.server.url.removesuffix("/api/v1"), "PRETIX_TOKEN": organizer.token},
        connectors={"kinto": None, "pretix": connector},
        connections={
            "crm": connection(collection, "KINTO_URL"),
            "shop": {
                "connector": "pretix",
                "environment": "self_hosted",
                "auth": {"bearer": "${env:PRETIX_TOKEN}"},
                "variables": {"organizer": organizer.slug, "event": organizer.event},
                "concurrency": 1,  # on SQLite, pretix answers writes side by side with 500
            },
        },
        copy={"unmatched": "create", "conflict": "source", **integration},
    )
