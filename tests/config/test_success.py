"""When 2xx is a failure: by value, at several addresses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tieline.config.models.connectors import Errors
from tieline.config.models.success import Says
from tieline.model.errors import RateLimited, Rejected, Untold
from tieline.model.records import encode_json
from tieline.testing.vendor import Headers
from tieline.transport.classify import error_of
from tieline.transport.ports import HttpResponse


@pytest.mark.parametrize(
    ("declared", "answer", "means"),
    [
        ("error", {"error": "no"}, Rejected),
        ("error", {"error": ["no"]}, Rejected),
        *(("error", {"error": nothing}, None) for nothing in (None, False, 0, "", " ", "0", [], {})),
        ("error", {}, None),
        ({"at": "success", "equals": False}, {"success": False}, Rejected),
        ({"at": "success", "equals": False}, {"success": "false"}, Rejected),
        ({"at": "success", "equals": False}, {"success": True}, None),
        ({"at": "success", "equals": False}, {}, None),
        ({"at": "code", "not": [0, "OK"]}, {"code": 0}, None),
        ({"at": "code", "not": [0, "OK"]}, {"code": "ok"}, None),
        ({"at": "code", "not": [0, "OK"]}, {"code": 17}, Rejected),
        ({"at": "code", "not": 0}, {}, Untold),
        ({"at": "data[0].code", "not": "SUCCESS"}, {"data": [{"code": "INVALID_DATA"}]}, Rejected),
        ({"at": "data.userErrors", "filled": True}, {"data": {"userErrors": []}}, None),
        ({"at": "data.userErrors", "filled": True}, {"data": {"userErrors": [{"message": "taken"}]}}, Rejected),
        (["error", {"at": "result", "equals": False}], {"result": False}, Rejected),
        (["error", {"at": "result", "equals": False}], {"result": 7}, None),
        ({"at": "ok", "equals": False}, {"ok": False, "error": "ratelimited"}, RateLimited),
    ],
)
def test_an_answer_is_a_failure_by_what_the_vendor_says(declared: Any, answer: Any, means: type | None) -> None:
    errors = Errors.model_validate({"message": "error", "in_success": declared, "throttled": ["ratelimited"]})

    error = error_of(HttpResponse(200, Headers({}), encode_json(answer)), errors, 0.0)

    assert means is (type(error) if error is not None else None)


@pytest.mark.parametrize(
    ("status", "body", "declared", "means"),
    [
        (200, b"", {"at": "code", "not": 0}, Untold),
        (200, b"[]", {"at": "code", "not": 0}, Untold),
        (201, b"", {"at": "code", "not": 0}, None),
        (204, b"", {"at": "code", "not": 0}, None),
        (200, b"", "error", None),
        (200, b"[]", {"at": "success", "equals": False}, None),
    ],
)
def test_an_answer_without_the_word_that_says_success_is_none(status: int, body: bytes, declared: Any, means: type | None) -> None:
    errors = Errors.model_validate({"in_success": declared})

    error = error_of(HttpResponse(status, Headers({}), body), errors, 0.0)

    assert means is (type(error) if error is not None else None)


@pytest.mark.parametrize("wrong", [{"at": "x"}, {"at": "x", "equals": 1, "filled": True}, {"at": "x", "filled": False}])
def test_one_way_is_said(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="one of"):
        TypeAdapter(Says).validate_python(wrong)
