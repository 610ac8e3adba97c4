"""Ids that a person names: the same may enter as anywhere else. An empty one, `.` and `..` mean no record, and another address than that of one."""

from __future__ import annotations

from tieline.model.errors import Refused


def is_usable(id: str) -> bool:
    """Whether a text can be the id of a record. A blank one (a shell variable that is not set) asks for the whole list, `..` for what is above it."""
    return bool(id.strip()) and id.strip() not in (".", "..") and "\x00" not in id


def named(id: str, whose: str) -> str:
    """Return an id that a person has given. Raises `Refused` when it can't be one; `whose` says of what it is, in words."""
    if is_usable(id):
        return id
    told = "is empty" if not id.strip() else f"can't be {id.strip()!r}"
    raise Refused(
        f"the id {whose} {told}: no record has such an id; nothing was done",
        next_step="give the id as the system shows it; in a script, see that the variable is set",
    )
