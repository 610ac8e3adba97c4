"""Commands that look import neither the engine nor the transport: importing those takes longer than the answer."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "tieline.app",
    "tieline.engine.run",
    "tieline.engine.passes",
    "tieline.dialects.rest",
    "tieline.transport.caller",
    "asyncio",
    "aiohttp",
)


@pytest.mark.parametrize("module", ["report", "calls", "letters"])
def test_a_look_imports_nothing_that_runs(module: str) -> None:
    """The modules of `status` and `explain`, of `calls`, and of `dead-letters list`, each in a process of its own."""
    code = f"import sys, tieline.cli.commands, tieline.cli.{module}, tieline.spec.lint; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [] == sorted({*HEAVY} & {*done.stdout.split()})
    assert "tieline.looking" in done.stdout.split()
