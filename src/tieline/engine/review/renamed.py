"""Integrations that the store knows and that have no file any more: recognised by what they join, taken over under another name, or retired.

An integration is its file's name. A renamed file is another integration: it would meet everything again, and make twice what its match keys
don't find. So one that has met nothing yet, and joins what an integration without a file has joined, does not run before a person has said
which it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from tieline.model.ends import End, Known
from tieline.model.errors import Refused
from tieline.model.holder import has_ended
from tieline.store import naming, runs, state
from tieline.store.database import Database, Transaction

_RETIRED = "retired"
"""Kind of values that say of an integration without a file that it is at its end: the reason, by name."""
_MOVES = (state.PLACES, state.ENDS, "verified")
"""Kinds of values that are kept by an integration's name."""


class Orphan(msgspec.Struct, frozen=True):
    """An integration without a file."""

    name: str
    linked: int
    """Links and pairs that it has made."""
    open: int
    """Its deliveries that wait for a person or a system."""


def orphans(db: Database, names: Collection[str]) -> list[Orphan]:
    """Return the integrations that have something in the store, and are not among `names`; those that were retired are left out."""
    known = sorted(set(runs.names(db).values()) - {*names})
    if not known:
        return []
    retired = state.all_of(db, _RETIRED, str)
    found = (_looked_at(db, name) for name in known if name not in retired)
    return [one for one in found if one.linked or one.open]


def _looked_at(db: Database, name: str) -> Orphan:
    return Orphan(name, *naming.counted(db, name))


def predecessor(db: Database, name: str, ends: Sequence[End], names: Collection[str]) -> Orphan | None:
    """Return the integration without a file that joins what `name` joins, if that one has met nothing yet."""
    if naming.has_met(db, name):
        return None
    return next((one for one in orphans(db, names) if _joins(db, one.name, ends)), None)


def _joins(db: Database, name: str, ends: Sequence[End]) -> bool:
    if (known := state.peek(db, state.PLACES, name, list[Known])) is not None:
        return [one.mark for one in known] == [end.mark for end in ends]
    before = state.peek(db, state.ENDS, name, list[str])
    return before is not None and before == [end.before for end in ends]


def adopt(db: Database, old: str, new: str, *, now: float) -> Orphan:
    """Give what an integration without a file has in the store to `new`: links, pairs, letters, cursors, marks, history.

    Raises `Refused` when there is nothing to take over, one of them is being run, or `new` has met records of its own.
    """
    _check_known(db, old)
    taken = _looked_at(db, old)
    if naming.has_met(db, new):
        raise Refused(
            f"{new} has met records of its own already: what {old} has linked can't be put beside it; nothing was changed",
            next_step=f"`tieline links retire {old} --reason …` gives up what {old} has",
        )
    for name in (old, new):
        _check_idle(db, name, now)

    def unit(connection: Transaction) -> None:
        naming.rename(connection, old, new)
        for kind in _MOVES:
            state.drop(connection, kind, new)
            connection.execute("UPDATE state SET name = ? WHERE kind = ? AND name = ?", (new, kind, old))
        state.drop(connection, _RETIRED, old)

    db.write(unit)
    return taken


def retire(db: Database, name: str, reason: str, *, now: float) -> None:
    """Say that an integration without a file is at its end: it is not listed any more, and another may join what it joined."""
    _check_known(db, name)
    _check_idle(db, name, now)
    db.write(lambda connection: state.put(connection, _RETIRED, name, reason))


def _check_known(db: Database, name: str) -> None:
    if not naming.numbers(db, name):
        raise Refused(
            f"the store knows no integration `{name}`; nothing was changed", next_step="`tieline status` names those without a file"
        )


def _check_idle(db: Database, name: str, now: float) -> None:
    known = runs.state_of(db, name)
    if known is not None and known.holder and known.lease_until > now and not has_ended(known.holder):
        raise Refused(f"{name} is being run by {known.holder}; nothing was changed", next_step="wait until it ends")


def what_to_do(one: Orphan, successor: str = "NEW") -> str:
    """Say how it goes on with an integration without a file."""
    return (
        f"if it was renamed: `tieline links adopt {one.name} {successor}`; "
        f"if it is at its end: `tieline links retire {one.name} --reason '…'`"
    )
