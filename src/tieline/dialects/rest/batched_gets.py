"""What a request that reads says: path, parameters, headers and JSON body, with the gaps in their texts filled.

A declaration is cut up once. What holds a gap that has no value yet is left out: a parameter, a header, a member of the body. So the first
page goes without `{cursor}`, and nothing is sent for it. In the body, a text that is nothing but a gap becomes the value itself.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias

import msgspec

from tieline.config.models.escapes import GAP, texts_in
from tieline.config.models.escapes import gaps as gap_names
from tieline.config.models.lists import ChangedSince
from tieline.config.models.operations import Find, Listing, Request
from tieline.dialects.rest.escapes import as_text, escape
from tieline.dialects.rest.templates import Template, encode, lacks, well_formed, well_formed_address
from tieline.model.errors import Undecodable
from tieline.model.paths import put
from tieline.model.records import ABSENT, encode_json

JSON: Final = {"Content-Type": "application/json"}
PAGE_GAPS: Final = frozenset({"cursor", "page", "offset", "size", "last_time", "last_id"})
"""Gaps that the style of paging fills."""
_GAPS: Final = PAGE_GAPS | {"since", "until", "value"}
"""All that is filled per call. Other braces in a body are the vendor's own, as in GraphQL."""


Escapes: TypeAlias = Mapping[str, Mapping[str, str]]
"""Ways of quoting of a connector's own."""


class Further(msgspec.Struct, frozen=True):
    """What a request says over what is declared: by parameter, by header, by address in the body, and what fills gaps."""

    params: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: Mapping[str, Any] = {}
    gaps: Mapping[str, Any] = {}


NOTHING: Final = Further()


class Question:
    """A declared request that reads."""

    def __init__(
        self,
        declared: Listing | Find | Request,
        base_url: str,
        variables: Mapping[str, str],
        version_query: Mapping[str, str],
        escapes: Escapes,
        since: ChangedSince | None = None,
    ) -> None:
        """`since` adds what is only asked once there is a point; `escapes` are the connector's own."""
        self._base, self._variables, self._escapes = base_url.rstrip("/"), variables, escapes
        self._path = Template(declared.path, variables, escapes)
        # What is asked since a point takes the place of what is always asked.
        fixed = [(name, text) for name, text in (*version_query.items(), *declared.query) if since is None or name not in since.asks]
        params = [*fixed, *(since.asks.items() if since is not None else ())]
        self._params = [(well_formed(name, ""), Template(text, variables, escapes, "query")) for name, text in params]
        self._headers = {**declared.headers, **(since.headers if since is not None else {})}
        body = getattr(declared, "body", None)
        if since is not None and since.body:
            body = joined(body or {}, since.body)
        self._body = body
        self.gaps = frozenset(
            name
            for text in (declared.path, *(text for _, text in params), *self._headers.values(), *texts_in(body))
            for name in gap_names(text)
            if name in _GAPS
        )
        """Names of the gaps that are filled per call."""
        self._known = _GAPS | variables.keys()
        self._fixed = not self.gaps and not any(name in variables for text in texts_in(body) for name in gap_names(text))
        self._fixed_body = encode_json(body) if self._fixed and body is not None else None
        self._fixed_headers = self._filled_headers({}) if self._fixed else {}

    @property
    def shape(self) -> tuple[str, ...]:
        """What it asks, with its gaps as they are: two that ask the same have the same."""
        params = (f"{name}={template.text}" for name, template in self._params)
        return (self._base, self._path.text, *params, *(f"{name}: {text}" for name, text in self._headers.items()), repr(self._body))

    def ask(self, further: Further = NOTHING, url: str | None = None) -> tuple[str, Mapping[str, str], bytes | None]:
        """Return address, headers and body; with `url`, which is a whole address, that instead of path and parameters."""
        gaps = further.gaps
        headers = self._fixed_headers if self._fixed else self._filled_headers(gaps)
        if further.headers:
            headers = {**headers, **{name: _in_header(name, value) for name, value in further.headers.items()}}
        return well_formed_address(url) if url else self._url(further), headers, self._body_with(further)

    def _url(self, further: Further) -> str:
        query = [
            f"{name}={template.fill(further.gaps)}" for name, template in self._params if all(gap in further.gaps for gap in template.names)
        ]
        query += [f"{encode(name)}={encode(value)}" for name, value in further.params.items()]
        address = self._base + self._path.fill(further.gaps)
        return f"{address}{'&' if '?' in address else '?'}{'&'.join(query)}" if query else address

    def _filled_headers(self, gaps: Mapping[str, Any]) -> dict[str, str]:
        values = {**self._variables, **gaps}
        headers = {
            name: _in_header(name, fill_text(text, values, self._known, self._escapes))
            for name, text in self._headers.items()
            if all(gap in values for gap in gap_names(text) if gap in self._known)
        }
        return {**headers, **JSON} if self._body is not None else headers

    def _body_with(self, further: Further) -> bytes | None:
        if self._fixed and not further.body:
            return self._fixed_body
        if self._body is None and not further.body:
            return None
        body = filled(self._body or {}, {**self._variables, **further.gaps}, self._known, self._escapes)
        if further.body:
            body = copy.deepcopy(body)
            for address, value in further.body.items():
                put(body, address, value)
        return encode_json(body)


def filled(shape: Any, values: Mapping[str, Any], known: AbstractSet[str], escapes: Escapes) -> Any:
    """Return a JSON value with the gaps in its texts filled; members and entries with a gap that has no value are left out.

    `known` are the names of gaps: other braces are text.
    """
    if isinstance(shape, Mapping):
        members = ((key, filled(value, values, known, escapes)) for key, value in shape.items())
        return {key: value for key, value in members if value is not ABSENT}
    if isinstance(shape, (list, tuple)):
        return [entry for value in shape if (entry := filled(value, values, known, escapes)) is not ABSENT]
    if not isinstance(shape, str) or "{" not in shape:
        return shape
    names = [name for name in gap_names(shape) if name in known]
    if any(name not in values for name in names):
        return ABSENT
    if len(names) == 1 and shape == f"{{{names[0]}}}":
        return values[names[0]]
    return fill_text(shape, values, known, escapes)


def fill_text(text: str, values: Mapping[str, Any], known: AbstractSet[str], escapes: Escapes) -> str:
    """Return a text with its gaps filled: the values as they are, escaped only where the gap says so."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in known:
            return match[0]
        value = as_text(values[name])
        if value is None:
            raise lacks(name)
        return escape(match[2], escapes)(value) if match[2] is not None else value

    return GAP.sub(fill, text)


def joined(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return two JSON objects as one: members that are objects in both are joined, others come from `more`."""
    result = dict(base)
    for key, value in more.items():
        known = result.get(key)
        result[key] = joined(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result


def _in_header(name: str, value: str) -> str:
    if not value.isprintable():
        raise Undecodable(
            f"what header `{name}` is to carry holds a line break or another control character: {value[:80]!r}",
            next_step="correct where the mark is read in the connector",
        )
    return value
