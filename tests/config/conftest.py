"""A project that nothing is wrong with, to be spoiled by each test in its own way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

VALID = Path(__file__).parent / "valid"
ENVIRON = {"CRM_TOKEN": "canary-crm-4f7a91c2", "MAIL_PASSWORD": "canary-mail p&ss/9b3e"}


@pytest.fixture
def project_folder(tmp_path: Path) -> Path:
    """Return a copy of the valid project."""
    return Path(shutil.copytree(VALID, tmp_path / "project"))
