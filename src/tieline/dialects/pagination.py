"""How pages follow each other. Each style says what to ask for first, and what to ask for after an answer; None at the end.

Nothing here trusts a vendor to end: a mark that was given before, or a page that repeats the one before, is an error, not a loop.
"""

from __future__ import annotations

import re
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from tieline.model.errors import Undecodable
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record
from tieline.spec.connectors import CursorInBody, Keyset, LinkHeader, NextUrl, Offset, PageNumber, Paging
from tieline.transport.ports import HttpResponse


class Step:
    """What the next request needs: further query parameters, or a whole address."""

    __slots__ = ("params", "url")

    def __init__(self, params: dict[str, str] | None = None, url: str | None = None) -> None:
        self.params, self.url = params or {}, url


class Pager(Protocol):
    """Walks one list."""

    def first(self) -> Step:
        """What to ask for first."""

    def after(
        self,
        url: str,
        response: HttpResponse,
        answer: Any,
        entries: list[Any],
        last: Record | None,
        last_id: str | None,
    ) -> Step | None:
        """What to ask for after this answer; None when it was the last. `last` is the last entry of the page that is a record."""


def pager(paging: Paging | None) -> Pager:
    """Return a fresh pager for one walk."""
    match paging:
        case None:
            return _Single()
        case PageNumber():
            return _PageNumber(paging)
        case Offset():
            return _Offset(paging)
        case CursorInBody():
            return _Cursor(paging)
        case NextUrl():
            return _NextUrl(paging)
        case LinkHeader():
            return _LinkHeader(paging)
        case Keyset():
            return _Keyset(paging)


def _size(paging: Any) -> dict[str, str]:
    return {paging.size_param: str(paging.size)} if paging.size_param and paging.size else {}


class _Single:
    def first(self) -> Step:
        return Step()

    def after(
        self,
        url: str,
        response: HttpResponse,
        answer: Any,
        entries: list[Any],
        last: Record | None,
        last_id: str | None,
    ) -> Step | None:
        return None


class _PageNumber:
    def __init__(self, paging: PageNumber) -> None:
        self._paging, self._number = paging, paging.start

    def first(self) -> Step:
        return self._step()

    def after(
        self,
        url: str,
        response: HttpResponse,
        answer: Any,
        entries: list[Any],
        last: Record | None,
        last_id: str | None,
    ) -> Step | None:
        paging = self._paging
        if paging.next is not None:
            following = get(answer, paging.next)
            if following in (ABSENT, None, "", False):
                return None
            try:
                number = int(following)
            except (TypeError, ValueError):
                raise Undecodable(f"the next page's number at `{paging.next}` is {following!r}") from None
            if number <= self._number:
                raise Undecodable(f"page {self._number} names page {number} as the next one: the list would never end")
            self._number = number
            return self._step()
        if not entries or (paging.until == "short" and len(entries) < paging.size):
            return None
        self._number += 1
        return self._step()

    def _step(self) -> Step:
        return Step({self._paging.param: str(self._number), **_size(self._paging)})


class _Offset:
    def __init__(self, paging: Offset) -> None:
        self._paging, self._offset = paging, 0

    def first(self) -> Step:
        return self._step()

    def after(
        self,
        url: str,
        response: HttpResponse,
        answer: Any,
        entries: list[Any],
        last: Record | None,
        last_id: str | None,
    ) -> Step | None:
        if not entries or (self._paging.until == "short" and len(entries) < self._paging.size):
            return None
        self._offset += len(entries)
        return self._step()

    def _step(self) -> Step:
        return Step({self._paging.param: str(self._offset), **_size(self._paging)})


class _Marks:
    """Marks that were given already; a repeated one means a list without end. Holds 8 bytes a page."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def check(self, mark: str) -> str:
        digest = hash(mark)
        if digest in self._seen:
            raise Undecodable(f"the mark of the next page, {mark[:120]!r}, was given before: the list would never end")
        self._seen.add(digest)
        return mark


class _Cursor:
    def __init__(self, paging: CursorInBody) -> None:
        self._paging, self._marks = paging, _Marks()

    def first(self) -> Step:
        return Step(_size(self._paging))

    def after(
        self,
        url: str,
        response: HttpResponse,
        answer: Any,
        entries: list[Any],
        last: Record | None,
        last_id: str | None,
    ) -> Step | None:
        mark = get(answer, self._paging.at)
        if mark in (ABSENT, None, "", False):
            return None
        return Step({self._paging.param: self._marks.check(str(mark)), **_size(self._paging)})


class _NextUrl:
    def __init__(self, paging: NextUrl) -> None:
        self._paging, self._marks = paging, _Marks()

    def first(self) -> Step:
        return Step(_size(self._paging))

    def after(
        self,
        url: str,
        response: HttpResponse,
        answer: Any,
        entries: list[Any],
        last: Record | None,
        last_id: str | None,
    ) -> Step | None:
        paging = self._paging
        following = response.headers.get(paging.header) if paging.header else get(answer, paging.at or "")
        if following in (ABSENT, None, "", False):
            return None
        if not isinstance(following, str):
            raise Undecodable(f"the next page's address is {following!r}, not a text")
        return Step(url=self._marks.check(_resolve(url, following)))


_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[^\s=;,]+\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,]*))?)*)')
_PARAMETER = re.compile(r';\s*([^\s=;,]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,]*)))?')


def next_link(header: str) -> str | None:
    """Return the target of `rel="next"` in a Link header (RFC 8288), or None."""
    for target, parameters in _LINK.findall(header):
        # Of several `rel` the first counts; and what stands in another parameter's quotes is none.
        named = (quoted or bare for name, quoted, bare in _PARAMETER.findall(parameters) if name.lower() == "rel")
        if "next" in next(named, "").lower().split():
            return str(target)
    return None


class _LinkHeader:
    def __init__(self, paging: LinkHeader) -> None:
        self._paging, self._marks = paging, _Marks()

    def first(self) -> Step:
        return Step(_size(self._paging))

    def after(
        self,
        url: str,
        response: HttpResponse,
        answer: Any,
        entries: list[Any],
        last: Record | None,
        last_id: str | None,
    ) -> Step | None:
        get_all = getattr(response.headers, "getall", None)
        header = ", ".join(get_all("Link", [])) if get_all else response.headers.get("Link", "")
        following = next_link(header)
        return None if following is None else Step(url=self._marks.check(_resolve(url, following)))


class _Keyset:
    def __init__(self, paging: Keyset) -> None:
        self._paging, self._marks = paging, _Marks()
        self._place: str | None = None
        """Where the page before ended."""

    def first(self) -> Step:
        return Step(_size(self._paging))

    def after(
        self,
        url: str,
        response: HttpResponse,
        answer: Any,
        entries: list[Any],
        last: Record | None,
        last_id: str | None,
    ) -> Step | None:
        paging = self._paging
        if not entries or (paging.until == "short" and len(entries) < paging.size):
            return None
        if last is None and len(entries) < paging.size:
            return None  # nothing but entries that are no records, which were there when the page before was read
        time = get(last, paging.time) if last is not None else ABSENT
        if time in (ABSENT, None, "") or last_id is None:
            raise Undecodable(f"the last record of a page has no `{paging.time}` or no id: the next page can't be asked for")
        place = f"{time}\n{last_id}"
        if place == self._place and len(entries) == 1:
            return None  # a vendor that begins with the last record, not after it, has nothing more to show
        self._place = self._marks.check(place)
        return Step({paging.time_param: str(time), paging.id_param: last_id, **_size(paging)})


def _resolve(base: str, following: str) -> str:
    resolved = urljoin(base, following)
    # A proxy in front of the vendor often leaves `http` in what it generates: the scheme may be raised, never lowered.
    if urlsplit(base).scheme == "https" and resolved.startswith("http://"):
        resolved = "https://" + resolved[len("http://") :]
    return resolved
