"""The second act of `tieline demo`: sales and finance edit the same customers, each in a system of their own."""

from __future__ import annotations

from typing import Any, Protocol

from tieline.cli.demo_systems import CRM, LEDGERLY, Systems
from tieline.cli.output import ACT, OK, SAFETY

NAME = "customers"
_CLOSED = 8
"""More than the integration's brake lets one run delete."""


class Shown(Protocol):
    """What the demo shows commands with."""

    def run(self, *arguments: str, expected: int = OK) -> Any:
        """Show a command and run it; return its JSON if that is what is wanted."""

    def look(self, *arguments: str, expected: int = OK) -> Any:
        """Run a command for its JSON."""

    def heading(self, text: str) -> None:
        """Begin something."""

    def say(self, text: str = "") -> None:
        """Tell what happens."""


def tell(story: Shown, systems: Systems) -> None:
    """Tell the second act."""
    _meet(story)
    _edits(story, systems)
    _mass_deletion(story, systems)
    story.heading("Do sales and finance see the same now?")
    story.run("verify", NAME)


def customers(systems: Systems) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the leads that are customers as well, each with its customer, by address."""
    leads = {str(lead["email"]).lower(): lead for lead in systems.records(CRM)}
    found = [(leads[customer["email"]], customer) for customer in systems.records(LEDGERLY) if customer["email"] in leads]
    return [(lead, customer) for lead, customer in found if _name(lead).isascii()]


def _meet(story: Shown) -> None:
    story.heading("Second act: finance keeps 40 customers in an ERP, and both departments correct what they see")
    story.say("Ledgerly spells names, addresses and numbers in its own way. Who is who? A plan shows it before anything is written.")
    story.run("plan", NAME, "--show", "3")
    story.run("run", NAME)


def _edits(story: Shown, systems: Systems) -> None:
    story.heading("Sales and finance at work, neither knowing of the other")
    (one, _), (both, both_there), (policy, policy_there), (held, held_there) = customers(systems)[2:6]
    edits: list[tuple[Any, str | int, str, Any]] = [
        (CRM, one["id"], "phone", "03 7010 4466"),
        (CRM, both["id"], "phone", "03 7010 4477"),
        (LEDGERLY, both_there["number"], "family_name", "Rosenberg"),
        (CRM, policy["id"], "phone", "03 7010 4488"),
        (LEDGERLY, policy_there["number"], "phone", "+61370104499"),
        (CRM, held["id"], "company", {"name": "Kookaburra Coffee"}),
        (LEDGERLY, held_there["number"], "company", "Kookaburra Pty Ltd"),
    ]
    for system, id, field, value in edits:
        systems.edit(system, id, {field: value})
        who = f"{'lead' if system is CRM else 'customer'} {id}"
        story.say(f"  {system.title}, {who}: {field} becomes {value['name'] if isinstance(value, dict) else value!r}")
    story.say()
    story.say("Different fields both go over. Of a telephone number that both changed, the integration says that sales knows it;")
    story.say("of a company, that a person decides.")
    story.run("run", NAME, expected=ACT)
    listed = story.run("conflicts", "list", NAME, expected=ACT) or story.look("conflicts", "list", NAME, expected=ACT)
    number = next(str(each["id"]) for each in listed)
    story.run("conflicts", "resolve", number, "--keep", "right", "--reason", "the invoice is made out to the company's full name")
    story.heading("What the policy decided is not lost either")
    story.run("conflicts", "list", NAME, "--decided")


def _mass_deletion(story: Shown, systems: Systems) -> None:
    story.heading(f"Someone in finance tidies up, and deletes {_CLOSED} customers")
    # None that the first act is about: made again, a lead is another one, and its member would be the old one's.
    closed = [customer for lead, customer in customers(systems) if lead["status"] != "qualified"][-_CLOSED:]
    for customer in closed:
        systems.remove(LEDGERLY, customer["number"])
    story.run("run", NAME, expected=SAFETY)

    story.heading("It is meant, says finance. So be it")
    outcome = story.run("run", NAME, "--allow-deletes", str(_CLOSED)) or story.look("status", NAME)
    story.heading("It was not, says sales the next day")
    story.run("undo", str(_run_of(outcome)), "--show", "1")


def _run_of(told: Any) -> int:
    """Return the number of the last run, of what a run or a status told."""
    if isinstance(told, list):
        told = told[0]
    if "integrations" in told:
        told = told["integrations"][0]
    last = told.get("last_run") or told.get("run")
    return int(last["id"] if isinstance(last, dict) else last)


def _name(lead: dict[str, Any]) -> str:
    return f"{lead.get('first_name')} {lead['last_name']}"
