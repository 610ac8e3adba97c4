"""Counterparts of records of other integrations, for the rules that look them up.

Of a two-way integration, either side's records can be looked up; a rule that runs backwards asks for `NAME/back`, with an id of its `to` side.
A reference is read as the ids of the records that it names are: a vendor may spell it in another way than their own ids.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from tieline.dialects.ids import text_id
from tieline.engine.core.compiled import CompiledIntegration
from tieline.model.records import Record
from tieline.store import links, pairs, runs
from tieline.store.database import Database

_BACK = runs.back("")


class Lookups:
    """What the rules of an integration find in the links of others."""

    def __init__(self, db: Database, job: CompiledIntegration) -> None:
        self._db, self._lookups, self._references = db, job.mapping.lookups, job.references

    def of(self, records: Iterable[Record]) -> dict[tuple[str, str], str | int]:
        """Return the counterparts that these records need, by (integration, id)."""
        if not self._lookups:
            return {}
        wanted = {(lookup.integration, id) for record in records for lookup in self._lookups if (id := lookup.wants(record)) is not None}
        return self.linked(wanted) if wanted else {}

    def linked(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], str | int]:
        """Return the counterparts of (integration, id), of those that have one: under the id as it is asked for, and as it is kept."""
        found: dict[tuple[str, str], str | int] = {}
        for integration in {name for name, _ in wanted}:
            read = self._references.get(integration, text_id)
            kept = {id: read(id) or id for name, id in wanted if name == integration}
            there = self._counterparts(integration, list(dict.fromkeys(kept.values())))
            for id, one in kept.items():
                if one in there:
                    found[integration, id] = found[integration, one] = there[one]
        return found

    def _counterparts(self, integration: str, ids: Sequence[str]) -> Mapping[str, str]:
        name, backwards = integration.removesuffix(_BACK), integration.endswith(_BACK)
        known = runs.state_of(self._db, name)
        if known is None:
            return {}
        if runs.state_of(self._db, runs.back(name)) is not None:
            return pairs.counterparts(self._db, known.id, "right" if backwards else "left", ids)
        if backwards:
            return {id: link.source_id for id, link in links.of_targets(self._db, known.id, ids).items()}
        return links.targets_of(self._db, known.id, ids)
