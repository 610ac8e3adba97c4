"""Postbox, an email platform, version 3.0: lists of members, at most one for each address.

Strict where the CRM is lax (see `members`). It limits its callers, recognises a repeated write by its
`X-Idempotency-Key` and then answers as it did the first time, and takes up to 100 records in one call, each with a
result of its own.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Any, Final

from aiohttp import web

from tieline.model.clock import Clock
from tieline.model.records import Record
from tieline.sandbox.answers import Refusal, answer, number_in, read_object
from tieline.sandbox.leads import make_leads
from tieline.sandbox.members import STATUSES, changed_member, new_member
from tieline.sandbox.state import State
from tieline.sandbox.throttle import Limit
from tieline.sandbox.vendor import Vendor

POSTBOX_KEY: Final = "postbox-sandbox-key"

LISTS: Final = {"nurture": "Nurture", "newsletter": "Newsletter"}
_BATCH: Final = 100
_MOST_KEYS: Final = 20_000


class Postbox(Vendor):
    """Lists of people who get mail."""

    kind = "email"
    limit = Limit(per_second=100, burst=50, at_once=10)

    def __init__(
        self,
        state: State | None = None,
        *,
        members: int = 60,
        seed: int = 1,
        key: str = POSTBOX_KEY,
        clock: Clock | None = None,
        limit: Limit | None = None,
    ) -> None:
        self._count, self._seed, self._key = members, seed, key
        self._by_email: dict[tuple[str, str], str] = {}
        super().__init__(state or State(self.kind), clock=clock, limit=limit)

    def seed(self) -> None:
        """Fill in members who were there before: some whom the CRM of the same seed knows, by address only."""
        self._by_email = {}
        known = (lead for lead in make_leads(self._count * 5, self._seed) if lead["status"] == "qualified")
        for lead in islice(known, self._count):
            self._create("nurture", {"email_address": lead["email"], "status": "subscribed", "tags": ["old-import"]})

    def recall(self) -> None:
        """Learn the addresses."""
        self._by_email = {(m["list_id"], m["email_address"]): key for key, m in self._members.items()}

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the vendor's own addresses."""
        members = "/3.0/lists/{list}/members"
        return (
            web.get("/3.0/ping", self._ping),
            web.get("/3.0/lists", self._lists),
            web.get(members, self._list),
            web.post(members, self._once(self._post)),
            web.post(members + "/batch", self._once(self._post_batch)),
            web.patch(members + "/batch", self._once(self._patch_batch)),
            web.get(members + "/{id}", self._get),
            web.patch(members + "/{id}", self._once(self._patch)),
            web.delete(members + "/{id}", self._once(self._delete)),
        )

    def is_authorized(self, request: web.Request) -> bool:
        """Whether the API key is right."""
        return secrets.compare_digest(request.headers.get("X-Api-Key", "").encode(), self._key.encode())

    def error_body(self, refusal: Refusal) -> Any:
        """Return a refusal in the vendor's own words."""
        title = refusal.code if refusal.code.istitle() else refusal.code.replace("_", " ").title()
        body: dict[str, Any] = {"status": refusal.status, "title": title, "detail": refusal.message}
        if refusal.details:
            body["errors"] = refusal.details
        return body

    def counts(self) -> dict[str, int]:
        """Return how many members there are, and with which status."""
        by_status = Counter(member["status"] for member in self._members.values())
        return {"members": len(self._members), **{status: by_status[status] for status in STATUSES}}

    def records(self) -> list[Record]:
        """Return the members of all lists."""
        return list(self._members.values())

    def add(self, fields: Record) -> Record:
        """Put a member in; even by hand, Postbox takes no other than a good one."""
        list_id = fields.get("list_id", "nurture")
        return self._create(list_id, {name: value for name, value in fields.items() if name != "list_id"})

    def add_bad(self, kind: str) -> Record:
        """There is no way in for a bad member."""
        raise KeyError(kind)

    def edit(self, key: str, fields: Record) -> Record:
        """Change a member as its owner would, who may subscribe again."""
        member = self._members[key]
        return self._replace({**member, "status": fields.get("status", member["status"])}, fields)

    def remove(self, key: str) -> None:
        """Remove a member."""
        member = self._members[key]
        del self._by_email[member["list_id"], member["email_address"]]
        self.state.take_out("members", key)

    @property
    def _members(self) -> dict[Any, Record]:
        return self.state.table("members")

    def _create(self, list_id: str, fields: Record) -> Record:
        member = new_member(fields)
        self._refuse_double(list_id, member["email_address"])
        number = self.state.table("ids").get("next", 1)
        self.state.put("ids", "next", number + 1)
        key = hashlib.blake2b(f"{self._seed}/{number}".encode(), digest_size=8).hexdigest()
        return self._keep({"id": key, "list_id": list_id, **member})

    def _replace(self, member: Record, fields: Record) -> Record:
        changed = changed_member(member, fields)
        if changed["email_address"] != member["email_address"]:
            self._refuse_double(member["list_id"], changed["email_address"])
            del self._by_email[member["list_id"], member["email_address"]]
        return self._keep(changed)

    def _keep(self, member: Record) -> Record:
        now = dt.datetime.fromtimestamp(int(self.clock.now()), dt.UTC)
        member = {**member, "last_changed": now.isoformat()}
        self.state.put("members", member["id"], member)
        self._by_email[member["list_id"], member["email_address"]] = member["id"]
        return member

    def _refuse_double(self, list_id: str, email: str) -> None:
        if (list_id, email) in self._by_email:
            raise Refusal(400, "Member Exists", f"{email} is already a list member. Use PATCH to update it.")

    def _once(self, handle: Callable[[web.Request], Awaitable[web.Response]]) -> Callable[[web.Request], Any]:
        """Do a write once for each idempotency key; a repetition gets the first answer. Refusals are not remembered."""

        async def handle_once(request: web.Request) -> web.Response:
            key = request.headers.get("X-Idempotency-Key")
            if key is None:
                return await handle(request)
            if not 0 < len(key) <= 255:
                raise Refusal(400, "Invalid Idempotency Key", "the key must have 1 to 255 characters")
            said = hashlib.blake2b(f"{request.method} {request.path}\n".encode() + await request.read()).hexdigest()
            known = self.state.table("answers").get(key)
            if known is None:
                response = await handle(request)
                text = response.body.decode() if isinstance(response.body, bytes) else ""
                self.state.put("answers", key, [said, response.status, text])
                if len(self.state.table("answers")) > _MOST_KEYS:
                    self.state.take_out("answers", next(iter(self.state.table("answers"))))
                return response
            if known[0] != said:
                raise Refusal(422, "Idempotency Key Reused", "the key was used for a different request")
            self.answered["repeated"] += 1
            repeated = web.Response(text=known[2], status=known[1], content_type="application/json")
            repeated.headers["X-Idempotent-Replay"] = "true"
            return repeated

        return handle_once

    async def _ping(self, _: web.Request) -> web.Response:
        return answer({"health_status": "Everything's fine"})

    async def _lists(self, _: web.Request) -> web.Response:
        counts = Counter(member["list_id"] for member in self._members.values())
        lists = [{"id": key, "name": name, "member_count": counts[key]} for key, name in LISTS.items()]
        return answer({"lists": lists, "total_items": len(lists)})

    async def _list(self, request: web.Request) -> web.Response:
        list_id = _list_id(request)
        offset = number_in(request, "offset", 0, 0, 10**9)
        count = number_in(request, "count", 10, 1, 1000)
        if "email_address" in request.query:
            key = self._by_email.get((list_id, request.query["email_address"].strip().lower()))
            members = [] if key is None else [self._members[key]]
        else:
            members = [member for member in self._members.values() if member["list_id"] == list_id]
        return answer({"members": members[offset : offset + count], "total_items": len(members)})

    async def _get(self, request: web.Request) -> web.Response:
        return answer(self._find(_list_id(request), request.match_info["id"]))

    async def _post(self, request: web.Request) -> web.Response:
        return answer(self._create(_list_id(request), await read_object(request)), 201)

    async def _patch(self, request: web.Request) -> web.Response:
        fields = await read_object(request)
        return answer(self._replace(self._find(_list_id(request), request.match_info["id"]), fields))

    async def _delete(self, request: web.Request) -> web.Response:
        self.remove(self._find(_list_id(request), request.match_info["id"])["id"])
        return web.Response(status=204)

    async def _post_batch(self, request: web.Request) -> web.Response:
        list_id = _list_id(request)
        return await self._each(request, 201, lambda entry: self._create(list_id, entry))

    async def _patch_batch(self, request: web.Request) -> web.Response:
        list_id = _list_id(request)

        def change(entry: Record) -> Record:
            fields = entry.get("member")
            if not isinstance(fields, dict):
                raise Refusal(400, "Invalid Resource", "an entry has an `id` and a `member`")
            return self._replace(self._find(list_id, str(entry.get("id"))), fields)

        return await self._each(request, 200, change)

    async def _each(self, request: web.Request, good: int, write: Callable[[Record], Record]) -> web.Response:
        entries = (await read_object(request)).get("members")
        if not isinstance(entries, list) or not 0 < len(entries) <= _BATCH:
            raise Refusal(400, "Invalid Resource", f"`members` must be a list of 1 to {_BATCH} entries")
        results: list[Record] = []
        for index, entry in enumerate(entries):
            try:
                if not isinstance(entry, dict):
                    raise Refusal(400, "Invalid Resource", "an entry must be an object")
                results.append({"index": index, "status": good, "id": write(entry)["id"]})
            except Refusal as refusal:
                results.append({"index": index, "status": refusal.status, "error": self.error_body(refusal)})
        failed = sum("error" in result for result in results)
        return answer({"results": results, "accepted": len(results) - failed, "failed": failed}, 207 if failed else 200)

    def _find(self, list_id: str, key: str) -> Record:
        member = self._members.get(key)
        if member is None or member["list_id"] != list_id:
            raise Refusal(404, "Resource Not Found", f"there is no member {key} in this list")
        return member


def _list_id(request: web.Request) -> str:
    list_id = request.match_info["list"]
    if list_id not in LISTS:
        raise Refusal(404, "Resource Not Found", f"there is no list {list_id}")
    return list_id
