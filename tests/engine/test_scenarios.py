"""The scenarios of `examples/two-way` happen as told: what is planned, what is done, how both sides end.

TIELINE_WRITE_PAGES=1 writes what happens into `plan.txt`, `end.yaml` and the page, instead of comparing. Look at each line that changes.
"""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

import pytest

from engine import scenarios
from engine.scenarios import Played, Scenario

SCENARIOS = scenarios.every()
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
WRITES = os.environ.get("TIELINE_WRITE_PAGES") == "1"


def _compare(path: Path, said: str) -> None:
    if WRITES:
        path.write_text(said, "utf-8")
    assert (path.read_text("utf-8") if path.exists() else "") == said


def _each(scenarios_: list[Scenario]) -> list[object]:
    # In a parallel run one worker has all tests of a scenario, which is played once each way.
    return [pytest.param(scenario, id=scenario.name, marks=pytest.mark.xdist_group(scenario.name)) for scenario in scenarios_]


@functools.cache
def _played(name: str, *, swap: bool = False) -> Played:
    with tempfile.TemporaryDirectory(prefix="tieline-test-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:  # noqa: S108
        return scenarios.play(BY_NAME[name], Path(folder), swap=swap)


@pytest.mark.parametrize("scenario", _each(SCENARIOS))
def test_it_happens_as_told(scenario: Scenario) -> None:
    """Each run does what its plan says, runs come to rest, and a plan is empty then."""
    played = _played(scenario.name)

    _compare(scenario.folder / "plan.txt", scenarios.told_plan(played))
    _compare(scenario.folder / "end.yaml", scenarios.told_end(played))


@pytest.mark.parametrize("scenario", _each([one for one in SCENARIOS if scenarios.has_mirror(one)]))
def test_swapped_sides_are_decided_alike(scenario: Scenario) -> None:
    """What stood left stands right: every write, every hold and the end are the same, but for the side."""
    straight, swapped = (_played(scenario.name, swap=swap) for swap in (False, True))

    assert _keys(straight) == _keys(swapped)
    words = ("open", "not put back")
    assert {k: v for k, v in straight.end.items() if k not in words} == {k: v for k, v in swapped.end.items() if k not in words}


def test_the_page_tells_them_all() -> None:
    """Whoever reads the documentation sees what the tests see."""
    _compare(scenarios.PAGE, scenarios.told_page(SCENARIOS))


def _keys(played: Played) -> list[object]:
    steps: list[object] = [(step.told, sorted(map(repr, (line.key for line in step.lines or ())))) for step in played.steps]
    return [*steps, sorted(repr(line.key) for line in played.open)]
