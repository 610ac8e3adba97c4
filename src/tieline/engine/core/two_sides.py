"""A two-way integration made ready to run: two halves, each with the way to the other, and the terms on which pairs are decided."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from tieline.config.models.backwards import rule_back_to
from tieline.config.models.connectors import Resource
from tieline.config.models.integrations import Archive, Integration, MatchKey, Rule
from tieline.dialects.dialect import Features
from tieline.dialects.ids import text_id
from tieline.dialects.rest.points import points_of
from tieline.engine.core.compiled import CompiledIntegration, IdsOf, Where
from tieline.engine.core.versions import version_in
from tieline.mapping import CompiledMapping, Links, compile_nest, nest, normalise_key, normaliser
from tieline.mapping.inverse.bidirectional import compile_both_ways
from tieline.model.ends import NOWHERE, End
from tieline.model.errors import MappingError, Undecodable
from tieline.model.paths import put
from tieline.model.records import ABSENT, Record, Values, decode_json, encode_json
from tieline.store.pairs import OTHER, Pair, Side
from tieline.store.runs import back
from tieline.sync.decide import same
from tieline.sync.reconcile import Gone, Policy, Strand, Terms

_USUAL_POLICY: Final = "hold"


class Half:
    """One side of a two-way integration. Attributes are plain, because they are read per record."""

    def __init__(self, side: Side, job: CompiledIntegration, place: str, resource: Resource, features: Features) -> None:
        """`job` is the way from this side to the other; `place` is `CONNECTION.RESOURCE`."""
        self.side, self.other, self.job, self.place, self.features = side, OTHER[side], job, place, features
        self.connection, _, self.resource = place.partition(".")
        self.mapping: CompiledMapping = job.mapping
        self.key: Callable[[Record], str | None] = job.source_key
        self.project = job.project
        self.flat = job.old_values
        self.version = version_in(features)
        self._waits = tuple(lookup for lookup in self.mapping.lookups if lookup.missing == "hold")
        self._nest = None if self.mapping.reads_all else compile_nest(job.watched)
        changed = resource.list.changed_since if resource.list is not None else None
        self._points = points_of(resource, changed) if changed is not None and changed.fields else None
        self.overlap = changed.overlap if changed is not None else 0.0
        """How far back its list of changes is asked again, in seconds."""

    def record_of(self, shadow: bytes) -> Record:
        """Return a record as the mapping sees it, from what was remembered of it."""
        values: Values = decode_json(shadow)
        return values if self._nest is None else self._nest(values)

    def says(self, record: Record) -> Values:
        """Return what a record says in the fields that the mapping sees, by address."""
        return self.flat(self.project(record))

    def remembered(self, pair: Pair) -> Values:
        """Return what the record said when it was last read, by address."""
        return self.flat(decode_json(pair.shadow_of(self.side) or b"{}"))

    def standing(self, pair: Pair) -> Record:
        """Return the record as it stands, as the mapping sees it: what was last read, and what was written to it since."""
        values: Values = decode_json(pair.shadow_of(self.side) or b"{}")
        sent: Values = decode_json(pair.sent_of(self.side) or b"{}")
        if self._nest is not None:
            return self._nest(values | sent)
        for address, value in sent.items():
            put(values, address, value)
        return values

    def lacks_links(self, record: Record, links: Links) -> bool:
        """Whether a field of the other side waits for a link that another integration has yet to make."""
        return any(
            lookup.missing == "later" and (id := lookup.wants(record)) is not None and (lookup.integration, id) not in links
            for lookup in self.mapping.lookups
        )

    def made(self, record: Record, links: Links, pair: Pair) -> Values:
        """Return what the mapping makes of a record of a pair for the other side. Raises `MappingError`.

        What a field refers to may have lost its counterpart since both agreed: a reference that has not changed waits for no one, and is
        left out.
        """
        if not (dangling := self.dangling(record, links, pair)):
            return self.mapping(record, links)
        no_link: Any = None
        values = self.mapping(record, {**links, **dict.fromkeys(dangling.values(), no_link)})
        return {address: value for address, value in values.items() if address not in dangling}

    def dangling(self, record: Record, links: Links, pair: Pair) -> dict[str, tuple[str, str]]:
        """Return {field of the other side: (integration, id)} of unchanged references to records that have no counterpart any more."""
        if not self._waits or not pair.met:
            return {}
        found: dict[str, tuple[str, str]] = {}
        for lookup in self._waits:
            if (id := lookup.wants(record)) is not None and (lookup.integration, id) not in links:
                says, agreed = self.says(record), self.says(self.standing(pair))
                if all(same(says.get(address, ABSENT), agreed.get(address, ABSENT)) for address in self.mapping.sources[lookup.target]):
                    found[lookup.target] = lookup.integration, id
        return found

    def version_of(self, record: Record) -> str | None:
        """Return which version of a record this is, as JSON; None where its system does not tell, or no write has a condition."""
        return self.version(record) if self.version is not None else None

    def at(self, record: Record) -> float | None:
        """Return when a record was last changed, in seconds, as its system tells; None where it does not, or not as a time."""
        if self._points is None or (value := self._points.value(record)) is ABSENT:
            return None
        with contextlib.suppress(Undecodable, ValueError):
            return self._points.seconds(value)
        return None

    def asked_from(self, mark: str) -> float | None:
        """Return from when on a list of changes is asked for what has changed, in seconds, once it was read up to `mark`; None as with `at`."""
        points = self._points
        if points is None or points.read == "raw":
            return None
        with contextlib.suppress(Undecodable, ValueError, ArithmeticError):
            if points.kept == points.read and points.seconds(mark) is None:
                return None
            return points.instant(mark).timestamp() - points.changed.overlap - points.changed.precision
        return None


class TwoWayIntegration:
    """A two-way integration, compiled."""

    def __init__(
        self,
        name: str,
        spec: Integration,
        left: Resource,
        right: Resource,
        left_features: Features,
        right_features: Features,
        functions: Mapping[str, Callable[..., Any]],
        where: Where,
        functions_text: str = "",
        ends: tuple[End, End] = (NOWHERE, NOWHERE),
        ids_of: IdsOf = lambda integration: text_id,
    ) -> None:
        """As `CompiledIntegration`; `from` is the left side, `to` the right one."""
        self.name, self.spec, self.ends, self.where = name, spec, ends, where
        both = compile_both_ways(spec.map, functions=functions, left_fields=left.fields, right_fields=right.fields)
        forward_rules = {target: _undecided(rule) for target, rule in spec.map.items() if not _only(rule, "back")}
        back_rules = dict(both.rules_back)
        # What is found there in place of a record that was to be made is left as it is: it meets its counterpart like any other.
        plain = {"direction": "one-way", "conflict": "target", "when": None, "deletes": "ignore", "unmatched": "create", "tests": ()}
        forward = CompiledIntegration(
            name, spec.model_copy(update={**plain, "map": forward_rules}), left, right, right_features, functions, where,
            functions_text, ends, also=tuple(back_rules), ids_of=ids_of,
        )  # fmt: skip
        backward = CompiledIntegration(
            back(name),
            spec.model_copy(
                update={
                    **plain, "map": back_rules, "source": spec.target, "target": spec.source,
                    "match": spec.match_back,
                }
            ),
            right, left, left_features, functions, lambda field: where(*(rule_back_to(spec.map, field) or (field,))), functions_text, (ends[1], ends[0]), also=tuple(forward_rules), ids_of=ids_of,
        )  # fmt: skip
        forward.both_write = backward.both_write = True
        self.halves: Mapping[Side, Half] = {
            "left": Half("left", forward, spec.source, left, left_features),
            "right": Half("right", backward, spec.target, right, right_features),
        }
        deletions, self.unmatched = spec.deletions, spec.without_counterpart
        self.archives: Mapping[Side, Values] = {
            # What is set on a side when the other's record was deleted.
            "right": deletions.left.archive if isinstance(deletions.left, Archive) else {},
            "left": deletions.right.archive if isinstance(deletions.right, Archive) else {},
        }
        self.terms = Terms(
            strands=tuple(
                Strand(
                    strand.name, strand.left, strand.right, strand.forward, strand.back,
                    cast("Policy", strand.conflict or spec.conflict or _USUAL_POLICY),
                    _spelling(spec, strand.right),
                )
                for strand in both.strands
            ),
            skew=spec.skew or 0.0,
            left_gone=_gone(deletions.left),
            right_gone=_gone(deletions.right),
            edited=deletions.edited,
        )  # fmt: skip
        # Who wins a conflict is decided again each time; what a value means on the other side is not.
        self.fingerprint = hashlib.sha256(encode_json([forward.fingerprint, backward.fingerprint])).hexdigest()[:16]

    def normal(self, side: Side, made: Values, links: Links) -> Values:
        """Return what a side says in the mapping's normal form: `made` of it for the other side, and taken back.

        Where that can't be done, nothing is said: then only what reads the same is the same.
        """
        other = self.halves[OTHER[side]]
        try:
            return other.mapping(nest(made), links)
        except MappingError:
            return {}

    @property
    def left(self) -> Half:
        """The side of `from`."""
        return self.halves["left"]

    @property
    def right(self) -> Half:
        """The side of `to`."""
        return self.halves["right"]


def _spelling(spec: Integration, right: Sequence[str]) -> Callable[[Any], str | None] | None:
    """Return what tells whether two values of a match field are one, spelled in two ways; a company's legal form is no spelling."""
    if len(right) != 1 or right[0] not in spec.match:
        return None
    by = spec.match[right[0]]
    return normaliser(by.convert, by.region) if isinstance(by, MatchKey) and by.convert == "phone" else normalise_key


def _only(rule: str | Rule, what: str) -> bool:
    return isinstance(rule, Rule) and rule.only == what


def _undecided(rule: str | Rule) -> str | Rule:
    """Return a rule without its policy: lists are merged when a pair is decided, not when one record is mapped."""
    return rule.model_copy(update={"conflict": None}) if isinstance(rule, Rule) and rule.merges else rule


def _gone(policy: str | Archive) -> Gone:
    return "archive" if isinstance(policy, Archive) else cast("Gone", policy)
