"""Signatures by public keys of the curve P-256 (ECDSA with SHA-256), verified with `cryptography`, which is only loaded where one is declared."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey


def public_key(text: str) -> EllipticCurvePublicKey:
    """Return a key in base64, as vendors show it, with or without the lines of PEM. Raises `ValueError`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    bare = "".join(line for line in text.split("\n") if not line.startswith("-----"))
    try:
        raw = base64.b64decode("".join(bare.split()), validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None
    try:
        key = load_der_public_key(raw)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it is no public key") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("it is no public key of the curve P-256")
    return key


def is_signed(key: EllipticCurvePublicKey, message: bytes, signature: bytes) -> bool:
    """Whether a signature (DER) over a message is by the owner of the key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key.verify(signature, message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
