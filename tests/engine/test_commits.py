"""What is committed when: whatever became true, and nothing else."""

from __future__ import annotations

from engine.world import leads, told
from tieline.testing import Process

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
