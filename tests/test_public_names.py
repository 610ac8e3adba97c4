"""What `import tieline` offers: each name is there, and nothing else is promised."""

from __future__ import annotations

import subprocess
import sys

import tieline

EXPECTED = [
    "Complaint",
    "Counts",
    "IntegrationStatus",
    "MappingError",
    "Outcome",
    "Plan",
    "PlannedWrite",
    "RemoteError",
    "SafetyStop",
    "SpecError",
    "StoreError",
    "Story",
    "Tieline",
    "TielineError",
    "Wanted",
    "__version__",
]


def test_the_public_names_are_these():
    assert EXPECTED == tieline.__all__
    assert all(getattr(tieline, name) is not None for name in EXPECTED)


def test_the_package_itself_imports_nothing_heavy():
    """`tieline version` has to answer at once."""
    code = "import sys, tieline; print([name for name in ('aiohttp', 'pydantic', 'msgspec', 'typer', 'yaml') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()
