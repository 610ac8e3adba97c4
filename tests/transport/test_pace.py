"""The pace that 429s teach, lesson by lesson."""

from __future__ import annotations

import pytest

from tieline.transport.limits.learned_rate import Pace, grow, lesson


def found(rate: float, *, resume_at: float = 100.0, ceiling: float = 60.0) -> Pace:
    """Return a pace that has met the limit."""
    return Pace(rate=rate, resume_at=resume_at, changed_at=resume_at, found=True, ceiling=ceiling)


def test_the_first_guess_is_what_was_accepted() -> None:
    """In as long as the pause is: 300 in a second, and a minute to wait, are five a second."""
    assert 7.0 == lesson(None, 100.0, 101.0, sent_at=99.9, accepted=7).rate
    assert 5.0 == lesson(None, 100.0, 160.0, sent_at=99.9, accepted=300).rate


def test_a_declared_rate_survives_one_refusal_and_no_second_one() -> None:
    """The first may be someone else's doing; another one soon after says that the vendor takes less than is declared."""
    first = lesson(None, 100.0, 101.0, sent_at=99.9, accepted=50, declared=50.0)
    assert 50.0 == first.rate

    assert 25.0 == lesson(first, 101.5, 102.5, sent_at=101.4, accepted=10, declared=50.0).rate


def test_calls_that_were_under_way_together_are_one_lesson() -> None:
    pace = found(50.0)
    again = lesson(pace, 100.02, 103.0, sent_at=99.99, accepted=0)

    assert (50.0, 103.0) == (again.rate, again.resume_at)


@pytest.mark.parametrize(("held", "rate"), [(0.05, 25.0), (2.0, 45.0), (5.0, 48.0), (60.0, 49.0)])
def test_the_longer_a_pace_has_held_the_less_is_taken_off(held: float, rate: float) -> None:
    """A refusal right after the pause means that the pace was far too high; one after a minute, that it was just above."""
    assert rate == lesson(found(50.0), 100.0 + held, 101.0 + held, sent_at=100.0 + held, accepted=0).rate


def test_it_doubles_until_the_limit_is_found_and_then_comes_near_it() -> None:
    pace = lesson(None, 99.0, 100.0, sent_at=98.9, accepted=6)
    for step in range(1, 4):
        grow(pace, 100.0 + step)
    assert 48.0 == pace.rate

    pace = found(40.0, ceiling=50.0)
    for step in range(1, 30):
        grow(pace, 100.0 + step)
    assert 48.0 < pace.rate < 48.5


def test_after_half_a_minute_it_looks_whether_there_is_more() -> None:
    pace = found(50.0, ceiling=50.0)
    grow(pace, 129.0)
    assert 50.0 == pace.rate

    grow(pace, 131.0)
    grow(pace, 132.0)
    assert 50.0 < pace.rate < 51.5


def test_a_look_that_goes_well_is_followed_soon_by_a_larger_one_and_one_in_vain_by_fewer() -> None:
    """A limit that was taken for half of what it is, is found within two minutes; one that is right costs a refusal ever more seldom."""
    low = found(50.0, ceiling=50.0)
    for second in range(100, 220):
        grow(low, float(second))
    assert low.rate > 100.0

    pace, refused_at = found(50.0, ceiling=50.0), [100.0]
    for second in range(100, 3700):
        grow(pace, float(second))
        if pace.rate > 50.5:
            refused_at.append(float(second))
            pace = lesson(pace, second, second + 1.0, sent_at=float(second), accepted=50)
    assert len(refused_at) < 14
    assert refused_at[2] - refused_at[1] < refused_at[-1] - refused_at[-2]
