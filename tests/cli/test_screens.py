"""What fits a terminal of 60, 80 or 120 columns: ids stay whole, lines hang, wide and shapeless characters do no harm, and records are named."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.text import Text

from tieline.cli import calls, conflicts, letters, links, output, report, unmatched
from tieline.cli.layout import Whole, assemble, table, wrapped
from tieline.cli.output import Output
from tieline.cli.recognised import in_order, recognised
from tieline.lint import cache
from tieline.store.database import Database

LONG = "0af1-" + "7" * 70
"""An id that is wider than the narrowest terminal."""
SPACED = "Kookaburra Coffee & 株式会社 Melbourne"
"""An id as some vendors have them."""
EMAIL, NAME = "zoe.oneill@kookaburra.example", "Zoë 山田\u202e"
RECORD = {"id": LONG, "first_name": NAME, "email": EMAIL, "about": "a\x1b[2Jb", "company": {"name": "Kookaburra Coffee"}}
NOW = time.time() - 3600
ADDRESS = f"http://127.0.0.1:9/email/members?email={EMAIL.replace('@', '%40').upper()}&unbroken={'x' * 60}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's project, and a store in which everything is open: long ids, wide characters, controls."""
    folder = tmp_path_factory.mktemp("screens") / "shop"
    shutil.copytree(Path(cache.__file__).parents[1] / "templates" / "demo", folder)
    with Database(folder / ".tieline" / "store.db") as db:
        insert = db._writer.execute

        def delivery(id: int, integration: int, state: str, source: str, why: dict[str, Any] | None, record: Any = RECORD) -> None:
            insert(
                "INSERT INTO delivery (id, integration, source_id, operation, state, run, accepted_at, changed, record, reason, call)"
                " VALUES (?, ?, ?, 'none', ?, 1, ?, '{}', ?, ?, 1)",
                (id, integration, source, state, NOW, json.dumps(record), json.dumps(why)),
            )

        for id, name in ((1, "qualified-leads"), (2, "customers"), (3, "customers/back")):
            insert("INSERT INTO integration (id, name, complete_at) VALUES (?, ?, ?)", (id, name, NOW))
        for id, integration in ((1, 1), (2, 2)):
            counts = json.dumps({"read": 1_000_000, "created": 999_999, "held": 1})
            error = "a long word of the vendor " * 9
            insert("INSERT INTO run (id, integration, started_at, first_delivery, ended_at, state, counts, error) VALUES (?, ?, ?, 1, ?, 'owed', ?, ?)",
                   (id, integration, NOW, NOW + 9, counts, error))  # fmt: skip
        shadow = json.dumps({"zebra": "last", "first_name": NAME, "email": EMAIL})
        for source, target in ((LONG, SPACED), (SPACED, LONG)):
            insert("INSERT INTO link (integration, source_id, target_id, source_shadow, target_shadow, verdict, seen_run) VALUES (1, ?, ?, ?, ?, 'linked', 1)",
                   (source, target, shadow, shadow))  # fmt: skip
        insert("INSERT INTO pair (id, integration, verdict, left_id, right_id, left_shadow, right_shadow) VALUES (1, 2, 'held', ?, ?, ?, ?)",
               (LONG, SPACED, shadow, json.dumps({"given_name": NAME, "email": EMAIL})))  # fmt: skip
        rule = {"kind": "mapping", "field": "merge_fields.PHONE", "rule": "integrations/qualified-leads.yaml:32", "next": "correct it"}
        delivery(1, 1, "dead", LONG, {**rule, "message": f"`phone` of {EMAIL} is \x1b[2J no phone number", "value": EMAIL})
        delivery(2, 1, "dead", SPACED, {**rule, "message": "no phone number " * 12})
        delivery(3, 2, "held", LONG, {
            "kind": "conflict", "side": "left", "left_id": LONG, "right_id": SPACED, "strands": ["company"], "message": "both have changed",
            "next": "`tieline conflicts resolve NO --keep left`", "left": {"company.name": "山" * 70}, "right": {"company": "Kookaburra " * 8},
        })  # fmt: skip
        delivery(
            4, 2, "held", SPACED, {"kind": "unmatched", "message": "two have its key", "candidates": [LONG, SPACED], "next": "link it"}
        )
        insert(
            "INSERT INTO pair (id, integration, verdict, left_id, left_key, left_shadow) VALUES (2, 2, 'held', ?, ?, ?)",
            (SPACED, EMAIL, shadow),
        )
        insert("INSERT INTO call (id, at, connection, integration, run, method, url, status, seconds, waited, sent, received, attempt, failure, answer,"
               " operation, resource, deliveries) VALUES (1, ?, 'email', 1, 1, 'GET', ?, 500, 0.5, 3, 1, 1, 2, 'unavailable', ?, 'find', 'members', '1')",
               (NOW + 1, ADDRESS, f"nothing is known of {EMAIL}"))  # fmt: skip
        insert("INSERT INTO call_record (call, integration, source_id) VALUES (1, 1, ?)", (LONG,))
    return folder


SCREENS: dict[str, Callable[[Path, bool], Any]] = {
    "conflicts": lambda folder, mask: conflicts.list_conflicts(folder, None, None, limit=None, mask=mask),
    "conflicts show": lambda folder, mask: conflicts.show_conflict(folder, 3, mask=mask),
    "unmatched": lambda folder, mask: unmatched.list_unmatched(folder, None, None, fuzzy=False, everything=True, limit=None, mask=mask),
    "links": lambda folder, mask: links.list_links(folder, "qualified-leads", unlinked=False, limit=None, mask=mask),
    "links both ways": lambda folder, mask: links.list_links(folder, "customers", unlinked=False, limit=None, mask=mask),
    "calls": lambda folder, mask: calls.show_calls(folder, None, calls.Filter(), limit=None, bodies=False, mask=mask),
    "calls NO": lambda folder, mask: calls.show_calls(folder, "1", calls.Filter(), limit=None, bodies=False, mask=mask),
    "explain": lambda folder, mask: report.explain(folder, "crm", "leads", LONG, mask=mask),
    "status NAME": lambda folder, mask: report.status(folder, "qualified-leads"),
    "status": lambda folder, mask: report.status(folder, None),
    "dead-letters": lambda folder, mask: letters.list_letters(folder, letters.Which(), groups_only=False, mask=mask),
    "dead-letters show": lambda folder, mask: letters.show_letter(folder, 1, mask=mask),
}
SHOWS = {
    "conflicts": [LONG, SPACED], "conflicts show": [LONG, SPACED], "unmatched": [SPACED, LONG], "links": [LONG, SPACED],
    "links both ways": [LONG, SPACED], "calls": [ADDRESS], "calls NO": [ADDRESS, LONG], "explain": [LONG, SPACED, ADDRESS],
    "status NAME": ["qualified-leads"], "status": ["qualified-leads", "customers"], "dead-letters": [LONG, SPACED],
    "dead-letters show": [LONG, ADDRESS],
}  # fmt: skip


@pytest.fixture
def see(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return what a screen shows on a terminal of some width."""

    def look(screen: str, width: int, *, mask: bool = False) -> list[str]:
        fresh, said = Output(), io.StringIO()
        fresh.console = output._SafeConsole(highlight=False, width=width, force_terminal=True, color_system=None, file=said)
        with monkeypatch.context() as patched:
            for module in (output, report, conflicts, unmatched, links, calls, letters):
                patched.setattr(module, "output", fresh)
            import tieline.cli.opening as opening
            import tieline.cli.overview as overview

            patched.setattr(opening, "output", fresh)
            patched.setattr(overview, "output", fresh)
            patched.setattr("sys.stdout", said)
            patched.setattr("sys.__stdout__", said)
            SCREENS[screen](folder, mask)
        return said.getvalue().splitlines()

    return look


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("screen", SCREENS)
def test_ids_are_whole_and_lines_fit(see: Callable[..., list[str]], screen: str, width: int) -> None:
    """A line is wider than the terminal only where one thing that must stay whole is."""
    lines = see(screen, width)
    for id in SHOWS[screen]:
        assert any(id in line for line in lines), (id, lines)
    for line in lines:
        assert line.isprintable(), line
        longest = max([cell_len(word) for word in line.split()] + [cell_len(each) for each in (LONG, SPACED, ADDRESS) if each in line])
        assert cell_len(line) <= width or longest > width - 34 or "`" in line or "tieline " in line, line
        assert line == line.rstrip()


@pytest.mark.parametrize("screen", [each for each in SCREENS if each not in ("status", "status NAME", "calls", "calls NO")])
def test_a_record_is_named_by_its_key_and_its_name(see: Callable[..., list[str]], screen: str) -> None:
    """By the e-mail address that it is matched by, then by its name; not by what comes first in the alphabet."""
    text = " ".join(" ".join(see(screen, 120)).split())
    assert EMAIL in text
    assert text.index(EMAIL) < text.index("Zoë")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("screen", [each for each in SCREENS if each not in ("status", "status NAME")])
def test_what_is_masked_is_masked_wherever_it_stands(see: Callable[..., list[str]], screen: str, width: int) -> None:
    """In records, messages, addresses that were searched for it, and answers; however it is spelled there, and wherever lines break."""
    text = "".join("".join(see(screen, width, mask=True)).split()).casefold()
    for spelled in (EMAIL, EMAIL.replace("@", "%40"), "Zoë"):
        assert spelled.casefold() not in text


def test_a_line_hangs_under_where_its_text_began() -> None:
    """What goes on below is as far in as what is above, and a command in backquotes is one word."""
    text = assemble(["  advice    ", "one two three four `tieline run NAME --only 5` six seven eight nine ten"])
    assert [
        "  advice    one two three four",
        "            `tieline run NAME --only 5`",
        "            six seven eight nine ten",
    ] == [line.plain for line in wrapped(text, 40, 12)]
    assert 1 == len(wrapped(text, None, 12))


@pytest.mark.parametrize("width", range(1, 60, 7))
def test_nothing_is_lost_by_breaking_lines(width: int) -> None:
    """Whatever the width, the words are all there, in order."""
    words = f"begin {'x' * 50} 山田 山田山田 end"
    lines = wrapped(assemble([words, " ", Whole("a whole id"), " ", ("last", "bold")]), width, 9)
    assert f"{words} a whole id last".split() == " ".join(line.plain for line in lines).split()
    assert any("a whole id" in line.plain for line in lines)
    assert all(isinstance(line, Text) for line in lines)


def test_a_table_gives_up_columns_before_it_runs_over() -> None:
    """Never an id; a wide character takes two cells."""
    rows = [["no.", "record", "note"], ["1", "山田", "long note"], ["22", "ab", "x"]]
    assert [["no.", "record", "note"], ["  1", "山田  ", "long note"], [" 22", "ab    ", "x"]] == table(rows, None, right=[0])
    assert [["no.", "record"], ["  1", "山田"], [" 22", "ab"]] == table(rows, 12, right=[0], droppable=[2])
    assert [["no.", "record"], ["  1", "山田"], [" 22", "ab"]] == table(rows, 3, right=[0], droppable=[2])


def test_the_match_key_comes_first_then_names_then_the_rest() -> None:
    """And a value that says the same is said once."""
    values = {
        "age": 5,
        "company": {"name": "Acme"},
        "id": "7",
        "last_name": "Ng",
        "email": "a@b.example",
        "code": "X-1",
        "name": "Ann Ng",
        "vip": True,
    }
    assert ["code", "name", "last_name", "company.name", "email", "age", "id", "vip"] == [*in_order(values, ["code"])]
    assert '"X-1", "Ann Ng", "Ng", "Acme"' == recognised(values, ["code"])
    assert '"a@b.example", "Acme"' == recognised({"email": "a@b.example", "name": "Acme", "title": "Acme", "company": None}, ["email"])
    assert "" == recognised({"id": 5, "vip": False}, ["nothing"])
