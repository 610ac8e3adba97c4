"""`.env` in the project folder: variables for whoever did not set them in the environment, which wins.

    # lines like these; blank ones and comments are passed over
    CRM_TOKEN=acme-sandbox-token
    export MAIL_KEY='a $value # as it is'
    NAME="two\\nlines"        # in double quotes \\n, \\t, \\" and \\\\ mean what they mean elsewhere

The file is read again when it has changed, so that a new credential is found without a restart. No value is ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tieline.model.errors import Complaint

FILE: Final = ".env"
_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_QUOTED: Final = re.compile(r"""(?:'([^']*)'|"((?:[^"\\]|\\.)*)")\s*(?:\#.*)?""")
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t"}
_LARGEST: Final = 1 << 20


class Environment(Mapping[str, str]):
    """The environment, and behind it the project's `.env` as it is now."""

    def __init__(self, folder: Path, base: Mapping[str, str]) -> None:
        self._path, self._base = folder / FILE, base
        self._seen: object = None
        self._values: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        # Set, and empty, is set: who wants the file's value takes it out of the environment.
        return self._base[name] if name in self._base else self._of_file()[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._of_file(), **self._base})

    def __len__(self) -> int:
        return len({**self._of_file(), **self._base})

    def _of_file(self) -> dict[str, str]:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._values, self._seen = read_dotenv(self._path)[0], seen
        except OSError:
            self._values, self._seen = {}, None
        return self._values


def read_dotenv(path: Path) -> tuple[dict[str, str], list[Complaint]]:
    """Return the variables of a file, and what is wrong in it, by line. Raises `OSError`."""
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        return {}, [Complaint(FILE, None, "", "is larger than 1 MiB: nothing of it is read", "keep variables alone in it", "warning")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = data[: error.start].count(b"\n") + 1
        return {}, [Complaint(FILE, bad, "", "is not UTF-8 text: nothing of the file is read", "save it as UTF-8", "warning")]
    values: dict[str, str] = {}
    complaints: list[Complaint] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            complaints.append(Complaint(FILE, number, "", "expected NAME=value", "the line is passed over", "warning"))
            continue
        value = _value(found[2])
        if value is None:
            hint = "the line is passed over; values with blanks, quotes or # stand in quotes"
            complaints.append(Complaint(FILE, number, found[1], "its quote is not closed, or something follows it", hint, "warning"))
            continue
        values[found[1]] = value
    return values, complaints


def _value(written: str) -> str | None:
    if written[:1] in ("'", '"'):
        found = _QUOTED.fullmatch(written)
        if found is None:
            return None
        if found[1] is not None:
            return str(found[1])
        return re.sub(r"\\(.)", lambda escape: _ESCAPED.get(escape[1], escape[1]), found[2])
    return re.sub(r"(?:^|\s)#.*$", "", written).rstrip()
