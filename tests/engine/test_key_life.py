"""An idempotency key is good for as long as the vendor keeps it: after that, a creation in doubt is looked for before it is sent again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.world import World, leads, members
from tieline.testing import UNANSWERED, Crash, Process, error

LIFE = 24 * 3600.0


def in_doubt(folder: Path, keeps: str | None, **target: Any) -> World:
    """Return a world in which a record was made, and the answer was lost; the vendor was down for all tries after that."""

    def declare(declared: dict[str, Any]) -> None:
        if keeps:
            declared["idempotency"]["keeps"] = keeps

    world = World(folder, leads(), members(**target), mail={"idempotency": True}, connector=declare, retry={"attempts": 2})
    world.leads.add(email="ann@x", name="Ann", rev=1)
    world.network.strike(UNANSWERED, system="mail", method="POST", times=1)
    world.network.strike(error(503), system="mail", method="POST", times=99)
    assert "owed" == world.run().state
    assert ["Ann"] == [one["name"] for one in world.arrived]
    world.network.strikes_end()
    return world


def forget_keys(world: World) -> None:
    world.mail._answers.clear()


def test_after_its_life_it_is_looked_for(swift_path: Path) -> None:
    world = in_doubt(swift_path, "24h")
    world.clock.advance(LIFE)
    forget_keys(world)
    assert "green" == world.run().state
    assert 1 == len(world.arrived)
    assert "looked: it had been done" in [moment.what for moment in world.story(1001).moments]


def test_where_nobody_can_look_a_person_decides(swift_path: Path) -> None:
    world = in_doubt(swift_path, "24h", find=(), lists=False)
    world.clock.advance(LIFE)
    forget_keys(world)
    assert "attention" == world.run().state
    assert ["unknown"] == [letter.cause for letter in world.letters()]
    assert 1 == len(world.arrived)


@pytest.mark.parametrize("keeps", ["24h", None])
def test_within_its_life_it_is_sent_again_under_its_key(keeps: str | None, swift_path: Path) -> None:
    world = in_doubt(swift_path, keeps, find=(), lists=False)
    world.clock.advance(LIFE / 2)
    assert "green" == world.run().state
    assert 1 == len(world.arrived)


def test_a_process_that_dies_after_a_refusal_repeats_under_the_key_that_it_used_last(swift_path: Path) -> None:
    """Nothing but the key keeps the record from being made twice: the vendor has no search and no list."""
    world = World(swift_path, leads(), members(find=(), lists=False), mail={"idempotency": True}, retry={"attempts": 3})
    world.leads.add(email="ann@x", name="Ann", rev=1)
    world.network.strike(error(423), system="mail", method="POST", times=3)
    assert "owed" == world.run().state
    world.clock.advance(100.0)
    world.network.strike(UNANSWERED, system="mail", method="POST", times=1)
    with pytest.raises(Crash):
        world.run(process=Process(lambda number, what: bool(world.arrived)))
    assert ["Ann"] == [one["name"] for one in world.arrived]
    world.clock.advance(100.0)
    assert "green" == world.run().state
    assert 1 == len(world.arrived)
