"""How pages follow each other. Each style says what to ask for first, and what to ask for after an answer; None at the end.

Nothing here trusts a vendor to end: a mark that was given before, or a page that repeats the one before, is an error, not a loop. A page
without records that gives back the mark which was sent is an end; how many empty pages may come in a row is `reading`'s to know.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import msgspec

from tieline.config.models.paging import CursorInBody, Keyset, LinkHeader, NextUrl, Offset, Paged, PageNumber, Paging
from tieline.dialects.rest.batched_gets import Further
from tieline.dialects.rest.templates import well_formed_address
from tieline.model.errors import Undecodable
from tieline.model.paths import get
from tieline.model.records import ABSENT, Record
from tieline.transport.ports import HttpResponse

_TRUE, _FALSE = ("true", "1", "yes", "y"), ("false", "0", "no", "n", "")


class Step(msgspec.Struct, frozen=True):
    """What the next request needs: what it says further, or a whole address."""

    further: Further = Further()
    url: str | None = None


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


def pager(paging: Paging | None, gaps: AbstractSet[str] = frozenset()) -> Pager:
    """Return a fresh pager for one walk. `gaps` are those of the request, by which it says itself where something goes."""
    match paging:
        case None:
            return _Single()
        case PageNumber():
            return _PageNumber(paging, gaps)
        case Offset():
            return _Offset(paging, gaps)
        case CursorInBody():
            return _Cursor(paging, gaps)
        case NextUrl():
            return _NextUrl(paging, gaps)
        case LinkHeader():
            return _LinkHeader(paging, gaps)
        case Keyset():
            return _Keyset(paging, gaps)


def says(answer: Any, address: str) -> bool | None:
    """Return what a flag says; None where it is absent or null. Raises `Undecodable` for what is no flag."""
    found = get(answer, address) if answer is not None else ABSENT
    if found is ABSENT or found is None or isinstance(found, bool):
        return found if isinstance(found, bool) else None
    text = str(found).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise Undecodable(
        f"`{address}` is {found!r}, neither true nor false", next_step="correct `more` or `end` under `paging` in the connector"
    )


class _Base:
    """What all styles have in common: the place of the page size, and flags that end the list."""

    def __init__(self, paging: Paged, gaps: AbstractSet[str]) -> None:
        self._flags, self._gaps = paging, gaps
        size = getattr(paging, "size", None)
        elsewhere = getattr(paging, "body", None) or (getattr(paging, "header", None) and not isinstance(paging, NextUrl)) or "size" in gaps
        by_default = "size_param" not in paging.model_fields_set
        self._size_params = {paging.size_param: str(size)} if paging.size_param and size and not (by_default and elsewhere) else {}
        self._size_gaps: dict[str, Any] = {"size": size} if size is not None else {}

    def first(self) -> Step:
        return self._step({})

    def _ended(self, answer: Any) -> bool | None:
        """Return whether the vendor says that this page is the last; None where it says nothing."""
        flags = self._flags
        if flags.more is not None and (more := says(answer, flags.more)) is not None:
            return not more
        return says(answer, flags.end) if flags.end is not None else None

    def _step(self, gaps: dict[str, Any], **more: Any) -> Step:
        params = {**more.pop("params", {}), **self._size_params}
        return Step(Further(params=params, gaps={**gaps, **self._size_gaps}, **more))

    def _with(self, name: str, value: Any) -> Step:
        """Return a step that carries a number or mark where the style says that it goes."""
        paging: Any = self._flags
        gaps = {name: value}
        if paging.body is not None:
            return self._step(gaps, body={paging.body: value})
        if paging.header is not None:
            return self._step(gaps, headers={paging.header: str(value)})
        if name in self._gaps and "param" not in paging.model_fields_set:
            return self._step(gaps)
        return self._step(gaps, params={paging.param: str(value)})


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


class _Counted(_Base):
    """Pages or records are counted."""

    name = ""

    def __init__(self, paging: PageNumber | Offset, gaps: AbstractSet[str]) -> None:
        super().__init__(paging, gaps)
        self._paging, self._at = paging, paging.start

    def first(self) -> Step:
        return self._with(self.name, self._at)

    def _is_last(self, answer: Any, entries: list[Any]) -> bool:
        ended = self._ended(answer)
        if ended is not None:
            return ended
        return not entries or (self._paging.until == "short" and len(entries) < self._paging.size)


class _PageNumber(_Counted):
    name = "page"
    _paging: PageNumber

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
            following = get(answer, paging.next) if answer is not None else ABSENT
            if following in (ABSENT, None, "", False) or self._ended(answer):
                return None
            try:
                number = int(str(following)) if following is not True else 0
            except (TypeError, ValueError):
                raise Undecodable(f"the next page's number at `{paging.next}` is {following!r}") from None
            if following is True:
                raise Undecodable(
                    f"`{paging.next}` is true, not the next page's number", next_step=f"write `more: {paging.next}` in place of `next`"
                )
            if number <= self._at:
                raise Undecodable(f"page {self._at} names page {number} as the next one: the list would never end")
            self._at = number
            return self.first()
        if self._is_last(answer, entries):
            return None
        self._at += 1
        return self.first()


class _Offset(_Counted):
    name = "offset"

    def after(
        self,
        url: str,
        response: HttpResponse,
        answer: Any,
        entries: list[Any],
        last: Record | None,
        last_id: str | None,
    ) -> Step | None:
        if self._is_last(answer, entries):
            return None
        if not entries:  # there are more, and nothing to count by: what was asked for was left out as a whole
            self._at += self._paging.size
        self._at += len(entries)
        return self.first()


class _Marks:
    """Marks that were given already; a repeated one means a list without end. Holds 8 bytes a page."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._last: str | None = None

    def check(self, mark: str) -> str:
        digest = hash(mark)
        if digest in self._seen:
            raise Undecodable(f"the mark of the next page, {mark[:120]!r}, was given before: the list would never end")
        self._seen.add(digest)
        self._last = mark
        return mark

    def is_end(self, mark: str, entries: list[Any]) -> bool:
        """Whether a page without records gives back the mark that was sent."""
        return not entries and mark == self._last


class _Cursor(_Base):
    def __init__(self, paging: CursorInBody, gaps: AbstractSet[str]) -> None:
        super().__init__(paging, gaps)
        self._paging, self._marks = paging, _Marks()

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
        ended = self._ended(answer)
        if ended:
            return None
        if paging.from_header is not None:
            mark: Any = response.headers.get(paging.from_header)
        else:
            mark = get(answer, paging.at or "") if answer is not None else ABSENT
        if mark in (ABSENT, None, "", False):
            if ended is False:
                raise _no_mark(f"`{paging.at or paging.from_header}`", "`paging: at` in the connector")
            return None
        if isinstance(mark, (dict, list, bool)):
            raise Undecodable(f"the mark of the next page at `{paging.at}` is {mark!r}", next_step="correct `paging: at` in the connector")
        if self._marks.is_end(str(mark), entries):
            return None
        self._marks.check(str(mark))
        return self._with("cursor", mark)


class _Addresses(_Base):
    """The answer tells the next page's address."""

    def __init__(self, paging: NextUrl | LinkHeader, gaps: AbstractSet[str]) -> None:
        super().__init__(paging, gaps)
        self._marks = _Marks()

    def _follow(self, url: str, following: Any, answer: Any, entries: list[Any]) -> Step | None:
        ended = self._ended(answer)
        if ended:
            return None
        if following in (ABSENT, None, "", False):
            if ended is False:
                raise _no_mark("where the next page's address should be", "`paging` in the connector")
            return None
        if not isinstance(following, str):
            raise Undecodable(f"the next page's address is {following!r}, not a text")
        address = _resolve(url, following)
        if not entries and address == url:
            return None
        return Step(Further(gaps=self._size_gaps), url=self._marks.check(address))


class _NextUrl(_Addresses):
    _flags: NextUrl

    def after(
        self,
        url: str,
        response: HttpResponse,
        answer: Any,
        entries: list[Any],
        last: Record | None,
        last_id: str | None,
    ) -> Step | None:
        paging = self._flags
        if paging.header:
            following: Any = response.headers.get(paging.header)
        else:
            following = get(answer, paging.at or "") if answer is not None else ABSENT
        return self._follow(url, following, answer, entries)


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


class _LinkHeader(_Addresses):
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
        return self._follow(url, next_link(header), answer, entries)


class _Keyset(_Base):
    def __init__(self, paging: Keyset, gaps: AbstractSet[str]) -> None:
        super().__init__(paging, gaps)
        self._paging, self._marks = paging, _Marks()
        self._place: str | None = None
        """Where the page before ended."""

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
        ended = self._ended(answer)
        if ended or not entries or (ended is None and paging.until == "short" and len(entries) < paging.size):
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
        params = {name: value for name, value in ((paging.time_param, str(time)), (paging.id_param, last_id)) if name is not None}
        return self._step({"last_time": time, "last_id": last_id}, params=params)


def _no_mark(where: str, what: str) -> Undecodable:
    return Undecodable(
        f"the vendor says that more pages follow, and there is nothing {where} to ask for them by", next_step=f"correct {what}"
    )


def _resolve(base: str, following: str) -> str:
    resolved = urljoin(base, well_formed_address(following))
    # A proxy in front of the vendor often leaves `http` in what it generates: the scheme may be raised, never lowered.
    if urlsplit(base).scheme == "https" and resolved.startswith("http://"):
        resolved = "https://" + resolved[len("http://") :]
    return resolved
