"""A secret shows itself to no one who does not ask; what got into a text all the same is taken out again."""

from __future__ import annotations

import base64
import copy
import html
import json
import logging
import pickle
import re
import time
import traceback
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tieline.model.secret import _NAME_PARTS, _NAMES, _STARTS, KNOWN_TOKENS, MASK, Redactor, Secret

CANARY = "canary-4f7a91c2"
HARD = 'canary 4f7a/91c2+é&"<\\%=\n>🔑'
SECRET = Secret(CANARY, "${env:CRM_TOKEN}")


def test_a_secret_shows_where_it_comes_from() -> None:
    shown = "Secret('${env:CRM_TOKEN}')"
    assert [shown] * 5 == [repr(SECRET), str(SECRET), f"{SECRET}", f"{SECRET:>10}", "{}".format(SECRET)]  # noqa: UP032
    assert [shown] * 2 == ["%s" % SECRET, "%r" % SECRET]  # noqa: UP031
    assert CANARY == SECRET.reveal()


def test_a_secret_without_a_reference_shows_nothing() -> None:
    assert "Secret('***')" == repr(Secret(CANARY))


@pytest.mark.parametrize(
    "leak",
    [
        pickle.dumps,
        json.dumps,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        lambda secret: json.dumps({"a": [secret]}),
        lambda secret: "" + secret,
        lambda secret: ",".join(iter([secret])),
        lambda secret: bytes(secret),
        lambda secret: list(secret),
        lambda secret: vars(secret),
        lambda secret: secret.__dict__,
        lambda secret: quote(secret),
        lambda secret: setattr(secret, "shown", secret.reveal()),
    ],
)
def test_a_secret_does_not_slip_out_by_accident(leak: Any) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        leak(SECRET)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_secret_does_not_slip_out_with_the_urlencoder_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("the token is %s", SECRET)
    assert CANARY not in caplog.text
    assert CANARY not in urlencode({"token": SECRET})
    assert CANARY not in repr({"a": [SECRET]}) + repr((SECRET,))


def test_a_traceback_with_the_locals_does_not_show_a_secret() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError(f"can't use {secret}")

    try:
        fail(SECRET)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "Secret('${env:CRM_TOKEN}')" in shown
    assert CANARY not in shown


def test_a_copy_of_a_secret_is_the_secret() -> None:
    assert SECRET is copy.copy(SECRET)
    assert [SECRET] == copy.deepcopy([SECRET])


def test_secrets_are_compared_by_their_values() -> None:
    assert SECRET == Secret(CANARY, "${file:elsewhere}")
    assert Secret("other", "${env:CRM_TOKEN}") != SECRET
    assert CANARY != SECRET
    assert 1 == len({SECRET, Secret(CANARY)})
    assert bool(SECRET)
    assert not Secret("")


def _forms(secret: str) -> dict[str, str]:
    """Return the ways in which a value travels."""
    basic = base64.b64encode(f"user:{secret}".encode()).decode()
    return {
        "plain": secret,
        "path": quote(secret, safe=""),
        "query": quote(secret),
        "form": quote_plus(secret),
        "lower-case form": quote(secret, safe="").replace("%2F", "%2f").replace("%3C", "%3c"),
        "json": json.dumps(secret),
        "json, letters kept": json.dumps(secret, ensure_ascii=False),
        "json in json": json.dumps(json.dumps({"a": secret})),
        "json, slashes escaped": json.dumps(secret).replace("/", "\\/"),
        "repr": repr(secret),
        "repr of bytes": repr(secret.encode()),
        "repr of repr": repr(repr(secret)),
        "html": html.escape(secret),
        "html with numbers": "".join(char if char.isalnum() and char.isascii() else f"&#{ord(char)};" for char in secret),
        "basic": f"Basic {basic}",
        "basic, shifted by one": base64.b64encode(f"u:{secret}x".encode()).decode(),
        "basic, shifted by two": base64.b64encode(f"us:{secret}xy".encode()).decode(),
        "basic, as it stands": base64.b64encode(secret.encode()).decode(),
        "for urls": base64.urlsafe_b64encode(f"user:{secret}".encode()).decode(),
        "in a query": quote(basic, safe=""),
        "msgspec": msgspec.json.encode(secret).decode(),
    }


@pytest.mark.parametrize("form", sorted(_forms(HARD)))
@pytest.mark.parametrize("secret", [CANARY, HARD], ids=["simple", "hard"])
def test_a_known_secret_is_taken_out_in_every_form(secret: str, form: str) -> None:
    masked = Redactor([Secret(secret)]).mask(f"before {_forms(secret)[form]} after")

    assert MASK in masked
    assert "4f7a" not in masked
    assert "91c2" not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40).filter(lambda text: text.strip() == text))
def test_no_secret_survives_in_any_form(secret: str) -> None:
    redactor = Redactor([secret])
    for form in ("plain", "path", "query", "form", "json", "json in json", "html", "basic", "repr", "for urls"):
        text = f"<{_forms(secret)[form]}>"
        assert text != redactor.mask(text), form


def test_the_lines_of_a_key_are_taken_out_one_by_one() -> None:
    """A parser's error may quote one of them."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA0Z3VS5JJ\nq83vEjRWeJAbCdEfGh\n-----END PRIVATE KEY-----\n"
    assert "bad line: ***" == Redactor([key]).mask("bad line: q83vEjRWeJAbCdEfGh")


def test_a_longer_secret_is_not_left_half_shown_by_a_shorter_one() -> None:
    assert "***" == Redactor(["canary", "canary-and-more"]).mask("canary-and-more")


def test_a_short_secret_does_not_riddle_the_text() -> None:
    assert "a text about a cat" == Redactor(["a", "cat", ""]).mask("a text about a cat")


def test_a_renewed_secret_can_be_added() -> None:
    redactor = Redactor([])
    redactor.add(SECRET)
    assert "***" == redactor.mask(CANARY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdef", "Authorization: ***"),
        ("authorization=Basic dXNlcjpw", "authorization=***"),
        ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': '***'}"),
        ('{"authorization":"Token abc"}', '{"authorization":"***"}'),
        ("Proxy-Authorization: abc", "Proxy-Authorization: ***"),
        ("sent Bearer abcdefgh1 to us", "sent Bearer *** to us"),
        ("GET /x?access_token=abc&page=2", "GET /x?access_token=***&page=2"),
        ("GET /x?page=2&api_key=abc#top", "GET /x?page=2&api_key=***#top"),
        ("client_secret=abc&grant_type=x", "client_secret=***&grant_type=x"),
        ('{"refresh_token": "a\\"b", "x": 1}', '{"refresh_token": "***", "x": 1}'),
        ("https://user:pw@host/x", "https://***@host/x"),
        ("a key sk_live_4eC39HqLyjWDarjtT1zdp7dc here", "a key *** here"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("x xoxb-1234567890-abcdefghij", "x ***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3", "***"),
        ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb", "a\n***\nb"),
    ],
)
def test_what_looks_like_a_credential_is_taken_out_without_being_known(text: str, expected: str) -> None:
    masked = Redactor().mask(text)
    assert expected == masked
    assert expected == Redactor().mask(masked)


@pytest.mark.parametrize(
    "text",
    [
        "the bearer of this message",
        "basic information about it",
        "Basic authentication failed",
        "sort_key=name&page=2",
        "authorization failed for the user",
        "password: `${env:MAIL_PASSWORD}`",
        "token=${env:CRM_TOKEN}",
        "https://host:8080/path@2x.png",
        "mail to user@example.com: done",
        "the token was refused (401)",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert text == Redactor([SECRET]).mask(text)


def test_values_are_cleaned_to_the_bottom() -> None:
    dirty = {CANARY: [CANARY, {"x": (CANARY.encode(), 1)}], "token": "short", "secret": SECRET, "n": None, "Cookie": "a=b"}
    clean = {
        MASK: [MASK, {"x": [MASK, 1]}],
        "token": MASK,
        "secret": "Secret('${env:CRM_TOKEN}')",
        "n": None,
        "Cookie": MASK,
    }
    assert clean == Redactor([SECRET]).clean(dirty)


def test_masking_costs_little_where_there_is_nothing_to_mask() -> None:
    redactor = Redactor([f"{'k' * 30}{number}" for number in range(20)])
    line = "delivery.retried " + "abc def ghi " * 80
    began = time.process_time()  # of this process alone: a busy machine takes nothing of it
    for _ in range(100):
        redactor.mask(line)
    assert time.process_time() - began < 10


def test_no_text_makes_the_patterns_slow() -> None:
    redactor = Redactor(["\\" * 40 + "x", "a b" * 20])
    for text in ("\\" * 20_000, "a:" * 20_000, "eyJ" * 20_000, "://" * 20_000, "Bearer " * 5_000, '"token": "' + "\\" * 20_000):
        began = time.process_time()
        redactor.mask(text)
        assert time.process_time() - began < 20, text[:10]


@given(st.from_regex(re.compile(KNOWN_TOKENS.pattern.partition("(?:")[2].join(["(?:", ""]), re.VERBOSE | re.ASCII), fullmatch=True))
def test_a_known_token_is_seen_by_the_plain_search_before_it(token: str) -> None:
    assert any(start in token for start in _STARTS)


@given(st.from_regex(re.compile(rf"(?i)(?:{_NAMES})"), fullmatch=True))
def test_a_telling_name_is_seen_by_the_plain_search_before_it(name: str) -> None:
    assert any(part in name.casefold() for part in _NAME_PARTS)


@given(st.integers(0, 9000), st.sampled_from([1, 40, 400]), st.sampled_from(["plain", "base64", "percent"]))
def test_a_text_is_never_cut_in_the_middle_of_a_secret(before: int, most: int, how: str) -> None:
    spelled = {"plain": HARD, "base64": base64.b64encode(HARD.encode()).decode(), "percent": quote(HARD, safe="")}[how]
    shown = Redactor([HARD]).excerpt("x " * (before // 2) + spelled + " y" * 5000, most)

    assert len(shown) <= most
    assert not set(shown) - set("x y*")


def test_a_text_that_fits_is_shown_whole() -> None:
    assert f"a {MASK} b" == Redactor([CANARY]).excerpt(f"a {CANARY} b", 100)
