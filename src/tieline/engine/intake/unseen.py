"""Fields that an integration reads and that no record has: told, because what never comes looks like what is empty.

    `when` reads `stage`, and none of the 3 records read has it (did you mean `stage_id`?): integrations/leads.yaml:9

A field is seen once one record has it, be it null. It is missing where its object is there and it is not; of what lies inside null, or past the
end of a list, nothing is known. Told is what was never seen in any run: after a whole read, or once so many records have been without it that
it is no chance. A declared field that is only mapped, and that nothing in the records resembles, may just be empty in the few records that
there are: it is told once there are enough of them. A connector that declares a field `sparse` says that the vendor leaves it out where it is empty: then nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from tieline.config.models.integrations import Rule
from tieline.config.suggestions import meant
from tieline.engine.core.compiled import CompiledIntegration
from tieline.model.paths import Parts, flatten, parse_path
from tieline.model.records import Record
from tieline.store import state
from tieline.store.database import Database, Transaction

ENOUGH: Final = 20
"""So many records without a field are enough, where no run has read all."""
FEWEST: Final = 2
"""A field that is only mapped may be empty in the one record that there is; what decides whether a record moves, or which it is, may not."""
_DECIDES: Final = ("when", "match")
_KIND: Final = "fields"


class _Known(msgspec.Struct):
    """What is known of the fields of a source, over all runs."""

    seen: list[str] = []
    without: dict[str, int] = {}
    """Of each field that was never seen: how many records were without it."""
    told: list[str] = []
    """Those of them that were told: they are told until they are seen."""


class Unseen:
    """Looks at the records of one run, as long as there is a field that was never seen."""

    def __init__(self, job: CompiledIntegration, db: Database, sparse: Iterable[str]) -> None:
        """`sparse` are fields that the source leaves out where they are empty."""
        self._job, self._db = job, db
        self._readers = _readers(job, frozenset(sparse))
        self._known = state.peek(db, _KIND, job.name, _Known) or _Known()
        seen = frozenset(self._known.seen)
        self._left: list[tuple[str, Parts]] = [(address, parse_path(address)) for address in self._readers if address not in seen]
        self._without = dict.fromkeys((address for address, _ in self._left), 0)
        self._found: list[str] = []
        self._like: Record = {}
        self._looked = 0

    def look(self, records: Sequence[Record]) -> None:
        """Look at records that were read."""
        if not self._left or not records:
            return
        self._looked += len(records)
        for record in records:
            for one in [*self._left]:
                address, parts = one
                has = _has(record, parts)
                if has:
                    self._left.remove(one)
                    self._found.append(address)
                elif has is False:
                    self._without[address] += 1
            if not self._left:
                return
        self._like = records[-1]

    def finish(self, *, whole: bool) -> list[str]:
        """Return what is to be told; `whole` says that the source was read to its end, from its beginning."""
        before = self._known.without
        # A whole read shows the same records once more.
        without = {address: (0 if whole else before.get(address, 0)) + self._without[address] for address, _ in self._left}
        earlier = self._known.told
        told = [
            address for address, number in without.items() if number >= (self._enough(address) if whole else ENOUGH) or address in earlier
        ]
        if self._found or without != before or told != earlier:
            known = _Known(sorted({*self._known.seen, *self._found}), without, told)
            self._db.write(lambda connection: state.put(connection, _KIND, self._job.name, known))
        return [self._text(address, without[address]) for address in told]

    def _enough(self, address: str) -> int:
        """Return how many records without a field are enough, when all were read."""
        if self._readers[address] in _DECIDES:
            return 1
        if self._job.declares_fields and not self._hint(address):
            return ENOUGH
        return FEWEST

    def _hint(self, address: str) -> str:
        return meant(address, flatten(self._like)) if self._like else ""

    def _text(self, address: str, number: int) -> str:
        reader = self._readers[address]
        file, line = self._job.where(reader)
        hint = self._hint(address)
        what = f"`{reader if reader in _DECIDES else f'map.{reader}'}` reads `{address}`"
        none = f"none of the {number} records read so far has it" if number > 1 else "the one record read so far does not have it"
        return f"{what} of {self._job.spec.source}, and {none}{f' ({hint})' if hint else ''}: {file}:{line}"


def remember(connection: Transaction, name: str, told: Sequence[str]) -> None:
    """Note what is told of an integration now."""
    if told:
        state.put(connection, state.UNSEEN, name, [*told])
    else:
        state.drop(connection, state.UNSEEN, name)


def _readers(job: CompiledIntegration, sparse: frozenset[str]) -> dict[str, str]:
    """Return the fields of the source that are read, each with the key of what reads it: a field of the destination, `when` or `match`."""
    spec, found = job.spec, dict[str, str]()
    for address in job.when.reads if job.when is not None else ():
        found.setdefault(address, "when")
    for address in spec.matched.values():
        found.setdefault(address, "match")
    for target, rule in spec.map.items():
        if isinstance(rule, Rule) and "default" in rule.model_fields_set:
            continue  # whoever wrote it expects that the field is not there
        for address in job.mapping.sources.get(target, ()):
            found.setdefault(address, target)
    return {address: reader for address, reader in found.items() if address and address not in sparse}


def _has(record: Any, parts: Parts) -> bool | None:
    """Whether a record has a field; None where that can't be told."""
    value = record
    for part in parts:
        if isinstance(part, str):
            if not isinstance(value, dict):
                return None
            if part not in value:
                return False
            value = value[part]
        elif not isinstance(part, int):
            return None  # entries by what they say: there may be none of them
        else:
            if not isinstance(value, list) or not -len(value) <= part < len(value):
                return None
            value = value[part]
    return True
