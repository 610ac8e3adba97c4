"""What is committed when: whatever became true, and nothing else."""

from __future__ import annotations

import pytest

from engine.world import leads, members, told
from tieline.engine.core.ledger import LEASE_SECONDS
from tieline.testing import Crash, Exchange, Process, slow

COMMIT = "after a commit"


def test_pages_on_which_nothing_changed_share_a_commit_and_every_call_is_journaled(new_world):
    """Promise 2 asks for a commit where something became true; thirty pages of the same are nothing new."""
    world = new_world(source=leads(page_size=2))
    for number in range(60):
        world.leads.add(email=f"p{number}@example.com", name=f"P{number}", rev=0)
    world.run()
    process = Process()

    outcome = world.run(process=process)

    assert {"green": 60, "unchanged": 60} == told(outcome)
    assert 30 == outcome.counts.pages
    assert process.steps.count(COMMIT) < 8
    with world.store() as db:
        assert 30 == db.read("SELECT count(*) FROM call WHERE run = ?", (outcome.run,))[0][0]


def test_a_run_that_was_taken_over_says_so_even_when_it_wrote_nothing(new_world):
    """It learns of it with its last commit; to say green would hide that two runners are at work."""
    world = new_world()
    world.leads.add(email="a@example.com", name="A", rev=0)
    world.run()

    def take_over(exchange: object) -> None:
        with world.store() as db:
            db.write(lambda connection: connection.execute("UPDATE integration SET fence = fence + 1"))

    world.network.passing = take_over
    outcome = world.run()

    assert {"halted": 1, "unchanged": 1} == told(outcome)
    assert "another process has taken over this integration" in str(outcome.error)
    assert "only one runner" in outcome.next_step


def test_a_run_that_was_asleep_for_longer_than_its_lease_sends_nothing_more(new_world):
    """What it was about to send, and has in memory, another one may have sent meanwhile: without a key it would be there twice."""
    world = new_world(target=members(update=None), mail={"declared_rate": (2, 1.0), "concurrency": 4})
    for number in range(8):
        world.leads.add(email=f"p{number}@example.com", name=f"P{number}", rev=0)

    def sleep(exchange: Exchange) -> None:
        if exchange.request.method == "POST" and not world.members.records:
            world.clock.advance(61)
            with world.store() as db:
                db.write(lambda connection: connection.execute("UPDATE integration SET fence = fence + 1"))

    world.network.passing = sleep
    outcome = world.run()

    assert ("halted", 1) == (outcome.state, len(world.members.records))
    assert 1 == len(world.calls(method="POST"))
    world.network.passing = lambda exchange: None
    world.run()
    assert 8 == len({record["email"] for record in world.members.records}) == len(world.members.records)


def test_an_integration_whose_process_is_killed_each_time_is_late_when_its_promise_is_broken(new_world):
    """`stopped` alone needs no one, because the next run goes on; when none of them comes to an end, someone must know."""
    world = new_world(freshness="5m")
    world.leads.add(email="a@example.com", name="A", rev=0)
    world.run()
    states = []
    for _ in range(2):
        with pytest.raises(Crash):
            world.run(process=Process(lambda number, what: what.startswith("before GET")))
        world.clock.advance(100)  # its lease is over
        with world.life() as life:
            status = life.tieline.status()[0]
        states.append((status.state, status.needs_someone))
        world.clock.advance(400)

    assert [("stopped", False), ("late", True)] == states


@pytest.mark.parametrize("early", [0.0, 0.01, 0.02, 0.03, 0.04])
def test_calls_that_went_along_with_a_renewal_of_the_lease_are_journaled_though_the_run_ends_then(new_world, early):
    """The renewal is given up with the run; what it took along is committed before the lease is gone."""
    world = new_world(source=leads(page_size=2))
    for number in range(3):
        world.leads.add(email=f"p{number}@example.com", name=f"P{number}", rev=0)
    world.run()
    world.database = lambda db: setattr(db, "_seconds", 5.0)  # a slow disk: the renewal takes longer than the rest of the run
    before = len(world.network.exchanges)
    world.network.strike(slow(LEASE_SECONDS / 4 - early), system="crm", method="GET")
    outcome = world.run()
    with world.store() as db:
        journaled = db.read("SELECT count(*) FROM call WHERE run = ?", (outcome.run,))[0][0]

    assert {"green": 3, "unchanged": 3} == told(outcome)
    assert 2 == len(world.network.exchanges) - before == journaled
