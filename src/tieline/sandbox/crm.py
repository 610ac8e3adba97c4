"""Acme CRM, version 2: leads, in the order of their last change.

Lax, as CRMs are: it takes any text for an address or a telephone number. Lists are read by cursor, changes by
`updated_after`; nothing in a list says that a lead was deleted. A lead's ETag guards an update with `If-Match`.
"""

from __future__ import annotations

import base64
import binascii
import bisect
import datetime as dt
import hashlib
import secrets
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from aiohttp import hdrs, web

from tieline.model.clock import Clock
from tieline.model.records import Record, encode_json
from tieline.sandbox.answers import Refusal, answer, number_in, read_object
from tieline.sandbox.leads import FIRST_ID, ID_STEP, STATUSES, bad_lead, make_leads, stamp
from tieline.sandbox.state import State
from tieline.sandbox.throttle import Limit
from tieline.sandbox.vendor import Vendor

CRM_TOKEN: Final = "acme-sandbox-token"  # noqa: S105 - opens nothing but made-up leads on this machine

_TEXTS: Final = {"first_name": 200, "last_name": 200, "email": 254, "phone": 60, "language": 40}
_SET_BY_US: Final = ("id", "created_at", "updated_at")


class AcmeCrm(Vendor):
    """Leads of a sales team."""

    kind = "crm"
    limit = Limit(per_second=100, burst=100)

    def __init__(
        self,
        state: State | None = None,
        *,
        leads: int = 2000,
        seed: int = 1,
        token: str = CRM_TOKEN,
        clock: Clock | None = None,
        limit: Limit | None = None,
    ) -> None:
        self._count, self._seed, self._token = leads, seed, token
        self._order: list[tuple[str, int]] = []
        super().__init__(state or State(self.kind), clock=clock, limit=limit)

    def seed(self) -> None:
        """Fill in the made-up leads."""
        for lead in make_leads(self._count, self._seed):
            self.state.put("leads", lead["id"], lead)
        self.state.put("ids", "next", FIRST_ID + self._count * ID_STEP)
        self.recall()

    def recall(self) -> None:
        """Put the leads in the order of their changes."""
        self._order = sorted((lead["updated_at"], key) for key, lead in self._leads.items())

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the vendor's own addresses."""
        return (
            web.get("/v2/me", self._me),
            web.get("/v2/leads", self._list),
            web.post("/v2/leads", self._create),
            web.get(r"/v2/leads/{id:\d{1,19}}", self._get),
            web.patch(r"/v2/leads/{id:\d{1,19}}", self._update),
            web.delete(r"/v2/leads/{id:\d{1,19}}", self._delete),
        )

    def is_authorized(self, request: web.Request) -> bool:
        """Whether the bearer token is right."""
        given = request.headers.get(hdrs.AUTHORIZATION, "")
        return secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode())

    def error_body(self, refusal: Refusal) -> Any:
        """Return a refusal in the vendor's own words."""
        error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
        if refusal.details:
            error["fields"] = refusal.details
        return {"error": error}

    def counts(self) -> dict[str, int]:
        """Return how many leads there are, and with which status."""
        by_status = Counter(lead["status"] for lead in self._leads.values())
        return {"leads": len(self._leads), **{status: by_status[status] for status in STATUSES}}

    def records(self) -> list[Record]:
        """Return all leads, oldest change first."""
        return [self._leads[key] for _, key in self._order]

    def add(self, fields: Record) -> Record:
        """Put a lead in without judging it."""
        key = self.state.table("ids")["next"]
        self.state.put("ids", "next", key + ID_STEP)
        now = stamp(self.clock.now())
        lead = {"status": "new", **fields, "id": key, "created_at": now, "updated_at": now}
        self._keep(lead)
        return lead

    def add_bad(self, kind: str) -> Record:
        """Put in a qualified lead that an email platform won't have."""
        return self.add(bad_lead(kind))

    def edit(self, key: str, fields: Record) -> Record:
        """Change a lead's fields. An edit that changes nothing leaves its time alone."""
        lead = self._lead(key)
        company = fields.get("company")
        if isinstance(company, dict) and isinstance(lead.get("company"), dict):
            fields = {**fields, "company": {**lead["company"], **company}}
        edited = {**lead, **fields}
        if edited == lead:
            return lead
        edited["updated_at"] = stamp(self.clock.now())
        self._forget_order(lead)
        self._keep(edited)
        return edited

    def remove(self, key: str) -> None:
        """Remove a lead."""
        lead = self._lead(key)
        self._forget_order(lead)
        self.state.take_out("leads", lead["id"])

    @property
    def _leads(self) -> dict[Any, Record]:
        return self.state.table("leads")

    def _lead(self, key: str) -> Record:
        if not key.isdecimal() or int(key) not in self._leads:
            raise KeyError(key)
        return self._leads[int(key)]

    def _keep(self, lead: Record) -> None:
        self.state.put("leads", lead["id"], lead)
        bisect.insort(self._order, (lead["updated_at"], lead["id"]))

    def _forget_order(self, lead: Record) -> None:
        del self._order[bisect.bisect_left(self._order, (lead["updated_at"], lead["id"]))]

    async def _me(self, _: web.Request) -> web.Response:
        return answer({"name": "Sandbox", "company": "Acme"})

    async def _list(self, request: web.Request) -> web.Response:
        limit = number_in(request, "limit", 50, 1, 200)
        after = _stamp_in(request.query["updated_after"]) if "updated_after" in request.query else ""
        # All leads of the very time `updated_after` sort before (time, largest id).
        start = bisect.bisect_right(self._order, (after, 1 << 63))
        total = len(self._order) - start
        if "cursor" in request.query:
            start = max(start, bisect.bisect_right(self._order, _read_cursor(request.query["cursor"])))
        if "email" in request.query:
            email = request.query["email"].casefold()
            found = [pair for pair in self._order if str(self._leads[pair[1]].get("email")).casefold() == email]
            total, page, more = len(found), found[:limit], False
        else:
            page, more = self._order[start : start + limit], start + limit < len(self._order)
        meta = {"next_cursor": _write_cursor(*page[-1]) if more else None, "total": total}
        return answer({"data": [self._leads[key] for _, key in page], "meta": meta})

    async def _get(self, request: web.Request) -> web.Response:
        lead = self._find(request)
        if request.headers.get(hdrs.IF_NONE_MATCH) == _etag(lead):
            return web.Response(status=304, headers={hdrs.ETAG: _etag(lead)})
        return answer(lead, headers={hdrs.ETAG: _etag(lead)})

    async def _create(self, request: web.Request) -> web.Response:
        fields = await read_object(request)
        if not fields.get("last_name"):
            raise Refusal(422, "invalid_field", "last_name is required")
        _check(fields)
        lead = self.add(fields)
        return answer(lead, 201, {hdrs.ETAG: _etag(lead), hdrs.LOCATION: f"/v2/leads/{lead['id']}"})

    async def _update(self, request: web.Request) -> web.Response:
        fields = await read_object(request)
        _check(fields)
        lead = self._find(request)
        self._guard(request, lead)
        lead = self.edit(str(lead["id"]), fields)
        return answer(lead, headers={hdrs.ETAG: _etag(lead)})

    async def _delete(self, request: web.Request) -> web.Response:
        lead = self._find(request)
        self._guard(request, lead)
        self.remove(str(lead["id"]))
        return web.Response(status=204)

    def _find(self, request: web.Request) -> Record:
        key = request.match_info["id"]
        try:
            return self._lead(key)
        except KeyError:
            raise Refusal(404, "not_found", f"there is no lead {key}") from None

    def _guard(self, request: web.Request, lead: Record) -> None:
        if request.headers.get(hdrs.IF_MATCH, "*") not in ("*", _etag(lead)):
            raise Refusal(412, "changed_meanwhile", f"lead {lead['id']} was changed at {lead['updated_at']}")


def _etag(lead: Record) -> str:
    return f'"{hashlib.blake2b(encode_json(lead), digest_size=8).hexdigest()}"'


def _stamp_in(text: str) -> str:
    try:
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("no offset")
        moment = moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        problem = f"updated_after must be a time with its offset from UTC, not {text[:60]!r}"
        raise Refusal(400, "invalid_parameter", problem) from None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _write_cursor(updated_at: str, key: int) -> str:
    return base64.urlsafe_b64encode(f"{updated_at}|{key}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[str, int]:
    try:
        updated_at, _, key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
        return updated_at, int(key)
    except (binascii.Error, ValueError):
        raise Refusal(400, "invalid_cursor", "the cursor is not one of ours") from None


def _check(fields: Record) -> None:
    """Refuse what the CRM can't store; it does not ask whether a telephone number is one."""
    wrong: list[dict[str, str]] = []
    for name, value in fields.items():
        if name in _TEXTS:
            fits = value is None or (isinstance(value, str) and len(value) <= _TEXTS[name])
            problem = "" if fits else f"must be text of at most {_TEXTS[name]} characters"
        elif name == "status":
            problem = "" if value in STATUSES else f"must be one of {', '.join(STATUSES)}"
        elif name == "score":
            number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
            problem = "" if value is None or (number and 0 <= value <= 1) else "must be a number from 0 to 1"
        elif name == "company":
            known = isinstance(value, dict) and value.keys() <= {"id", "name"}
            problem = "" if value is None or known else "must have an id and a name"
        else:
            problem = "is set by us" if name in _SET_BY_US else "is not a field of a lead"
        if problem:
            wrong.append({"field": name, "message": problem})
    if wrong:
        told = "; ".join(f"{entry['field']} {entry['message']}" for entry in wrong)
        raise Refusal(422, "invalid_field", told, tuple(wrong))
