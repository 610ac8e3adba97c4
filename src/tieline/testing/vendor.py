"""A vendor in this process: an HTTP API over collections, with credentials, limits and idempotency keys.

`FakeSystem.handle` does the work of a request at once; `tieline.testing.network` carries requests there and back, and loses some.
"""

from __future__ import annotations

import base64
import email.utils
import hmac
import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from tieline.model.clock import Clock
from tieline.model.paths import get
from tieline.model.records import decode_json, encode_json
from tieline.testing.collection import LOCKED, Collection, Entry, Refusal
from tieline.transport.ports import HttpRequest, HttpResponse

KEY: Final = "Idempotency-Key"


class Headers(dict[str, str]):
    """Headers that are found whatever their case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def get(self, name: str, default: Any = None) -> Any:
        """Return a header's value."""
        return super().get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())


class FakeSystem:
    """A vendor: collections behind one address, which nothing outside this process can reach."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        *collections: Collection,
        token: str = "fake-token-0123456789",  # noqa: S107 - made up
        idempotency: bool = False,
        rate: tuple[int, float] | None = None,
        declared_rate: tuple[int, float] | None = None,
        retry_after: str = "seconds",
        limit_headers: str | None = None,
        backoff: float | None = None,
        concurrency: int = 4,
        dates: bool = True,
        ahead: float = 0.0,
    ) -> None:
        """`idempotency`: it knows a repeated write by its key.

        `rate`: at most so many requests in any so many seconds, with a 429 for the rest; `declared_rate` is what the connector says
        of it. `retry_after`: how the 429 tells the wait: `seconds`, `date`, or `never`. `limit_headers`: how
        every answer tells of the rate: `draft` (structured fields), `plain` (X-RateLimit, reset in seconds), `epoch` (reset as a time), or not.
        `backoff`: for how many seconds good answers ask to be left alone. `concurrency`: what the connector allows at once.
        `ahead`: how many seconds its clock is ahead of ours. `dates`: answers say when they were made, in a `Date` header.
        """
        self.name, self.clock, self.token = name, clock, token
        self.collections = {collection.name: collection for collection in collections}
        self._ahead = ahead
        for collection in collections:
            collection.now = self.now
        self.idempotency, self.rate, self.declared_rate, self.retry_after = idempotency, rate, declared_rate, retry_after
        self.limit_headers, self.backoff = limit_headers, backoff
        self.concurrency, self.dates = concurrency, dates
        self.requests: list[HttpRequest] = []
        """Every request that arrived."""
        self.throttled = 0
        """How many were answered 429."""
        self.misused_keys: list[str] = []
        """Idempotency keys that came with two different requests."""
        self.hook_secret = "whsec_" + base64.b64encode(f"made up for {name}".encode()).decode()
        """With what it signs its webhooks."""
        self._told_of = 0
        self._answers: dict[str, tuple[Any, HttpResponse]] = {}
        self._arrivals: deque[float] = deque()

    def now(self) -> float:
        """Return the time by its own clock, in seconds since 1970."""
        return self.clock.now() + self._ahead

    @property
    def url(self) -> str:
        """The address under which it is declared."""
        return f"https://{self.name}.example.test/v1"

    def __getitem__(self, collection: str) -> Collection:
        return self.collections[collection]

    @property
    def writes(self) -> list[HttpRequest]:
        """The requests that arrived and were not reads."""
        return [request for request in self.requests if request.method != "GET"]

    def connector(self) -> dict[str, Any]:
        """Return the connector that describes it."""
        declared: dict[str, Any] = {
            "connector": self.name,
            "environments": {"production": self.url},
            "auth": {"bearer": {}},
            "concurrency": self.concurrency,
            "errors": {"message": ["error", "errors"], "passing": ["is locked"]},
            "resources": {name: collection.declaration() for name, collection in self.collections.items()},
        }
        if self.idempotency:
            declared["idempotency"] = {"header": KEY}
        if self.backoff is not None:
            declared["limit_headers"] = [{"backoff": "Backoff"}]
        if self.declared_rate is not None:
            declared["limits"] = [{"requests": self.declared_rate[0], "per": f"{self.declared_rate[1]:g}s"}]
        if any(collection.webhooks for collection in self.collections.values()):
            declared["webhooks"] = {"verify": {"standard": {}}, "type": {"body": "type"}}
        return declared

    def webhook(self, collection: str, kind: str, id: Any, *, into: Any = None) -> tuple[Headers, bytes]:
        """Return headers and body of a webhook that says that a record was `changed`, `deleted`, or `merged` into another."""
        self._told_of += 1
        name, at = f"msg_{self._told_of}", str(int(self.now()))
        body = encode_json({"type": f"{collection}.{kind}", "data": {"id": id, "into": into}})
        key = base64.b64decode(self.hook_secret.removeprefix("whsec_"))
        signature = base64.b64encode(hmac.digest(key, f"{name}.{at}.".encode() + body, "sha256")).decode()
        return Headers({"webhook-id": name, "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}), body

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Do what a request asks for, and answer."""
        response = self._answer(request)
        if told := self._told(response.status):
            response = HttpResponse(response.status, Headers({**response.headers, **told}), response.body)
        if self.dates:
            date = email.utils.formatdate(self.now(), usegmt=True)
            response = HttpResponse(response.status, Headers({**response.headers, "Date": date}), response.body)
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        headers = Headers(request.headers)
        if headers.get("Authorization") != f"Bearer {self.token}":
            return answer(401, {"error": "who are you?"})
        if (throttled := self._throttled()) is not None:
            return throttled
        key = headers.get(KEY) if self.idempotency and request.method != "GET" else None
        if key:
            asked = request.method, request.url, decode_json(request.body) if request.body else None
            if key in self._answers:
                before, again = self._answers[key]
                if before != asked:
                    self.misused_keys.append(key)
                    return answer(400, {"error": f"{KEY} {key} was used for another request"})
                return again
            done = self._handle(request, key)
            if done.status < 400 and b'"refused": true' not in done.body and b'"refused":true' not in done.body:
                self._answers[key] = asked, done  # a refusal is judged again
            return done
        return self._handle(request, "")

    # -- details

    def _told(self, status: int) -> dict[str, str]:
        """Return what headers tell of the limits."""
        told = {"Backoff": f"{self.backoff:g}"} if self.backoff is not None and status < 400 else {}
        if self.rate is None or self.limit_headers is None:
            return told
        (most, seconds), now = self.rate, self.clock.now()
        left = max(0, most - len(self._arrivals))
        free_at = self._arrivals[-1] + seconds if self._arrivals else now
        reset = str(math.ceil(free_at) if self.limit_headers == "epoch" else math.ceil(free_at - now))
        if self.limit_headers == "draft":
            return {**told, "RateLimit-Policy": f'"all";q={most};w={seconds:g}', "RateLimit": f'"all";r={left};t={reset}'}
        return {**told, "X-RateLimit-Limit": str(most), "X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": reset}

    def _throttled(self) -> HttpResponse | None:
        if self.rate is None:
            return None
        (most, seconds), now = self.rate, self.clock.now()
        while self._arrivals and self._arrivals[0] <= now - seconds:
            self._arrivals.popleft()
        if len(self._arrivals) < most:
            self._arrivals.append(now)
            return None
        self.throttled += 1
        wait = self._arrivals[0] + seconds - now
        headers = {}
        if self.retry_after == "seconds":
            headers["Retry-After"] = str(math.ceil(wait))
        elif self.retry_after == "date":
            headers["Retry-After"] = email.utils.formatdate(math.ceil(now + wait), usegmt=True)
        return answer(429, {"error": "too many requests"}, headers)

    def _handle(self, request: HttpRequest, key: str) -> HttpResponse:
        parts = urlsplit(request.url)
        path = parts.path.removeprefix("/v1/").split("/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        collection = self.collections.get(path[0])
        if collection is None:
            return answer(404, {"error": f"there is no {path[0]}"})
        try:
            sent: Any = decode_json(request.body) if request.body else {}
        except msgspec.DecodeError as error:
            return answer(400, {"error": f"not JSON: {error}"})
        try:
            return self._route(collection, request.method, path[1:], query, sent, key, Headers(request.headers))
        except Refusal as refusal:
            if collection.says_no != "status" and request.method != "GET" and refusal.status in _SAID_IN_SUCCESS:
                return answer(200, {**_spoken(collection.says_no, refusal.text), "refused": True})
            return answer(refusal.status, {"error": refusal.text})

    def _route(
        self, c: Collection, method: str, path: list[str], query: dict[str, str], sent: Any, key: str, headers: Headers
    ) -> HttpResponse:
        if method != "GET" and path[:1] != ["batch"]:
            c.check_lock()
        match method, path:
            case "GET", []:
                return self._list(c, query, headers)
            case "GET", ["deleted"] if c.feed is not None:
                return answer(200, c.told(query.get("since"), int(query["after"]) if "after" in query else None, int(query["limit"])))
            case "GET", ["search"]:
                return answer(200, {"data": [c.shown(entry, "search") for entry in c.found(query["field"], query["value"])]})
            case "GET", ["items", id]:
                entry = c.asked_for(c.meant(unquote(id)))
                return answer(404, {"error": "not found"}) if entry is None else answer(200, c.shown(entry))
            case "POST", []:
                return self._stored(c, c.create(sent, key), 201)
            case (("PATCH" | "PUT"), ["items", id]):
                in_body = sent.pop("version", None) if c.versions == "body" else None
                c.expect(c.meant(unquote(id)), headers.get("If-Match") if in_body is None else str(in_body))
                return self._stored(c, c.replace(c.meant(unquote(id)), sent, key, whole=method == "PUT"), 200)
            case "PUT", ["by", field, value]:
                entry, made = c.put(field, unquote(value), sent, key)
                return self._stored(c, entry, 201 if made else 200)
            case "DELETE", ["items", id]:
                c.expect(c.meant(unquote(id)), headers.get("If-Match", query.get("version")))
                c.delete(c.meant(unquote(id)), key)
                return HttpResponse(204, Headers({}), b"")
            case "POST", ["batch", operation]:
                return self._batch(c, operation, sent["items"], key)
        return answer(405, {"error": f"{method} is not for {'/'.join(path)}"})

    def _stored(self, c: Collection, entry: Entry, status: int) -> HttpResponse:
        match c.tells:
            case "record":
                return answer(status, c.shown(entry) if c.says_no == "status" else {**_spoken(c.says_no), "data": c.shown(entry)})
            case "location":
                return HttpResponse(
                    status, Headers({"Location": f"{self.url}/{c.name}/items/{quote(str(c.spelled(entry.id, 'header')), safe='')}"}), b""
                )
            case "nothing":
                return HttpResponse(204, Headers({}), b"")

    def _batch(self, c: Collection, operation: str, items: list[Any], key: str) -> HttpResponse:
        if len(items) > c.batch[operation]:
            return answer(413, {"error": f"at most {c.batch[operation]} at once"})
        if c.results == "none":
            # All or nothing: whatever one of them is refused for, none is done.
            for item in items:
                id = item if operation == "delete" else item.get("id")
                c._judge(operation, {} if operation == "delete" else item, c.entries.get(c.meant(id)) if operation != "create" else None)
            for item in items:
                self._one_of_batch(c, operation, item, key)
            return answer(200, _spoken(c.says_no))
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for place, item in enumerate(items):
            result: dict[str, Any] = {}
            if c.results == "id":
                by = "id" if operation in ("update", "delete") else c.result_key
                result["key"] = item.get(by) if isinstance(item, dict) else item
            try:
                c.check_lock()
                entry = self._one_of_batch(c, operation, item, key)
                result |= {"status": 200, "id": c.spelled(entry.id if entry is not None else item, "result")}
            except Refusal as refusal:
                result |= {"status": refusal.status, "error": refusal.text}
            if not c.leaves_out():
                (errors if c.apart and "error" in result else results).append({**result, "index": place} if c.apart else result)
        if len(results) > 1 and c.mixes_up():
            for repeated in ("id", "key"):
                if repeated in results[1]:
                    results[0][repeated] = results[1][repeated]
        return answer(207, {"results": results, **({"errors": errors} if c.apart else {})})

    def _one_of_batch(self, c: Collection, operation: str, item: Any, key: str) -> Entry | None:
        match operation:
            case "create":
                return c.create(item, key)
            case "update":
                return c.replace(c.meant(item["id"]), {k: v for k, v in item.items() if k != "id"}, key, whole=c.update == "put")
            case "upsert":
                assert c.upsert is not None
                return c.put(c.upsert, get(item, c.upsert), item, key)[0]
            case "delete":
                c.delete(c.meant(item), key)
        return None

    def _list(self, c: Collection, query: dict[str, str], asked: Headers) -> HttpResponse:
        headers = _validators(c)
        if c.conditional is not None and _unchanged(c, asked, headers):
            return HttpResponse(304, Headers(headers), b"")
        entries, size = _selected(c, query), int(query.get("limit", c.page_size))
        total = len(entries) if c.total != "all" else len(c.listed())
        body: dict[str, Any] = {"meta": {"total": total}}
        following: dict[str, str] | None = None
        counted = c.paging in ("page", "offset") or c.counted_marks
        before = 0
        match c.paging:
            case None:
                page = entries
            case "keyset":
                after = (query.get("after_time"), query.get("after_id", ""))
                entries = sorted(entries, key=lambda entry: (c.cut(entry.changed_at), entry.id))
                if after[0] is not None:
                    place_of_last = c.moment(after[0])
                    rest = [e for e in entries if (c.cut(e.changed_at), e.id) > (place_of_last, type(e.id)(after[1]))]
                    before, entries = len(entries) - len(rest), rest
                page = entries[:size]
            case _ if counted:
                before = (int(query.get("page", 1)) - 1) * size if c.paging == "page" else int(query.get("offset", query.get("after", 0)))
                page = entries[before : before + size]
                if before + size < len(entries):
                    following = {**query, "after": str(before + size)}
            case _:
                if (mark := query.get("after")) is not None:
                    place = _place(mark)
                    rest = [entry for entry in entries if list(c.position(entry)) > place]
                    before, entries = len(entries) - len(rest), rest
                page = entries[:size]
                if len(entries) > size:
                    following = {**query, "after": _mark(list(c.position(page[-1])))}
        if c.ceiling is not None and before + len(page) > c.ceiling:
            match c.at_ceiling if c.paging is not None else "stop":
                case "error":
                    return answer(400, {"error": f"only the first {c.ceiling} are shown"})
                case "repeat":
                    page = entries[: len(page)] if not counted else entries[max(0, before - size) : before]
                case "empty" | "stop":
                    page, following = page[: max(0, c.ceiling - before)], None
        if c.paging not in ("cursor", "next_url", "link_header"):
            following = None
        if following is not None:
            url = f"{self.url}/{c.name}?{urlencode(following)}"
            if c.paging == "cursor":
                body["meta"]["next"] = following["after"]
            elif c.paging == "next_url":
                body["meta"]["next_url"] = url
            else:
                headers["Link"] = f'<{self.url}/{c.name}>; rel="first", <{url}>; rel="next"'
        body["data"] = [c.shown(entry, "list") for entry in page]
        return answer(200, body, headers)


def _selected(c: Collection, query: dict[str, str]) -> list[Entry]:
    """Return the entries that a list is asked for, by what has changed and by windows."""
    entries = c.listed()
    by_time = c.changed_since == "time"
    for name, later in (("since", True), ("until", False)):
        if (bound := query.get(name)) is None:
            continue
        if by_time:
            moment = c.moment(bound)
            entries = [e for e in entries if (c.cut(e.changed_at) >= moment if later else c.cut(e.changed_at) < moment)]
        else:
            entries = [e for e in entries if (e.version > int(bound) if later else e.version < int(bound))]
    if (made_from := query.get("made_from")) is not None:
        entries = [e for e in entries if c.cut(e.made_at) > c.moment(made_from)]
    if (made_until := query.get("made_until")) is not None:
        entries = [e for e in entries if c.cut(e.made_at) < c.moment(made_until)]
    return entries


def _validators(c: Collection) -> dict[str, str]:
    headers = {}
    if c.changed_since == "mark" or c.conditional == "etag":
        headers["ETag"] = f'"{c.version}"'
    if c.conditional == "last_modified":
        headers["Last-Modified"] = email.utils.formatdate(math.floor(c.changed_at), usegmt=True)
    return headers


def _unchanged(c: Collection, asked: Headers, told: dict[str, str]) -> bool:
    if c.conditional == "etag":
        return bool(asked.get("If-None-Match") == told["ETag"])
    since = asked.get("If-Modified-Since")
    return bool(since) and email.utils.parsedate_to_datetime(since).timestamp() >= math.floor(c.changed_at)


_SAID_IN_SUCCESS = (409, 422, LOCKED)


def _spoken(says_no: str, refused: str = "") -> dict[str, Any]:
    """Return how an answer of 200 says that a write was done, or why it was not."""
    match says_no:
        case "flag":
            return {"ok": not refused, "error": refused}
        case "code":
            return {"code": 7 if refused else 0, "error": refused}
    return {"errors": [{"message": refused}] if refused else []}


def answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return an answer in JSON."""
    return HttpResponse(status, Headers({"Content-Type": "application/json", **(headers or {})}), encode_json(body))


def _mark(place: list[Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _place(mark: str) -> list[Any]:
    place: list[Any] = msgspec.json.decode(base64.urlsafe_b64decode(mark))
    return place
