"""Counterparts of records of other integrations, for the rules that look them up."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tieline.engine.compiled import CompiledIntegration
from tieline.model.records import Record
from tieline.store import links, runs
from tieline.store.database import Database


class Lookups:
    """What the rules of an integration find in the links of others."""

    def __init__(self, db: Database, job: CompiledIntegration) -> None:
        self._db, self._lookups = db, job.mapping.lookups
        self._numbers = {
            lookup.integration: known.id for lookup in self._lookups if (known := runs.state_of(db, lookup.integration)) is not None
        }

    def of(self, records: Iterable[Record]) -> dict[tuple[str, str], str | int]:
        """Return the counterparts that these records need, by (integration, source id)."""
        if not self._lookups:
            return {}
        wanted = {(lookup.integration, id) for record in records for lookup in self._lookups if (id := lookup.wants(record)) is not None}
        return self.linked(wanted) if wanted else {}

    def linked(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], str | int]:
        """Return the counterparts of (integration, source id), of those that have one."""
        found: dict[tuple[str, str], str | int] = {}
        for integration, number in self._numbers.items():
            ids = [id for name, id in wanted if name == integration]
            if ids:
                for source_id, target_id in links.targets_of(self._db, number, ids).items():
                    found[integration, source_id] = target_id
        return found
