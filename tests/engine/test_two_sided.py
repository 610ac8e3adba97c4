"""Whatever people edit on both sides, and whatever is lost meanwhile: in the end both say the same, nothing is there twice, no edit went untold.

A seed decides the vendors' habits, the policies, the edits, the weather and the deaths. A hundred are run here, seven hundred with CI=true;
`TIELINE_SEEDS` says which, as in `test_simulation`.
"""

import re
from pathlib import Path

import pytest

from engine.books import Broken
from engine.test_simulation import seeds
from engine.two_sided import simulate_two_sides
from engine.two_sided_mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("seed", seeds(700))
def test_both_sides_agree_in_the_end_whatever_happens(seed: int, swift_path: Path) -> None:
    """Promises 1, 2 and 4, in a world made by chance."""
    simulate_two_sides(seed, swift_path)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_broken_promise_of_two_sides_is_noticed(mutation: Mutation, swift_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator is tested too: with one thing broken on purpose, some seed must fail, for that reason."""
    mutation(monkeypatch)

    for seed in dict.fromkeys([*mutation.seeds, *range(400)]):  # type: ignore[attr-defined]
        folder = swift_path / str(seed)
        folder.mkdir()
        try:
            simulate_two_sides(seed, folder, webhooks=False)  # their seeds were found without
        except Broken as broken:
            if re.search(mutation.words, str(broken).partition("\n")[0]):  # type: ignore[attr-defined]
                return
    pytest.fail(f"{mutation.__doc__} No seed has noticed.")
