"""References in files: `${env:NAME}` and `${file:PATH}` stand for what must not be written down.

They are found anywhere inside a text and resolved late, for one use. An error names the reference, never a value. Addresses are judged
here too, as written and again when they are resolved: credentials travel over TLS, or stay on this machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tieline.model.errors import TielineError
from tieline.model.secret import Secret

_REFERENCE: Final = re.compile(r"\$\{([a-z]+):([^{}]*)\}")
_BEGUN: Final = re.compile(r"\$\{([A-Za-z]+):")
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST: Final = 64 * 1024


class ReferenceProblem(TielineError):
    """A reference that leads to nothing. Says which; never what it would have been."""

    next_step = "set the variable, or write the file, for the process that runs tieline"


def references(text: str) -> list[str]:
    """Return the references in a text, as written."""
    return [match[0] for match in _REFERENCE.finditer(text)]


def is_reference(text: str) -> bool:
    """Say whether the text is made of references and nothing else."""
    return bool(references(text)) and not _REFERENCE.sub("", text).strip()


def misspelled(text: str) -> str | None:
    """Return what is wrong with the spelling of the references in a text, or None."""
    for match in _BEGUN.finditer(text):
        whole = _REFERENCE.match(text, match.start())
        if match[1] not in _RESOLVERS:
            lower = match[1].lower()
            close = f", did you mean `${{{lower}:`" if lower in _RESOLVERS else ""
            return f"`${{{match[1]}:` is no kind of reference{close}: `${{env:NAME}}` and `${{file:PATH}}` are known"
        if whole is None:
            return f"`${{{match[1]}:` is not closed: `${{{match[1]}:...}}`"
        if match[1] == "env" and not _ENV_NAME.fullmatch(whole[2]):
            return f"`{whole[0]}` does not name an environment variable"
        if not whole[2].strip() or "\0" in whole[2]:
            return f"`{whole[0]}` names nothing"
    return None


def resolve(text: str, folder: Path, environ: Mapping[str, str]) -> str:
    """Return the text with every reference replaced by its value. Raises `ReferenceProblem`."""
    if wrong := misspelled(text):
        raise ReferenceProblem(wrong)
    return _REFERENCE.sub(lambda match: _RESOLVERS[match[1]](match[0], match[2], folder, environ), text)


def resolve_secret(text: str, folder: Path, environ: Mapping[str, str]) -> Secret:
    """Return what a credential's references stand for, as a value that never prints itself. Raises `ReferenceProblem`."""
    return Secret(resolve(text, folder, environ), text)


def unresolved(text: str, folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Return what keeps the references in a text from being resolved, one sentence each; no value is shown."""
    problems: list[str] = []
    if misspelled(text):
        return problems  # which is an error wherever it stands, set or not
    for match in _REFERENCE.finditer(text):
        try:
            resolve(match[0], folder, environ)
        except ReferenceProblem as problem:
            problems.append(str(problem))
    return problems


def _from_environment(reference: str, name: str, folder: Path, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if value is None:
        raise ReferenceProblem(f"the environment variable of `{reference}` is not set")
    if not value:
        raise ReferenceProblem(f"the environment variable of `{reference}` is empty")
    return _clean(reference, value)


def _from_file(reference: str, name: str, folder: Path, environ: Mapping[str, str]) -> str:
    try:
        path = folder / Path(name).expanduser()
        if not path.is_file():
            raise ReferenceProblem(f"the file of `{reference}` is not there")
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ReferenceProblem(f"the file of `{reference}` can't be read: {reason}") from None
    if len(data) > _LARGEST:
        raise ReferenceProblem(f"the file of `{reference}` is larger than {_LARGEST // 1024} KiB")
    try:
        value = data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ReferenceProblem(f"the file of `{reference}` is not UTF-8 text") from None
    if not value:
        raise ReferenceProblem(f"the file of `{reference}` is empty")
    return _clean(reference, value)


def _clean(reference: str, value: str) -> str:
    """Refuse what could never be a header, an address or a password, and would show itself in a library's error."""
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ReferenceProblem(f"`{reference}` holds bytes that are not text")
    return value


_RESOLVERS: Final[dict[str, Callable[[str, str, Path, Mapping[str, str]], str]]] = {
    "env": _from_environment,
    "file": _from_file,
}


def check_url(url: str) -> str | None:
    """Return why an address may not be called, or None: https anywhere, http only to this machine itself."""
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in url):
        return "an address must have no blank, backslash or control character"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "this is no address"
    if parts.scheme not in ("http", "https"):
        return "an address begins with https://"
    if not host:
        return "the address names no host"
    if parts.username is not None or parts.password is not None:
        return "an address must not hold a user name or password: use the connection's `auth`"
    if parts.scheme == "http" and not is_loopback(host):
        return "plain http is only for this machine itself (127.0.0.1, ::1, localhost): write https"
    return None


def check_url_template(text: str) -> str | None:
    """Return the same for an address as it stands in a file, where references and `{variables}` stand for parts of it."""
    if _REFERENCE.match(text) or text.startswith("{"):
        return None  # nothing can be said before it is resolved
    return check_url(re.sub(r"\{[^{}]*\}", "0", _REFERENCE.sub("0", text)))


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback
