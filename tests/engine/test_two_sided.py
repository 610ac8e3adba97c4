"""Whatever people edit on both sides, and whatever is lost meanwhile: in the end both say the same, nothing is there twice, no edit went untold.

A seed decides the vendors' habits, the policies, the edits, the weather and the deaths. As many are run as in `test_simulation`, and replayed so.
"""

from pathlib import Path

import pytest

from engine.test_simulation import seeds
from engine.two_sided import simulate_two_sides


@pytest.mark.parametrize("seed", seeds())
def test_both_sides_agree_in_the_end_whatever_happens(seed: int, swift_path: Path) -> None:
    """Promises 1, 2 and 4, in a world made by chance."""
    simulate_two_sides(seed, swift_path)
