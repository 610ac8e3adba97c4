import contextlib
from collections.abc import Callable, Iterator

import pytest

from cases.served import Answer, Vendor, running


@pytest.fixture
def served() -> Iterator[Callable[[Answer], Vendor]]:
    """Run a vendor for the time of a test."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(running(answer))
