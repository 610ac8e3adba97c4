"""Judgements over how a list is read: where pages and points go, how they end, and whether what is declared can work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tieline.config.loading.yaml_source import Key
from tieline.config.models.escapes import texts_in
from tieline.config.models.fields import Fields
from tieline.config.models.lists import ChangedSince
from tieline.config.models.operations import Find, Listing
from tieline.config.models.paging import CursorInBody, Keyset, NextUrl, Offset, PageNumber, Paging
from tieline.lint.findings import Findings

Keys = tuple[Key, ...]
_GAP: Final = re.compile(r"\{([a-z_]+)(?:\|[^{}]*)?\}")
_UTC: Final = frozenset({"utc", "gmt", "uct", "zulu", "etc/utc", "etc/gmt", "etc/uct", "etc/zulu", "etc/universal", "universal"})
_BY_STYLE: Final = {
    "page": {"page", "size"},
    "offset": {"offset", "size"},
    "cursor": {"cursor", "size"},
    "keyset": {"last_time", "last_id", "size"},
    "next_url": {"size"},
    "link_header": {"size"},
}


def reading_gaps(request: Listing | Find) -> frozenset[str]:
    """Return the names that a request which reads fills into its texts, beside variables and `{value}`."""
    names = set(_BY_STYLE[request.paging.style]) if request.paging is not None else set()
    if isinstance(request, Listing) and request.changed_since is not None:
        names |= {"since", "until"}
    return frozenset(names)


def lint_find(found: Findings, at: Keys, find: Find) -> None:
    """Judge a search."""
    _body(found, at, find)
    if find.paging is not None:
        _paging(found, (*at, "paging"), find.paging, find)


def lint_listing(found: Findings, at: Keys, listing: Listing, fields: Fields | None) -> None:
    """Judge a list of entries; `fields` are those that they have, if they are known."""
    _body(found, at, listing)
    paging = listing.paging
    if paging is not None:
        _paging(found, (*at, "paging"), paging, listing)
        if isinstance(paging, Keyset) and fields is not None and (problem := fields.problem(paging.time)):
            found.error((*at, "paging", "time"), *problem)
    if listing.changed_since is not None:
        _changed_since(found, (*at, "changed_since"), listing, listing.changed_since, fields)


def _body(found: Findings, at: Keys, request: Listing | Find) -> None:
    if request.body is not None and request.method == "GET":
        found.error((*at, "body"), "a GET has no body", "write `method: POST`")


def _paging(found: Findings, at: Keys, paging: Paging, request: Listing | Find) -> None:
    if isinstance(paging, NextUrl) and (paging.at is None) == (paging.header is None):
        found.error(at, "the next address is in the body or in a header: one of `at` and `header`")
    if isinstance(paging, CursorInBody) and (paging.at is None) == (paging.from_header is None):
        found.error(at, "where does the answer hold the mark? one of `at` and `from_header`", "such as `at: meta.next_cursor`")
    if paging.more is not None and paging.end is not None:
        found.error((*at, "end"), "says what `more` says: one of `more` and `end`", "take one of them out")
    if isinstance(paging, PageNumber | Offset) and "until" in paging.model_fields_set and (paging.more or paging.end):
        found.error((*at, "until"), "decides nothing where `more` or `end` tells the last page", "take it out")
    used = _used(request)
    if isinstance(paging, PageNumber | Offset | CursorInBody):
        places = [name for name in ("body", "header") if getattr(paging, name) is not None]
        places += ["param"] if "param" in paging.model_fields_set else []
        if len(places) > 1:
            found.error(at, f"goes into one place: `{'` or `'.join(places)}`", "keep one of them")
        if paging.body is not None and request.method == "GET":
            found.error((*at, "body"), "a GET has no body", "write `method: POST`, or `param`")
    if isinstance(paging, Keyset):
        for param, gap in (("time_param", "last_time"), ("id_param", "last_id")):
            if getattr(paging, param) is None and gap not in used:
                found.error(
                    (*at, param), f"is missing: where does the last record's {gap[5:]} go?", f"or write `{{{gap}}}` into a parameter"
                )
    silent = "param" not in paging.model_fields_set
    if request.method == "POST" and request.body is not None and isinstance(paging, PageNumber | Offset | CursorInBody):
        name = {"page": "page", "offset": "offset", "cursor": "cursor"}[paging.style]
        if silent and paging.body is None and paging.header is None and name not in used:
            message = f"goes into the query, as `{paging.param}=`, though the list is asked for by its body"
            found.warning(at, message, f"write `body: {paging.param}`, or `param: {paging.param}` if the query is meant")


def _changed_since(found: Findings, at: Keys, listing: Listing, changed: ChangedSince, fields: Fields | None) -> None:
    for index, field in enumerate(changed.fields):
        if fields is not None and (problem := fields.problem(field)):
            found.error((*at, "field") if isinstance(changed.field, str) else (*at, "field", index), *problem)
    marks = [name for name in ("field", "header", "at") if getattr(changed, name)]
    if not marks:
        message = "from where does the next read start? one of `field`, `header` and `at` is needed"
        found.error(at, message, "such as `field: updated_at`")
    elif len(marks) > 1:
        found.error((*at, marks[1]), f"is a second mark beside `{marks[0]}`: one of them", "take one of them out")
    if changed.url:
        if changed.fields:
            found.error((*at, "url"), "the point is a whole address only where the vendor gives it", "take it out, or write `at`")
        if changed.param or changed.params or changed.body:
            found.error((*at, "url"), "the address says it all: nothing goes along with it", "take `param`, `params` and `body` out")
    elif "since" not in {name for text in _since_texts(changed, listing) for name in _GAP.findall(text)}:
        hint = 'such as `param: updated_after`, or `params: {$filter: "updated_at gt {since}"}`'
        found.error(at, "never sends `{since}`, so it asks for everything each time", hint)
    if changed.body and listing.method == "GET":
        found.error((*at, "body"), "a GET has no body", "write `method: POST`, or `params`")
    if changed.field_format is not None and not changed.fields:
        found.error((*at, "field_format"), "is how a field is written, and there is none", "take it out")
    if (changed.field_format == "raw") != (changed.format == "raw") and changed.field_format is not None:
        found.error((*at, "field_format"), "a version is sent as it came: `raw` for both, or for none", "take it out")
    if changed.given is not None and changed.fields:
        found.error((*at, "given"), "is about the server's own mark", "take it out")
    zone = changed.zone or next((fields.at(field)[1].zone for field in changed.fields if fields and fields.at(field)), None)  # type: ignore[index]
    if changed.format == "local" and zone is None:
        found.error((*at, "zone"), "is missing: local time of where?", "such as `zone: America/New_York`, here or at the field")
    if zone is not None and zone.casefold() not in _UTC and "format" not in changed.model_fields_set:
        # Whichever of the two were taken for granted, half of the vendors would never show what changed within the offset.
        message = f"in which form? the vendor's own times are those of {zone}"
        hint = "`format: local` if it reads the point as such a time; `format: rfc3339` if it understands UTC, `2026-12-01T11:00:00Z`"
        found.error(at, message, hint)


def _since_texts(changed: ChangedSince, listing: Listing) -> Iterator[str]:
    yield from changed.asks.values()
    yield from changed.headers.values()
    yield from texts_in(changed.body)
    yield from (text for _, text in listing.query)
    yield from listing.headers.values()
    yield from texts_in(listing.body)


def _used(request: Listing | Find) -> set[str]:
    texts = (request.path, *(text for _, text in request.query), *request.headers.values(), *texts_in(request.body))
    changed = request.changed_since if isinstance(request, Listing) else None
    more = (*changed.asks.values(), *texts_in(changed.body)) if changed is not None else ()
    return {name for text in (*texts, *more) for name in _GAP.findall(text)}
