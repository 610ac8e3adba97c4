"""When an answer of 2xx is no success: what a connector declares under `in_success`, and the one place where it is read."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Field as Declare
from pydantic import model_validator

from tieline.config.models.base import Declared, Path
from tieline.model.paths import get
from tieline.model.records import ABSENT


class Says(Declared):
    """What an answer of 2xx says when it means failure: `{at: success, equals: false}`, `{at: code, not: [0, OK]}`, `{at: errors, filled: true}`."""

    at: Path
    """Address in the answer."""
    equals: Any = None
    """Its value in a failure, or a list of them. Where it is absent, it is no failure."""
    other: Annotated[Any, Declare(alias="not")] = None
    """Its value in a success, or a list of them: any other is a failure. A write whose answer has none at all is uncertain, and looked for."""
    filled: bool = False
    """Any value means failure, but null, false, 0, blank text and an empty list or object. A bare address means the same."""

    WAYS: ClassVar = ("equals", "other", "filled")

    @model_validator(mode="after")
    def _one_way(self) -> Says:
        if len(self.model_fields_set & set(self.WAYS)) != 1 or ("filled" in self.model_fields_set and not self.filled):
            raise ValueError("expected one of `equals: VALUE`, `not: VALUE` and `filled: true`")
        return self

    def fails(self, answer: Any) -> bool | None:
        """Whether an answer means failure; None when it does not say what it always should."""
        found = get(answer, self.at)
        if self.filled:
            return not (found is ABSENT or is_nothing(found))
        if "equals" in self.model_fields_set:
            return found is not ABSENT and _is_one_of(found, self.equals)
        return None if found is ABSENT else not _is_one_of(found, self.other)


InSuccess: TypeAlias = Path | Says | tuple[Path | Says, ...]
"""Addresses, and values at addresses; one of them that means failure is enough."""


def conditions(declared: InSuccess | None) -> tuple[Says, ...]:
    """Return what is declared, in one form."""
    entries = () if declared is None or declared == "" else declared if isinstance(declared, tuple) else (declared,)
    return tuple(entry if isinstance(entry, Says) else Says(at=entry, filled=True) for entry in entries)


def is_nothing(value: Any) -> bool:
    """Whether a value at the address of an error means that there is none."""
    return value in (None, False, [], {}) or (isinstance(value, str) and value.strip() in ("", "0"))


def _is_one_of(found: Any, wanted: Any) -> bool:
    return any(
        found == one or str(found).casefold() == str(one).casefold() for one in (wanted if isinstance(wanted, (list, tuple)) else [wanted])
    )
