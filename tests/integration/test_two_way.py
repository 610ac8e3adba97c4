"""Both ways between real systems: people edit on both sides, the process is killed in the middle, and at the end both say the same."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systems.kinto import Collection
from systems.pretix import Organizer
from systems.tryton import Parties, encoded

from integration.kinto import content
from integration.parties import to_parties
from integration.projects import ROOT, Project, told
from integration.shop import shop
from tieline.transport.http import HttpRequest

KILLS = 6


def with_parties(folder: Path, collection: Collection, parties: Parties, **integration: Any) -> Project:
    """Return a project that keeps contacts of Kinto and parties of Tryton alike; the notes of contacts are the codes of parties."""
    ours = encoded([["code", "like", f"{parties.prefix}%"]])
    both_ways = {
        "direction": "two-way",
        "conflict": "hold",
        "deletes": {"left": "delete", "right": "delete"},
        "map": {"code": "note", "name": {"from": "name", "conflict": "left"}},
    }
    return to_parties(folder, collection, parties, connector={"resources/parties/list/params/d": ours}, **{**both_ways, **integration})


def with_customers(folder: Path, collection: Collection, organizer: Organizer, **integration: Any) -> Project:
    """Return a project that keeps contacts of Kinto and customers of pretix alike."""
    both_ways = {
        "from": "crm.contacts",
        "to": "shop.customers",
        "direction": "two-way",
        "match": {"email": "email"},
        "conflict": "hold",
        "map": {"email": {"from": "email", "as": "email"}, "name_parts.full_name": "name", "notes": "note"},
    }
    return shop(folder, organizer, collection, **{**both_ways, **integration})


def just_before(*edits: tuple[str, str, Callable[[], Any]]) -> Callable[[list[HttpRequest]], None]:
    """Return what makes each of these edits once, just before the first request of its method to an address that ends so."""
    left = list(edits)

    def before_each(requests: list[HttpRequest]) -> None:
        for edit in left:
            if requests[-1].method == edit[0] and requests[-1].url.endswith(edit[1]):
                left.remove(edit)
                edit[2]()
                return

    return before_each


def verified(project: Project, name: str) -> Any:
    """Return what a verification found."""

    async def work(tieline: Any) -> Any:
        with await tieline.verify(name) as verification:
            return verification.verified, list(verification.findings())

    return project.within(work)


def killed_now_and_then(project: Project, name: str, edit: Callable[[], None], chance: random.Random) -> int:
    """Run the real command again and again while people edit, and kill it at any moment; return how often it was killed in the middle."""
    environ = {**os.environ, **project.environ, "PYTHONPATH": str(ROOT / "src")}
    killed = 0
    for _ in range(KILLS):
        edit()
        process = subprocess.Popen(
            [sys.executable, "-m", "tieline.cli.main", "run", name, "--json"],
            cwd=project.folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.3 + chance.random() * 0.7)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    return killed


def brought_to_rest(project: Project, name: str) -> Any:
    """Run until nothing is written any more; return the last run."""
    for _ in range(6):
        outcome = project.run(name, full=True)
        if not (outcome.counts.written or outcome.counts.carried_delivered or outcome.open.get("owed")):
            return outcome
    raise AssertionError(f"it does not come to rest: {told(outcome)}")


class TestParties:
    """Kinto and Tryton."""

    def test_they_meet_go_on_and_agree(self, tmp_path: Path, collection: Collection, parties: Parties) -> None:
        """Both have someone whom the other lacks, one person whom both have, and edit whom they like."""
        code = parties.code
        collection.put("a", note=code("a"), name="Ann")
        collection.put("b", note=code("b"), name="Bob")
        parties.create("b", name="Bob")
        parties.create("c", name="Cy")
        project = with_parties(tmp_path / "p", collection, parties)

        assert {"create": 2} == project.plan("parties")
        first = project.run("parties")
        assert (2, 1) == (first.counts.created, first.counts.matched)
        assert {"green": 6, "unchanged": 6} == told(project.run("parties", full=True))

        ours = {party["code"]: party["id"] for party in parties.all("code")}
        collection.patch("a", name="Anna")
        parties.change(ours[code("b")], name="Robert")
        parties.change(ours[code("c")], name="Cyrus")
        collection.patch(next(r["id"] for r in collection.records() if r["note"] == code("c")), name="Cyril")
        second = project.run("parties")

        assert 3 == second.counts.updated
        everybody = {code("a"): "Anna", code("b"): "Robert", code("c"): "Cyril"}
        assert everybody == {record["note"]: record["name"] for record in collection.records()}
        assert everybody == {party["code"]: party["name"] for party in parties.all("code", "name")}
        assert 0 == brought_to_rest(project, "parties").counts.written
        found, findings = verified(project, "parties")
        assert (3, 0, []) == (found.in_sync, found.wrong, findings)

    def test_what_is_deleted_on_either_side_is_deleted_on_the_other(self, tmp_path: Path, collection: Collection, parties: Parties) -> None:
        for suffix in ("a", "b", "c"):
            collection.put(suffix, note=parties.code(suffix), name=suffix)
        project = with_parties(tmp_path / "p", collection, parties)
        project.run("parties")
        ours = {party["code"]: party["id"] for party in parties.all("code")}
        collection.delete("a")
        parties.delete(ours[parties.code("b")])

        assert 2 == project.run("parties").counts.deleted
        assert ["c"] == [record["id"] for record in collection.records()]
        assert [parties.code("c")] == [party["code"] for party in parties.all("code")]

    def test_what_is_edited_while_we_write_is_not_overwritten_and_not_deleted(
        self, tmp_path: Path, collection: Collection, parties: Parties
    ) -> None:
        """Kinto refuses a write that was meant for an older version (412): the pair is decided again, by what it says now."""
        for suffix in ("a", "b"):
            collection.put(suffix, note=parties.code(suffix), name=suffix)
        project = with_parties(tmp_path / "p", collection, parties)
        project.run("parties")
        brought_to_rest(project, "parties")
        ours = {party["code"]: party["id"] for party in parties.all("code")}
        parties.change(ours[parties.code("a")], name="Ann Tryton")
        parties.delete(ours[parties.code("b")])
        project.before_each = just_before(("PATCH", "/a", lambda: collection.patch("a", name="Ann Kinto")),
                                          ("DELETE", "/b", lambda: collection.patch("b", name="Bob Kinto")))  # fmt: skip
        outcome = project.run("parties")

        assert ("attention", 2) == (outcome.state, outcome.counts.superseded)
        assert {"a": "Ann Kinto", "b": "Bob Kinto"} == {record["id"]: record["name"] for record in collection.records()}
        assert ["Ann Kinto"] == [party["name"] for party in parties.all("name")], "the left wins"
        assert ["deleted"] == [letter.cause for letter in project.letters()], "an edit against a deletion waits for someone"
        whats = [moment.what for moment in project.explain("crm", "contacts", "a")[0].moments]
        assert "changed there while we were about to write" in whats
        assert "conflict decided" in whats

    def test_killed_at_any_moment_while_both_sides_are_edited_nothing_is_lost_or_doubled(
        self, tmp_path: Path, collection: Collection, parties: Parties
    ) -> None:
        chance, numbers = random.Random(5), iter(range(1000))
        project = with_parties(tmp_path / "p", collection, parties)
        for _ in range(25):
            number = next(numbers)
            collection.put(f"k{number}", note=parties.code(f"{number}"), name=f"Left {number}")
        for _ in range(25):
            parties.create(f"{next(numbers)}", name="Right")

        def edit() -> None:
            for record in chance.sample(collection.records(), 5):
                collection.patch(record["id"], name=f"edited left {chance.randrange(10**6)}")
            for party in chance.sample(parties.all("code"), 5):
                parties.change(party["id"], name=f"edited right {chance.randrange(10**6)}")
            number = next(numbers)
            collection.put(f"k{number}", note=parties.code(f"{number}"), name=f"Left {number}")
            parties.create(f"{next(numbers)}", name="Right")

        killed = killed_now_and_then(project, "parties", edit, chance)
        time.sleep(0.1)
        outcome = brought_to_rest(project, "parties")

        assert killed
        assert "green" == outcome.state
        left = sorted((record["note"], record["name"]) for record in collection.records())
        right = sorted((party["code"], party["name"]) for party in parties.all("code", "name"))
        assert left == right
        assert len({code for code, _ in left}) == len(left) == 50 + 2 * KILLS
        found, findings = verified(project, "parties")
        assert (len(left), 0, []) == (found.in_sync, found.wrong, findings)


class TestCustomers:
    """Kinto and pretix."""

    def test_edits_of_both_sides_survive_and_a_conflict_waits_for_a_person(
        self, tmp_path: Path, collection: Collection, organizer: Organizer
    ) -> None:
        """The shop spells addresses as it likes; that is no edit."""
        collection.put("a", email="Ann@Example.com", name="Ann", note="vip")
        organizer.create_customer("bob@example.com", name_parts={"_scheme": "full", "full_name": "Bob"}, notes="pays late")
        project = with_customers(tmp_path / "p", collection, organizer)
        assert 2 == project.run("copy").counts.created
        assert 0 == brought_to_rest(project, "copy").counts.written

        def customer(email: str) -> dict[str, Any]:
            return next(each for each in organizer.customers() if each["email"] == email)

        def change(email: str, **fields: Any) -> None:
            organizer.call("PATCH", f"{organizer.path}/customers/{customer(email)['identifier']}/", fields).expect(200)

        collection.patch("a", name="Anna")
        change("ann@example.com", notes="vip, since May")
        (bob,) = [record for record in collection.records() if record["email"] == "bob@example.com"]
        collection.patch(bob["id"], note="pays early")
        change("bob@example.com", notes="pays never")
        outcome = project.run("copy")

        assert ("attention", 2) == (outcome.state, outcome.counts.updated)
        assert ("Anna", "vip, since May") == (customer("ann@example.com")["name"], customer("ann@example.com")["notes"])
        assert "vip, since May" == next(r["note"] for r in collection.records() if r["id"] == "a")
        assert ("pays early", "pays never") == (content(collection)["bob@example.com"]["note"], customer("bob@example.com")["notes"])
        (letter,) = project.letters()
        assert ("conflict", "notes") == (letter.cause, letter.field)

        change("bob@example.com", notes="pays early")
        assert "green" == project.run("copy").state
        found, findings = verified(project, "copy")
        assert (2, 0, []) == (found.in_sync, found.wrong, findings)

    def test_an_edit_of_another_field_while_we_write_goes_over_in_the_same_run(
        self, tmp_path: Path, collection: Collection, organizer: Organizer
    ) -> None:
        collection.put("a", email="ann@example.com", name="Ann", note="vip")
        project = with_customers(tmp_path / "p", collection, organizer)
        project.run("copy")
        brought_to_rest(project, "copy")
        (ann,) = organizer.customers()
        organizer.call("PATCH", f"{organizer.path}/customers/{ann['identifier']}/", {"notes": "vip, since May"}).expect(200)
        project.before_each = just_before(("PATCH", "/a", lambda: collection.patch("a", name="Anna")))
        outcome = project.run("copy")

        assert ("green", 2, 1) == (outcome.state, outcome.counts.updated, outcome.counts.superseded)
        assert ("Anna", "vip, since May") == (collection.records()[0]["name"], collection.records()[0]["note"])
        assert [("Anna", "vip, since May")] == [(each["name"], each["notes"]) for each in organizer.customers()]
        assert 0 == brought_to_rest(project, "copy").counts.written

    def test_killed_at_any_moment_while_both_sides_are_edited_nothing_is_lost_or_doubled(
        self, tmp_path: Path, collection: Collection, organizer: Organizer
    ) -> None:
        chance, numbers = random.Random(6), iter(range(1000))
        project = with_customers(tmp_path / "p", collection, organizer, conflict="right")
        for _ in range(15):
            number = next(numbers)
            collection.put(f"k{number}", email=f"p{number}@example.com", name=f"Left {number}", note="")
            organizer.create_customer(f"p{next(numbers)}@example.com", name_parts={"_scheme": "full", "full_name": "Right"})

        def edit() -> None:
            for record in chance.sample(collection.records(), 4):
                collection.patch(record["id"], name=f"left {chance.randrange(10**6)}")
            for each in chance.sample(organizer.customers(), 4):
                organizer.call(
                    "PATCH", f"{organizer.path}/customers/{each['identifier']}/", {"notes": f"right {chance.randrange(10**6)}"}
                ).expect(200)
            number = next(numbers)
            collection.put(f"k{number}", email=f"p{number}@example.com", name=f"Left {number}")

        killed = killed_now_and_then(project, "copy", edit, chance)
        outcome = brought_to_rest(project, "copy")

        assert killed
        assert "green" == outcome.state
        left = sorted((r["email"], r["name"], r.get("note") or "") for r in collection.records())
        right = sorted((each["email"], each["name"], each["notes"] or "") for each in organizer.customers())
        assert left == right
        assert len({email for email, _, _ in left}) == len(left) == 30 + KILLS
        found, findings = verified(project, "copy")
        assert (len(left), 0, []) == (found.in_sync, found.wrong, findings)


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
