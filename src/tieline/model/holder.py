"""Who holds a lease: a process of a machine, by name; and whether it is known to have ended."""

from __future__ import annotations

import os
import socket


def holder_name(pid: int) -> str:
    """Return the name of a process of this machine."""
    return f"process {pid} on {socket.gethostname()}"


def has_ended(holder: str) -> bool:
    """Whether a holder was a process of this machine that is not there any more."""
    words = holder.split()
    if len(words) < 2 or not words[1].isdigit() or holder != holder_name(int(words[1])):
        return False
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
