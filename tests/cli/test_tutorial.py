"""The tutorial, followed word for word: its files are written, its commands typed, and what it shows is what comes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.world import console_blocks, sandbox, says

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
END = "__the end of what the command said__"


class Shell:
    """One shell for the whole page, as a reader has it."""

    def __init__(self, folder, environ):
        self._process = subprocess.Popen(
            ["sh"], cwd=folder, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.type(f'tieline() {{ "{sys.executable}" -m tieline.cli.main "$@"; }}')

    def type(self, command):
        """Type a command; return what it says."""
        self._process.stdin.write(f"{command}\necho {END}\n")
        self._process.stdin.flush()
        return [line.rstrip("\n") for line in iter(self._process.stdout.readline, f"{END}\n")]

    def close(self):
        """Leave the shell."""
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.mark.skipif(sys.platform == "win32" or shutil.which("curl") is None, reason="the page is for a Unix shell with curl")
def test_the_tutorial_works_as_written(tmp_path, world):
    """With two systems of its own, at other ports than a reader's."""
    folder = tmp_path / "newsletter"
    with sandbox("crm") as crm, sandbox("email") as mail:
        shell = Shell(tmp_path, world.without("ACME_CRM_URL", "ACME_CRM_TOKEN", "POSTBOX_URL", "POSTBOX_KEY"))
        for language, text in re.findall(r"^```(yaml|console)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            if language == "yaml":
                name, more = re.fullmatch(r"# ([^,]+)(, at the end)?", text.partition("\n")[0]).groups()
                before = (folder / name).read_text("utf-8") if more else ""
                (folder / name).write_text(before + (text.partition("\n")[2] if more else text), "utf-8")
                continue
            for command, expected in console_blocks(text):
                said = shell.type(command.replace("http://127.0.0.1:8081", crm.url).replace("http://127.0.0.1:8082", mail.url))
                assert (command, None) == (command, says(expected, said)), "\n".join(said)
        shell.close()
        qualified = sorted(lead["email"].lower() for lead in crm.records if lead["status"] == "qualified")
        members = sorted(member["email_address"] for member in mail.records if member["list_id"] == "newsletter")

    assert qualified == members
