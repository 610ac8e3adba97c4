"""From an answer to the error that it means; None for a success. What follows is in one table, `engine.failures`."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tieline.model.errors import Forbidden, NotThere, RateLimited, Rejected, RemoteError, Stale, Unauthorized, Unavailable
from tieline.model.paths import get
from tieline.model.records import ABSENT, decode_json
from tieline.spec.connectors import Errors
from tieline.transport.ports import HttpResponse

_MOST_TEXT = 500
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def error_of(response: HttpResponse, errors: Errors, now: float) -> RemoteError | None:
    """Return what went wrong, or None when the answer is a success."""
    status = response.status
    if 200 <= status < 300:
        return _hidden_failure(response, errors, now) if errors.in_success else None
    text = vendor_text(response, errors)
    said = f"{status}: {text}" if text else str(status)
    if status == 429 or (status in (409, 503) and "Retry-After" in response.headers) or _says_throttled(text, errors):
        wait = retry_after_seconds(response.headers, now)
        told = f" (told to wait {wait:,.0f} s)" if wait is not None else ""
        return RateLimited(said + told, retry_after=wait, status=status, text=text)
    kind: type[RemoteError]
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
    elif status < 400:
        return Rejected(
            f"{status}: moved to {response.headers.get('Location', 'an address that was not given')}",
            status=status,
            next_step="correct the connector's path",
        )
    else:
        kind = Rejected
    return kind(said, status=status, text=text)


def is_already(error: RemoteError | None, already: tuple[int | str, ...]) -> bool:
    """Whether a refusal means that what was wanted is so already: by its status, or by words in the vendor's text."""
    if error is None or not already:
        return False
    text = error.text.casefold()
    return any(error.status == mark if isinstance(mark, int) else mark.casefold() in text for mark in already)


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return the Retry-After header in seconds from now, in both forms (RFC 9110, 10.2.3); None without one that can be read.

    A date is the vendor's, and so compared with the answer's own `Date`, where there is one: our clock may be hours off.
    """
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    until = _seconds_of(value)
    if until is None:
        return None
    said_at = _seconds_of(headers.get("Date", ""))
    return max(0.0, until - (now if said_at is None else said_at))


def _seconds_of(date: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(date)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


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
            return error_text(answer, errors.message) or body[:_MOST_TEXT].decode("utf-8", "replace")
    return " ".join(_TAGS.sub(" ", body[:20_000].decode("utf-8", "replace")).split())[:_MOST_TEXT]


def error_text(answer: Any, addresses: tuple[str, ...] | str) -> str:
    """Return the text at the first address that has one, cut."""
    for address in (addresses,) if isinstance(addresses, str) else addresses:
        found = get(answer, address) if address else answer
        if found is not ABSENT and found not in (None, "", [], {}):
            text = found if isinstance(found, str) else msgspec.json.encode(found, enc_hook=str).decode("utf-8", "replace")
            return text[:_MOST_TEXT]
    return ""


def _says_throttled(text: str, errors: Errors) -> bool:
    lowered = text.casefold()
    return any(word.casefold() in lowered for word in errors.throttled)


def _hidden_failure(response: HttpResponse, errors: Errors, now: float) -> RemoteError | None:
    check: Callable[[Any], Any] = lambda answer: get(answer, errors.in_success or "")  # noqa: E731
    try:
        found = check(decode_json(response.body)) if response.body else ABSENT
    except (msgspec.DecodeError, RecursionError):
        return None
    if found is ABSENT or found in (None, "", [], {}, False):
        return None
    text = vendor_text(response, errors)
    if _says_throttled(text, errors):
        return RateLimited(text, retry_after=retry_after_seconds(response.headers, now), status=response.status, text=text)
    return Rejected(f"{response.status}, but it says: {text}", status=response.status, text=text)
