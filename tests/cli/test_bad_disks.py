"""Disks that fill, stores that are held, folders that can't be written: each is said clearly, nothing is lost, and it goes on when corrected."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.world import NAME, QUALIFIED, World
from tieline.model.errors import StoreError
from tieline.store import database
from tieline.store.database import Database

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="small disks are made with tmpfs")

Resize = Callable[[str], None]
_LOOKS = [["status"], ["status", NAME], ["explain", "crm", "leads", "1"], ["calls"], ["dead-letters", "list"], ["links", "list", NAME]]


@pytest.fixture
def small_disk(world: World) -> Iterator[Resize]:
    """Put the store on a disk of its own; the function says how large it is (`600k`), or lets it be `ro`."""
    place = world.store.parent
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=False, capture_output=True).returncode
    ):
        pytest.skip("a disk of a given size needs the right to mount one")
    try:
        yield lambda how: _mount("-o", f"remount,{how}" if how in ("ro", "rw") else f"remount,size={how}", place)
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_full_again_and_again(world: World, small_disk: Resize) -> None:
    """Wherever the room ends, it is said, and the next run goes on from there, however little room comes at a time."""
    refused = 0
    for size in range(64, 2048, 96):
        small_disk(f"{size}k")
        run = world.tieline("run", NAME)
        if run.code == 0:
            break
        refused += 1
        assert 5 == run.code, run.said  # in the middle of a run, or before it
        assert "Traceback" not in run.said
        assert f"the disk is full: {world.store}" in run.said
        assert "free some space" in run.said
    status = world.tieline("status", "--json")
    small_disk("8m")  # what there was room for was no more than this one run
    again = world.tieline("run", NAME, "--json")

    assert refused > 3
    assert world.qualified == world.members
    assert 0 == status.code, status.said
    assert (QUALIFIED, 0) == (status.json[0]["linked"], sum(status.json[0]["open"].values()))
    assert (0, 0, 0) == tuple(again.json[0]["counts"][name] for name in ("created", "updated", "carried_delivered"))
    with contextlib.closing(sqlite3.connect(world.store)) as store:
        assert [("ok",)] == store.execute("PRAGMA integrity_check").fetchall()


def test_a_disk_that_is_full_beforehand(world: World, small_disk: Resize) -> None:
    """Reading needs a little room too, for the files beside the store: it is said in the same words."""
    small_disk("8m")
    assert 0 == world.tieline("run", NAME).code
    filler = world.store.parent / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    full = world.both(["status"], ["run", NAME])
    filler.unlink()
    status = world.tieline("status", "--json")

    for result in full:
        assert 5 == result.code
        assert "the disk is full" in result.err
        assert "free some space" in result.err
    assert 0 == status.code, status.said
    assert QUALIFIED == status.json[0]["linked"]


def test_a_disk_that_can_only_be_read(world: World, small_disk: Resize) -> None:
    """As after a fault of the file system."""
    small_disk("8m")
    assert 0 == world.tieline("run", NAME).code
    small_disk("ro")
    run = world.tieline("run", NAME)
    looks = [world.tieline(*each) for each in _LOOKS]
    small_disk("rw")
    good = world.tieline("run", NAME)

    assert 5 == run.code
    assert "Traceback" not in run.said
    assert str(world.store) in run.err
    assert "can't be written" in run.err
    assert "permission" in run.err
    assert [0] * len(looks) == [look.code for look in looks], [look.said for look in looks]
    assert f"{QUALIFIED} linked" in looks[1].out
    assert 0 == good.code


@pytest.mark.parametrize("log", ["checkpointed", "left by a kill"])
def test_a_store_in_a_folder_that_can_only_be_read_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str) -> None:
    """Also with commits that are in the log alone: none of them is left out."""
    path = tmp_path / "store.db"
    with Database(path) as db:
        db.write(lambda connection: connection.execute("INSERT INTO meta VALUES ('said', 'then')"))
        if log != "checkpointed":
            for name in ("store.db", "store.db-wal"):
                (tmp_path / f"copy-{name}").write_bytes((tmp_path / name).read_bytes())
    if log != "checkpointed":
        for name in ("store.db", "store.db-wal"):
            (tmp_path / f"copy-{name}").rename(tmp_path / name)
        (tmp_path / "store.db-shm").unlink(missing_ok=True)

    def refused(path: Path) -> sqlite3.Connection:
        error = sqlite3.OperationalError("attempt to write a readonly database")
        error.sqlite_errorname, error.sqlite_errorcode = "SQLITE_READONLY", 8
        raise error

    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr(database, "_connect", refused)
    with Database(path) as db:
        assert db.readable_only
        assert [("then",)] == db.read("SELECT value FROM meta WHERE key = 'said'")
        assert [("then",)] == list(db.stream("SELECT value FROM meta WHERE key = 'said'"))
        with pytest.raises(StoreError, match="can't be written"):
            db.write(lambda connection: connection.execute("DELETE FROM meta"))
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_a_store_that_somebody_holds_for_a_moment_is_waited_for(world: World) -> None:
    """A backup, an open shell."""
    world.tieline("status")
    with contextlib.closing(sqlite3.connect(world.store, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        command = world.start("run", NAME)
        time.sleep(1.0)
        assert not command.has_ended
        shell.execute("ROLLBACK")
        run = command.end()

    assert 0 == run.code, run.said
    assert world.qualified == world.members


def test_a_store_that_is_damaged_in_the_middle(world: World) -> None:
    """Its first page is good, and others are not: it is not worked with, nor changed."""
    assert 0 == world.tieline("run", NAME).code
    with world.store.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in range(4096, size, 8192):
            file.seek(page)
            file.write(os.urandom(4096))
    lead = next(lead for lead in world.crm.records if lead["status"] == "qualified")
    world.crm.edit(lead, first_name="Changed")
    before = [record["merge_fields"]["FNAME"] for record in world.email.records]
    run = world.tieline("run", NAME)

    assert 5 == run.code
    assert "Traceback" not in run.said
    assert "damaged" in run.err
    assert "backup" in run.err
    assert before == [record["merge_fields"]["FNAME"] for record in world.email.records]


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
