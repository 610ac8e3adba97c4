"""Ledgerly, an ERP: customers, as the people in finance keep them.

It spells what it gets in its own way: addresses in lower case, telephone numbers without spaces, names without white space at their ends.
It does not mind two customers with one address. Lists are read page by page, changes by `modified_since`; only such a list tells what was
deleted. A customer's `modified_at` guards an update or a deletion with `If-Match`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from aiohttp import hdrs, web

from tieline.model.clock import Clock
from tieline.model.records import Record
from tieline.sandbox.answers import Refusal, answer, number_in, read_object
from tieline.sandbox.leads import make_leads, stamp
from tieline.sandbox.state import State
from tieline.sandbox.throttle import Limit
from tieline.sandbox.vendor import Vendor

LEDGERLY_KEY: Final = "ledgerly-sandbox-key"

_TEXTS: Final = {"given_name": 100, "family_name": 100, "email": 254, "phone": 40, "company": 200, "terms": 40}
_SET_BY_US: Final = ("number", "modified_at")


class Ledgerly(Vendor):
    """Customers of a company."""

    kind = "erp"
    limit = Limit(per_second=100, burst=100)

    def __init__(
        self,
        state: State | None = None,
        *,
        customers: int = 40,
        seed: int = 1,
        key: str = LEDGERLY_KEY,
        clock: Clock | None = None,
        limit: Limit | None = None,
    ) -> None:
        self._count, self._seed, self._key = customers, seed, key
        super().__init__(state or State(self.kind), clock=clock, limit=limit)

    def seed(self) -> None:
        """Fill in customers whom the CRM of the same seed knows as leads, and at the end two whom it doesn't."""
        known = (lead for lead in make_leads(self._count * 5, self._seed) if lead["status"] in ("qualified", "new") and lead.get("phone"))
        for lead in islice(known, max(0, self._count - 2)):
            company = lead.get("company") or {}
            self.add(
                {
                    "given_name": lead.get("first_name"), "family_name": lead["last_name"], "email": lead["email"],
                    "phone": lead["phone"], "company": company.get("name"), "terms": "30 days",
                }
            )  # fmt: skip
        for number in range(min(2, self._count)):
            self.add(
                {
                    "given_name": ("Ada", "Grace")[number], "family_name": ("Byron", "Murray")[number],
                    "email": f"accounts{number + 1}@wholesale.example", "phone": f"02 5550 010{number}", "company": "Wholesale", "terms": "60 days",
                }
            )  # fmt: skip

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the vendor's own addresses."""
        one = r"/api/customers/{number:C\d{1,9}}"
        return (
            web.get("/api/about", self._about),
            web.get("/api/customers", self._list),
            web.post("/api/customers", self._create),
            web.get(one, self._get),
            web.patch(one, self._update),
            web.delete(one, self._delete),
        )

    def is_authorized(self, request: web.Request) -> bool:
        """Whether the API key is right."""
        return secrets.compare_digest(request.headers.get("X-Ledgerly-Key", "").encode(), self._key.encode())

    def error_body(self, refusal: Refusal) -> Any:
        """Return a refusal in the vendor's own words."""
        return {"problem": refusal.message, "kind": refusal.code}

    def counts(self) -> dict[str, int]:
        """Return how many customers there are."""
        return {"customers": len(self._customers)}

    def records(self) -> list[Record]:
        """Return all customers."""
        return list(self._customers.values())

    def add(self, fields: Record) -> Record:
        """Put a customer in without judging it."""
        number = self.state.table("ids").get("next", 1001)
        self.state.put("ids", "next", number + 1)
        blank = dict.fromkeys(_TEXTS)
        return self._keep({**blank, **_spelled(fields), "number": f"C{number}"})

    def add_bad(self, kind: str) -> Record:
        """Put in a customer whose address someone else has: `double`. Raises `KeyError` for another kind."""
        if kind != "double":
            raise KeyError(kind)
        first = next(iter(self._customers.values()))
        return self.add({name: first[name] for name in _TEXTS})

    def edit(self, key: str, fields: Record) -> Record:
        """Change a customer's fields."""
        customer = self._customers[key]
        edited = {**customer, **_spelled(fields)}
        return self._keep(edited) if edited != customer else customer

    def remove(self, key: str) -> None:
        """Remove a customer; its number and the time remain."""
        self.state.take_out("customers", key)
        self.state.put("deleted", key, {"number": key, "deleted": True, "modified_at": stamp(self.clock.now())})

    @property
    def _customers(self) -> dict[Any, Record]:
        return self.state.table("customers")

    def _keep(self, customer: Record) -> Record:
        customer = {**customer, "modified_at": stamp(self.clock.now())}
        self.state.put("customers", customer["number"], customer)
        return customer

    async def _about(self, _: web.Request) -> web.Response:
        return answer({"company": "Acme Pty Ltd", "books": "open"})

    async def _list(self, request: web.Request) -> web.Response:
        page, size = number_in(request, "page", 1, 1, 10**6), number_in(request, "size", 50, 1, 100)
        since, email = request.query.get("modified_since", ""), request.query.get("email", "").strip().lower()
        gone = self.state.table("deleted").values() if since else ()
        found = sorted(
            (c for c in (*self._customers.values(), *gone) if c["modified_at"] >= since and (not email or c.get("email") == email)),
            key=lambda customer: (customer["modified_at"], customer["number"]),
        )
        start = (page - 1) * size
        more = start + size < len(found)
        return answer({"customers": found[start : start + size], "next_page": page + 1 if more else None, "found": len(found)})

    async def _get(self, request: web.Request) -> web.Response:
        return answer(self._find(request))

    async def _create(self, request: web.Request) -> web.Response:
        fields = await read_object(request)
        if not fields.get("family_name"):
            raise Refusal(422, "incomplete", "a customer needs a family_name")
        _check(fields)
        customer = self.add(fields)
        return answer(customer, 201, {hdrs.LOCATION: f"/api/customers/{customer['number']}"})

    async def _update(self, request: web.Request) -> web.Response:
        fields = await read_object(request)
        _check(fields)
        return answer(self.edit(self._guarded(request)["number"], fields))

    async def _delete(self, request: web.Request) -> web.Response:
        self.remove(self._guarded(request)["number"])
        return web.Response(status=204)

    def _guarded(self, request: web.Request) -> Record:
        customer = self._find(request)
        if request.headers.get(hdrs.IF_MATCH, "*") not in ("*", f'"{customer["modified_at"]}"'):
            raise Refusal(412, "changed", f"customer {customer['number']} was changed at {customer['modified_at']}")
        return customer

    def _find(self, request: web.Request) -> Record:
        number = request.match_info["number"]
        if number not in self._customers:
            raise Refusal(404, "unknown", f"there is no customer {number}")
        found: Record = self._customers[number]
        return found


def _spelled(fields: Record) -> Record:
    """Return fields as Ledgerly keeps them."""
    spelled = {name: value.strip() if isinstance(value, str) else value for name, value in fields.items()}
    if isinstance(spelled.get("email"), str):
        spelled["email"] = spelled["email"].lower()
    if isinstance(spelled.get("phone"), str):
        spelled["phone"] = spelled["phone"].replace(" ", "")
    return spelled


def _check(fields: Record) -> None:
    for name, value in fields.items():
        if name in _SET_BY_US:
            raise Refusal(422, "not_yours", f"{name} is set by us")
        if name not in _TEXTS:
            raise Refusal(422, "unknown_field", f"a customer has no {name}")
        if value is not None and not (isinstance(value, str) and len(value) <= _TEXTS[name]):
            raise Refusal(422, "malformed", f"{name} must be text of at most {_TEXTS[name]} characters")
