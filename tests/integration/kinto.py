"""Projects between two collections of Kinto."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from systems.kinto import Collection, Kinto

from integration.projects import Project, new_project

FIELDS = ("email", "name", "phone", "customer_number", "balance", "note", "tags", "active")
SINGLY = {"resources/contacts/batch": None}
"""Changes to the connector: each record in a call of its own."""


def connection(at: Collection, url: str) -> dict[str, Any]:
    """Return a connection to a collection; `url` is the name of an environment variable."""
    return {
        "connector": "kinto",
        "auth": {"basic": {"username": at.server.user, "password": "${env:KINTO_PASSWORD}"}},
        "variables": {"bucket": at.bucket, "collection": at.name},
    }


def environ(server: Kinto) -> dict[str, str]:
    """Return the environment variables that the connector and the connections ask for."""
    return {"KINTO_URL": server.url, "KINTO_PASSWORD": server.password}


def copying(
    folder: Path,
    source: Collection,
    target: Collection,
    *,
    resource: str = "contacts",
    connector: Mapping[str, Any] | None = None,
    target_connector: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    **integration: Any,
) -> Project:
    """Return a project whose integration `copy` copies contacts, matched by their addresses.

    The source is read through the connector `kinto`, the target through `there`: the same but for its changes and its address.
    """
    return new_project(
        folder,
        {**environ(source.server), "THERE_URL": target.server.url},
        connectors={"kinto": connector, "there=kinto": {"environments/production": "${env:THERE_URL}", **(target_connector or {})}},
        connections={"here": connection(source, "KINTO_URL"), "there": {**connection(target, "THERE_URL"), "connector": "there"}},
        copy={
            "from": "here.contacts",
            "to": f"there.{resource}",
            "match": {"email": "email"},
            "unmatched": "create",
            "conflict": "source",
            "map": {name: name for name in FIELDS} if fields is None else dict(fields),
            **integration,
        },
    )


def seed(collection: Collection, number: int, **fields: Any) -> None:
    """Create records `c0`, `c1` … with an address each."""
    for index in range(number):
        collection.put(f"c{index}", email=f"c{index}@example.com", name=f"Contact {index}", **fields)


def content(collection: Collection, *names: str) -> dict[str, Any]:
    """Return the records by address, without what Kinto adds; of one field its value alone."""
    found = {}
    for record in collection.records():
        kept = {name: value for name, value in record.items() if name not in ("id", "last_modified")}
        found[kept.pop("email")] = kept[names[0]] if names else kept
    return found
