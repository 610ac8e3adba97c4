"""One SQLite file, written by one thread.

A unit of work is a plain function of a connection. Units that wait at the same time share one commit, so many small writers cost one
sync to disk; when one of them fails, all are undone and each runs again by itself, and only the failing one gets the error.
The caller's thread reads through a connection of its own and never waits for a writer (WAL).

Every statement of the hot path covers many rows (`insert`, `update_from`): one step in C, outside the interpreter's lock.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import queue
import shutil
import sqlite3
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

from tieline.model.errors import StoreError

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
Unit = Callable[[sqlite3.Connection], T]
Transaction: TypeAlias = sqlite3.Connection
"""What a unit of work writes through: all of it is committed, or nothing."""
Row = tuple[Any, ...]
_SCHEMA_VERSION: Final = 15
_BUSY_SECONDS: Final = 30.0


class AlreadyLinked(Exception):
    """A unit of work would have put a record into two links; nothing of it was committed."""


def scratch() -> Transaction:
    """Return tables of one's own that vanish when they are closed: memory does not grow with what is in them."""
    return sqlite3.connect("")


class Database:
    """An open store. `commit` is for coroutines, `write` for plain code, `read` for both."""

    def __init__(self, path: Path | str, *, threaded: bool = True) -> None:
        """Open or create the file at `path`. Without `threaded`, units run at once on the caller's thread (simulations)."""
        self.path = Path(path)
        self._threaded = threaded
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self.readable_only = False
        """It can't be written: what is in it can be looked at, and every unit is refused."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = _connect(self.path)
            _migrate(self._writer, self.path)
            self._reader = _connect(self.path)
        except sqlite3.Error as error:
            refused = _store_error(self.path, error)
            if not _is_for_reading(self.path, error):
                raise refused from error
            self._open_for_reading(refused)
        except OSError as error:
            raise StoreError(f"the store {self.path} can't be opened: {error}") from error
        self._work: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def _open_for_reading(self, refused: StoreError) -> None:
        """Open a store on a disk or in a file that can't be written. Raises `refused` when not even that is possible."""
        path, beside = self.path, Path(f"{self.path}-wal")
        try:
            if beside.exists() and beside.stat().st_size:
                # The latest commits are in the log, which is only read together with files that would have to be made here.
                self._copy = tempfile.TemporaryDirectory(prefix="tieline-look-", ignore_cleanup_errors=True)
                path = Path(self._copy.name) / path.name
                shutil.copyfile(self.path, path)
                shutil.copyfile(beside, f"{path}-wal")
            self._look_at = f"{path.resolve().as_uri()}?{'mode=rw' if self._copy else 'immutable=1'}"
            self._writer = self._reader = self._looking()
            version = int(self._reader.execute("PRAGMA user_version").fetchone()[0])
        except (sqlite3.Error, OSError):
            self._drop_copy()
            raise refused from None
        self.readable_only = True
        if version != _SCHEMA_VERSION:
            self.close()
            raise StoreError(
                f"the store {self.path} has schema {version}, this tieline needs {_SCHEMA_VERSION}, and the store can't be written",
                next_step="let it be written, or copy it to where it can be, to bring it up to date",
            ) from refused

    def _looking(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._look_at, uri=True, isolation_level=None, check_same_thread=False, cached_statements=512)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _drop_copy(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what was handed in, then close."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None
        if self.readable_only:
            self._reader.close()
            self._drop_copy()
            return
        with contextlib.suppress(sqlite3.Error):
            self._writer.execute("PRAGMA analysis_limit = 400")  # a sample is enough, and takes no time however large the store
            self._writer.execute("PRAGMA optimize")
        self._writer.close()
        self._reader.close()

    def check_room(self) -> None:
        """Raise `StoreError` when the disk has not even the room that a run needs to get on.

        Nothing is written then: a run that fails in the middle leaves its own row and calls, and on a disk that is freed a little at a time
        these would take all of it. What SQLite keeps beside the store has to find room in it too, and then gives its own back.
        """
        if self._lacks_room():
            with contextlib.suppress(sqlite3.Error), self._lock:
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if lacks := self._lacks_room():
                raise StoreError(
                    f"the disk is full: {self.path} can't grow: a run needs {lacks / 1024:,.0f} KiB more",
                    next_step="free some space, then run again; nothing was written",
                )

    def _lacks_room(self) -> int:
        beside = Path(f"{self.path}-wal")
        needed = _ENOUGH_BYTES
        with contextlib.suppress(OSError):
            needed += beside.stat().st_size
        return max(0, needed - _free_bytes(self.path.parent))

    def read(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query over what is committed."""
        try:
            return self._reader.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise _store_error(self.path, error) from error

    def stream(self, statement: str, parameters: Sequence[Any] = ()) -> Iterable[Row]:
        """Yield the rows of a query over what is committed, a few at a time."""
        try:
            with contextlib.closing(self._looking() if self.readable_only else _connect(self.path)) as connection:
                yield from connection.execute(statement, parameters)
        except sqlite3.Error as error:
            raise _store_error(self.path, error) from error

    def write(self, unit: Unit[T]) -> T:
        """Run a unit in a commit of its own and return what it returns."""
        with self._lock:
            return self._one(unit)

    async def commit(self, unit: Unit[T]) -> T:
        """Run a unit and return what it returns, once it is safely on disk."""
        if not self._threaded:
            return self.write(unit)
        import asyncio  # not needed to look

        loop = asyncio.get_running_loop()
        job = _Job(unit, loop, loop.create_future())
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_loop, name="tieline-store", daemon=True)
            self._thread.start()
        self._work.put(job)
        # A caller that is cancelled stops waiting; the unit is committed all the same.
        return await asyncio.shield(job.done)

    def backup_to(self, path: Path) -> None:
        """Copy what is committed into another file."""
        try:
            with contextlib.closing(sqlite3.connect(path)) as copy:
                self._reader.backup(copy)
        except sqlite3.Error as error:
            raise _store_error(path, error) from error

    def _write_loop(self) -> None:
        while (job := self._work.get()) is not None:
            jobs = [job]
            last = False
            with contextlib.suppress(queue.Empty):
                while len(jobs) < 64:
                    more = self._work.get_nowait()
                    if more is None:
                        last = True
                        break
                    jobs.append(more)
            with self._lock:
                self._together(jobs)
            if last:
                return

    def _together(self, jobs: list[_Job]) -> None:
        try:
            results = self._one(lambda connection: [job.unit(connection) for job in jobs])
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the unit
            if len(jobs) == 1:
                jobs[0].settle(None, error)
                return
            for job in jobs:
                self._together([job])
            return
        for job, result in zip(jobs, results, strict=True):
            job.settle(result, None)

    def _one(self, unit: Unit[T]) -> T:
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = unit(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.IntegrityError as error:
            raise AlreadyLinked(str(error)) from error
        except sqlite3.Error as error:
            raise _store_error(self.path, error) from error
        return result


class _Job:
    __slots__ = ("done", "loop", "unit")

    def __init__(self, unit: Unit[Any], loop: asyncio.AbstractEventLoop, done: asyncio.Future[Any]) -> None:
        self.unit, self.loop, self.done = unit, loop, done

    def settle(self, result: Any, error: BaseException | None) -> None:
        def set_it() -> None:
            if self.done.done():
                return
            if error is not None:
                self.done.set_exception(error)
            else:
                self.done.set_result(result)

        with contextlib.suppress(RuntimeError):  # the loop is closed: no one waits any more
            self.loop.call_soon_threadsafe(set_it)


def insert(connection: sqlite3.Connection, into: str, row: str, rows: Sequence[Row], shared: Row = (), tail: str = "") -> None:
    """Insert rows, many in one statement.

    `into` is `INTO table (columns)`; `row` the row as SQL, with `{}` for each of its own values and `?1`, `?2` … for the shared ones;
    `tail` what follows the values (`ON CONFLICT …`).

    Where there are thousands, bytes are given as `bytearray`, and columns that are empty in all rows are left out: for `bytes` and None
    `sqlite3` asks its adapters first, which takes longer than to bind them.
    """
    for part in _parts(rows):
        connection.execute(_filled(f"INSERT {into} {{values}} {tail}", row, len(part), len(shared)), [*shared, *chain.from_iterable(part)])


def update_from(connection: sqlite3.Connection, statement: str, width: int, rows: Sequence[Row], shared: Row = ()) -> int:
    """Run `UPDATE … FROM ({values}) AS v WHERE …` over rows of `width` values; return how many rows changed.

    The rows are `v.column1`, `v.column2` …, the shared values `?1`, `?2` ….
    """
    row = "(" + ",".join(["{}"] * width) + ")"
    changed = 0
    for part in _parts(rows):
        changed += connection.execute(_filled(statement, row, len(part), len(shared)), [*shared, *chain.from_iterable(part)]).rowcount
    return changed


def reserve(connection: sqlite3.Connection, name: str, count: int) -> int:
    """Reserve `count` ids of a sequence and return the first."""
    row = connection.execute("UPDATE sequence SET next = next + ? WHERE name = ? RETURNING next - ?", (count, name, count)).fetchone()
    return int(row[0])


_SIZES: Final = (500, 100, 20, 5, 1)
"""Rows are taken in these portions, so that each statement has few forms and stays prepared; pages mostly hold a round number."""


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    start, left = 0, len(rows)
    for size in _SIZES:
        while left >= size:
            yield rows[start : start + size]
            start, left = start + size, left - size


@functools.lru_cache(maxsize=256)
def _filled(statement: str, row: str, count: int, shared: int) -> str:
    numbers = itertools.count(shared + 1)
    own = row.count("{}")
    rows = ",".join(row.format(*(f"?{next(numbers)}" for _ in range(own))) for _ in range(count))
    return statement.replace("{values}", f"VALUES {rows}")


@functools.lru_cache(maxsize=512)
def marks(count: int) -> str:
    """Return `?,?,…` for an IN list."""
    return ",".join("?" * count)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS, cached_statements=512)
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")  # a commit that was reported survives a power cut
    connection.execute("PRAGMA cache_size = -32768")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_log_pages(path.parent)}")
    connection.execute("PRAGMA temp_store = FILE")
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL, however many others do so at this moment: here SQLite answers "busy" at once, whatever the timeout."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN")  # version and tables as of one moment: another process may be creating them
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    connection.execute("COMMIT")
    if version > _SCHEMA_VERSION:
        raise StoreError(
            f"the store {path} has schema {version}; this tieline knows up to {_SCHEMA_VERSION}",
            next_step="use the tieline that wrote it, or a newer one; nothing was changed",
        )
    if version == 0 and tables:
        raise StoreError(
            f"{path} is a SQLite file, but not a tieline store",
            next_step="give another path under `store:` in tieline.yaml",
        )
    if version == _SCHEMA_VERSION:
        return
    folder = resources.files("tieline.store") / "migrations"
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])  # another process may have been faster
        for number in range(version + 1, _SCHEMA_VERSION + 1):
            for statement in _statements((folder / f"{number:04}.sql").read_text("utf-8")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('store_id', ?)", (uuid.uuid4().hex[:12],))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterable[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


_MOST_LOG_PAGES, _LEAST_LOG_PAGES, _PAGE_BYTES = 8192, 16, 4096
_ENOUGH_BYTES: Final = 1 << 18


def _log_pages(folder: Path) -> int:
    """Return after how many pages the log is copied back: at 32 MiB, so that pages which many commits touch are copied once.

    Where room is scarce, much sooner: the log has a copy of a page for each commit, and when it has filled the disk, nothing can be copied back.
    """
    return max(_LEAST_LOG_PAGES, min(_MOST_LOG_PAGES, _free_bytes(folder, unknown=1 << 40) // _PAGE_BYTES // 8))


"""So much must be free for a run to begin; with less, SQLite may not even find room for the files beside the store."""


def _store_error(path: Path, error: sqlite3.Error) -> StoreError:
    name, folder = getattr(error, "sqlite_errorname", ""), path.parent
    kind = "_".join(name.split("_")[:2])
    # Where there is no room for its side files, SQLite says that it can't read, write or open.
    if kind == "SQLITE_FULL" or (kind in ("SQLITE_IOERR", "SQLITE_CANTOPEN") and _free_bytes(folder) < _ENOUGH_BYTES):
        return StoreError(
            f"the disk is full: {path} can't grow; nothing was accepted or confirmed since",
            next_step="free some space, then run again",
        )
    if kind in ("SQLITE_BUSY", "SQLITE_LOCKED"):
        return StoreError(
            f"the store {path} is locked by another process",
            next_step="find out who holds it (a backup, an open shell?), then run again",
        )
    if kind in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
        return StoreError(
            f"the store {path} is damaged or no SQLite file: {error}",
            next_step="restore it from a backup; keep the damaged file",
        )
    if kind == "SQLITE_READONLY" or (kind == "SQLITE_CANTOPEN" and not os.access(path if path.exists() else folder, os.W_OK)):
        return StoreError(
            f"the store {path} can't be written: {error}",
            next_step=f"see that this user has the permission to write in {folder}, and that the disk is not mounted read-only; then run again",
        )
    return StoreError(f"the store {path} can't be used: {error}")


def _is_for_reading(path: Path, error: sqlite3.Error) -> bool:
    """Whether a store that can't be opened as usual is there, and only can't be written."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_READONLY"):
        return path.is_file()
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR")) and path.is_file() and os.access(path, os.R_OK) and not writable


def _free_bytes(folder: Path, *, unknown: int = _ENOUGH_BYTES) -> int:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free
    return unknown
