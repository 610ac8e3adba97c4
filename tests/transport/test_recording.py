"""What is written down of a call: masked, cut, and without personal data where the project does not want it."""

from __future__ import annotations

from typing import Any

import pytest

from tieline.model.secret import Redactor
from tieline.transport.ports import HttpRequest, HttpResponse
from tieline.transport.recording import Keeping, Purpose, private_fields

FIELDS = {"members": private_fields({"email": True, "name.last": True, "phones[0].number": True, "note": False})}


def keeping(**declared: Any) -> Keeping:
    return Keeping(Redactor(["a-secret-value"]).excerpt, fields=FIELDS, **declared)


def said(body: str, answer: str = "", *, failed: bool = False, **declared: Any) -> tuple[str, str]:
    request = HttpRequest("POST", "https://x.test/members", {}, body.encode())
    found = keeping(**declared).said(request, HttpResponse(200, {}, answer.encode()), "members", failed=failed)
    return found.request, found.answer


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"email":"ann@x.test","note":"hi"}', '{"email":"•••","note":"hi"}'),
        ('[{"record":{"Email":"ann@x.test"}}]', '[{"record":{"Email":"•••"}}]'),
        ('{"name":{"first":"Ann","last":"Lee"},"last":"x"}', '{"name":{"first":"Ann","last":"•••"},"last":"x"}'),
        ('{"phones":[{"number":12345,"kind":"home"}]}', '{"phones":[{"number":"•••","kind":"home"}]}'),
        ('{"email":null}', '{"email":null}'),
        ("email=ann%40x.test&note=hi", "email=•••&note=hi"),
        ("", ""),
        ("<p>ann@x.test</p>", "(17 characters, left out: personal data can't be told from the rest)"),
        ('{"email":"ann@x.te', "(18 characters, left out: personal data can't be told from the rest)"),
    ],
)
def test_personal_fields_are_hidden_wherever_a_record_stands(body, shown):
    assert shown == said(body)[0]


def test_what_a_vendor_says_about_a_personal_value_is_hidden_too():
    _, answer = said('{"email":"ann@x.test"}', '{"detail":"ann@x.test is on the list already"}')

    assert '{"detail":"••• is on the list already"}' == answer


@pytest.mark.parametrize(
    ("personal", "failed", "hidden"),
    [("failures", False, True), ("failures", True, False), ("always", False, False), ("never", False, True), ("never", True, True)],
)
def test_the_project_says_where_personal_data_is_kept(personal, failed, hidden):
    request, _ = said('{"email":"ann@x.test"}', failed=failed, personal=personal)
    purpose = Purpose("find", "members", private=("ann%40x.test",))
    url = keeping(personal=personal).url("https://x.test/find?q=ann%40x.test", purpose, failed=failed)

    assert hidden is ("ann@x.test" not in request)
    assert hidden is ("ann%40x.test" not in url)


def test_secrets_are_masked_and_bodies_cut_whatever_the_project_says():
    request, _ = said("a-secret-value " + "x" * 50_000, failed=True, personal="always", most=100)

    assert request.startswith("*** xxx")
    assert 100 >= len(request)


def test_only_headers_that_matter_are_kept():
    sent = {"Authorization": "Bearer t", "X-Api-Key": "k", "Cookie": "c", "Content-Type": "application/json", "Idempotency-Key": "1-7"}
    answered = {"Set-Cookie": "c", "Retry-After": "7", "X-RateLimit-Remaining": "3", "X-Request-Id": "a-secret-value"}
    found = keeping().said(HttpRequest("POST", "u", sent), HttpResponse(429, answered, b""), "members", failed=True)

    assert {"Content-Type": "application/json", "Idempotency-Key": "1-7"} == found.request_headers
    assert {"Retry-After": "7", "X-RateLimit-Remaining": "3", "X-Request-Id": "***"} == found.answer_headers
