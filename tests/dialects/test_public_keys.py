"""Signatures by public keys: those of published examples and of OpenSSL are taken, and nothing else."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from multidict import CIMultiDict

from tieline.config.models.webhooks import Verify
from tieline.dialects.public_keys import is_signed, public_key
from tieline.dialects.webhooks import Incoming, Unverified, verifier
from tieline.model.errors import TielineError

_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""How a public key of this curve begins: its kind, and that both coordinates follow."""

# RFC 6979, A.2.5: the curve P-256, SHA-256, the message "sample".
X = "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
Y = "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
R = "00EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
S = "00F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
KEY = base64.b64encode(_HEAD + bytes.fromhex(X + Y)).decode()
SIGNATURE = bytes.fromhex(f"30460221{R}0221{S}")


def test_the_example_of_rfc_6979_is_taken():
    assert is_signed(public_key(KEY), b"sample", SIGNATURE)
    assert not is_signed(public_key(KEY), b"simple", SIGNATURE)


@pytest.mark.parametrize("bit", range(0, 72 * 8, 5))
def test_a_signature_with_one_bit_changed_is_refused(bit):
    changed = bytearray(SIGNATURE)
    changed[bit // 8] ^= 1 << bit % 8

    assert not is_signed(public_key(KEY), b"sample", bytes(changed))


@pytest.mark.parametrize("signature", [b"", b"0", SIGNATURE + b"\0", SIGNATURE[:-1], bytes.fromhex("3006020100020100"), bytes(72)])
def test_what_is_no_signature_is_refused(signature):
    assert not is_signed(public_key(KEY), b"sample", signature)


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA", base64.b64encode(_HEAD + bytes(63) + b"\1").decode()])
def test_what_is_no_key_is_refused_at_the_start(text):
    with pytest.raises(TielineError, match="public key"):
        verifier(Verify.model_validate({"ecdsa": {"header": "X-S", "timestamp": {"header": "X-T"}}}), [text])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_what_openssl_signs_is_taken(tmp_path: Path) -> None:
    """As SendGrid does: the time, then the body."""
    at, body = 1_700_000_000, b'[{"event": "delivered"}]'
    private, message = tmp_path / "key.pem", tmp_path / "message"
    message.write_bytes(str(at).encode() + body)
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private], check=True)
    public = subprocess.run(["openssl", "ec", "-in", private, "-pubout"], check=True, capture_output=True, text=True).stdout
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", private, message], check=True, capture_output=True).stdout
    check = verifier(Verify.model_validate({"ecdsa": {"header": "X-S", "timestamp": {"header": "X-T"}}}), [public])
    headers = CIMultiDict({"X-S": base64.b64encode(signature).decode(), "X-T": str(at)})

    check(Incoming(headers, body), at)
    for bad, now in ((Incoming(headers, body + b" "), at), (Incoming(headers, body), at + 301), (Incoming(CIMultiDict(), body), at)):
        with pytest.raises(Unverified):
            check(bad, now)
