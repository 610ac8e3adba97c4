"""Judgements over texts with gaps: can a value change the question that it is put into, and is a parameter sent twice?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from tieline.config.loading.yaml_source import Key
from tieline.config.models.connectors import Connector
from tieline.config.models.escapes import BARE, ESCAPES, GAP
from tieline.config.models.operations import Change, Listing, Request
from tieline.config.suggestions import meant
from tieline.lint.findings import Findings

Keys = tuple[Key, ...]
_QUERIES: Final = frozenset(
    ["filter", "$filter", "q", "query", "where", "jql", "soql", "sql", "nql", "filterbyformula", "formula", "expression", "condition"]
)
"""Parameters in which vendors expect a question in a language of theirs."""
_NOT_OF_RECORDS: Final = frozenset(("since", "until", "cursor", "page", "offset", "size", "last_time", "last_id", "changed_fields"))
"""Gaps that are filled with what the vendor or tieline made."""
_GAP_OF: Final = {"time_param": "last_time", "id_param": "last_id", "size_param": "size"}
_SAID: Final = {
    "$filter": "odata",
    "filter": "odata",
    "jql": "jql",
    "filterbyformula": "formula",
    "sql": "sql",
    "where": "sql",
    "nql": "nql",
}


def lint_declared_escapes(found: Findings, escapes: Mapping[str, Mapping[str, str]]) -> None:
    """Judge the escapes of a connector's own."""
    for name, table in escapes.items():
        at = ("escapes", name)
        if name in ESCAPES:
            found.error(at, f"`{name}` is known already: {ESCAPES[name]}", "choose another name")
        if not table:
            found.error(at, "replaces nothing", 'such as `{"\'": "\'\'"}`')
        elif "" in table:
            found.error(at, "an empty text can't be replaced", "name the characters that are special")


def lint_escapes(found: Findings, at: Keys, text: str, declared: Mapping[str, Any]) -> None:
    """Complain of escapes that are not known, or that stand where there are no quotes to write for."""
    for _, name, escape, quoted in _gaps(text):
        if escape is None:
            continue
        if escape not in ESCAPES and escape not in declared:
            hint = meant(escape, sorted({*ESCAPES, *declared})) or f"declare it under `escapes`, or one of {', '.join(sorted(ESCAPES))}"
            found.error(at, f"there is no escape `{escape}`", hint)
        elif not quoted and escape in ESCAPES and escape not in BARE:
            hint = f"write `'{{{name}|{escape}}}'`, or `{{{name}|number}}` for a number"
            found.error(at, f"`{escape}` writes for the inside of quotes, and there are none around `{{{name}}}`", hint)


def lint_unquoted(found: Findings, at: Keys, text: str, variables: Collection[str]) -> None:
    """Warn of values that go as they are into what looks like a question in a query language."""
    parameter = str(at[-1]).lower()
    for gap, name, escape, quoted in _gaps(text):
        if escape is not None or name in variables or name in _NOT_OF_RECORDS or gap == text:
            continue
        if quoted or (at[-2:-1] == ("params",) and parameter in _QUERIES):
            hint = f"write `{{{name}|{_SAID.get(parameter, 'odata')}}}`, or another escape: {', '.join(sorted(ESCAPES))}"
            found.warning(at, f"`{{{name}}}` goes in as it is: a value with a quote in it asks for something else", hint)


def _gaps(text: str) -> Iterator[tuple[str, str, str | None, bool]]:
    """Yield each gap: as it is written, its name, its escape, and whether it stands between quotes."""
    quote: str | None = None
    position = 0
    for match in GAP.finditer(text):
        for char in re.sub(r"\\.", "", unquote(text[position : match.start()])):
            if quote is None and char in "'\"":
                quote = char
            elif char == quote:
                quote = None
        position = match.end()
        yield match[0], match[1], match[2], quote is not None


def _parameters(path: str) -> dict[str, list[str]]:
    """Return the parameters of an address, each with all its texts."""
    found: dict[str, list[str]] = {}
    for name, _, text in (part.partition("=") for part in path.partition("?")[2].split("&") if part):
        found.setdefault(unquote(name), []).append(unquote(text))
    return found


def lint_doubled(found: Findings, at: Keys, request: Request, connector: Connector) -> None:
    """Complain of a parameter that a call would send twice: the vendor would take one of the two."""
    seen: dict[str, str] = {}
    for name, texts in _parameters(request.path).items():
        if len(texts) > 1 and not name.endswith("[]"):
            hint = f"write a list if you mean one: `params: {{{name}: [{', '.join(texts)}]}}`"
            found.error((*at, "path"), f"the parameter `{name}` is in it more than once", hint)
        seen[name] = "`path`"
    for name, sent in request.params.items():
        if sent == []:
            found.error((*at, "params", name), "an empty list sends nothing", f"name what is sent, or take `{name}` out")
        if name in seen:
            found.error((*at, "params", name), f"the parameter `{name}` is in the `path` too", "take one of them out")
        seen[name] = "`params`"
    for keys, name in _further(request, connector):
        if name in seen:
            place = (*at, *keys) if keys[0] not in ("auth", "version") else at
            what = "" if keys[0] not in ("auth", "version") else f", which `{'.'.join(map(str, keys))}` sends,"
            found.error(place, f"the parameter `{name}`{what} is in {seen[name]} too, and would be sent twice", "take one of them out")


def _further(request: Request, connector: Connector) -> Iterator[tuple[Keys, str]]:
    """Yield the parameters that are sent beside those of the call itself. One of them may be that of another: then one is sent."""
    if connector.version is not None and connector.version.send == "query" and connector.version.param:
        yield ("version", "param"), connector.version.param
    if connector.auth.api_key is not None and connector.auth.api_key.query is not None:
        yield ("auth", "api_key", "query"), connector.auth.api_key.query
    if isinstance(request, Change) and request.condition is not None and request.condition.param is not None:
        yield ("condition", "param"), request.condition.param
    if not isinstance(request, Listing):
        return
    paging, changed, ceiling = request.paging, request.changed_since, request.ceiling
    texts = (request.path, *(text for _, text in request.query), *request.headers.values(), str(request.body))
    used = {match[1] for text in texts for match in GAP.finditer(text)}
    elsewhere = getattr(paging, "body", None) is not None or getattr(paging, "header", None) is not None
    for key in ("param", "size_param", "time_param", "id_param"):
        name = getattr(paging, key, None)
        gap = getattr(paging, "style", "") if key == "param" else _GAP_OF[key]
        if isinstance(name, str) and gap not in used and not (key == "param" and elsewhere):
            yield ("paging", key), name
    if changed is not None and changed.param is not None:
        yield ("changed_since", "param"), changed.param
    for key, name in (("from", getattr(ceiling, "start", None)), ("until", getattr(ceiling, "until", None))):
        if isinstance(name, str):
            yield ("ceiling", key), name
