"""What is deleted is not there, however the vendor tells so."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.lists import Reader
from tieline.dialects.dialect import Since, anew
from tieline.model.errors import RemoteError, Undecodable
from tieline.testing import Collection
from tieline.testing.faults import answering


def soft(**habits: Any) -> Reader:
    """Return a reader of a vendor that keeps deleted records, and shows them to whoever asks for one."""
    return Reader(Collection("leads", {"name": {"type": "any"}}, find=("name",), keeps_deleted=True, **habits))


@pytest.mark.parametrize("listed", [True, False])
def test_a_deleted_record_that_is_shown_by_id_is_none(listed):
    """No one could ever be sure of its deletion otherwise. Whether the list shows it as well makes no difference."""
    reader = soft(tombstones=listed)
    ann, bob = (str(reader.collection.add(name=name)) for name in ("Ann", "Bob"))

    reader.collection.remove(ann)

    assert reader.clock.run(reader.rest.get("leads", ann)) is None
    assert "Bob" == (reader.clock.run(reader.rest.get("leads", bob)) or {})["name"]


def test_a_deleted_record_that_a_search_shows_is_not_found():
    """It would count as the counterpart of a record that has none."""
    reader = soft()
    old, new = (reader.collection.add(name="Ann") for _ in range(2))

    reader.collection.remove(old)

    assert [new] == [record["id"] for record in reader.clock.run(reader.rest.find("leads", "name", "Ann"))]


def test_a_record_that_was_merged_and_is_shown_by_id_leads_to_the_one_that_it_is_now():
    """Over several merges too; a ring of them leads nowhere, and is asked for once around."""
    reader = soft()
    one, two, three = (reader.collection.add(name=name) for name in ("one", "two", "three"))
    reader.collection.merge(one, two)
    reader.collection.merge(two, three)

    assert three == (reader.clock.run(reader.rest.get("leads", str(one))) or {})["id"]

    reader.collection.merge(three, one)
    before = len(reader.system.requests)

    assert reader.clock.run(reader.rest.get("leads", str(one))) is None
    assert 3 == len(reader.system.requests) - before


# -- a feed of deletions


def telling(feed: str, **habits: Any) -> Reader:
    """Return a reader of a vendor whose list hides what was deleted, and which tells of it apart."""
    vendor = {key: habits.pop(key) for key in ("ahead", "dates") if key in habits}
    return Reader(Collection("leads", {"name": {"type": "any"}}, feed=feed, ids="given", **{"gets": True, **habits}), **vendor)


def edited(reader: Reader, chance: random.Random) -> None:
    """Make, change or delete one of a few records, so that ids are used again."""
    leads, id = reader.collection, chance.randint(1, 8)
    if str(id) not in leads.entries:
        leads.add(id=id, name=chance.randint(0, 10**9))
    elif chance.random() < 0.6:
        leads.remove(id)
    else:
        leads.change(id, name=chance.randint(0, 10**9))


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(["time", "version", "whole"]), st.sampled_from([None, "time", "version"]), st.integers(0, 10**6), st.integers(1, 4),
    st.sampled_from(["rfc3339", "unix", "unix_ms", "date"]), st.sampled_from([0.001, 1.0]), st.sampled_from([0.0, 3.0]),
    st.sampled_from([-7200.0, 0.0, 3.0]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_deletions_that_a_feed_tells_of_are_never_lost(feed, changed, seed, size, times, precision, lag, ahead, dates, full):
    """Ties, cut times, a feed that is late, records that are made again under their ids, and people who edit in the middle of it.

    Whatever a read does not learn, a later one does: when all is quiet, the reader knows what the vendor has.
    """
    reader = telling(
        feed, changed_since=changed, page_size=size, times=times, precision=precision, feed_lag=lag if feed == "time" else 0.0, ahead=ahead, dates=dates,
    )  # fmt: skip
    chance = random.Random(seed)

    def passing(exchange: object) -> None:
        for _ in range(chance.randint(0, 2)):
            edited(reader, chance)

    reader.network.latency = (0.1, 1.5)  # what happens while pages are read is told apart
    for number in range(5):
        reader.network.passing = passing
        if full and number == 3:
            reader.since = anew(reader.since)
        reader.read()
        for _ in range(chance.randint(0, 4)):
            edited(reader, chance)
            reader.clock.advance(chance.choice([0.0, 0.2]))
        reader.clock.advance(chance.choice([0.0, 0.2, 1.0, 30.0, 90000.0]))
    reader.rest_now()
    for _ in range(3):
        reader.clock.advance(100)
        reader.read()

    assert reader.there() == reader.known


def test_the_first_read_is_told_all_and_the_next_what_is_new():
    """A mark from before the connector knew of the feed is none for it, and neither is that of another feed. A whole read keeps it."""
    reader = telling("time", changed_since="time", page_size=2)
    for id in range(1, 6):
        reader.collection.add(id=id, name=id)
        reader.collection.remove(id)
        reader.clock.advance(10)
    reader.collection.add(id=6, name=6)
    reader.since = msgspec.json.decode(b'{"mark":"2020-01-01T00:00:00Z","seen":null,"tag":null}', type=Since)
    everything, latest = ["1", "2", "3", "4", "5"], ["5"]  # the latest is told again: another may have been deleted in the same moment

    assert everything == told(reader)
    kept = msgspec.json.decode(msgspec.json.encode(reader.since), type=Since)
    assert kept == reader.since
    assert kept.mark is not None
    assert kept.mark > "2020-01-01T00:00:00Z"
    reader.collection.remove(6)
    for since in (kept, anew(kept)):
        reader.since = since
        assert [*latest, "6"] == told(reader)
    reader.since = msgspec.structs.replace(kept, deleted=msgspec.structs.replace(kept.deleted, of="another"))
    assert [*everything, "6"] == told(reader)


def test_a_feed_that_fails_moves_nothing():
    """Its deletions are told again, however far the list has come."""
    reader = telling("version", changed_since="version", order="changed", page_size=1)
    for id in (1, 2, 3, 4):
        reader.collection.add(id=id, name=id)
    reader.collection.remove(4)
    reader.read()
    before = reader.since
    reader.collection.remove(2)
    reader.collection.add(id=5, name=5)
    reader.network.strike(answering(500, b""), path="/deleted", times=99)

    with pytest.raises(RemoteError):
        reader.read()
    failed = [page.since for page in reader.pages if page.since is not None]
    reader.network.strikes_end()
    reader.clock.advance(600)
    reader.since = failed[-1]
    reader.read()

    assert before is not None
    assert before.mark != failed[-1].mark
    assert before.deleted is not None
    assert {before.deleted} == {since.deleted for since in failed}
    assert reader.there() == reader.known


def test_where_nobody_can_be_asked_what_the_list_shows_is_there():
    """And is told again, in case the list was late."""
    reader = telling("time", gets=False, find=("name",))
    for id in (1, 2, 3):
        reader.collection.add(id=id, name=id)
    late = reader.collection.entries["1"]
    for id in (1, 2):
        reader.collection.remove(id)
        reader.clock.advance(3600)
    reader.collection.entries["1"] = late

    assert ["2"] == told(reader)
    del reader.collection.entries["1"]
    assert ["1", "2"] == told(reader)


def told(reader: Reader) -> list[str]:
    """Read once from the reader's mark on; return the ids that the feed has told of."""
    reader.read()
    return [id for page in reader.pages for id in page.told or {}]


def test_an_entry_of_the_feed_without_an_id_is_set_aside():
    """One that says of nothing what it tells must not stop the others; where no entry has one, the connector is wrong."""
    reader = telling("whole")
    for id in (1, 2):
        reader.collection.add(id=id, name=id)
        reader.collection.remove(id)
    reader.collection.buried[0].id = None

    reader.read()
    [bad] = [bad for page in reader.pages for bad in page.unreadable]
    reader.collection.buried[1].id = None

    assert "it has no id that can be used at `item`" == bad.problem
    with pytest.raises(Undecodable, match=r"no entry of page 1 is a record: of the first, it has no id") as raised:
        reader.read()
    assert "correct `deleted.records` or `deleted.record` or `deleted.id` in the connector" == raised.value.next_step
