"""`tieline demo`: two integrations between sandbox systems, told as it happens: one way, and in a second act both ways.

Every command that is shown is run as shown, in a process of its own in the project folder, and what it prints is what anybody would see.
At the end the systems are compared, record by record: a difference is a failure, and said to be one.

`demo_customers` is the second act; `demo_systems` runs the systems, `demo_folder` makes the folder and knows whose it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tieline.cli import demo_customers
from tieline.cli.demo_folder import clear_folder, hand_over, make_folder
from tieline.cli.demo_systems import CRM, POSTBOX, Systems
from tieline.cli.output import ACT, INTERRUPTED, OK, OWED, SAFETY, output, plural
from tieline.model.errors import TielineError

_MEANING = {ACT: "someone must act", OWED: "changes are owed; the next run goes on", SAFETY: "tieline stopped itself for safety"}
_NAME = "qualified-leads"
_PROMOTED = 6


def demo(folder: Path, *, keep: bool) -> int:
    """Show tieline at work in a new folder. Return 1 when the two systems don't agree at the end."""
    began = time.monotonic()
    if replaced := clear_folder(folder):
        output_text(f"{folder} was left by an earlier demo, untouched since: it is made again")
    make_folder(folder)
    try:
        with Systems(folder) as systems:
            hand_over(folder, systems)
            story = Story(folder, systems)
            story.tell()
            agree = story.compare()
            demo_customers.tell(story, systems)
            seconds = time.monotonic() - began
            if output.json_mode:
                output.json(story.summary(agree=agree, seconds=seconds, replaced=replaced))
            else:
                _what_next(folder, seconds, keep=keep)
            if keep:
                _stay(systems)
    except KeyboardInterrupt:
        output_text()
        output_text(f"interrupted: the systems are stopped, and {folder} is left as it is", style="yellow")
        return INTERRUPTED
    return OK if agree else ACT


def output_text(text: str = "", *, style: str | None = None) -> None:
    """Print a line, unless JSON was asked for."""
    if not output.json_mode:
        output.print(text, style=style)


class Story:
    """What is shown, in order. `steps` collects what was run and what came of it."""

    def __init__(self, folder: Path, systems: Systems) -> None:
        self._folder, self._systems = folder, systems
        self._environ = {**os.environ, **systems.environ}
        self.steps: list[dict[str, Any]] = []

    def tell(self) -> None:
        """Tell all of it."""
        self._set_out()
        self._first_run()
        self._edits()
        letter, source_id = self._set_aside()
        self._mended(letter, source_id)
        self._outage()

    def _set_out(self) -> None:
        crm, postbox = (self._systems.overview(system)["counts"] for system in (CRM, POSTBOX))
        where = self._systems.addresses
        _heading("When a lead's status changes to qualified in the CRM, the nurture list has them within five minutes")
        output_text(f"Made-up systems run on this machine: Acme CRM at {where[0]} with {crm['leads']:,} leads, {crm['qualified']} of them")
        output_text(
            f"qualified, and Postbox at {where[1]}, an email platform with {postbox['members']} old members. The project folder is {self._folder}."
        )

        _heading("Are the files right, and can the systems be reached?")
        self.run("check", "--live")

        _heading("What would happen? Nothing is written by a plan")
        self.run("plan", _NAME, "--show", "2")

    def _first_run(self) -> None:
        _heading("Do it")
        output_text("Both systems are made to take fewer calls a second than their documentation says.")
        self.run("run", _NAME)
        answered = {system.title: self._systems.overview(system)["answered"].get("429", 0) for system in (CRM, POSTBOX)}
        told = " and ".join(f"{plural(number, 'call')} to {title}" for title, number in answered.items() if number)
        if told:
            output_text(f"So far {told} came back as too many (429). Each was sent again after the wait that the answer asked for.")
        self.run("status", _NAME)

    def _edits(self) -> None:
        _heading("People at work in the CRM")
        leads = self._systems.records(CRM)
        readable = [lead for lead in leads if _name(lead).isascii() and lead.get("phone")]
        corrected, married = [lead for lead in readable if lead["status"] == "qualified"][-2:]
        promoted = next(lead for lead in readable if lead["status"] == "working")
        for lead, field, value in (
            (corrected, "phone", "03 7010 4455"),
            (married, "last_name", "Rosenberg"),
            (promoted, "status", "qualified"),
        ):
            self._systems.edit(CRM, lead["id"], {field: value})
            output_text(f"  {_name(lead)}, lead {lead['id']}: {field} {lead[field]!r} becomes {value!r}")
        careless = self._systems.add_bad(CRM, "phone")
        output_text(f"  {_name(careless)}, lead {careless['id']}: imported as qualified, with the phone {careless['phone']!r}")
        output_text()
        output_text("The next run asks the CRM for what has changed since, and sends just that: a field, another field, a new member.")
        self.run("run", _NAME, expected=ACT)

    def _set_aside(self) -> tuple[str, str]:
        _heading("One record needs a person; the others went on without it")
        letters = self.run("dead-letters", expected=ACT) or self.look("dead-letters", expected=ACT)
        letter, source_id = str(letters[0]["id"]), str(letters[0]["source_id"])
        self.run("explain", "crm", "leads", source_id)
        return letter, source_id

    def _mended(self, letter: str, source_id: str) -> None:
        _heading("Correct it here, and send it")
        self.run("dead-letters", "edit", letter, "--set", "phone=02 5550 0001")
        self.run("dead-letters", "redrive", letter)

        _heading("Someone corrects the number in the CRM as well")
        self._systems.edit(CRM, int(source_id), {"phone": "02 5550 0002"})
        self.run("run", _NAME)

        _heading("What happened to this record, on both sides?")
        self.run("explain", "crm", "leads", source_id)

    def _outage(self) -> None:
        _heading("The email platform goes down in the middle of the day, and people go on working")
        self._systems.set_faults(POSTBOX, {"outage": True})
        working = [lead for lead in self._systems.records(CRM) if lead["status"] == "working"]
        promoted = [lead for lead in working if _name(lead).isascii() and lead.get("phone")][:_PROMOTED]
        for lead in promoted:
            self._systems.edit(CRM, lead["id"], {"status": "qualified"})
        output_text(f"  Postbox answers every call with 503. {_PROMOTED} leads become qualified meanwhile.")
        self.run("run", _NAME, expected=OWED)
        self.run("status", _NAME, expected=OWED)

        _heading("It comes back, and the answer to the first call that writes gets lost on the way")
        output_text("  Were those members made, or were they not? tieline does not guess.")
        self._systems.set_faults(POSTBOX, {"outage": False, "lose_answer": 1})
        self.run("run", _NAME)
        self.run("explain", "crm", "leads", str(promoted[0]["id"]))

    def compare(self) -> bool:
        """Compare both systems and say what was found. Return whether they agree."""
        _heading("Do both systems agree?")
        self.run("status", _NAME)
        output_text()
        output_text("Both are read whole now, and compared record by record, field by field.")
        self.run("verify", _NAME)
        qualified = [str(lead["email"]).lower() for lead in self._systems.records(CRM) if lead["status"] == "qualified"]
        members = [member["email_address"] for member in self._systems.records(POSTBOX) if member["list_id"] == "nurture"]
        agree = sorted(qualified) == sorted(members)
        self.counts = {"qualified": len(qualified), "members": len(members)}
        if agree:
            output_text(
                f"Acme CRM has {len(qualified)} qualified leads, the nurture list {len(members)} members: the same addresses, each once.",
                style="green",
            )
            return True
        output_text(f"They do NOT: Acme CRM has {len(qualified)} qualified leads, the nurture list {len(members)} members.", style="red")
        for words, addresses in (("not in the list", {*qualified} - {*members}), ("not qualified", {*members} - {*qualified})):
            if addresses:
                output_text(f"  {words}: {', '.join(sorted(addresses)[:5])}{' …' if len(addresses) > 5 else ''}", style="red")
        return False

    def summary(self, *, agree: bool, seconds: float, replaced: bool) -> dict[str, Any]:
        """Return what a program wants to know."""
        return {
            "folder": str(self._folder.resolve()),
            "replaced": replaced,
            "addresses": {"crm": self._systems.addresses[0], "email": self._systems.addresses[1], "erp": self._systems.addresses[2]},
            "environment": self._systems.environ,
            "steps": self.steps,
            **self.counts,
            "agree": agree,
            "seconds": round(seconds, 2),
        }

    def run(self, *arguments: str, expected: int = OK) -> Any:
        """Show a command and run it; return its JSON if that is what is wanted. Raises `TielineError` when it ends otherwise than it should."""
        shown = shlex.join(("tieline", *arguments))
        if output.json_mode:
            began = time.monotonic()
            found = self.look(*arguments, expected=expected)
            seconds = round(time.monotonic() - began, 2)
            self.steps.append({"command": shown, "exit_code": expected, "seconds": seconds, "output": found})
            return found
        output_text()
        output_text(f"$ {shown}", style="bold cyan")
        code = self._wait_for(subprocess.Popen(_command(arguments), cwd=self._folder, env=self._environ))
        if code:
            output_text(f"(exit code {code}{f': {_MEANING[code]}' if code in _MEANING else ''})", style="dim")
        _expect(arguments, code, expected)
        return None

    def heading(self, text: str) -> None:
        """Begin something."""
        _heading(text)

    def say(self, text: str = "") -> None:
        """Tell what happens."""
        output_text(text)

    def look(self, *arguments: str, expected: int = OK) -> Any:
        """Run a command for its JSON."""
        process = subprocess.Popen(_command((*arguments, "--json")), cwd=self._folder, env=self._environ, stdout=subprocess.PIPE)
        try:
            text, _ = process.communicate()
        except KeyboardInterrupt:
            self._wait_for(process)
            raise
        _expect(arguments, process.returncode, expected)
        return json.loads(text)

    def _wait_for(self, process: subprocess.Popen[Any]) -> int:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # It has had the Ctrl-C as well, and ends in good order.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            if process.poll() is None:
                process.kill()
                process.wait()
            raise


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-P", "-m", "tieline.cli.main", *arguments]


def _expect(arguments: tuple[str, ...], code: int, expected: int) -> None:
    if code in (INTERRUPTED, -signal.SIGINT) and code != expected:
        raise KeyboardInterrupt  # the Ctrl-C was for the whole group; that ours is late, or ignored, makes no difference
    if code != expected:
        shown = shlex.join(("tieline", *arguments))
        raise TielineError(
            f"`{shown}` ended with exit code {code}, and {expected} was expected: the demo stops here", next_step="please report this"
        )


def _heading(text: str) -> None:
    output_text()
    output_text(text, style="bold")


def _name(lead: dict[str, Any]) -> str:
    return f"{lead.get('first_name')} {lead['last_name']}"


def _what_next(folder: Path, seconds: float, *, keep: bool) -> None:
    _heading(f"That was the demo ({seconds:.0f} s). What next?")
    output_text(f"{folder} is left to play with. Its README.md has things to try: an outage, answers that get lost, another rule.")
    output_text()
    go = f"cd {shlex.quote(str(folder))} && . ./demo.env"
    steps = [
        *([] if keep else [(f"{go} && python systems.py", "the systems again, with the records they have now, until Ctrl-C")]),
        (go, "in another terminal: addresses, keys, and this tieline"),
        (f"tieline run {_NAME}", "and whatever else was shown above"),
        ("tieline init ../my-project --template blank", "the smallest useful start for two systems of your own"),
    ]
    width = max(len(command) for command, _ in steps)
    for command, meaning in steps:
        output_text(f"  {command:{width}}   # {meaning}")


def _stay(systems: Systems) -> None:
    output_text()
    crm, postbox, ledgerly = systems.addresses
    output_text(f"Acme CRM stays at {crm}, Postbox at {postbox} and Ledgerly at {ledgerly}, until Ctrl-C.", style="bold")
    with contextlib.suppress(KeyboardInterrupt):
        systems.wait()
