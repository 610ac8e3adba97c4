"""Whether a record that turned up without a counterpart may be one that we made ourselves, and that someone has renamed since.

It no longer has the match key under which it was made, so only the other fields that were sent can tell. The question is asked of few records, those
without a counterpart that are new or have changed since, and a yes only has a person decide: so it is generous.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tieline.model.records import Values
from tieline.sync.rewriting import is_rewriting

_SHORT, _SMALL = 3, 1000


def may_be(sent: Values, says: Values, keys: Collection[str]) -> bool:
    """Whether a record that `says` this may have been made by a write that `sent` that; `keys` are the match fields.

    Yes where at least half of the other fields that tell records apart say the same. Flags, short texts and small numbers tell little: they count only
    where nothing else was sent, and then all of them must agree. Where nothing else was sent at all, it may be any.
    """
    others = {
        address: value for address, value in sent.items() if address not in keys and address in says and value not in (None, "", [], {})
    }
    telling = {address: value for address, value in others.items() if _tells(value)}
    equal = sum(is_rewriting(value, says[address]) for address, value in (telling or others).items())
    return 2 * equal >= len(telling) if telling else equal == len(others)


def _tells(value: Any) -> bool:
    if isinstance(value, (bool, str)):
        return not isinstance(value, bool) and len(value.strip()) >= _SHORT
    return isinstance(value, (list, dict)) or abs(value) >= _SMALL
