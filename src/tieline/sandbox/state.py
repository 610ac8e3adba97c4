"""A vendor's tables: in memory, and kept in a file when there is one, so that a restarted sandbox remembers.

The file holds one JSON line per table entry that was put or taken out: `[table, key, value]` or `[table, key]`. What
one request changed is written at once, before it is answered: a sandbox that is killed has forgotten nothing that it
confirmed. A line that was cut off is not read. Starting and stopping write the file again, without what is outdated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import msgspec

from tieline.model.records import decode_json, encode_json

Key: TypeAlias = str | int
Table: TypeAlias = dict[Key, Any]

_FORMAT: Final = 1


class State:
    """Tables by name, each with its entries by key, in the order in which they came."""

    def __init__(self, kind: str, file: Path | None = None) -> None:
        self.kind, self.file = kind, file
        self.tables: dict[str, Table] = {}
        self.restored = False
        """Whether there was a file to remember from."""
        self._open: BinaryIO | None = None
        self._unwritten: list[bytes] = []
        if file is not None and file.exists():
            self._read(file)
            self.restored = True

    def table(self, name: str) -> Table:
        """Return the table of that name, for reading; `put` and `take_out` change it."""
        return self.tables.setdefault(name, {})

    def put(self, table: str, key: Key, value: Any) -> None:
        """Put an entry in, or replace it."""
        self.table(table)[key] = value
        if self.file is not None:
            self._unwritten.append(encode_json([table, key, value]))

    def take_out(self, table: str, key: Key) -> None:
        """Take an entry out."""
        del self.table(table)[key]
        if self.file is not None:
            self._unwritten.append(encode_json([table, key]))

    def clear(self) -> None:
        """Forget everything."""
        self.tables.clear()
        self.rewrite()

    def commit(self) -> None:
        """Write what has changed."""
        if self._unwritten:
            if self._open is None:
                self.rewrite()
                return
            self._open.write(b"\n".join(self._unwritten) + b"\n")
            self._open.flush()
            self._unwritten.clear()

    def rewrite(self) -> None:
        """Write the file again, in one step."""
        self._unwritten.clear()
        if self.file is None:
            return
        self.close()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_name(self.file.name + ".new")
        with fresh.open("wb") as out:
            out.write(encode_json({"sandbox": self.kind, "format": _FORMAT}) + b"\n")
            for name, table in self.tables.items():
                out.writelines(encode_json([name, key, value]) + b"\n" for key, value in table.items())
        fresh.replace(self.file)
        self._open = self.file.open("ab")

    def close(self) -> None:
        """Let go of the file."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _read(self, file: Path) -> None:
        with file.open("rb") as lines:
            head = lines.readline()
            try:
                known = decode_json(head) == {"sandbox": self.kind, "format": _FORMAT}
            except msgspec.DecodeError:
                known = False
            if not known:
                raise ValueError(f"{file} is not from a sandbox of kind {self.kind!r}; name another file, or remove it")
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                table, key, *value = decode_json(line)
                if value:
                    self.table(table)[key] = value[0]
                else:
                    self.table(table).pop(key, None)
