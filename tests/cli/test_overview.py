"""`tieline status` without a name: forty integrations on a screen, what needs a person first, nothing cut that is copied."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tieline.cli import overview
from tieline.cli.output import Output
from tieline.observe.status import IntegrationStatus, SystemDown

NOW = 1_000_000.0


def entry(name: str, state: str, **more: Any) -> IntegrationStatus:
    empty: dict[str, Any] = dict.fromkeys(("purpose", "owner", "running", "error", "success_rate", "watermark"))
    counts: dict[str, Any] = dict.fromkeys(("linked", "owed", "parked", "held", "delivered"), 0)
    usual: dict[str, Any] = {
        "last_run": 1, "last_run_at": NOW - 41, "last_run_seconds": 1.0, "counts": {}, "open": {}, "calls": {}, "freshness_age": 41.0,
        "freshness_promise": 300.0,
    }  # fmt: skip
    return IntegrationStatus(integration=name, state=state, **{**empty, **counts, **usual, **more})


def told(monkeypatch: pytest.MonkeyPatch, entries: list[IntegrationStatus], width: int = 80) -> list[str]:
    output = Output()
    said = io.StringIO()
    output.console = Console(highlight=False, width=width, force_terminal=True, color_system=None, file=said)  # a terminal of that width
    monkeypatch.setattr(overview, "output", output)
    overview.print_overview(entries, NOW)
    return said.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 60])
def test_forty_integrations_are_forty_lines_and_those_that_need_somebody_come_first(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    fine = [entry(f"contacts-{number:02}", "green") for number in range(36)]
    some = [
        entry("orders-to-ledger", "owed", owed=212, outages=[SystemDown("ledger", NOW - 500, NOW + 60, "503")]),
        entry("invoices-to-xero", "failed", error="401: the credentials are refused"),
        entry("qualified-leads", "attention", parked=6),
        entry("price-list", "halted", error="94 records would be deleted"),
    ]
    lines = told(monkeypatch, fine + some, width)
    rows = lines[1:41]

    assert ["price-list", "invoices-to-xero", "qualified-leads", "orders-to-ledger"] == [row.split()[1] for row in rows[:4]]
    assert all(row.split()[1].startswith("contacts-") for row in rows[4:])
    assert all(len(row) <= width for row in lines[:41])
    assert 1 == len({row.index(row.split()[1]) for row in rows}), "columns line up"
    assert "40 integrations: 3 need you, 1 owed, 36 green" == lines[41]
    assert "ledger is down since" in lines[42]
    commands = [line.strip().partition("  #")[0].rstrip() for line in lines if line.startswith("  tieline")]
    assert ["tieline status price-list", "tieline status invoices-to-xero", "tieline dead-letters list qualified-leads"] == commands


def test_a_name_is_never_cut_and_columns_go_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "customers-of-the-southern-region-to-the-ledger"
    wide, narrow = (told(monkeypatch, [entry(name, "late"), entry("b", "green")], width) for width in (120, 60))

    assert "Last run" in wide[0]
    assert "Last run" not in narrow[0]
    assert name in narrow[1]
    assert any(f"tieline run {name}" in line for line in narrow)


def test_a_run_that_is_going_on_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(
        monkeypatch,
        [entry("a", "running", running="process 1", counts={"read": 1200, "total": 5000, "created": 900, "held": 3}), entry("b", "green")],
        120,
    )

    assert any("running 41 s, 1,200 of 5,000 read, 900 written, 3 held" in line for line in lines)
