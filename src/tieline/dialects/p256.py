"""Signatures by public keys of the curve P-256 (ECDSA with SHA-256), verified. Nothing here is secret: key, message and signature are public.

See FIPS 186-5, section 6.4.2, and SEC 1, section 4.1.4; keys are as in RFC 5480, signatures as in RFC 3279.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, TypeAlias

_P: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G: Final = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_HEAD: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""How a public key of this curve begins: its kind, and that both coordinates follow."""

Point: TypeAlias = tuple[int, int]


def public_key(text: str) -> Point:
    """Return the point of a key in base64, as vendors show it, with or without the lines of PEM. Raises `ValueError`."""
    bare = "".join(line for line in text.split("\n") if not line.startswith("-----"))
    try:
        raw = base64.b64decode("".join(bare.split()), validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None
    if not raw.startswith(_HEAD) or len(raw) != len(_HEAD) + 64:
        raise ValueError("it is no public key of the curve P-256")
    x, y = (int.from_bytes(raw[at : at + 32]) for at in (len(_HEAD), len(_HEAD) + 32))
    if x >= _P or y >= _P or (y * y - (x * x * x - 3 * x + _B)) % _P:
        raise ValueError("it is no point of the curve P-256")
    return x, y


def is_signed(key: Point, message: bytes, signature: bytes) -> bool:
    """Whether a signature (DER) over a message is by the owner of the key."""
    numbers = _numbers(signature)
    if numbers is None:
        return False
    r, s = numbers
    if not (0 < r < _N and 0 < s < _N):
        return False
    inverse = pow(s, -1, _N)
    digest = int.from_bytes(hashlib.sha256(message).digest())
    point = _add(_times(_G, digest * inverse % _N), _times(key, r * inverse % _N))
    return point is not None and point[0] % _N == r


def _numbers(der: bytes) -> tuple[int, int] | None:
    """Return r and s of a signature; None where it is not spelled as DER has it."""
    if len(der) < 8 or der[0] != 0x30 or der[1] != len(der) - 2:
        return None
    found, at = [], 2
    for _ in range(2):
        if at + 2 > len(der) or der[at] != 0x02:
            return None
        end = at + 2 + der[at + 1]
        raw = der[at + 2 : end]
        if not raw or end > len(der) or raw[0] & 0x80 or (len(raw) > 1 and raw[0] == 0 and not raw[1] & 0x80):
            return None
        found.append(int.from_bytes(raw))
        at = end
    return (found[0], found[1]) if at == len(der) else None


def _add(one: Point | None, other: Point | None) -> Point | None:
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2:
        if (y1 + y2) % _P == 0:
            return None
        slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, _P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, _P)
    x3 = (slope * slope - x1 - x2) % _P
    return x3, (slope * (x1 - x3) - y1) % _P


def _times(point: Point, number: int) -> Point | None:
    total: Point | None = None
    doubled: Point | None = point
    while number:
        if number & 1:
            total = _add(total, doubled)
        doubled = _add(doubled, doubled)
        number >>= 1
    return total
