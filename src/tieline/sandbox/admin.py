"""The admin address `/_sandbox/`, for people and demos: look, edit, break, put right.

    GET    /_sandbox/               counts, answers by status, faults
    GET    /_sandbox/records        every record; POST adds one, unjudged
    PATCH  /_sandbox/records/{id}   edits one, as a person would; DELETE removes it
    POST   /_sandbox/bad            adds one that is bad: {"kind": "email"}
    POST   /_sandbox/faults         switches faults on and off: {"outage": true}; GET shows them, DELETE ends all
    POST   /_sandbox/reset          begins again

What a vendor makes of it is `Vendor`'s to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from tieline.sandbox.answers import Refusal, answer, read_object
from tieline.sandbox.faults import Faults
from tieline.sandbox.vendor import ADMIN, Vendor


def admin_routes(vendor: Vendor) -> list[web.RouteDef]:
    """Return the addresses for people and demos: look, edit, break, put right."""

    async def overview(_: web.Request) -> web.Response:
        return answer(
            {
                "sandbox": vendor.kind,
                "counts": vendor.counts(),
                "answered": dict(sorted(vendor.answered.items())),
                "most_at_once": vendor.most_at_once,
                "faults": msgspec.to_builtins(vendor.faults),
            }
        )

    async def records(_: web.Request) -> web.Response:
        return answer({"records": vendor.records()})

    async def add(request: web.Request) -> web.Response:
        return answer(vendor.add(await read_object(request)), 201)

    async def add_bad(request: web.Request) -> web.Response:
        kind = (await read_object(request)).get("kind")
        try:
            return answer(vendor.add_bad(str(kind)), 201)
        except KeyError:
            raise Refusal(400, "unknown_kind", f"there is no bad record of kind {kind}") from None

    async def edit(request: web.Request) -> web.Response:
        fields = await read_object(request)
        return answer(_there(request, lambda key: vendor.edit(key, fields)))

    async def remove(request: web.Request) -> web.Response:
        _there(request, vendor.remove)
        return web.Response(status=204)

    async def faults(_: web.Request) -> web.Response:
        return answer(msgspec.to_builtins(vendor.faults))

    async def set_faults(request: web.Request) -> web.Response:
        try:
            vendor.faults = vendor.faults.changed(await read_object(request))
        except msgspec.ValidationError as error:
            raise Refusal(400, "no_such_fault", str(error)) from None
        return await faults(request)

    async def mend(request: web.Request) -> web.Response:
        vendor.faults = Faults()
        return await faults(request)

    async def reset(request: web.Request) -> web.Response:
        vendor.state.clear()
        vendor.seed()
        vendor.state.rewrite()
        vendor.answered.clear()
        vendor.most_at_once = 0
        vendor.faults = Faults()
        return await overview(request)

    return [
        web.get(ADMIN, overview),
        web.get(ADMIN + "records", records),
        web.post(ADMIN + "records", add),
        web.post(ADMIN + "bad", add_bad),
        web.patch(ADMIN + "records/{id}", edit),
        web.delete(ADMIN + "records/{id}", remove),
        web.get(ADMIN + "faults", faults),
        web.post(ADMIN + "faults", set_faults),
        web.delete(ADMIN + "faults", mend),
        web.post(ADMIN + "reset", reset),
    ]


def _there(request: web.Request, look: Callable[[str], Any]) -> Any:
    key = request.match_info["id"]
    try:
        return look(key)
    except KeyError:
        raise Refusal(404, "not_found", f"there is no record {key}") from None
