"""From an answer to the error that it means; None for a success. What follows is in one table, `engine.core.failures`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tieline.config.models.connectors import Errors
from tieline.config.models.success import Says, conditions
from tieline.model.errors import Forbidden, NotThere, Passing, RateLimited, Rejected, RemoteError, Stale, Unauthorized, Unavailable, Untold
from tieline.model.paths import get
from tieline.model.records import ABSENT, decode_json
from tieline.transport.limits.waits import wait_told
from tieline.transport.ports import HttpResponse

_MOST_TEXT = 500
_MOST_ERRORS = 10
_TEXT_KEYS = ("message", "detail", "description", "error", "title", "msg", "text")
_CODE_KEYS = ("code", "statusCode", "errorCode", "error_code")
THROTTLED: Final = frozenset((420, 429, 430, 477, 509, 529))
"""Too many requests, or none for now: 420 and 430 are some vendors' 429, 477 moves an account, 509 and 529 say that there is no capacity."""
LOCKED: Final = frozenset((423,))
_NOT_PASSING: Final = frozenset((401, 408, 425))
"""Whatever Retry-After says of them: credentials do not get better by waiting, and the others are tried again anyway."""
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def error_of(response: HttpResponse, errors: Errors, now: float, in_success: tuple[Says, ...] | None = None) -> RemoteError | None:
    """Return what went wrong, or None when the answer is a success. `in_success` is the call's own, instead of the connector's."""
    status = response.status
    if 200 <= status < 300:
        checks = in_success if in_success is not None else conditions(errors.in_success)
        return _hidden_failure(response, errors, now, checks) if checks else None
    text = vendor_text(response, errors)
    wait = retry_after_seconds(response.headers, now)
    if (refused := refusal(status, text, errors, wait, told="Retry-After" in response.headers)) is not None:
        return refused
    said = f"{status}: {text}" if text else str(status)
    if status < 400:
        return Rejected(
            f"{status}: moved to {response.headers.get('Location', 'an address that was not given')}",
            status=status,
            next_step="correct the connector's path",
        )
    return kind_of_status(status)(said, status=status, text=text)


def kind_of_status(status: int) -> type[RemoteError]:
    """Return what a status of 400 or more means, where nothing else is known."""
    kind: type[RemoteError] = Rejected
    if status >= 500 or status in (408, 425):
        kind = Unavailable
    elif status == 401:
        kind = Unauthorized
    elif status == 403:
        kind = Forbidden
    elif status in (404, 410):
        kind = NotThere
    elif status in (409, 412):
        kind = Stale
    return kind


def refusal(
    status: int | None, text: str, errors: Errors, wait: float | None = None, *, told: bool = False, said: str = ""
) -> RateLimited | Passing | None:
    """Return the refusal that passes by itself, if this is one: the same for a call, and for a record's result in a batch.

    `told`: the answer has a Retry-After. `said` is how it is told to people, if not as status and text.
    """
    said = said or (f"{status}: {text}" if text else str(status))
    said += f" (told to wait {wait:,.0f} s)" if wait is not None else ""
    if is_among(status, text, errors.passing):
        return Passing(said, retry_after=wait, status=status, text=text)
    if status in THROTTLED or (told and status in (409, 503)) or is_among(status, text, errors.throttled):
        return RateLimited(said, retry_after=wait, status=status, text=text)
    if status in LOCKED or (wait is not None and status is not None and 400 <= status < 500 and status not in _NOT_PASSING):
        return Passing(said, retry_after=wait, status=status, text=text)
    return None


def is_among(status: Any, text: str, marks: tuple[int | str, ...]) -> bool:
    """Whether a status, or words in a text, are among those that a connector names."""
    if not marks:
        return False
    lowered = text.casefold()
    return any(status == mark if isinstance(mark, int) else mark.casefold() in lowered for mark in marks)


def is_already(error: RemoteError | None, already: tuple[int | str, ...]) -> bool:
    """Whether a refusal means that what was wanted is so already: by its status, or by words in the vendor's text."""
    if error is None or not already:
        return False
    return is_among(error.status, error.text, already)


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return what Retry-After asks for in seconds from now, in every form (`transport.limits.waits`); None without one that can be read."""
    exact = headers.get("Retry-After-Ms", "").strip()
    wait = wait_told(exact, now, milliseconds=True) if exact else None
    text = headers.get("Retry-After", "").strip()
    return wait if wait is not None or not text else wait_told(text, now, headers.get("Date", ""))


def vendor_text(response: HttpResponse, errors: Errors) -> str:
    """Return the vendor's own words in an error answer: from the declared addresses, else the body without its markup, cut."""
    body = response.body
    if not body:
        return ""
    if body.lstrip()[:1] in (b"{", b"["):
        try:
            answer = decode_json(body)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            text = error_text(answer, errors.message) or (_spoken(answer)[:_MOST_TEXT] if isinstance(answer, list) and answer else "")
            return text or body[:_MOST_TEXT].decode("utf-8", "replace")
    return " ".join(_TAGS.sub(" ", body[:20_000].decode("utf-8", "replace")).split())[:_MOST_TEXT]


def error_text(answer: Any, addresses: tuple[str, ...] | str) -> str:
    """Return the text at the first address that has one, cut; of a list, the texts of its entries."""
    for address in (addresses,) if isinstance(addresses, str) else addresses:
        found = get(answer, address) if address else answer
        if found is not ABSENT and found not in (None, "", [], {}):
            return (_spoken(found) if isinstance(found, list) else _as_text(found))[:_MOST_TEXT]
    return ""


def _spoken(errors: list[Any]) -> str:
    """Return what a list of texts, or of objects with a text and a code, says: `UNABLE_TO_LOCK_ROW: the record is locked; …`."""
    said = []
    for error in errors[:_MOST_ERRORS]:
        if isinstance(error, dict) and (text := next((error[key] for key in _TEXT_KEYS if isinstance(error.get(key), str)), "")):
            code = next((error[key] for key in _CODE_KEYS if isinstance(error.get(key), (str, int)) and error[key]), "")
            said.append(f"{code}: {text}" if code else text)
        else:
            said.append(_as_text(error))
    return "; ".join(said)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode("utf-8", "replace")


def _hidden_failure(response: HttpResponse, errors: Errors, now: float, checks: tuple[Says, ...]) -> RemoteError | None:
    """Return the failure that an answer of 2xx tells of, if it does.

    A value that should always be there and is not says nothing: a write is then uncertain, and a read goes on by what it has.
    """
    try:
        answer = decode_json(response.body) if response.body else None
    except (msgspec.DecodeError, RecursionError):
        return None
    if answer is None and response.status != 200:
        return None  # made, taken or done, and nothing to say of it: 201, 202, 204
    found = [check.fails(answer if isinstance(answer, dict) else {}) for check in checks]
    if not any(failed is True for failed in found):
        missing = next((check.at for check, failed in zip(checks, found, strict=True) if failed is None), None)
        return None if missing is None else Untold(f"{response.status}, and the answer has nothing at `{missing}`", status=response.status)
    text = vendor_text(response, errors)
    said = f"{response.status}, but it says: {text}"
    wait = retry_after_seconds(response.headers, now)
    if (passing := refusal(None, text, errors, wait, said=said)) is not None:
        passing.status = response.status
        return passing
    return Rejected(said, status=response.status, text=text)
