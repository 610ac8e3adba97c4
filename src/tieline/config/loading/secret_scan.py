"""Secrets that someone wrote into a file. They are refused: files are committed, mailed and shown.

Found are credentials that are not references, texts with the look of a known kind of token, passwords in addresses, and what looks
made by chance under a name such as `password` or `Authorization`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from tieline.config.loading.references import is_reference, misspelled
from tieline.config.loading.yaml_source import Key, Source
from tieline.model.errors import Complaint
from tieline.model.secret import KNOWN_TOKENS

_MEND: Final = "put it into an environment variable and write ${env:NAME}"
_MEND_CONNECTOR: Final = (
    "a connector holds none: declare how it is sent under `auth`, or a variable, and give ${env:NAME} in the connection"
)
_IN_URL: Final = re.compile(r"://[^/\s:@?#]*:((?!\$\{|\{)[^/\s@]+)@")
_GAP: Final = re.compile(r"\$?\{[^{}]*\}")
_OPEN: Final = {"username"}
"""What stands among credentials and is none."""
_SENT: Final = {"headers", "params", "constants", "body", "const", "archive", "item"}
_ALWAYS: Final = re.compile(r"(?:.*[_.])?(?:password|passwd|pwd|passphrase|secret|authorization|private_key|cookie)")
_PERHAPS: Final = re.compile(r"(?:.*[_.])?(?:token|api_?key|access_key|auth_?key|credentials?|signature|key)")
_SCHEME: Final = re.compile(r"(?i)\s*(?:bearer|basic|token|apikey|digest)\s*")


def literal_secrets(source: Source, *, credentials: bool = False) -> tuple[list[Complaint], list[str]]:
    """Return what is wrong, and the texts that must not be shown. With `credentials`, the file holds connections."""
    complaints: list[Complaint] = []
    literals: list[str] = []
    root = source.value if isinstance(source.value, dict) and not credentials else {}
    for keys, text in _texts(source.value, ()):
        problem = _problem(keys, text, credentials=credentials)
        wrong = misspelled(text)
        if problem:
            literals.append(text)
        if wrong:
            complaints.append(source.complaint(keys, wrong))
        elif problem:
            # References in a connector are resolved in the environments' addresses alone.
            resolved = "connector" not in root or keys[:1] == ("environments",)
            complaints.append(source.complaint(keys, problem, _MEND if resolved else _MEND_CONNECTOR))
    return complaints, literals


def _texts(value: Any, keys: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], str]]:
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if KNOWN_TOKENS.search(key):
                yield keys, key
            yield from _texts(item, (*keys, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*keys, index))
    elif isinstance(value, int | Decimal) and not isinstance(value, bool) and {"auth", "webhook_secret"}.intersection(keys):
        yield keys, str(value)  # a password of digits only


def _problem(keys: tuple[Key, ...], text: str, *, credentials: bool) -> str:
    if not text.strip():
        return ""
    if KNOWN_TOKENS.search(text):
        return "this looks like a secret"
    if (match := _IN_URL.search(text)) and not is_reference(match[1]):
        return "there is a password in this address"
    if credentials and {"auth", "webhook_secret"}.intersection(keys[1:]) and keys[-1] not in _OPEN:
        return "" if is_reference(text) else "a secret must not be written here"
    sent = _SENT | {"variables"} if credentials else _SENT
    if not keys or not isinstance(keys[-1], str) or not (sent.intersection(keys[:-1]) or keys[-1] == "const"):
        return ""
    rest = _SCHEME.sub("", _GAP.sub("", text)).strip()  # what a gap stands for is not in the file
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|-", "_", keys[-1]).lower()
    if keys[-1] == "const" and len(keys) > 1:
        name = str(keys[-2]).lower()  # the field that gets it
    if _ALWAYS.fullmatch(name) and rest and not _GAP.search(text):
        return "this looks like a secret"
    if _PERHAPS.fullmatch(name) and is_random(rest):
        return "this looks like a secret"
    return ""


def is_random(text: str) -> bool:
    """Say whether a text looks made by chance, as keys are, and not like something with a meaning."""
    if len(text) < 12 or re.search(r"\s", text):
        return False
    kinds = sum(re.search(kind, text) is not None for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    bits = -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
    return kinds >= 2 and bits >= (3.0 if len(text) >= 20 else 2.8)
