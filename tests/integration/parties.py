"""Contacts of Kinto that become parties of Tryton: their notes are the codes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from systems.kinto import Collection
from systems.tryton import Parties

from integration.kinto import connection, environ
from integration.projects import Project, new_project


def to_parties(
    folder: Path, collection: Collection, parties: Parties, *, connector: Mapping[str, Any] | None = None, **integration: Any
) -> Project:
    """Return a project that makes parties of contacts; `integration` is what it says besides, `connector` what differs in Tryton's."""
    return new_project(
        folder,
        {**environ(collection.server), "TRYTON_URL": parties.server.url, "TRYTON_KEY": parties.server.key},
        connectors={"kinto": None, "tryton": connector},
        connections={
            "crm": connection(collection, "KINTO_URL"),
            "erp": {
                "connector": "tryton",
                "auth": {"bearer": "${env:TRYTON_KEY}"},
                "variables": {"database": parties.server.database, "contacts": "W10="},
            },
        },
        parties={
            "from": "crm.contacts",
            "to": "erp.parties",
            "match": {"code": "note"},
            "unmatched": "create",
            "conflict": "source",
            "map": {"code": "note", "name": "name"},
            **integration,
        },
    )
