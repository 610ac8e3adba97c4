"""What can be made to go wrong in a sandbox, through `/_sandbox/faults`; each for a while, or for so many requests."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Faults(msgspec.Struct, forbid_unknown_fields=True):
    """Faults that are switched on. A number counts down with each request that it hits."""

    outage: bool = False
    """Every request is answered 503."""
    hang_up: bool = False
    """Every connection is closed before the request is looked at."""
    unauthorized: bool = False
    """No credentials are good any more."""
    latency: float = 0.0
    """Seconds before each request is looked at."""
    answer_latency: float = 0.0
    """Seconds before each answer leaves, once the work is done."""
    fail: int = 0
    """So many requests are answered 500; nothing is done."""
    throttle: int = 0
    """So many requests are answered 429, whatever the budget."""
    lose_request: int = 0
    """So many writes are lost on the way: the connection is closed, nothing is done."""
    lose_answer: int = 0
    """So many writes are done, and the connection is closed instead of an answer."""
    garble: int = 0
    """So many requests are answered 200 with a page of HTML, as a log-in page or a proxy in between would."""

    def changed(self, fields: dict[str, Any]) -> Faults:
        """Return these faults with some fields changed. Raises `msgspec.ValidationError` for what there is not."""
        faults = msgspec.convert({**msgspec.to_builtins(self), **fields}, Faults)
        for name in self.__struct_fields__:
            if getattr(faults, name) < 0:
                raise msgspec.ValidationError(f"`{name}` can't be negative")
        return faults

    def hits(self, fault: str, method: str) -> bool:
        """Whether this request is hit by a fault that counts down; if so, it is counted."""
        left: int = getattr(self, fault)
        if not left or (fault.startswith("lose_") and method not in _WRITES):
            return False
        setattr(self, fault, left - 1)
        return True
