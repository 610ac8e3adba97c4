"""Whether an answer to a write says plainly that nothing was done. Everything else that left may have been done.

A write that left was plainly refused only where the vendor says so itself: by words that the connector declares (`errors: in_success`, `throttled`), by
429, or by another 4xx in the shape of the vendor's own errors. A page of HTML, a text or a cut-off answer is a gateway's, whatever its status: what
stands before the vendor often answers after the vendor has done the work.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tieline.config.models.connectors import Errors
from tieline.model.errors import OutcomeUnknown, Passing, RateLimited, RemoteError, Undecodable, Unreachable
from tieline.model.paths import get
from tieline.model.records import ABSENT, decode_json
from tieline.transport.classify import is_already
from tieline.transport.ports import HttpResponse

_PASSING: Final = (408, 425, 499)
"""Statuses below 500 that speak of the connection, not of the record."""
_OF_A_ROUTE: Final = (404, 405, 410, 421)
"""Statuses that a gateway gives for an address that it does not know at the moment."""


def says_not_done(response: HttpResponse | None, error: RemoteError, errors: Errors) -> bool:
    """Whether a write that ended with this error was certainly not done. Without a response, the error is what was met instead of one."""
    if response is None:
        return isinstance(error, (Unreachable, RateLimited))  # neither has left
    if isinstance(error, (OutcomeUnknown, Undecodable)):
        return False
    status = response.status
    told = is_already(error, (*errors.throttled, *errors.passing))
    if 200 <= status < 300 or told or (isinstance(error, (RateLimited, Passing)) and status < 500):
        return True  # an error in a success is one that the connector declares; who has you come back has done nothing
    if not 400 <= status < 500 or status in _PASSING:
        return False
    body = response.body.strip()
    if not body:
        return status not in _OF_A_ROUTE
    try:
        answer = decode_json(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    if status in _OF_A_ROUTE:
        return _has_words(answer, errors)
    return isinstance(answer, (dict, list))


def _has_words(answer: Any, errors: Errors) -> bool:
    """Whether an answer has the vendor's words where the connector says that they are; without such a place, whether it is an object."""
    addresses = (errors.message,) if isinstance(errors.message, str) else errors.message
    if not any(addresses):
        return isinstance(answer, dict)
    return any(address and get(answer, address) not in (ABSENT, None, "", [], {}) for address in addresses)
