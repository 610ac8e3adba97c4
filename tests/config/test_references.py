"""References and addresses: what stands for a secret, and where a secret may travel."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.config.loading.references import (
    ReferenceProblem,
    check_url,
    check_url_template,
    is_reference,
    misspelled,
    references,
    resolve,
    resolve_secret,
    unresolved,
)

CANARY = "canary-4f7a91c2"


def test_references_are_found_anywhere_in_a_text(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k3y\n")
    text = "https://${env:HOST}/v1?key=${file:key}&plain=$x{y}"
    assert ["${env:HOST}", "${file:key}"] == references(text)
    assert "https://example.com/v1?key=k3y&plain=$x{y}" == resolve(text, tmp_path, {"HOST": "example.com"})


def test_a_text_without_references_is_itself(tmp_path: Path) -> None:
    assert "{id} $5 ${x}" == resolve("{id} $5 ${x}", tmp_path, {})


def test_a_value_that_looks_like_a_reference_is_not_resolved_again(tmp_path: Path) -> None:
    assert "${env:B}" == resolve("${env:A}", tmp_path, {"A": "${env:B}", "B": CANARY})


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"k", "k"), (b"k\n", "k"), (b"k\r\n", "k"), (b"k\n\n", "k\n"), (b" k ", " k "), (b"\xef\xbb\xbfk", "k"), (b"a\nb", "a\nb")],
)
def test_one_line_end_is_taken_from_a_file(data: bytes, value: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(data)
    assert value == resolve("${file:key}", tmp_path, {})


def test_a_file_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k3y")
    (tmp_path / "project").mkdir()
    assert "k3y" == resolve("${file:../key}", tmp_path / "project", {})
    assert "k3y" == resolve(f"${{file:{tmp_path}/key}}", tmp_path / "project", {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${env:MISSING}", "the environment variable of `${env:MISSING}` is not set"),
        ("${env:EMPTY}", "the environment variable of `${env:EMPTY}` is empty"),
        ("${env:BYTES}", "`${env:BYTES}` holds bytes that are not text"),
        ("${file:missing}", "the file of `${file:missing}` is not there"),
        ("${file:.}", "the file of `${file:.}` is not there"),
        ("${file:empty}", "the file of `${file:empty}` is empty"),
        ("${file:large}", "the file of `${file:large}` is larger than 64 KiB"),
        ("${file:binary}", "the file of `${file:binary}` is not UTF-8 text"),
        ("${file:nul}", "`${file:nul}` holds bytes that are not text"),
        ("${file:loop}", "the file of `${file:loop}` is not there"),
        ("${file:~nobody-of-this-name/x}", "the file of `${file:~nobody-of-this-name/x}` can't be read: RuntimeError"),
        ("${vault:x}", "`${vault:` is no kind of reference: `${env:NAME}` and `${file:PATH}` are known"),
        ("${Env:x}", "`${Env:` is no kind of reference, did you mean `${env:`: `${env:NAME}` and `${file:PATH}` are known"),
        ("${env:X", "`${env:` is not closed: `${env:...}`"),
        ("${env:A B}", "`${env:A B}` does not name an environment variable"),
        ("${file:}", "`${file:}` names nothing"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named_and_never_its_value(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "large").write_bytes(CANARY.encode() * 10_000)
    (tmp_path / "binary").write_bytes(CANARY.encode() + b"\xff")
    (tmp_path / "nul").write_bytes(CANARY.encode() + b"\0")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ReferenceProblem) as caught:
        resolve(f"x{text}y", tmp_path, {"EMPTY": "", "BYTES": f"{CANARY}\udcff"})
    assert words == str(caught.value)
    assert caught.value.next_step


def test_what_can_not_be_resolved_is_listed(tmp_path: Path) -> None:
    text = "${env:A}${env:B}${file:c}"
    assert 2 == len(unresolved(text, tmp_path, {"A": CANARY}))
    assert [] == unresolved("${env:A}", tmp_path, {"A": CANARY})


def test_a_resolved_secret_does_not_show_itself(tmp_path: Path) -> None:
    secret = resolve_secret("${env:A}", tmp_path, {"A": CANARY})
    assert CANARY == secret.reveal()
    assert "Secret('${env:A}')" == repr(secret)


@pytest.mark.parametrize(
    ("text", "whole"),
    [("${env:A}", True), (" ${env:A} ", True), ("${env:A}${file:b}", True), ("x${env:A}", False), ("", False), ("${x}", False)],
)
def test_a_credential_is_made_of_references_alone(text: str, whole: bool) -> None:
    assert whole is is_reference(text)


def test_braces_that_are_no_reference_are_not_misspelled() -> None:
    assert [None] * 4 == [misspelled(text) for text in ("{id}", "${x}", "$5", "a: {b: c}")]


@given(st.text(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_resolving_ends_with_text_or_with_a_problem(text: str, environ: dict[str, str]) -> None:
    with contextlib.suppress(ReferenceProblem):
        assert isinstance(resolve(f"${{env:{text}}}{text}", Path("/nonexistent"), environ), str)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/api/v1?x=1",
        "HTTPS://EXAMPLE.COM",
        "http://127.0.0.1:8080/api",
        "http://127.8.9.10",
        "http://localhost",
        "http://LocalHost:1",
        "http://[::1]:3000/",
        "https://[2001:db8::1]/",
        "https://münchen.example",
    ],
)
def test_https_is_called_anywhere_and_http_on_this_machine(url: str) -> None:
    assert check_url(url) is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("http://127.0.0.1.example.com", "plain http"),
        ("http://notlocalhost", "plain http"),
        ("http://localhost.", "plain http"),
        ("http://127.1", "plain http"),
        ("http://2130706433", "plain http"),
        ("http://0x7f.1", "plain http"),
        ("http://0.0.0.0", "plain http"),
        ("http://[::]", "plain http"),
        ("http://[::ffff:10.0.0.1]", "plain http"),
        ("http://169.254.169.254/latest", "plain http"),
        ("http://10.0.0.1", "plain http"),
        ("http://localhost@example.com", "user name or password"),
        ("https://user:pw@example.com", "user name or password"),
        ("https://@example.com", "user name or password"),
        ("http://localhost\\@example.com", "backslash"),
        ("http://localhost\t.example.com", "blank"),
        ("https://exam ple.com", "blank"),
        ("https://example.com\n", "blank"),
        ("https://example.com/\u202e", "control character"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://example.com:99999", "no address"),
        ("https://example.com:port", "no address"),
        ("https://[::1", "no address"),
        ("//example.com", "begins with https://"),
        ("example.com", "begins with https://"),
        ("ftp://example.com", "begins with https://"),
        ("file:///etc/passwd", "begins with https://"),
        ("", "begins with https://"),
    ],
)
def test_what_is_not_safe_to_call_is_refused(url: str, words: str) -> None:
    problem = check_url(url)
    assert problem is not None
    assert words in problem


@given(st.text(max_size=40))
def test_only_loopback_is_ever_called_without_tls(text: str) -> None:
    for url in (text, f"http://{text}", f"http://localhost{text}", f"http://127.0.0.1{text}"):
        if check_url(url) is None and url.lower().startswith("http:"):
            host = url[7:].split("/")[0].split("?")[0].split("#")[0].rsplit(":", 1)[0] if "[" not in url else "::1"
            assert host.lower() == "localhost" or host.startswith("127.") or host == "::1"


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("https://{region}.example.com/v1", True),
        ("https://${env:HOST}/v1", True),
        ("${env:BASE_URL}", True),
        ("${env:BASE_URL}/v1", True),
        ("http://localhost:{port}/", True),
        ("http://127.0.0.1:${env:PORT}", True),
        ("http://{host}/", False),
        ("http://${env:HOST}/", False),
        ("http://{x}.localhost.example.com", False),
        ("ftp://{host}", False),
        ("{scheme}://example.com", True),
    ],
)
def test_an_address_with_gaps_is_judged_as_far_as_it_is_known(text: str, fine: bool) -> None:
    assert fine is (check_url_template(text) is None)
