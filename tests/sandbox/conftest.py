"""Coroutines as tests, and a clock that is turned by hand."""

import asyncio
import inspect

import pytest

from tieline.sandbox import AcmeCrm, Postbox


class HandClock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.seconds = 1_790_000_000.25

    def now(self) -> float:
        """Return seconds since 1970 (UTC)."""
        return self.seconds

    def monotonic(self) -> float:
        """Return seconds from some start."""
        return self.seconds - 1_000_000

    def random(self) -> float:
        """Return no chance at all."""
        return 0.5

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def crm(clock: HandClock) -> AcmeCrm:
    """The CRM with a few leads."""
    return AcmeCrm(leads=200, clock=clock)


@pytest.fixture
def postbox(clock: HandClock) -> Postbox:
    """Postbox, empty."""
    return Postbox(members=0, clock=clock)
