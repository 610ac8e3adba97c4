"""The wall clock is set back by hours, in the middle of a run or between two: no one waits for hours, nothing is lost or sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.world import World, leads, told
from tieline.model.errors import SafetyStop
from tieline.testing import REFUSED, UNANSWERED, Crash, Exchange, Process, throttled

HOURS = 5 * 3600.0
NewWorld = Callable[..., World]


def seed(world: World, count: int = 6) -> None:
    for number in range(count):
        world.leads.add(email=f"p{number}@example.com", name=f"Name {number}", rev=1)


def set_back_at(world: World, request: int, *, system: str = "mail") -> None:
    """Set the clock back as soon as so many requests have left for a system."""
    left = request

    def passing(exchange: Exchange) -> None:
        nonlocal left
        left -= exchange.system == system
        if not left:
            left = -1
            world.clock.set_back(HOURS)

    world.network.passing = passing


@pytest.mark.parametrize("request_", range(1, 14))
def test_in_the_middle_of_a_run(new_world: NewWorld, request_: int) -> None:
    """Whenever it happens: the run takes no longer than it does otherwise, a lost answer and a throttle on its way included."""
    world = new_world(mail={"rate": (20, 1.0), "declared_rate": (20, 1.0)})
    seed(world)
    world.network.strike(UNANSWERED, system="mail", method="POST", after=1)
    world.network.strike(throttled(3.0), system="mail", method="POST", after=3)
    set_back_at(world, request_)
    outcome = world.run()

    assert {"green": 6, "created": 6} == told(outcome)
    assert 6 == len(world.members.records)
    assert 0 <= outcome.seconds < 120
    with world.life() as life:
        [status] = life.tieline.status()
    assert 0 <= (status.freshness_age or 0) < 120
    assert 0 <= (status.last_run_seconds or 0) < 120


def test_what_is_owed_does_not_wait_for_the_old_time(new_world: NewWorld) -> None:
    """When it is tried next is kept as a time of day, which is hours away now."""
    world = new_world(retry={"attempts": 1, "base": "30s", "most": "60s"})
    seed(world)
    world.network.strike(REFUSED, system="mail", method="POST", times=6)
    world.run()
    assert 0 < world.balance()["owed"]
    world.clock.set_back(HOURS)
    before = world.clock.elapsed_seconds
    good = world.run()

    assert 6 == len(world.members.records)
    assert "green" == good.state
    assert world.clock.elapsed_seconds - before < 180


@pytest.mark.parametrize("ahead", [HOURS, 40 * 86_400.0])
def test_what_was_stored_while_the_clock_was_ahead_is_not_believed(new_world: NewWorld, ahead: float) -> None:
    """The system is down and the clock ahead; then both are right. Runs that came to nothing in between don't hide that."""
    world = new_world(retry={"attempts": 2, "base": "30s", "most": "60s"}, match={"email": "email"})
    seed(world)
    world.clock.advance(ahead)
    world.network.strike(REFUSED, system="mail", times=40)
    world.run()
    world.run()
    world.clock.set_back(ahead)
    world.run()
    world.network.strikes_end()
    before = world.clock.elapsed_seconds
    good = world.run()

    assert "green" == good.state
    assert 6 == len(world.members.records)
    assert world.clock.elapsed_seconds - before < 180
    with world.life() as life:
        [status] = life.tieline.status()
    assert status.freshness_age is not None
    assert status.freshness_age < 300


@pytest.mark.parametrize("ahead", [HOURS, 40 * 86_400.0])
def test_what_waits_since_the_clock_was_ahead_goes_at_once(new_world: NewWorld, ahead: float) -> None:
    """The system is well again, and no run hangs for the longest wait that there is."""
    world = new_world(match={"email": "email"}, retry={"attempts": 5, "base": "1s", "most": "5m"})
    seed(world)
    world.run()
    for lead in list(world.leads.records):
        world.leads.change(lead["id"], name="Changed", rev=2)
    world.clock.advance(ahead)
    world.network.strike(REFUSED, system="mail", times=1000)
    world.run()
    world.clock.set_back(ahead)
    world.network.strikes_end()
    before = world.clock.elapsed_seconds
    good = world.run()

    assert "green" == good.state
    assert {"Changed"} == {member["name"] for member in world.members.records}
    assert world.clock.elapsed_seconds - before < 30


def test_nothing_is_fresh_because_the_clock_was_ahead(new_world: NewWorld) -> None:
    """The last complete run says that it was in forty days: until one that is right has ended, it is not known how fresh it is."""
    world = new_world()
    seed(world)
    world.clock.advance(40 * 86_400.0)
    world.run()
    world.clock.set_back(40 * 86_400.0)
    with world.life() as life:
        [status] = life.tieline.status()
    assert status.freshness_age is None
    world.run()
    with world.life() as life:
        [status] = life.tieline.status()
    assert status.freshness_age is not None


def test_nor_when_the_process_was_killed_besides(new_world: NewWorld) -> None:
    """What the dead process left to be tried later does not wait either, nor does its lease hold for hours."""
    world = new_world(retry={"attempts": 5, "base": "30s", "most": "60s"})
    seed(world)
    world.network.strike(REFUSED, system="mail", method="POST", times=3)
    with pytest.raises(Crash):
        world.run(process=Process(lambda number, what: what.startswith("after POST")))
    world.clock.advance(5.0)
    world.clock.set_back(HOURS)
    with pytest.raises(SafetyStop, match="is being run by") as refused:
        world.run()
    world.clock.advance(61.0)
    before = world.clock.elapsed_seconds
    good = world.run()

    assert "its lease ends in 60 s" in refused.value.next_step
    assert "green" == good.state
    assert 6 == len(world.members.records)
    assert world.clock.elapsed_seconds - before < 240


def test_a_runner_that_lives_keeps_its_lease(new_world: NewWorld) -> None:
    """It renews it in the new time: no one takes over from it, not an hour later either."""
    world = new_world()
    seed(world)
    refused: list[str] = []

    def passing(exchange: Exchange) -> None:
        if exchange.request.method != "POST":
            return
        world.network.passing = lambda exchange: None
        world.clock.set_back(HOURS)

    world.network.passing = passing
    world.network.strike(UNANSWERED, system="mail", method="POST")  # 30 s without an answer: two heartbeats

    async def second(tieline: Any) -> None:
        await tieline.clock.sleep(25.0)
        with world.life() as other:
            try:
                await other.tieline.run("leads")
            except SafetyStop as error:
                refused.append(str(error))

    async def both(tieline: Any) -> Any:
        outcome, _ = await asyncio.gather(tieline.run("leads"), second(tieline))
        return outcome

    outcome = world.within(both)

    assert 1 == len(refused)
    assert "is being run by" in refused[0]
    assert "green" == outcome.state
    assert 6 == len(world.members.records)


@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
def test_a_wait_that_the_vendor_names_is_measured_by_the_vendors_clock(new_world: NewWorld, date: bool) -> None:
    """As a date it would be five hours off."""
    world = new_world(mail={"retry_after": "date" if date else "seconds", "rate": (3, 30.0)})
    seed(world)
    world.clock.set_back(HOURS)
    outcome = world.run()

    assert {"green": 6, "created": 6} == told(outcome)
    assert outcome.seconds < 120


def test_what_changes_after_it_is_read(new_world: NewWorld) -> None:
    """Where the next read begins is the source's word, not ours."""
    world = new_world(leads(changed_since="time", order="changed", page_size=2))
    seed(world)
    world.run()
    world.clock.set_back(HOURS)
    world.clock.advance(10.0)
    world.leads.change(world.leads.records[0]["id"], name="Changed", rev=2)

    assert 1 == told(world.run())["updated"]


def test_the_history_is_told_in_the_order_in_which_it_happened(new_world: NewWorld) -> None:
    """Not by the time of day."""
    world = new_world()
    seed(world, 1)
    world.run()
    world.clock.set_back(HOURS)
    id = world.leads.records[0]["id"]
    world.leads.change(id, name="Later", rev=2)
    world.run()
    runs = [moment.run for moment in world.story(id).moments if moment.run is not None]

    assert {1, 2} == {*runs}
    assert runs == sorted(runs)
