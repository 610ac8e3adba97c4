"""Whatever the answer to a write, whether it was done or not, one record or many: nothing is there twice, and nothing is lost.

Only what the vendor says plainly, in the shape of its own errors, counts as not done. Everything else is looked for, also under another name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.world import World, leads, members
from tieline.testing import LOST, REFUSED, UNANSWERED, Collection, Fault, answering, error, garbled, slow, throttled

PAGE = b"<html><body><h1>Not what you wanted</h1></body></html>"


def answers() -> Iterator[tuple[str, Callable[[bool], Fault]]]:
    """Yield (name, fault) of all answers that the simulator can give; a fault is made for work that was done, or was not."""
    yield "nothing", lambda done: UNANSWERED if done else LOST
    for how in ("truncated", "html", "empty", "list"):
        yield f"garbled {how}", lambda done, how=how: Fault("garbled", done=done, answer=garbled(how, status=None if done else 200).answer)
    for status in (301, 302, 303, 307, 400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 422, 425, 499, 500, 502, 503, 504, 520):
        yield f"a page with {status}", lambda done, status=status: answering(status, PAGE, done=done)
    for status in (404, 408, 410, 499, 500, 502, 503, 504):
        yield f"nothing with {status}", lambda done, status=status: answering(status, b"", done=done)
    for status in (408, 500, 502, 503, 504):
        yield f"the vendor's {status}", lambda done, status=status: error(status, done=done)
    for status, wait in itertools.product((503,), (0.0, 1.0, None)):
        yield f"{status} told to wait {wait}", lambda done, s=status, w=wait: Fault("told", done=done, answer=throttled(w, status=s).answer)
    for status in (400, 403, 404, 409, 422):
        yield f"half an error with {status}", lambda done, status=status: answering(status, b'{"error": "it is', done=done)


ANSWERS = dict(answers())
SOME = {
    name: ANSWERS[name]
    for name in (
        "nothing",
        "garbled truncated",
        "a page with 302",
        "a page with 404",
        "nothing with 410",
        "the vendor's 408",
        "503 told to wait 0.0",
    )
}
"""One of each kind, where all would take long."""
REFUSALS = {status: error(status, text="no") for status in (400, 403, 404, 405, 409, 410, 413, 422)}


def world_of(folder: Path, batch: int, **habits: Any) -> World:
    """Return a world in which three leads are to be made; with a `batch`, in one call."""
    world = World(
        folder,
        leads(),
        members(batch=dict.fromkeys(("create", "update", "delete"), batch) if batch else {}, **habits),
        retry={"attempts": 3},
    )
    for name in ("ann", "bob", "cid"):
        world.leads.add(email=f"{name}@example.org", name=f"{name} of Example", rev=1001)
    return world


def strike(world: World, fault: Fault, method: str = "POST") -> None:
    """Let the next write meet a fault."""
    world.network.strike(fault, system="mail", method=method)


@pytest.mark.parametrize("batch", [0, 3], ids=["one", "many"])
@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_creation_is_neither_doubled_nor_lost(answer: Callable[[bool], Fault], done: bool, batch: int, swift_path: Path) -> None:
    world = world_of(swift_path, batch)
    strike(world, answer(done))
    for _ in range(3):
        world.run()
        world.clock.advance(100.0)
    for letter in world.letters():
        assert not done or letter.cause == "unauthorized"
        world.run(redrive=(letter.id,))
    assert ["ann@example.org", "bob@example.org", "cid@example.org"] == [record["email"] for record in world.arrived]


@pytest.mark.parametrize("habits", [{}, {"lists": False}, {"find": ()}, {"changed_since": "time"}], ids=["all", "finds", "lists", "since"])
@pytest.mark.parametrize("answer", SOME.values(), ids=SOME)
def test_however_the_vendor_can_be_asked(answer: Callable[[bool], Fault], habits: dict[str, Any], swift_path: Path) -> None:
    world = world_of(swift_path, 0, **habits)
    strike(world, answer(True))
    for _ in range(3):
        world.run()
        world.clock.advance(100.0)
    for letter in world.letters():
        world.run(redrive=(letter.id,))
    assert 3 == len(world.members.records)


@pytest.mark.parametrize(
    "habits", [{}, {"find": ()}, {"changed_since": "time"}, {"changed_since": "version"}], ids=["all", "lists", "since", "versions"]
)
@pytest.mark.parametrize("batch", [0, 3], ids=["one", "many"])
@pytest.mark.parametrize("answer", SOME.values(), ids=SOME)
def test_what_was_renamed_before_it_was_looked_for_is_not_made_again(
    answer: Callable[[bool], Fault], batch: int, habits: dict[str, Any], swift_path: Path
) -> None:
    """A search by the match key finds nothing, and proves nothing."""
    world = world_of(swift_path, batch, **habits)
    strike(world, answer(True))
    renamed: list[Any] = []

    def rename(exchange: Any) -> None:
        # Whoever looks comes too late: this is before its request is answered.
        if exchange.request.method == "GET" and exchange.system == "mail" and not renamed:
            renamed.extend(record["id"] for record in world.members.records)
            for number, id in enumerate(renamed):
                world.members.change(id, email=f"married-{number}@example.org")

    world.network.passing = rename
    for _ in range(3):
        world.run()
        world.clock.advance(100.0)
    assert renamed
    held = world.letters()
    for letter in held:
        world.run(redrive=(letter.id,))
    assert 3 == len(world.members.records)
    assert {letter.source_id for letter in held} <= {letter.source_id for letter in world.letters()}


@pytest.mark.parametrize("batch", [0, 3], ids=["one", "many"])
@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_update_or_a_deletion_is_not_lost(
    answer: Callable[[bool], Fault], method: str, done: bool, batch: int, swift_path: Path
) -> None:
    world = World(
        swift_path, leads(tombstones=True, changed_since="time"), members(batch=dict.fromkeys(("create", "update", "delete"), batch) if batch else {}),
        deletes="delete", retry={"attempts": 3},
    )  # fmt: skip
    ids = [world.leads.add(email=f"{name}@example.org", name=f"{name} of Example", rev=1001) for name in ("ann", "bob")]
    world.run()
    for id in ids:
        world.leads.remove(id) if method == "DELETE" else world.leads.change(id, name="another name")
    strike(world, answer(done), "POST" if batch else method)
    for _ in range(3):
        world.run()
        world.clock.advance(100.0)
    for letter in world.letters():
        world.run(redrive=(letter.id,))
    if not done and answer(done).name in ("garbled", "answer 200"):
        return  # who says 200 and has not done it can't be found out
    wanted = [] if method == "DELETE" else ["another name"] * 2
    assert wanted == [record["name"] for record in world.members.records]


@pytest.mark.parametrize("status", REFUSALS)
def test_the_vendors_own_refusal_is_a_dead_letter_at_once(status: int, swift_path: Path) -> None:
    """It is not looked for again and again, and holds up nothing else."""
    world = world_of(swift_path, 0)
    strike(world, REFUSALS[status])
    assert "attention" == world.run().state
    assert 2 == len(world.members.records)
    assert 1 == len(world.letters())
    asked = [e.request.method for e in world.network.exchanges if e.system == "mail"]
    looked = asked[asked.index("POST") :].count("GET")
    assert (looked > 0) == (status == 409), "what conflicts may be there already"


def test_many_doubts_are_settled_by_one_read(swift_path: Path) -> None:
    """A process that dies leaves what had left in doubt; it is looked for together."""
    from tieline.testing import Crash, Process

    world = World(swift_path, leads(), members(changed_since="time"), mail={"concurrency": 8}, match={"email": "email"})
    for number in range(60):
        world.leads.add(email=f"p{number}@example.org", name=f"Person {number}", rev=1001)
    sent = 0

    def dies(exchange: Any) -> None:
        nonlocal sent
        sent += exchange.request.method == "POST"

    world.network.passing = dies
    with pytest.raises(Crash):
        world.run(process=Process(lambda number, what: sent > 10))
    before = len(world.network.exchanges)
    world.clock.advance(100.0)
    world.run()
    asked = [e.request for e in world.network.exchanges[before:] if e.system == "mail" and e.request.method == "GET"]
    assert 60 == len(world.members.records)
    # What had left and was not made is searched for as well: at most what can be on its way, and what may follow it before the next commit.
    assert [1, True] == [sum("/search" not in request.url for request in asked), len(asked) <= 1 + 8 + 4 * 8]


def test_a_search_that_nobody_answered_leaves_no_doubt_that_anything_was_made(swift_path: Path) -> None:
    """Its failure has the name of a write whose answer was lost; where there is no list to see, such a write would be held."""
    world = world_of(swift_path, 0, lists=False)
    world.network.strike(UNANSWERED, system="mail", method="GET", times=100)
    assert "owed" == world.run().state
    world.network.strikes_end()
    world.clock.advance(3600.0)
    assert "green" == world.run().state
    assert ["ann of Example", "bob of Example", "cid of Example"] == [record["name"] for record in world.arrived]


def test_what_is_refused_after_a_newer_version_was_filtered_is_no_letter(swift_path: Path) -> None:
    """The newer version took its place while it was on its way: a record that is `parked` without a letter, no one could do anything about."""
    fields = {"email": {"type": "string"}, "name": {"type": "string"}, "status": {"type": "string"}}
    world = World(swift_path, Collection("leads", fields), members(), when="new.status == 'open'", map={"email": "email", "name": "name"})
    world.leads.add(email="ann@example.org", name="ann", status="open")
    world.network.strike(REFUSED, system="mail", method="POST", times=5)
    assert "owed" == world.run().state
    world.clock.advance(3600.0)
    world.leads.change(world.leads.records[0]["id"], status="lost")
    world.network.strike(error(422, text="no"), system="mail", method="POST", times=2)
    world.network.strike(slow(10.0), system="crm", method="GET")  # the refusal is held back while the newer version is read
    assert ("green", []) == (world.run().state, world.letters())
    with world.store() as db:
        assert [("filtered",)] == db.read("SELECT verdict FROM link")


@pytest.mark.parametrize("find", [("email",), ()])
@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("renamed", [False, True])
def test_what_reads_may_not_show_yet_is_not_made_again(renamed: bool, dies: bool, find: tuple[str, ...], swift_path: Path) -> None:
    """Nothing says by how much reads are behind: what is not found is made again only once they can't be."""
    from tieline.testing import Crash, Process

    late = members(find=find, lag=300.0, declared_lag=None, find_lag=300.0, declared_find_lag=0.0)
    world = World(swift_path, leads(), late, match={"email": "email"}, retry={"attempts": 3})
    world.leads.add(email="ann@x", name="Ann", rev=1)
    world.network.strike(UNANSWERED, system="mail", method="POST")
    if dies:
        with pytest.raises(Crash):
            world.run(process=Process(lambda number, what: bool(world.members.records)))
        world.clock.advance(61.0)
    assert "owed" == world.run().state
    if renamed:
        world.members.change(world.members.records[0]["id"], email="married@x")
    for _ in range(40):
        world.clock.advance(40.0)
        outcome = world.run()
    assert ("attention" if renamed else "green") == outcome.state
    assert 1 == len(world.members.records)


def test_what_was_not_made_is_made_once_reads_can_not_be_behind(swift_path: Path) -> None:
    world = World(swift_path, leads(), members(find=("email",), declared_lag=None), match={"email": "email"}, retry={"attempts": 3})
    world.leads.add(email="ann@x", name="Ann", rev=1)
    world.network.strike(LOST, system="mail", method="POST")
    assert "owed" == world.run().state
    assert [] == world.members.records
    world.clock.advance(100.0)
    assert "owed" == world.run().state
    world.clock.advance(800.0)
    assert "green" == world.run().state
    assert 1 == len(world.members.records)
