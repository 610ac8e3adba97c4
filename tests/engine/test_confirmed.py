"""Whoever wants hears, in the very commit, what was confirmed, and what the answer showed of it."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest

from engine.world import told
from tieline.engine.deliver.sender import Sender
from tieline.engine.runs import one_way
from tieline.store.delivery import Delivery


def test_what_is_confirmed_is_told_with_what_the_answer_shows(new_world, monkeypatch: pytest.MonkeyPatch):
    """A vendor that stores something else than it was sent has not changed it: one has to know what it made of it."""
    heard: list[tuple[str, str, dict[str, Any], Any]] = []

    def hear(connection: sqlite3.Connection, confirmed: Sequence[tuple[Delivery, str]]) -> None:
        assert connection.in_transaction
        heard.extend((d.operation, id, d.fields, d.shown) for d, id in confirmed)

    monkeypatch.setattr(one_way, "Sender", functools.partial(Sender, on_confirmed=hear))
    world = new_world()
    lead = world.leads.add(email="a@example.com", name="Ann", rev=0)
    world.run()
    world.leads.change(lead, name="Anna")
    second = world.run()

    (member,) = world.members.records
    assert {"updated": 1} == {key: number for key, number in told(second).items() if key == "updated"}
    assert [("create", str(member["id"])), ("update", str(member["id"]))] == [entry[:2] for entry in heard]
    assert [member["id"]] * 2 == [shown["id"] for *_, shown in heard]
    assert all(set(fields) <= set(shown) for *_, fields, shown in heard)


def test_without_a_listener_the_answer_is_kept_for_how_the_destination_spells_what_was_written(new_world, monkeypatch: pytest.MonkeyPatch):
    """`verify` right after a green run has to agree, though the destination spells its own way what it was sent."""
    shown: list[Any] = []
    done = Sender._done
    monkeypatch.setattr(Sender, "_done", lambda self, deliveries: (shown.extend(d.shown for d in deliveries), done(self, deliveries))[1])
    world = new_world()
    world.leads.add(email="a@example.com", name="Ann", rev=0)
    world.run()

    (member,) = world.members.records
    assert [(member["id"], "a@example.com")] == [(answer["id"], answer["email"]) for answer in shown]
