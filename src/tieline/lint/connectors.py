"""Judgements over a connector: do its parts fit together, and can every gap in every address be filled?"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tieline.config.loading.references import check_url_template
from tieline.config.loading.yaml_source import Key
from tieline.config.models.connectors import FORMATTED, NUMERIC, SIZED, Connector, Field, Resource
from tieline.config.models.derived import of_one
from tieline.config.models.escapes import gaps, texts_in
from tieline.config.models.fields import Fields, parse
from tieline.config.models.lists import Ceiling, ChangedSince
from tieline.config.models.operations import Batch, Change, Find, Get, Listing, Request, Upsert, Write
from tieline.config.suggestions import meant
from tieline.lint.findings import Findings
from tieline.lint.gaps import lint_declared_escapes, lint_doubled, lint_escapes, lint_unquoted
from tieline.lint.limits import lint_costs, lint_limit_headers, lint_limits
from tieline.lint.lists import LISTS, lint_list_call
from tieline.lint.reading import lint_find, lint_listing, reading_gaps
from tieline.lint.success import lint_results, lint_success
from tieline.lint.tombstones import lint_tombstone
from tieline.lint.webhooks import lint_webhooks
from tieline.model.errors import Complaint

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FILLED: Final = {"path", "headers", "params", "constants", "body", "item"}
"""Keys under which variables are filled in, or people may think so; references stand in `environments` alone."""
Keys = tuple[Key, ...]


def lint_connector(found: Findings, connector: Connector, written: Mapping[str, Any]) -> list[Complaint]:
    """Return what is wrong with a connector. `written` is what stands in its file."""
    judge = _Judge(found, connector)
    judge.environments()
    judge.version()
    judge.auth(written)
    judge.references(written)
    for name, resource in connector.resources.items():
        judge.resource(("resources", name), resource)
    if connector.ping is not None:
        judge.request(("ping",), connector.ping, frozenset())
    judge.headers(("headers",), connector.headers, frozenset())
    lint_declared_escapes(found, connector.escapes)
    if connector.idempotency is not None:
        judge.header(("idempotency", "header"), connector.idempotency.header)
    lint_webhooks(found, connector, judge.header)
    lint_success(found, ("errors", "in_success"), connector.errors.in_success)
    lint_limits(found, connector.limits)
    lint_limit_headers(found, connector.limit_headers)
    judge.unused()
    return found.complaints


class _Judge:
    def __init__(self, found: Findings, connector: Connector) -> None:
        self._found, self._connector = found, connector
        self._used: set[str] = set()
        self._as_written: dict[str, str] = {}
        """Paths that follow from a resource's, each with that one."""

    # -- the whole connector

    def environments(self) -> None:
        if not self._connector.environments:
            self._found.error(("environments",), "there is no environment", "add: `production: https://api.example.com`")
        for name, url in self._connector.environments.items():
            keys = ("environments", name)
            if problem := check_url_template(url):
                self._found.error(keys, problem)
            elif "?" in url or "#" in url:
                self._found.error(keys, "a base URL ends before `?` and `#`", "put parameters into each call's `params`")
            self.gaps(keys, url, frozenset())

    def version(self) -> None:
        version = self._connector.version
        if version is None:
            return
        if version.send == "path":
            if version.param is not None:
                hint = "write `send: header` or `send: query`, or take `param` out"
                self._found.error(("version", "param"), "is only used with a header or query parameter", hint)
        elif not version.param:
            what = "header" if version.send == "header" else "query parameter"
            self._found.error(("version", "param"), f"is missing: which {what} carries the version?", "such as `param: api-version`")
        elif version.send == "header":
            self.header(("version", "param"), version.param)

    def auth(self, written: Mapping[str, Any]) -> None:
        key = self._connector.auth.api_key
        if key is not None:
            self.header(("auth", "api_key", "header"), key.header)
        if key is not None and (key.header is None) == (key.query is None):
            message = "is sent in a header or in a query parameter: one of `header` and `query`"
            self._found.error(("auth", "api_key"), message, "such as `header: X-Api-Key`")
        methods = written.get("auth")
        for name, value in methods.items() if isinstance(methods, dict) else ():
            if value is None:
                self._found.error(("auth", name), "says nothing, and so declares nothing", f"write `{name}: {{}}`")

    def references(self, written: Mapping[str, Any]) -> None:
        for keys, text in _texts(written):
            if "${" in text and _FILLED.intersection(keys):
                hint = "declare a variable, write `{NAME}` here, and give it in the connection: `variables: {NAME: ${env:NAME}}`"
                if {"headers", "params"}.intersection(keys):
                    hint += "; a key belongs under `auth`"
                self._found.error(keys, "a reference is not resolved here", hint)

    def unused(self) -> None:
        for name, meaning in self._connector.variables.items():
            if name not in self._used:
                hint = f"write `{{{name}}}` where it belongs, or take it out"
                self._found.warning(("variables", name), "no address, parameter or header uses it", hint)
            if name in ("id", "value", "version", "record", "since", "until", "cursor", "page", "offset", "size", "last_time", "last_id"):
                self._found.error(("variables", name), f"`{{{name}}}` already means something else", "choose another name")
            if not meaning.strip():
                self._found.warning(("variables", name), "doesn't say what it means", "those who connect must find the value")
        version = self._connector.version
        if version is not None and version.send == "path" and "version" not in self._used:
            hint = "write `{version}` in an address, or `send: header`"
            self._found.warning(("version",), "is never sent", hint)

    # -- resources

    def resource(self, at: Keys, resource: Resource) -> None:
        fields = Fields(resource)
        self._as_written = {of_one(resource.path): resource.path} if resource.path is not None else {}
        if resource.path is None:
            for key in ("operations", "wrap", "record"):
                if key in resource.model_fields_set and (key == "operations" or not any((resource.get, resource.create, resource.update))):
                    self._found.error((*at, key), "belongs to `path`", "add `path: /...`, from which the operations follow")
        if not resource.fields:
            hint = "name the fields that mappings use: `tieline connector sample CONNECTION.RESOURCE` writes them from a page of records"
            self._found.warning((*at, "fields"), "no field is declared, so no mapping can be checked", hint)
        for address, field in resource.fields.items():
            self._field((*at, "fields", address), address, field)
        for way, request, names in _requests(resource):
            self.request((*at, *way), request, names)
            lint_doubled(self._found, (*at, *way), request, self._connector)
            if isinstance(request, Write):
                self._write((*at, *way), request, resource)
            if isinstance(request, Get):
                self._get((*at, *way), request)
        self._part((*at, "id_part"), resource.id_part)
        self._list(at, resource, fields)
        self._deleted(at, resource)
        for field_name, find in resource.find.items():
            self._find((*at, "find", field_name), field_name, find, fields)
        for way_name in ("get", "update", "delete"):
            one: Request | None = getattr(resource, way_name)
            if one is not None and "id" not in _filled(one) | _filled_beside(one):
                hint = f"such as `path: {one.path.split('?')[0].rstrip('/')}/{{id}}`"
                if way_name != "get":
                    hint += f", or in the body: `constants: {{{resource.id}: '{{id}}'}}`"
                self._found.error((*at, way_name), f"never sends `{{id}}`, so it can't say which record to {way_name}", hint)
        self._conditions(at, resource, fields)
        if resource.upsert is not None:
            self._upsert((*at, "upsert"), resource.upsert, fields)
        for way_name in ("create", "update", "upsert", "delete"):
            batch: Batch | None = getattr(resource.batch, way_name)
            if batch is not None:
                self._batch((*at, "batch", way_name), batch, fields)
        for address, calls in resource.lists.items():
            self._has((*at, "lists", address), address, fields)
            if (known := fields.declared(address)) is not None and known.type not in LISTS:
                self._found.error((*at, "lists", address), f"`{address}` is no list", "declare `type: array`")
            for way_name, list_call in (("add", calls.add), ("remove", calls.remove)):
                here = (*at, "lists", address, way_name)
                lint_list_call(self._found, here, list_call)
                self._shape((*here, "body"), list_call.body, fields, ("id", "entries", "entry"))
                self._shape((*here, "entry"), list_call.entry, fields, ("id", "entry"))
        if resource.page is not None:
            self.gaps((*at, "page"), resource.page, frozenset({"id"}))

    def _field(self, at: Keys, address: str, field: Field) -> None:
        try:
            if not parse(address):
                self._found.error(at, "a field needs a name")
        except ValueError as error:
            self._found.error(at, str(error))
        for least, most in (("min_length", "max_length"), ("minimum", "maximum")):
            low, high = getattr(field, least), getattr(field, most)
            if low is not None and high is not None and low > high:
                self._found.error((*at, least), f"{low} is more than `{most}`, {high}")
        for name in ("min_length", "max_length", "decimals"):
            if (number := getattr(field, name)) is not None and number < 0:
                self._found.error((*at, name), "can't be below 0")
        for names, types, of in (
            (("format",), FORMATTED, "text"),
            (("min_length", "max_length"), SIZED, "text or lists"),
            (("minimum", "maximum", "decimals"), NUMERIC, "numbers"),
        ):
            for name in names:
                if getattr(field, name) is not None and field.type not in types:
                    self._found.error((*at, name), f"is for {of}, and the field is `type: {field.type}`", "take it out, or change the type")
        if field.required and field.read_only:
            self._found.error((*at, "required"), "what the vendor sets can't be required of us", "take one of them out")
        if field.enum is not None and not field.enum:
            self._found.error((*at, "enum"), "no value would be accepted", "list the values, or take it out")
        if field.zone is not None:
            self._zone((*at, "zone"), field.zone)

    def _zone(self, at: Keys, zone: str) -> None:
        try:
            zoneinfo.ZoneInfo(zone)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            self._found.error(at, f"there is no time zone `{zone}`", meant(zone, sorted(zoneinfo.available_timezones())))

    def _list(self, at: Keys, resource: Resource, fields: Fields) -> None:
        listing = resource.list
        if listing is None:
            return
        at = (*at, "list")
        self._listing(at, listing, fields)
        if listing.tombstone is not None:
            self._has((*at, "tombstone", "field"), listing.tombstone.field, fields)
            if listing.tombstone.into is not None:
                self._has((*at, "tombstone", "into"), listing.tombstone.into, fields)
            lint_tombstone(self._found, (*at, "tombstone"), listing.tombstone, resource.fields.get(listing.tombstone.field))

    def _deleted(self, at: Keys, resource: Resource) -> None:
        """Judge a feed of deletions. Its entries are no records, so nothing is known of their fields."""
        feed = resource.deleted
        if feed is None:
            return
        at = (*at, "deleted")
        self._listing(at, feed, None)
        if resource.list is None:
            self._found.error(at, "is read with the list, and there is none", "declare `list`")
        elif resource.get is None and resource.list.changed_since is not None:
            message = "tells again of records that have been made again since, and no one can be asked whether they are there"
            self._found.error(at, message, "declare `get`, or take `changed_since` out of `list`, so that it is read whole")

    def _listing(self, at: Keys, listing: Listing, fields: Fields | None) -> None:
        """Judge a list of entries; `fields` are those that they have, if they are known."""
        lint_listing(self._found, at, listing, fields)
        changed = listing.changed_since
        if changed is not None:
            here, names = (*at, "changed_since"), reading_gaps(listing)
            for name, text in changed.params.items():
                self.gaps((*here, "params", name), text, names)
            self.headers((*here, "headers"), changed.headers, names)
            self._used |= {name for _, text in _texts(changed.body) for name in gaps(text) if name in self._known()}
            if changed.zone is not None and gaps(changed.zone):
                self.gaps((*here, "zone"), changed.zone, frozenset())  # the connection says which
            elif changed.zone is not None:
                self._zone((*here, "zone"), changed.zone)
        self._ceiling((*at, "ceiling"), listing, fields)
        conditional = listing.conditional
        if conditional is not None:
            if conditional.of == "answer" and listing.paging is not None:
                message = "a page that is as it was proves nothing about the pages that follow"
                self._found.error(
                    (*at, "conditional", "of"), message, "`of: collection` if the vendor's mark speaks of all records, else take it out"
                )
            if listing.method != "GET":
                self._found.error((*at, "conditional"), "only a GET can be asked for on condition", "take it out")
        if listing.total_counts == "asked" and listing.total is None:
            self._found.error(
                (*at, "total_counts"), "needs `total`: where does the answer say how many there are?", "such as `total: meta.total`"
            )

    def _ceiling(self, at: Keys, listing: Listing, fields: Fields | None) -> None:
        ceiling, changed = listing.ceiling, listing.changed_since
        if ceiling is None:
            return
        size = getattr(listing.paging, "size", None)
        if size is not None and ceiling.records < 2 * size:
            self._found.error((*at, "records"), f"is less than two pages of {size}", "ask for smaller pages: `paging: {size: …}`")
        if ceiling.field is not None:
            self._has((*at, "field"), ceiling.field, fields)
        elif changed is None or not changed.fields:
            self._found.error((*at, "field"), "is missing: which field do the windows lie over?", "such as `field: created_at`")
        if ceiling.start is None and (changed is None or not _is_of(ceiling, changed)):
            self._found.error((*at, "from"), "is missing: which parameter takes a window's start?", "such as `from: created_after`")
        if ceiling.until is None and (changed is None or not changed.sorted or not _is_of(ceiling, changed)):
            hint = "such as `until: created_before`; or `sorted: true` in `changed_since` if the oldest change comes first"
            self._found.error((*at, "until"), "is missing: which parameter takes a window's end?", hint)

    def _get(self, at: Keys, get: Get) -> None:
        """Judge what asks for one record in a body; other braces there are the vendor's own, as in GraphQL."""
        if get.body is None:
            return
        if get.method == "GET":
            self._found.error((*at, "body"), "a GET has no body", "write `method: POST`")
        for keys, text in _texts(get.body):
            self._used |= set(gaps(text)) & self._known()
            lint_escapes(self._found, (*at, "body", *keys), text, self._connector.escapes)

    def _find(self, at: Keys, name: str, find: Find, fields: Fields) -> None:
        self._has(at, name, fields)
        lint_find(self._found, at, find)
        in_body = {gap for text in texts_in(find.body) for gap in gaps(text)}
        if "value" not in _filled(find) | in_body:
            hint = f"such as `params: {{{name}: '{{value}}'}}`"
            self._found.error(at, "never sends `{value}`, so it can't find anything", hint)

    def _write(self, at: Keys, write: Write, resource: Resource) -> None:
        if write.id.body is not None and write.id.header is not None:
            self._found.error((*at, "id"), "the id is in the body or in a header: one of `body` and `header`")
        self._part((*at, "id", "part"), write.id.part)
        if at[-1] == "update" and write.method == "PUT" and not {"whole", "replaces"} & write.model_fields_set:
            hint = (
                "`replaces: true` reads the record and sends it back whole; `whole: false` says that this vendor changes only what is sent"
            )
            self._found.warning((*at, "method"), "most vendors take a PUT for the whole record, and empty what is not sent", hint)
        known = {"changed_fields", *(("id",) if isinstance(write, Change) else ())}
        for keys, text in _texts(write.constants):
            for name in gaps(text):
                self._used.add(name)
                if name not in known and name not in self._known():
                    self._found.warning((*at, "constants", *keys), f"`{{{name}}}` is sent as it stands: nothing is known by that name")
            lint_escapes(self._found, (*at, "constants", *keys), text, self._connector.escapes)
        if write.wrap and write.constants:
            self._around((*at, "constants"), write)
        if write.body is not None:
            self._body(at, write, resource)
        if isinstance(write, Change):
            self._replaces(at, write, resource)

    def _around(self, at: Keys, write: Write) -> None:
        """Judge constants around a record: what is on the way to it has members."""
        node: Any = write.constants
        for part in parse(write.wrap):
            if not isinstance(node, dict | list):
                self._found.error(at, f"say another thing at `{write.wrap}`, where the record goes", "take it out")
                return
            node = node.get(part) if isinstance(node, dict) and isinstance(part, str) else None
            if node is None:
                return
        if not isinstance(node, dict):
            self._found.error(at, f"say another thing at `{write.wrap}`, where the record goes", "take it out")

    def _body(self, at: Keys, write: Write, resource: Resource) -> None:
        """Judge the shape of a body."""
        for key in ("wrap", "constants"):
            if key in write.model_fields_set and getattr(write, key):
                self._found.error((*at, key), "`body` says the whole body", "take one of them out")
        if write.form and not isinstance(write.body, dict):
            self._found.error((*at, "body"), "a form has named members, and nothing else", "write a map, or take `form` out")
        if (
            isinstance(write, Change)
            and write.condition is not None
            and write.condition.body is not None
            and not isinstance(write.body, dict)
        ):
            self._found.error((*at, "condition", "body"), "the body is no object, so nothing can be put there", "put it elsewhere")
        names = self._shape((*at, "body"), write.body, Fields(resource), ("record", "id", "changed_fields"))
        if at[-1] != "delete" and "record" not in names:
            self._found.error((*at, "body"), "never sends `{record}`, so it writes nothing of it", 'such as `body: ["{record}"]`')

    def _shape(self, at: Keys, shape: Any, fields: Fields, own: tuple[str, ...]) -> set[str]:
        """Judge the shape of a body or of an entry, which has gaps of its `own`; return what is filled into it."""
        used: set[str] = set()
        for keys, text in _texts(shape):
            names = gaps(text)
            if keys and keys[-1] == "..." and text != "{record}":
                self._found.error((*at, *keys), "stands for the record's own members", 'write `"...": "{record}"`')
            elif "record" in names and text != "{record}":
                self._found.error((*at, *keys), "`{record}` stands for the whole record, so it stands alone")
            for name in names:
                if name not in own and name not in self._known() and fields.problem(name):
                    self._found.error((*at, *keys), f"`{{{name}}}` is none of `{'`, `'.join(own)}`, a variable and a field")
                self._used.add(name)
                used.add(name)
            lint_escapes(self._found, (*at, *keys), text, self._connector.escapes)
        return used

    def _replaces(self, at: Keys, write: Change, resource: Resource) -> None:
        if write.replaces is None:
            return
        if at[-1] != "update":
            self._found.error((*at, "replaces"), "is said of an update", "take it out")
        elif write.replaces and resource.get is None:
            hint = "declare `get`, or write `whole: true` instead, and map every field that can be written"
            self._found.error((*at, "replaces"), "needs `get`: what is not mapped is read first, and sent back", hint)

    def _part(self, at: Keys, part: str | None) -> None:
        """Judge which part of a text is an id."""
        if part in (None, "whole", "key", "last_segment"):
            return
        hint = "`whole`, `key`, `last_segment`, or a pattern such as `customers/([0-9]+)`"
        try:
            groups = re.compile(part).groups
        except re.error as error:
            self._found.error(at, f"`{part}` is not a pattern: {error}", hint)
        else:
            if groups != 1:
                self._found.error(at, f"a pattern has one group, which is the id, and `{part}` has {groups or 'none'}", hint)

    def _conditions(self, at: Keys, resource: Resource, fields: Fields) -> None:
        declared = {
            way: write.condition for way in ("update", "delete") if (write := getattr(resource, way)) is not None and write.condition
        }
        for way, condition in declared.items():
            here = (*at, way, "condition")
            self._has((*here, "field"), condition.field, fields)
            self.header((*here, "header"), condition.header)
            if sum(place is not None for place in (condition.header, condition.param, condition.body)) != 1:
                message = "is sent in a header, in a query parameter or in the body: one of `header`, `param` and `body`"
                self._found.error(here, message, "such as `header: If-Match`")
            if condition.value is not None and condition.header is None:
                self._found.error((*here, "value"), "is how a header is written", "take it out: elsewhere the field's value goes as it is")
            elif condition.value is not None and set(gaps(condition.value)) != {condition.field}:
                hint = f"such as `value: '\"{{{condition.field}}}\"'`"
                self._found.error(
                    (*here, "value"), f"holds the version itself as `{{{condition.field}}}`, and nothing else in braces", hint
                )
            if resource.get is None:
                hint = "declare `get`, or take the condition out"
                self._found.error(here, "needs `get`: what was refused is read again, to see whether the record has changed", hint)
        if len({condition.field for condition in declared.values()}) > 1:
            message = f"is another field than `update` has, `{declared['update'].field}`: a record has one version"
            self._found.error((*at, "delete", "condition", "field"), message, f"write `field: {declared['update'].field}`")

    def _upsert(self, at: Keys, upsert: Upsert, fields: Fields) -> None:
        self._has((*at, "by"), upsert.by, fields)
        for name in _filled(upsert) - self._known() - {"changed_fields"}:
            if problem := fields.problem(name):
                message = f"`{{{name}}}` is neither a variable nor a field"
                self._found.error((*at, "path"), message, problem[1])

    def _batch(self, at: Keys, batch: Batch, fields: Fields) -> None:
        self._shape((*at, "item"), batch.item, fields, ("record", "id", "changed_fields", "index"))
        if batch.constants and not batch.wrap:
            self._found.error((*at, "constants"), "needs `wrap`: a list has no further members", "such as `wrap: records`")
        results = batch.results
        if results is None:
            return
        if results.by == "id" and not results.key:
            hint = "such as `key: id`"
            self._found.error((*at, "results", "key"), "is missing: which value in a result names the record?", hint)
        if results.field:
            self._has((*at, "results", "field"), results.field, fields)
        lint_results(self._found, (*at, "results"), results)

    # -- calls

    def request(self, at: Keys, request: Request, names: frozenset[str]) -> None:
        """Judge a call; `names` are what it can fill in in addition to variables. None when fields are judged elsewhere."""
        lint_costs(self._found, at, request.cost, self._connector.limits)
        lint_success(self._found, (*at, "in_success"), request.in_success)
        if "://" in request.path:
            self._found.error((*at, "path"), "is an address, not a path", "the address is in `environments`; begin with `/`")
        elif request.path and request.path[0] not in "/?{":
            self._found.error((*at, "path"), "begins with `/`", f"write `/{self._as_written.get(request.path, request.path)}`")
        if not isinstance(request, Upsert):
            self.gaps((*at, "path"), request.path, names)
            for name, text in request.query:
                self.gaps((*at, "params", name), text, names)
        else:
            self._used |= _filled(request)
        for keys, text in ((("path",), request.path), *((("params", name), text) for name, text in request.query)):
            if not text.isprintable():
                self._found.error((*at, *keys), "holds a line break or another control character", "write it in one line")
            lint_unquoted(self._found, (*at, *keys), text, self._known())
            if isinstance(request, Upsert):
                lint_escapes(self._found, (*at, *keys), text, self._connector.escapes)
        of_one = names & {"id"} if not isinstance(request, Listing | Find) else names - {"id"}
        self.headers((*at, "headers"), request.headers, of_one)
        body = getattr(request, "body", None)
        if body is not None and not isinstance(request, Write):
            for inside, text in _texts(body):
                self._used |= {name for name in gaps(text) if name in self._known()}
                lint_escapes(self._found, (*at, "body", *inside), text, self._connector.escapes)
                lint_unquoted(self._found, (*at, "body", *inside), text, self._known())

    def headers(self, at: Keys, headers: Mapping[str, str], names: frozenset[str] = frozenset()) -> None:
        for name, text in headers.items():
            self.gaps((*at, name), text, names)
            self.header((*at, name), name)
            if not text.isprintable():
                self._found.error((*at, name), "holds a line break or another control character", "write it in one line")

    def header(self, at: Keys, name: str | None) -> None:
        if name is not None and not _HEADER.fullmatch(name):
            self._found.error(at, f"`{name}` is no name of a header", "such as `X-Api-Key`: letters, digits and `-`")

    def gaps(self, at: Keys, text: str, names: frozenset[str]) -> None:
        """Complain of gaps in a text that nothing fills."""
        lint_escapes(self._found, at, text, self._connector.escapes)
        for name in gaps(text):
            self._used.add(name)
            if name in names or name in self._known():
                continue
            if name in _ELSEWHERE:
                self._found.error(at, f"`{{{name}}}` is not known here", _ELSEWHERE[name])
            elif not name:
                self._found.error(at, "`{}` names nothing")
            else:
                hint = meant(name, sorted(names | self._known())) or f"declare `{name}` under `variables`"
                self._found.error(at, f"`{{{name}}}` is not a variable of this connector", hint)

    def _known(self) -> frozenset[str]:
        version = {"version"} if self._connector.version is not None else set()
        return frozenset(self._connector.variables) | version

    def _has(self, at: Keys, address: str, fields: Fields | None) -> None:
        if fields is not None and (problem := fields.problem(address)):
            self._found.error(at, *problem)


def _is_of(ceiling: Ceiling, changed: ChangedSince) -> bool:
    """Whether windows lie over the field that a point of changes is about."""
    return ceiling.field is None or (ceiling.field,) == changed.fields


def _requests(resource: Resource) -> Iterator[tuple[Keys, Request, frozenset[str]]]:
    """Yield every call, where it stands, and what it can fill in in addition to variables."""
    known = {"get": "id", "update": "id", "delete": "id"}
    for way in ("list", "deleted", "get", "create", "update", "upsert", "delete"):
        if (request := getattr(resource, way)) is not None:
            names = reading_gaps(request) if isinstance(request, Listing) else frozenset({known[way]} if way in known else ())
            yield (way,), request, names | ({"changed_fields"} if isinstance(request, Write) else frozenset())
    for field, find in resource.find.items():
        yield ("find", field), find, reading_gaps(find) | {"value"}
    for way in ("create", "update", "upsert", "delete"):
        if (batch := getattr(resource.batch, way)) is not None:
            yield ("batch", way), batch, frozenset()
    for address, calls in resource.lists.items():
        yield ("lists", address, "add"), calls.add, frozenset(("id", "entry"))
        yield ("lists", address, "remove"), calls.remove, frozenset(("id", "entry"))


def _filled(request: Request) -> set[str]:
    return {name for text in (request.path, *(text for _, text in request.query)) for name in gaps(text)}


def _filled_beside(request: Request) -> set[str]:
    """Return what is filled in elsewhere than in the address."""
    beside = (request.constants, request.body) if isinstance(request, Write) else (request.body,) if isinstance(request, Get) else ()
    return {name for _, text in _texts([*request.headers.values(), *beside]) for name in gaps(text)}


def _texts(value: Any) -> Iterator[tuple[Keys, str]]:
    if isinstance(value, str):
        yield (), value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (((key, *keys), text) for keys, text in _texts(item))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from (((index, *keys), text) for keys, text in _texts(item))


_ELSEWHERE: Final = {
    "id": "a record's id is known to `get`, `update` and `delete`",
    "value": "`find` has a value to look for",
    "since": "the point is known where `changed_since` is declared",
    "until": "now is known where `changed_since` is declared",
    "cursor": "`paging: {style: cursor}` has a mark to send back",
    "page": "`paging: {style: page}` counts pages",
    "offset": "`paging: {style: offset}` counts records",
    "size": "`paging` has a `size`",
    "last_time": "`paging: {style: keyset}` knows the last record's time",
    "last_id": "`paging: {style: keyset}` knows the last record's id",
    "version": "declare `version`",
    "record": "the record is known to a batch's `item`",
}
