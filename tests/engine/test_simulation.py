"""Whatever people edit, whatever the network loses, wherever the process dies: in the end both systems agree, and nothing is there twice.

A seed decides the vendors' habits, the edits, the weather and the deaths. A hundred are run here, a thousand with CI=true; `TIELINE_SEEDS=5000` runs more,
`TIELINE_SEEDS=17-17` replays one.
"""

import itertools
import os
from pathlib import Path

import pytest

from engine.mutations import MUTATIONS, Mutation
from engine.simulation import Broken, Simulation, simulate


def seeds(thorough: int = 1000) -> range:
    """Return the seeds that are asked for; `thorough`: how many there are where nothing is asked for, and no one waits."""
    wanted = os.environ.get("TIELINE_SEEDS") or (str(thorough) if os.environ.get("CI") == "true" else "100")
    first, dash, last = wanted.partition("-")
    return range(int(first), int(last) + 1) if dash else range(int(first))


@pytest.mark.parametrize("seed", seeds())
def test_everything_arrives_once_whatever_happens(seed: int, swift_path: Path) -> None:
    """Promises 1, 2, 3 and 5, in a world made by chance."""
    simulate(seed, swift_path)


def test_the_network_doubles_requests_and_answers_them_in_another_order(swift_path: Path) -> None:
    """What no world has in it, no seed can notice."""
    doubled = overtaken = 0
    for seed in range(20):
        folder = swift_path / str(seed)
        folder.mkdir()
        network = simulate(seed, folder).world.network
        doubled += network.doubled
        answered = [(e.sent_at, e.ended_at or 0.0) for e in network.exchanges if e.system == "mail" and e.response is not None]
        overtaken += sum(later[1] < earlier[1] for earlier, later in itertools.pairwise(answered))

    assert doubled > 30
    assert overtaken > 20


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_broken_promise_is_noticed(mutation: Mutation, swift_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator is tested too: with one thing broken on purpose, some seed must fail."""
    mutation(monkeypatch)
    where = getattr(mutation, "where", None)

    for seed in range(400 if where is None else 4000):
        folder = swift_path / str(seed)
        if where is not None and not where(Simulation(seed, folder)):
            continue
        folder.mkdir()
        try:
            simulate(seed, folder)
        except Broken:
            return
    pytest.fail(f"{mutation.__doc__} No seed has noticed.")
