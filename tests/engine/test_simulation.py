"""Whole lives of an integration, in a world that is made from a seed: edits, faults, crashes, and then peace.

`TIELINE_SEEDS=5000` tries more of them, `TIELINE_SEED=17` that one again. Each seed is always the same life.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from engine.simulation import Broken, simulate
from tieline.engine.delivery import Sender
from tieline.engine.pipeline import Pipeline

SEEDS = int(os.environ.get("TIELINE_SEEDS", "240"))
ONE = os.environ.get("TIELINE_SEED")
AT_ONCE = 20
LIVES = [range(int(ONE), int(ONE) + 1)] if ONE else [range(first, min(first + AT_ONCE, SEEDS)) for first in range(0, SEEDS, AT_ONCE)]


@pytest.mark.parametrize("seeds", LIVES, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_whatever_happened_every_record_arrives_once_as_it_is(seeds: range, tmp_path: Path) -> None:
    _live(seeds, tmp_path)


def _live(seeds: range, folder: Path) -> None:
    for seed in seeds:
        simulate(seed, folder / str(seed))


def _settles_no_doubt(patch: pytest.MonkeyPatch) -> None:
    async def sure(self: Sender, delivery: Any) -> bool:
        delivery.doubt = False
        return True

    patch.setattr(Sender, "_settle_doubt", sure)


def _forgets_what_is_under_way(patch: pytest.MonkeyPatch) -> None:
    real = Pipeline._update

    def update(self: Pipeline, page: Any, change: Any, *rest: Any) -> None:
        change.link = change.link._replace(verdict="linked")
        real(self, page, change, *rest)

    patch.setattr(Pipeline, "_update", update)


@pytest.mark.parametrize("broken", [_settles_no_doubt, _forgets_what_is_under_way])
def test_the_simulation_sees_a_promise_that_is_broken(broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that can't fail proves nothing: each of these mistakes was made, or nearly made, once."""
    broken(monkeypatch)

    with pytest.raises(Broken):
        _live(range(400), tmp_path)
