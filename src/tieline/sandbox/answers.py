"""Answers of a sandbox vendor, and what it reads out of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from tieline.model.records import Record, decode_json, encode_json


@dataclass
class Refusal(Exception):
    """An answer that says no; each vendor spells it in its own way."""

    status: int
    code: str
    message: str
    details: tuple[dict[str, str], ...] = ()
    """Field by field: `field` and `message`."""


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return an answer in JSON; a decimal keeps its digits."""
    return web.Response(body=encode_json(body), status=status, headers=headers, content_type="application/json")


async def read_object(request: web.Request) -> Record:
    """Return the request's body, which must be a JSON object."""
    try:
        body = decode_json(await request.read())
    except msgspec.DecodeError as error:
        raise Refusal(400, "malformed_body", f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal(400, "malformed_body", "the body must be a JSON object")
    return body


def number_in(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    """Return a whole number from the query."""
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise Refusal(400, "invalid_parameter", f"{name} must be a whole number from {least} to {most}")
    return int(text)
