"""Whole runs under a vendor's limits: what they wait for, how they end when it is too long, and what `status` says."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from engine.world import NAME, World, leads, told
from tieline.app import Tieline
from tieline.engine.runs.passes import Wanted
from tieline.observe.status import IntegrationStatus
from tieline.testing import SimulatedDatabase, error, throttled

NewWorld = Callable[..., World]


def filled(new_world: NewWorld, number: int, **habits: Any) -> World:
    """Return a world whose source has so many leads."""
    source = habits.pop("source", None) or leads()
    world = new_world(source, **habits)
    for index in range(number):
        source.add(email=f"p{index}@example.org", name=f"Person {index}", rev=1)
    return world


def status(world: World) -> IntegrationStatus:
    """Return how the integration is doing."""
    with world.life() as life:
        return life.tieline.status()[0]


def test_a_wait_of_hours_ends_the_run_and_the_next_one_calls_nobody(new_world: NewWorld) -> None:
    """Nothing is lost, `status` says until when and why, and the run after that time goes on."""
    world = filled(new_world, 3, freshness="1d")
    world.network.strike(throttled(7200.0), system="mail", method="POST")

    first = world.run()
    calls = len(world.calls())
    waiting = status(world)
    second = world.run()
    again = len(world.calls())
    world.clock.advance(7200.0)
    third = world.run()

    assert "owed" == first.state
    assert "waiting" == waiting.state
    assert not waiting.needs_someone
    assert ("mail", "the vendor asked for it (429, Retry-After)") == (waiting.waiting[0].connection, waiting.waiting[0].why)
    assert 7200.0 == pytest.approx(waiting.waiting[0].until - world.clock.now() + 7200.0, abs=5.0)
    assert "owed" == second.state
    assert calls == again
    assert "429" in str(second.error), "why it waits is not lost on the way"
    assert [("mail", waiting.waiting[0].why, False)] == [(each.connection, each.why, each.down) for each in second.waiting]
    assert waiting.waiting[0].until == second.waiting[0].until
    assert "green" == third.state
    assert 3 == len(world.arrived)
    assert [] == status(world).waiting


def test_a_first_meeting_stops_before_the_reserve_and_a_person_goes_on(new_world: NewWorld) -> None:
    """Of 40 calls a day a quarter is kept; the rest of the records go the next day."""
    limits = [{"requests": 40, "per": "1d", "reserve": "25%"}]
    world = filled(new_world, 50, connection={"limits": limits}, freshness="7d")

    first = world.run()
    used = len(world.calls())
    there = status(world)
    one = world.run(only=str(world.leads.records[-1]["id"]))
    then = len(world.calls())
    world.clock.advance(1.02 * 86_400)
    second = world.run()

    assert ("owed", 30) == (first.state, used)
    assert "waiting" == there.state
    assert "40 requests a day are used up, but for 10 that are kept for more urgent calls" == there.waiting[0].why
    [use] = [limit for limit in there.limits if limit.connection == "mail"]
    assert ("40 requests a day", 30, 0.75) == (use.limit, use.used, use.share)
    assert (1, 1) == (one.counts.read, one.counts.carried_delivered)
    assert (30, 31) == (used, then)
    assert "green" == second.state
    assert 50 == len(world.arrived)


def test_processes_that_run_side_by_side_keep_the_limit_together(new_world: NewWorld) -> None:
    """Two integrations, each in a process of its own, into one account: neither knows of the other."""
    other = {"name": "name", "email": "email", "rev": "rev"}
    world = filled(
        new_world,
        60,
        source=leads(),
        mail={"rate": (20, 2.0), "declared_rate": (20, 2.0)},
        integrations={"others": {"map": other, "match": None}},
    )

    async def both() -> None:
        with world.life() as first, world.life() as second:
            await asyncio.gather(first.tieline.run(NAME), second.tieline.run("others"))

    started = world.clock.elapsed_seconds
    world.clock.run(both())
    took = world.clock.elapsed_seconds - started

    assert 0 == world.mail.throttled
    assert 60 == len({record["email"] for record in world.arrived})
    calls = len(world.calls())
    assert calls / 10 <= took <= calls / 10 / 0.94


def test_a_vendor_that_asks_to_be_left_alone_on_good_answers_is(new_world: NewWorld) -> None:
    world = filled(new_world, 3, mail={"backoff": 10.0, "concurrency": 1})

    outcome = world.run()

    sent = [exchange.sent_at for exchange in world.network.exchanges if exchange.system == "mail"]
    assert {"green": 3, "created": 3} == told(outcome)
    assert all(later - earlier >= 10.0 for earlier, later in itertools.pairwise(sent))


@pytest.mark.parametrize("way", ["draft", "plain", "epoch"])
def test_what_answers_tell_prevents_refusals(new_world: NewWorld, way: str) -> None:
    """Nothing is declared, and the vendor takes 60 a minute."""
    world = filled(new_world, 150, mail={"rate": (60, 60.0), "limit_headers": way}, freshness="1d")

    outcome = world.run()

    assert "green" == outcome.state
    assert world.mail.throttled <= 1


def test_a_person_goes_before_a_first_meeting(new_world: NewWorld) -> None:
    """One record, asked for while another process fills up for another integration."""
    other = {"name": "name", "email": "email", "rev": "rev"}
    others = {"others": {"map": other, "match": None}}
    world = filled(new_world, 100, integrations=others, mail={"rate": (4, 2.0), "declared_rate": (4, 2.0)})

    async def both() -> float:
        with world.life() as first, world.life() as second:
            filling = asyncio.create_task(first.tieline.run(NAME))
            await world.clock.sleep(5.0)
            started = world.clock.elapsed_seconds
            await second.tieline.run("others", Wanted(only=str(world.leads.records[0]["id"])))
            took = world.clock.elapsed_seconds - started
            await filling
            return took

    assert world.clock.run(both()) < 4.0
    assert 0 == world.mail.throttled


def test_who_is_limited_again_and_again_is_told_what_would_help(new_world: NewWorld) -> None:
    """With figures, and for this very integration: here writes go one by one, and nothing tells what has changed."""
    world = filled(new_world, 100, mail={"rate": (2, 1.0), "declared_rate": (2, 1.0)}, freshness="1d")
    world.run()

    [hint] = status(world).advice

    assert hint.startswith("mail: in the last run 9"), hint
    assert "% of the time of its 102 calls was waiting for limits" in hint
    assert "`batch: create` in the connector, if the vendor takes many records in one call; they are written one by one now" in hint
    assert "a higher limit from the vendor" in hint


def test_who_is_refused_often_without_a_declared_limit_is_told_to_declare_it(new_world: NewWorld) -> None:
    world = filled(new_world, 60, mail={"rate": (5, 1.0), "retry_after": "seconds"}, freshness="1d")
    world.run()

    [hint] = status(world).advice

    assert "were answered with `too many requests`" in hint
    assert "declare the vendor's `limits`, so that none is refused" in hint
    assert any(limit.learned for limit in status(world).limits)


def test_who_looks_up_a_lot_is_told_how_to_look_up_less(new_world: NewWorld) -> None:
    """Each record is searched for before it is made."""
    world = filled(new_world, 1, mail={"rate": (1, 1.0), "declared_rate": (1, 1.0)}, freshness="1d")
    world.run()
    for index in range(5):
        for number in range(4):
            world.leads.add(email=f"q{index}-{number}@example.org", name="Q", rev=1)
        world.run()

    [hint] = status(world).advice

    assert "an `upsert` by the field of `match`, if the vendor has one: 20 of the calls only looked something up" in hint
    assert "`cache` under `find` in the connector" in hint
    assert "a longer interval: it was run every" in hint


def test_nobody_is_advised_without_a_reason(new_world: NewWorld) -> None:
    world = filled(new_world, 20, mail={"rate": (1000, 1.0), "declared_rate": (1000, 1.0)})
    world.run()

    assert [] == status(world).advice


def test_a_plan_s_calls_count(new_world: NewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes nothing, and it asks: what it asks is the vendor's to count."""
    world = filled(new_world, 3, connection={"limits": [{"requests": 1000, "per": "1d"}]})

    monkeypatch.setattr("tieline.engine.runs.plan.Database", lambda path: SimulatedDatabase(path, world.clock))

    async def plan(tieline: Tieline) -> None:
        with await tieline.plan(NAME):
            pass

    world.within(plan)

    [use] = [limit for limit in status(world).limits if limit.connection == "mail"]
    assert len(world.calls()) == use.used > 0


def test_a_lock_that_is_told_for_hours_is_not_tried_earlier_by_a_later_run(new_world):
    """It is one record's: nothing else waits for it, and no run shortens what the vendor has said."""
    world = filled(new_world, 2, match={"email": "email"})
    world.network.strike(error(423, headers={"Retry-After": "7200"}), system="mail", method="POST", times=1)
    world.run()
    posts = len(world.calls(method="POST"))
    world.clock.advance(600.0)
    before = world.clock.elapsed_seconds
    early = world.run()
    assert (1, posts) == (len(world.members.records), len(world.calls(method="POST")))
    assert world.clock.elapsed_seconds - before < 60
    world.clock.advance(7200.0)
    late = world.run()

    assert ("owed", "green") == (early.state, late.state)
    assert 2 == len(world.members.records)
