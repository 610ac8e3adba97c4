"""An integration made ready to run: everything that can be worked out before the first record is."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tieline.config.models.connectors import Resource
from tieline.config.models.fields import with_declared_zones
from tieline.config.models.integrations import Integration, MatchKey, Rule
from tieline.dialects.dialect import Features
from tieline.dialects.ids import IdReader, text_id
from tieline.dialects.rest.points import points_of
from tieline.engine.core.versions import version_in
from tieline.mapping import (
    CompiledMapping,
    compile_check,
    compile_get,
    compile_mapping,
    compile_nest,
    compile_projection,
    compile_when,
    normaliser,
    other_way,
)
from tieline.mapping.checks import Problem
from tieline.model.ends import NOWHERE, End
from tieline.model.lists import ListChange, change, entries, within, without
from tieline.model.paths import parse_path
from tieline.model.records import Record, Values, encode_json
from tieline.model.times import parse_moment
from tieline.sync.decide import same

Where = Callable[..., tuple[str, int | None]]
"""Gives file and line of the rule of a field, of a key below it, or of a key of an integration."""


IdsOf = Callable[[str], IdReader]
"""Gives what reads the ids of an integration's `from` side; those of its `to` side for `NAME/back`."""


class CompiledIntegration:
    """An integration, compiled. Attributes are plain, because the pipeline reads them per record."""

    def __init__(
        self,
        name: str,
        spec: Integration,
        source: Resource,
        target: Resource,
        target_features: Features,
        functions: Mapping[str, Callable[..., Any]],
        where: Where,
        functions_text: str = "",
        ends: tuple[End, End] = (NOWHERE, NOWHERE),
        also: Sequence[str] = (),
        ids_of: IdsOf = lambda integration: text_id,
    ) -> None:
        """`where` gives file and line of the rule of a destination field; `functions_text` is what the functions look like.

        `ends` says of source and destination which system's records they are, in words: links are about those. `also` are fields of the
        source to be watched though no rule reads them. `ids_of` gives what reads the ids of records that another integration moves.
        """
        self.name, self.spec, self.ends = name, spec, ends
        self.declares_fields = bool(source.fields)
        self.sparse = frozenset(address for address, field in source.fields.items() if field.sparse)
        """Fields that the source leaves out where they are empty."""
        self.source_connection, _, self.source_resource = spec.source.partition(".")
        self.target_connection, _, self.target_resource = spec.target.partition(".")
        self.by_absence = spec.deletes != "ignore" and source.list is not None and source.list.tombstone is None and source.deleted is None
        """Deletions are found by what a whole list does not show: it never says itself that a record was deleted."""
        self.reads_changes = source.list is not None and source.list.changed_since is not None
        """The source is asked for what has changed: it is read whole only when that is asked for."""
        self.target = target_features
        self.target_version = version_in(target_features)
        since = target.list.changed_since if target.list is not None else None
        self.target_points = points_of(target, since) if since is not None else None
        """How a list of the destination tells what has changed since a time; None where it does not."""
        self.list_lag = since.overlap if since is not None else 0.0
        """For how many seconds a list of the destination may not show what was written."""
        self.both_write = False
        """People make records on the destination's side as well: it is half of a two-way integration."""
        self.where = where
        self.mapping: CompiledMapping = compile_mapping(with_declared_zones(spec.map, source), functions=functions)
        self.references: Mapping[str, IdReader] = {one.integration: ids_of(one.integration) for one in self.mapping.lookups}
        """What reads the ids that rules look up, by integration, as `mapping.compiler.Links` names it."""
        self._refers = {one.target: ids_of(other_way(one.integration)) for one in self.mapping.lookups}
        """What reads the ids that they write, by the destination's field."""
        self.when = compile_when(spec.when) if spec.when else None
        self.leaves = spec.otherwise != "ignore" and self.when is not None
        """A record for which `when` does not hold any more is deleted or changed in the destination."""
        self.check: Callable[[Values, bool], list[Problem]] = compile_check(target.fields, self.mapping.writes)
        watched = {*self.mapping.reads, *(self.when.reads if self.when else ()), *spec.matched.values(), *also}
        self.watched = tuple(sorted(watched))
        self.project: Callable[[Record], Values] = (lambda record: record) if self.mapping.reads_all else compile_projection(self.watched)
        self._project_old = compile_projection(self.watched) if self.mapping.reads_all else None
        self.project_target = compile_projection(tuple(dict.fromkeys((*self.mapping.writes, *spec.match))))
        self.writable = tuple(address for address, field in target.fields.items() if not field.read_only and address != target.id)
        """Declared fields of the destination that can be written, whether the mapping writes them or not."""
        self.project_written = compile_projection(self.mapping.writes)
        """Gives the fields of a destination record that the mapping writes."""
        self.match = tuple(spec.matched.items())
        self.forms = {target: _form_of(by) for target, by in spec.match.items()}
        """What brings the values of a match field into one form."""
        forms = [self.forms[target] for target, _ in self.match]
        self.source_key = _key_of([compile_get(source) for _, source in self.match], forms)
        """Gives the match key of a source record, None when a part of it is missing."""
        self.target_key = _key_of([compile_get(target) for target, _ in self.match], forms)
        """The same of a destination record."""
        self.respelled = frozenset(target for target, by in spec.match.items() if isinstance(by, MatchKey) and by.convert is not None)
        """Match fields that the destination may spell otherwise, so that it can't be searched for them."""
        self._tolerant = frozenset(spec.match) if spec.meeting == "hold" else frozenset()
        """Fields that matched, whatever their letters: no one has to decide about them."""
        self.nest = compile_nest(self.mapping.writes)
        self.upsert = (
            target_features.upsert is not None
            and list(spec.match) == [target_features.upsert]
            and not self.respelled
            and spec.unmatched == "create"
            and spec.conflict == "source"
            and not self.mapping.lists
        )
        """The vendor itself matches: no look-up before a create is needed."""
        self.only_create = frozenset(target for target, rule in spec.map.items() if isinstance(rule, Rule) and rule.only == "create")
        """Destination fields that are left alone once the record is there."""
        self.lists = self.mapping.lists
        """Lists in the destination that keep their own entries: by address, the entries that are not to be there."""
        self._by_calls = target_features.list_calls.intersection(self.mapping.writes)
        self.changes_lists = bool(self.lists or self._by_calls)
        """Some of what it writes are changes of lists, not the lists."""
        self._lists = _entries_of_lists(self.mapping.writes)
        self._times = {
            address: field.precision or 0.0
            for address, field in target.fields.items()
            if field.type == "datetime" and address in self.mapping.writes
        }
        self.fingerprint = hashlib.sha256(
            encode_json(
                [
                    self.watched,
                    {target: _declared(rule) for target, rule in spec.map.items()},
                    spec.when,
                    {target: _declared(by) for target, by in spec.match.items()},
                    functions_text,
                    *([_declared(spec.otherwise)] if self.leaves else ()),  # what has left before is looked at again
                ]
            )
        ).hexdigest()[:16]

    def whole_lists(self, write: Values, known: Values) -> Values:
        """Return what must be written, with what is `known` of the other entries of the same lists: a list is replaced as a whole."""
        if not self._lists:
            return write
        others = {other for address in write for other in self._lists.get(address, ())}
        return {
            **write,
            **{other: known[other] for other in self.mapping.writes if other in others and other not in write and other in known},
        }

    def with_rest(self, write: Values, says: Values) -> Values:
        """Return what an update must send beside what it is about, of what the record `says` already.

        That is everything mapped where the vendor replaces the record, and the other entries of a list that is replaced.
        """
        if not self.target.whole_update:
            return self.whole_lists(write, says)
        # What is left out would be cleared.
        return {**{address: says[address] for address in self.mapping.writes if address in says}, **write}

    def list_changes(self, fields: Values, before: Values) -> dict[str, ListChange]:
        """Return what a write is to do to lists that are not written as they are, by address: `before` has what of ours was in them."""
        found = {}
        for address in fields:
            if address in self.lists or address in self._by_calls:
                had, now = entries(before.get(address)), entries(fields[address])
                one = change(had, now)
                also = without(self.lists.get(address, ()), one.remove)
                found[address] = ListChange(one.add, [*one.remove, *also], within(now, had) if address in self.lists else [])
        return found

    def without_lists(self, there: Values) -> Values:
        """Return what a counterpart says, to begin with: what of a list that others fill, too, is ours is found out when it is written."""
        return {address: value for address, value in there.items() if address not in self.lists}

    def goes_alone(self, operation: str) -> bool:
        """Whether each record is written in a call of its own, because a list in it needs a look, or calls of its own."""
        return bool(self._by_calls) or (operation == "update" and bool(self.lists))

    def cannot_update(self, write: Values, before: Values) -> str | None:
        """Say why these fields of a record that is there can't be written; None when they can."""
        if not self.target.update:
            return f"`{self.spec.target}` has it already, and the connector declares no `update` for it"
        by = self.target.update_by
        if by is not None and by in write and by in before and not same(write[by], before[by]):
            return f"`{by}`, by which the vendor knows the record, has changed: without `update` in the connector it would become another record"
        return None

    def old_values(self, shadow: Values) -> Values:
        """Return the flat fields of a stored source shadow."""
        return self._project_old(shadow) if self._project_old is not None else shadow

    def agree(self, address: str, value: Any, there: Any) -> bool:
        """Whether the destination's value means what the mapping made: one moment has many spellings, and vendors cut them."""
        if address in self.lists:
            return not without(entries(value), entries(there)) and not within(self.lists[address], entries(there))
        if same(value, there):
            return True
        if (read := self._refers.get(address)) is not None and (id := read(value)) is not None and id == read(there):
            return True
        if isinstance(value, str) and isinstance(there, str):
            if value.strip() == there.strip() or (address in self._tolerant and self.forms[address](value) == self.forms[address](there)):
                return True
            if address in self._times:
                with contextlib.suppress(ValueError):
                    apart = abs((parse_moment(value) - parse_moment(there)).total_seconds())
                    return apart < self._times[address] or apart == 0.0
        return False


def _entries_of_lists(addresses: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return, for each field inside a list, all fields inside the same list, if there are others."""
    lists: dict[Any, list[str]] = {}
    for address in addresses:
        parts = parse_path(address)
        index = next((number for number, part in enumerate(parts) if isinstance(part, int)), None)
        if index is not None:
            lists.setdefault(tuple(parts[:index]), []).append(address)
    return {address: tuple(group) for group in lists.values() if len(group) > 1 for address in group}


def _form_of(by: str | MatchKey) -> Callable[[Any], str | None]:
    return normaliser() if isinstance(by, str) else normaliser(by.convert, by.region)


def _key_of(parts: list[Callable[[Record], Any]], forms: list[Callable[[Any], str | None]]) -> Callable[[Record], str | None]:
    if len(parts) == 1:
        (alone,), (form,) = parts, forms
        return lambda record: form(alone(record))

    def key(record: Record) -> str | None:
        keys = [form(part(record)) for part, form in zip(parts, forms, strict=True)]
        return "\x1f".join(key for key in keys if key is not None) if keys and None not in keys else None

    return key


def _declared(rule: Any) -> Any:
    return rule if isinstance(rule, str) else rule.model_dump(mode="json", exclude_unset=True)
