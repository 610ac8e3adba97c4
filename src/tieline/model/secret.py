"""Values that never print themselves, and text from which they are taken out.

A `Secret` shows the reference it came from wherever something would print, log, format or serialise it; only `reveal` gives
the value. A `Redactor` masks what got into a text all the same: the values it knows, in every form in which they travel,
and what has the shape of a credential whether it knows it or not.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

MASK: Final = "***"

KNOWN_TOKENS: Final = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        [sr]k_(?:live|test)_[A-Za-z0-9]{8,}                       # Stripe
      | whsec_[A-Za-z0-9+/=]{16,}                                 # webhook signing
      | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,}
      | glpat-[A-Za-z0-9_-]{16,}
      | xox[abeprs]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{10,}    # Slack
      | (?:AKIA|ASIA)[A-Z0-9]{16}                                 # AWS
      | AIza[A-Za-z0-9_-]{30,} | ya29\.[A-Za-z0-9_-]{20,}         # Google
      | sk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}
      | shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{24,}                       # Shopify
      | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}                # SendGrid
      | key-[a-f0-9]{32} | [a-f0-9]{32}-us[0-9]{1,2}              # Mailgun, Mailchimp
      | pat-[a-z]{2}[0-9]-[a-f0-9-]{30,}                          # HubSpot
      | npm_[A-Za-z0-9]{30,} | pypi-[A-Za-z0-9_-]{40,} | dop_v1_[a-f0-9]{40,}
      | hvs\.[A-Za-z0-9_-]{20,}                                   # Vault
      | eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*   # JWT
    )
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----(?:(?:(?!-----)[\s\S])*-----END\ [A-Z ]*PRIVATE\ KEY-----)?
    """,
    re.VERBOSE,
)
"""Credentials that are known by their look."""

_STARTS: Final = (
    "k_live_", "k_test_", "whsec_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "xapp-", "AKIA", "ASIA", "AIza",
    "ya29.", "sk-", "shp", "SG.", "key-", "-us", "pat-", "npm_", "pypi-", "dop_v1_", "hvs.", "eyJ", "-----BEGIN ",
)  # fmt: skip
"""Each of `KNOWN_TOKENS` holds one of these."""
_NAME_PARTS: Final = ("token", "key", "secret", "passw", "pwd", "sig", "assertion", "verifier")
"""Each of `_NAMES` holds one of these."""
_MARGIN: Final = 4096
"""Characters: longer than any spelling of a credential."""

_NAMES: Final = (
    r"(?:access|refresh|id|auth|session|csrf)[_-]?token|token|api[_-]?key|apikey|client[_-]?secret|secret|password|passwd|pwd"
    r"|x-api-key|x-auth-token|private[_-]?key|signature|sig|assertion|code_verifier"
)
_AUTHORIZATION: Final = re.compile(
    r"""(?ix) \b( (?:proxy-)?authorization ["']? \s* [:=,]\s* (?:b?["'])? ) (?: [A-Za-z][\w-]*\ +[^\s"',]+ | [^\s"',]+ )"""
)
_SCHEME: Final = re.compile(r"(?i)\b(bearer|basic)( +)(?=\S*[0-9=]|\S{20})[A-Za-z0-9+/=._~-]{8,}")
_PAIR: Final = re.compile(rf"(?i)(?<![A-Za-z0-9])((?:{_NAMES})=)(?!\$\{{)[^\s&\"'#;,)]+")
_MEMBER: Final = re.compile(rf"""(?i)((["'])(?:{_NAMES})\2\s*:\s*)(?:"(?!\$\{{)(?:[^"\\]|\\.)+"|'(?!\$\{{)(?:[^'\\]|\\.)+')""")
_USER_INFO: Final = re.compile(r"(://)(?!\$\{)[^/\s:@\"'?#]*:(?!\$\{)[^/\s@\"']+@")
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_SHORTEST: Final = 4
_LONG_LINE: Final = 12


class Secret:
    """A value that only `reveal` gives away; everything else sees the reference it came from.

    Equality takes the same time whatever the values are. A copy is the same object; pickle and JSON refuse it.
    """

    __slots__ = ("__value", "_reference")

    def __init__(self, value: str, reference: str = MASK) -> None:
        self.__value = value
        self._reference = reference

    @property
    def reference(self) -> str:
        """What stands in the file: `${env:CRM_TOKEN}`."""
        return self._reference

    def reveal(self) -> str:
        """Return the value itself: for the request that needs it, at the last moment."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret({self._reference!r})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode("utf-8", "surrogatepass"), other.__value.encode("utf-8", "surrogatepass"))

    def __hash__(self) -> int:
        return hash(self.__value)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"{self!r} is not to be pickled")


class Redactor:
    """Takes secrets out of text: `mask` for text, `clean` for whatever is about to be logged or shown."""

    def __init__(self, secrets: Iterable[Secret | str] = ()) -> None:
        self._known: list[tuple[str, re.Pattern[str]]] = []
        self._seen: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: Secret | str) -> None:
        """Know one more value, a renewed token for example. One under four characters is too short to be told from text."""
        value = secret.reveal() if isinstance(secret, Secret) else secret
        lines = (line.strip() for line in value.splitlines())
        for part in {value, value.strip(), *(line for line in lines if len(line) >= _LONG_LINE)}:
            if len(part) >= _SHORTEST and part not in self._seen:
                self._seen.add(part)
                self._known += _spelled(part)
                self._known += _in_base64(part)
        # Longest first: a secret that contains another must not leave its rest behind.
        self._known.sort(key=lambda known: -len(known[1].pattern))

    def mask(self, text: str) -> str:
        """Return the text with every secret replaced by `***`."""
        # Plain searches before each pattern, so that a text without secrets costs almost nothing: every call's URL passes here.
        for anchor, pattern in self._known:
            if anchor in text:
                text = pattern.sub(MASK, text)
        if any(start in text for start in _STARTS):
            text = KNOWN_TOKENS.sub(MASK, text)
        folded = text.casefold()
        if "authorization" in folded:
            text = _AUTHORIZATION.sub(rf"\g<1>{MASK}", text)
        if "bearer " in folded or "basic " in folded:
            text = _SCHEME.sub(rf"\g<1>\g<2>{MASK}", text)
        if any(part in folded for part in _NAME_PARTS):
            if "=" in text:
                text = _PAIR.sub(rf"\g<1>{MASK}", text)
            text = _MEMBER.sub(rf'\g<1>"{MASK}"', text)
        return _USER_INFO.sub(rf"\g<1>{MASK}@", text) if "://" in text else text

    def excerpt(self, text: str, most: int) -> str:
        """Return the beginning of the text, masked, at most so many characters; no half of a secret is left where it was cut."""
        if len(text) <= most + _MARGIN:
            return self.mask(text)[:most]
        part = self.mask(text[: most + _MARGIN])
        # A secret that the cut went through is not recognised: what may hold its first half goes.
        return part[: max(0, min(most, len(part) - _MARGIN))]

    def clean(self, value: Any) -> Any:
        """Return the value with every text in it masked, keys of dicts included; a `Secret` becomes its reference."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Secret):
            return repr(value)
        if isinstance(value, dict):
            return {self.clean(key): self._member(key, item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.clean(item) for item in value]
        if isinstance(value, bytes):
            return self.mask(value.decode("utf-8", "replace"))
        return value

    def _member(self, key: Any, value: Any) -> Any:
        """Mask what stands under a telling name, whatever it looks like."""
        if isinstance(key, str) and isinstance(value, str) and value and _TELLING.fullmatch(key):
            return MASK
        return self.clean(value)


_TELLING: Final = re.compile(rf"(?i)(?:{_NAMES}|(?:proxy-)?authorization|(?:set-)?cookie)")


def _spelled(secret: str) -> list[tuple[str, re.Pattern[str]]]:
    """Return a pattern for the value itself and for its spellings in URLs, forms, JSON, HTML and Python's repr."""
    anchor = max(_WORD.findall(secret), key=len, default="")  # no spelling changes letters and digits
    return [(anchor, re.compile("".join(map(_spellings, secret))))]


def _spellings(char: str) -> str:
    if char.isascii() and char.isalnum():
        return char
    octets = [f"{byte:02x}" for byte in char.encode("utf-8", "surrogatepass")]
    forms = {re.escape(char), "".join(f"%{octet}" for octet in octets), "".join(rf"\\+x{octet}" for octet in octets)}
    # Escapes of any depth: an answer in a log line in a report is escaped three times.
    forms |= {"".join(rf"\\+u{unit}" for unit in _utf16(char)), rf"&#0*{ord(char)};", rf"&#x0*{ord(char):x};"}
    forms |= {rf"\\+U{ord(char):08x}", rf"\\+x{ord(char):02x}"} | _NAMED.get(char, set())
    spelled = "|".join(sorted(forms, key=len, reverse=True))
    return rf"\\*(?i:{spelled})" if char != "\\" else r"(?i:\\+|%5c|&#0*92;|&#x0*5c;)"


def _utf16(char: str) -> list[str]:
    data = char.encode("utf-16-be", "surrogatepass")
    return [data[at : at + 2].hex() for at in range(0, len(data), 2)]


_NAMED: Final = {
    " ": {r"\+"},
    "&": {"&amp;"},
    "<": {"&lt;"},
    ">": {"&gt;"},
    '"': {"&quot;"},
    "'": {"&apos;"},
    "\n": {r"\\+n"},
    "\r": {r"\\+r"},
    "\t": {r"\\+t"},
    "\b": {r"\\+b"},
    "\f": {r"\\+f"},
}


def _in_base64(secret: str) -> list[tuple[str, re.Pattern[str]]]:
    """Return patterns for base64 text that holds the value anywhere inside, as `user:password` does.

    What stands before it shifts it by 0, 1 or 2 bytes, so there are three spellings; characters that share bits with their
    neighbours are left out of the search, and the whole base64 word is masked.
    """
    found = []
    data = secret.encode("utf-8", "surrogatepass")
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + data).decode()
        first = -(-shift * 8 // 6)
        last = (shift + len(data)) * 8 // 6
        core = coded[first:last]
        if len(core) < _SHORTEST + 1:
            continue
        for spelled in {core, core.replace("+", "-").replace("/", "_")}:
            anchor = max(_WORD.findall(spelled), key=len, default="")
            found.append((anchor, re.compile(rf"[A-Za-z0-9+/_-]*{_in_url(spelled)}(?:[A-Za-z0-9+/_=-]|%3[dD])*")))
    return found


def _in_url(text: str) -> str:
    forms = {"+": r"(?:\+|%2[bB])", "/": r"(?:/|\\/|%2[fF])"}
    return "".join(forms.get(char, re.escape(char)) for char in text)
