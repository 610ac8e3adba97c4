import asyncio
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from sandbox.calls import MEMBERS, calling
from sandbox.conftest import HandClock
from tieline.sandbox import AcmeCrm, Postbox
from tieline.sandbox.throttle import Limit

ANN = {"email_address": "ann@example.com", "status": "subscribed"}
BOB = {"email_address": "bob@example.com", "status": "subscribed"}


@pytest.fixture
def busy(clock) -> Postbox:
    """Postbox with a small budget."""
    return Postbox(members=0, clock=clock, limit=Limit(per_second=2, burst=3, at_once=10))


async def test_who_calls_too_often_is_told_how_long_to_wait_in_both_spellings(busy, clock):
    """As seconds and as a date in turn; who waits as told is let in, and a moment earlier is too early."""
    async with calling(busy) as call:
        for _ in range(3):
            assert 200 == (await call("GET", MEMBERS)).status
        in_seconds = await call("GET", MEMBERS)
        by_date = await call("GET", MEMBERS)
        until = parsedate_to_datetime(by_date.headers["Retry-After"]).timestamp()
        clock.seconds += 0.49
        early = await call("GET", MEMBERS)
        clock.seconds = until
        let_in = await call("GET", MEMBERS)

    assert [429, 429, 429] == [in_seconds.status, by_date.status, early.status]
    assert "1" == in_seconds.headers["Retry-After"]
    assert 0 < until - 1_790_000_000.25 <= 1.5
    assert parsedate_to_datetime(by_date.headers["Date"]).timestamp() <= until
    assert "Too Many Requests" == by_date.body["title"]
    assert 200 == let_in.status


async def test_answers_tell_what_is_left_of_the_budget(busy, clock):
    async with calling(busy) as call:
        first = (await call("GET", MEMBERS)).headers
        await call("GET", MEMBERS)
        await call("GET", MEMBERS)
        refused = (await call("GET", MEMBERS)).headers
        clock.seconds += 60
        full = (await call("GET", MEMBERS)).headers

    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    assert ["3", "2", "1"] == [first[name] for name in names]
    assert ["3", "0", "2"] == [refused[name] for name in names]
    assert ["3", "2", "1"] == [full[name] for name in names]


async def test_the_declared_rate_is_kept_over_a_while(clock):
    postbox = Postbox(members=0, clock=clock)
    async with calling(postbox) as call:
        for _ in range(400):
            clock.seconds += 1 / 100
            assert 200 == (await call("GET", "/3.0/ping")).status


class Gate(HandClock):
    """A clock on which everybody sleeps until so many do."""

    def __init__(self, sleepers: int) -> None:
        super().__init__()
        self.barrier = asyncio.Barrier(sleepers)

    async def sleep(self, seconds: float) -> None:
        await self.barrier.wait()


async def test_no_more_than_ten_are_served_at_once():
    postbox = Postbox(members=0, clock=Gate(12))
    async with calling(postbox) as call:
        await call.admin("POST", "faults", {"latency": 0.2})
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*(call("GET", MEMBERS) for _ in range(12)))
        overview = await call.admin("GET")

    assert [200] * 10 + [429] * 2 == sorted(answer.status for answer in answers)
    assert 12 == overview["most_at_once"]
    assert {"200": 10, "429": 2} == overview["answered"]


async def test_an_outage_lasts_until_it_is_ended(postbox):
    async with calling(postbox) as call:
        await call.admin("POST", "faults", {"outage": True})
        down = [await call("GET", MEMBERS), await call("POST", MEMBERS, ANN)]
        shown = await call.admin("GET", "faults")
        await call.admin("POST", "faults", {"outage": False})
        up = await call("POST", MEMBERS, ANN)

    assert [503, 503] == [answer.status for answer in down]
    assert shown["outage"] is True
    assert 201 == up.status


async def test_a_lost_answer_leaves_a_write_done(postbox):
    """Reads are not lost: it is the doubt about a write that makes the difference."""
    async with calling(postbox) as call:
        await call.admin("POST", "faults", {"lose_answer": 1})
        read = await call("GET", MEMBERS)
        with pytest.raises(aiohttp.ClientError):
            await call("POST", MEMBERS, ANN)
        after = await call("POST", MEMBERS, BOB)
        overview = await call.admin("GET")

    assert [200, 201] == [read.status, after.status]
    assert 2 == overview["counts"]["members"]
    assert {"200": 1, "201": 1, "lost": 1} == overview["answered"]


async def test_a_lost_request_leaves_nothing_done(postbox):
    async with calling(postbox) as call:
        await call.admin("POST", "faults", {"lose_request": 1})
        with pytest.raises(aiohttp.ClientError):
            await call("POST", MEMBERS, ANN)
        again = await call("POST", MEMBERS, ANN)

    assert 201 == again.status


async def test_some_faults_count_down(postbox):
    async with calling(postbox) as call:
        await call.admin("POST", "faults", {"fail": 2})
        failed = [(await call("GET", MEMBERS)).status for _ in range(3)]
        await call.admin("POST", "faults", {"throttle": 1})
        throttled = await call("GET", MEMBERS)
        await call.admin("POST", "faults", {"garble": 1})
        garbled = await call("GET", MEMBERS)
        left = await call.admin("GET", "faults")

    assert [500, 500, 200] == failed
    assert 429 == throttled.status
    assert "Retry-After" in throttled.headers
    assert (200, "<!doctype html>") == (garbled.status, garbled.text[:15])
    assert not any(left.values())


async def test_hanging_up_revoking_and_slowness_last_until_they_are_ended(crm, clock):
    async with calling(crm) as call:
        await call.admin("POST", "faults", {"hang_up": True})
        with pytest.raises(aiohttp.ClientError):
            await call("GET", "/v2/me")
        await call.admin("POST", "faults", {"hang_up": False, "unauthorized": True})
        revoked = await call("GET", "/v2/me")
        await call.admin("POST", "faults", {"unauthorized": False, "latency": 2.5})
        before = clock.seconds
        slow = await call("GET", "/v2/me")
        took = clock.seconds - before
        mended = await call.admin("DELETE", "faults")

    assert 401 == revoked.status
    assert (200, 2.5) == (slow.status, took)
    assert not any(mended.values())


@pytest.mark.parametrize("fault", [{"earthquake": True}, {"fail": -1}, {"fail": "2"}, {"outage": 1}])
async def test_a_fault_that_there_is_not_is_refused(crm, fault):
    async with calling(crm) as call:
        answer = await call("POST", "/_sandbox/faults", fault)

    assert 400 == answer.status


async def test_the_admin_address_works_while_nothing_else_does(busy):
    async with calling(busy) as call:
        await call.admin("POST", "faults", {"outage": True, "hang_up": True, "latency": 9.0})
        for _ in range(10):
            overview = await call.admin("GET")

    assert {} == overview["answered"]


async def test_an_address_that_there_is_not_is_refused_in_the_vendor_s_words(crm, postbox):
    async with calling(crm) as call, calling(postbox) as mail:
        in_crm = [await call("GET", "/v2/deals"), await call("PUT", "/v2/leads", {})]
        in_mail = await mail("GET", "/3.0/campaigns")

    assert [404, 405] == [answer.status for answer in in_crm]
    assert "not_found" == in_crm[0].body["error"]["code"]
    assert {"status": 404, "title": "Not Found", "detail": "/3.0/campaigns"} == in_mail.body


def test_a_vendor_s_limit_can_be_set(clock):
    assert 7 == AcmeCrm(leads=1, clock=clock, limit=Limit(7, 7)).throttle.limit.per_second
