"""A key's docstring is its meaning, read when someone asks."""

import subprocess
import sys

from tieline.config.docstrings import meaning_of
from tieline.config.models.connectors import Connector
from tieline.config.models.operations import List, Write


def test_the_docstring_below_a_key_is_its_meaning() -> None:
    """One description per field: complaints, schemas and pages all take it from there."""
    assert "Headers of every call; variables are filled in." == meaning_of(Connector, "headers")


def test_an_inherited_key_means_what_the_base_says() -> None:
    """A list is a request, and `cost` is described there."""
    assert "What the call takes from the limits." == meaning_of(List, "cost")


def test_a_key_that_is_declared_again_without_a_word_has_no_meaning() -> None:
    """Its new default may make the base's words wrong."""
    assert "" == meaning_of(Write, "method")


def test_reading_a_project_reads_no_source() -> None:
    """Finding docstrings, and building what is not used, was a third of the time in which a command starts."""
    script = (
        "from tieline.config.loading.folder import find_project_folder\n"
        "from tieline.config.models.connectors import Batches, Connector\n"
        "from tieline.config.models.integrations import Integration\n"
        "from tieline.config.docstrings import _docstrings\n"
        "from tieline.config.models.project import ProjectFile\n"
        "ProjectFile(project='shop')\n"
        "print(Batches.__pydantic_complete__, Connector.__pydantic_complete__, Integration.__pydantic_complete__, _docstrings.cache_info().misses)"
    )
    seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ["False", "False", "False", "0"] == seen.stdout.split()
