"""Fixtures of the real servers: each once per test run, a namespace of its own for each test.

A server that cannot be had here skips its tests, with the reason; with CI=true or TIELINE_SYSTEMS=required it fails
them.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from systems.faultproxy import FaultProxy
from systems.kinto import Collection, Kinto, run_kinto
from systems.mailman import MailingList, Mailman, run_mailman
from systems.pretix import Organizer, Pretix, run_pretix
from systems.server import ServerUnavailable, is_required
from systems.tryton import Parties, Tryton, run_tryton

Server = TypeVar("Server")
SYSTEMS = Path(__file__).parent / "systems"


# A busy machine is no reason to fail, and neither is chance: the same examples every time. `make fuzz` looks for others.
_PATIENT: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("tieline", _PATIENT, derandomize=True)
settings.register_profile("fuzz", _PATIENT, derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("TIELINE_HYPOTHESIS", "tieline"))

_HEAVIEST_FIRST = ("pretix", "mailman", "tryton", "kinto")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that need a server; in a parallel run one worker has all tests of a server, which starts once."""
    needed = [name for name in _HEAVIEST_FIRST if name in getattr(item, "fixturenames", ())]
    if needed or item.path.is_relative_to(SYSTEMS):
        item.add_marker(pytest.mark.systems)
    if needed and item.config.pluginmanager.hasplugin("xdist"):
        item.add_marker(pytest.mark.xdist_group(needed[0]))


@contextlib.contextmanager
def _running(server: "contextlib.AbstractContextManager[Server]") -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(server)
        except ServerUnavailable as error:
            missing = error
        else:
            yield running
            return
    if is_required():
        pytest.fail(f"{missing}\n{missing.log}", pytrace=False)
    pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kinto() -> Iterator[Kinto]:
    """Kinto, a record store."""
    with _running(run_kinto()) as server:
        yield server


@pytest.fixture
def collection(kinto: Kinto) -> Collection:
    """An empty collection of Kinto."""
    return kinto.fresh_collection()


@pytest.fixture
def kinto_with() -> Iterator[Callable[..., Kinto]]:
    """Start a Kinto of one's own, with the settings of `run_kinto`."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(_running(run_kinto(**settings)))


@pytest.fixture(scope="session")
def pretix() -> Iterator[Pretix]:
    """A pretix shop."""
    with _running(run_pretix()) as server:
        yield server


@pytest.fixture
def organizer(pretix: Pretix) -> Organizer:
    """An organizer of pretix, with an event and no orders or customers."""
    return pretix.fresh_organizer()


@pytest.fixture(scope="session")
def mailman() -> Iterator[Mailman]:
    """Mailman, a mailing platform."""
    with _running(run_mailman()) as server:
        yield server


@pytest.fixture
def mailing_list(mailman: Mailman) -> MailingList:
    """An empty mailing list of Mailman."""
    return mailman.fresh_list()


@pytest.fixture(scope="session")
def tryton() -> Iterator[Tryton]:
    """Tryton, an ERP."""
    with _running(run_tryton()) as server:
        yield server


@pytest.fixture
def parties(tryton: Tryton) -> Parties:
    """An empty set of parties of Tryton."""
    return tryton.fresh_parties()


@pytest.fixture
def faultproxy() -> Iterator[Callable[[str], FaultProxy]]:
    """Put a proxy before the server of a URL; its own `url` takes that one's place."""
    with contextlib.ExitStack() as stack:

        def before(upstream_url: str) -> FaultProxy:
            return stack.enter_context(contextlib.closing(FaultProxy(upstream_url)))

        yield before
