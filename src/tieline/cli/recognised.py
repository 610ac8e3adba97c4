"""How a record is told apart in one line: by the value of its match key, then by what looks like a name, then by the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tieline.cli.output import value_text
from tieline.looking import Looking
from tieline.model.paths import flatten
from tieline.model.records import decode_json
from tieline.store import pairs
from tieline.store.pairs import Side
from tieline.store.runs import state_of

_NAMES: Final = (
    re.compile(r"(display|full|preferred|legal|company|account|contact)?name|title|label"),
    re.compile(r"(first|given|f)name|forename"),
    re.compile(r"(last|family|l|sur)name|surname"),
    re.compile(r".*name|company|organi[sz]ation|subject|summary|number|code|sku|e?mail(address)?|phone"),
)
"""Last parts of addresses that name a record, `_` and `-` aside and in lower case; the best first."""
_MOST: Final = 4


def match_fields(project: Looking, integration: str, side: str | None) -> list[str]:
    """Return the fields of a side that an integration matches by; `side` is left (`from`, also without one) or right."""
    spec = project.project.integrations.get(integration)
    if spec is None:
        return []
    return [*(spec.matched if side == "right" else spec.matched.values())]


def of_pair(project: Looking, integration: str, ids: Mapping[Side, str | None]) -> dict[Side, dict[str, Any]]:
    """Return what either side of a pair said when both last agreed, by address; nothing where that is not known."""
    known = state_of(project.db, integration)
    side: Side = "left" if ids["left"] else "right"
    id = ids[side]
    pair = pairs.of(project.db, known.id, side, [id]).get(id) if known is not None and id else None
    return {each: decode_json(pair.shadow_of(each) or b"{}") if pair is not None else {} for each in pairs.SIDES}


def in_order(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return {address: value} with the match key first, then what looks like a name, then the rest as it was."""
    flat = flatten(dict(values)) if any(isinstance(value, dict) for value in values.values()) else dict(values)
    first = {key: at for at, key in enumerate(keys)}
    order = sorted(flat, key=lambda address: (first.get(address, len(first)), _rank(address)))  # stable: the rest keeps its order
    return {address: flat[address] for address in order}


def recognised(values: Mapping[str, Any], keys: Iterable[str], most: int = _MOST) -> str:
    """Return the few values by which a person recognises a record, each once; empty where it says nothing."""
    keys = [*keys]
    found: list[str] = []
    for address, value in in_order(values, keys).items():
        if value in (None, "", []) or isinstance(value, (dict, list, bool)):
            continue
        if (address in keys or _rank(address) < len(_NAMES)) and (said := value_text(value)) not in found:
            found.append(said)
    return ", ".join(found[:most])


def _rank(address: str) -> float:
    """Return how much a field looks like a name: the lower, the more; one deeper in the record is of something beside it."""
    if "__" in address:  # what an API says of its own objects, such as `__typename`
        return len(_NAMES)
    last = re.sub(r"[^a-z0-9]", "", re.split(r"[.\[]", address.rstrip("]\"'"))[-1].lower())
    depth = 2.5 if "." in address else 0.0
    return next((rank + depth for rank, pattern in enumerate(_NAMES) if pattern.fullmatch(last)), len(_NAMES))
