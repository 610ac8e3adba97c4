"""Which records of the other side resemble one that has no counterpart: proposed to a person with a score, never linked by itself.

Match fields and names are compared, as the mapping makes them of either side: what is spelled otherwise on purpose costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tieline.engine.core.two_sides import TwoWayIntegration
from tieline.engine.review.unmatched import Candidate, Unmatched
from tieline.mapping import normalise_key
from tieline.model.errors import MappingError
from tieline.model.records import Values, decode_json, encode_json
from tieline.store import pairs, runs
from tieline.store.database import Database
from tieline.store.pairs import OTHER, Side

_NAMES: Final = ("name", "company", "title", "label")
_LEAST: Final = 70.0
"""What resembles less is not proposed."""
_MOST: Final = 3
_SHORTLIST: Final = 25


class Likeness:
    """Finds candidates among the records of each side that have no counterpart."""

    def __init__(self, job: TwoWayIntegration, db: Database) -> None:
        self._job, self._db = job, db
        known = runs.state_of(db, job.name)
        self._number = known.id if known is not None else -1
        strands = [strand for strand in job.terms.strands if strand.forward]
        match = tuple(job.spec.match)
        self._match = [address for address in match if any(address in strand.right for strand in strands)]
        named = [a for strand in strands for a in strand.right if a not in match and _is_name((*strand.left, *strand.right))]
        self._names = list(dict.fromkeys(named))
        self._there: dict[Side, list[tuple[str, Values, Values]]] = {}

    def candidates(self, one: Unmatched) -> list[Candidate]:
        """Return who may be its counterpart, the likest first."""
        from rapidfuzz import fuzz, process  # seldom needed

        here, there = self._texts(one.side, one.says), self._alone(OTHER[one.side])
        query = " ".join(here.values())
        if not query or not there:
            return []
        shortlist = process.extract(
            query, [" ".join(texts.values()) for _, texts, _ in there], scorer=fuzz.token_set_ratio, limit=_SHORTLIST
        )
        scored = []
        for _, _, index in shortlist:
            id, texts, says = there[index]
            parts = [fuzz.token_sort_ratio(here[name], texts[name]) for name in here if name in texts]
            score = sum(parts) / len(parts) if parts else 0.0
            if score >= _LEAST:
                scored.append(Candidate(id, round(score, 1), says))
        return sorted(scored, key=lambda candidate: (-candidate.score, candidate.id))[:_MOST]

    def _alone(self, side: Side) -> list[tuple[str, dict[str, str], Values]]:
        if side not in self._there:
            where = f"{side}_id IS NOT NULL AND {side}_shadow IS NOT NULL AND {OTHER[side]}_id IS NULL AND verdict <> 'queued'"
            self._there[side] = [
                (pair.id_of(side) or "", self._texts(side, says), says)
                for pair in pairs.every(self._db, self._number, where)
                for says in (decode_json(pair.shadow_of(side) or b"{}"),)
            ]
        return self._there[side]

    def _texts(self, side: Side, says: Values) -> dict[str, str]:
        """Return what is compared: each match field, and all names as one."""
        values = says
        if side == "left":
            half = self._job.left
            try:
                values = half.mapping(half.record_of(encode_json(says)), {})
            except MappingError:
                return {}
        else:
            values = self._job.right.flat(says)
        texts = {address: text for address in self._match if (text := normalise_key(values.get(address)))}
        names = " ".join(text for address in self._names if (text := normalise_key(values.get(address))))
        return {**texts, **({"": names} if names else {})}


def _is_name(addresses: Sequence[str]) -> bool:
    return any(word in address.lower() for address in addresses for word in _NAMES)
