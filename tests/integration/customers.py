"""The example `tryton-to-mailman`, with contacts and a list that a test has to itself."""

from dataclasses import dataclass
from typing import Any

from systems.mailman import MailingList
from systems.tryton import Parties

from integration.projects import Project


@dataclass
class Customers(Project):
    """The example, with contacts and a list that a test has to itself."""

    parties: Parties = None  # type: ignore[assignment]
    members: MailingList = None  # type: ignore[assignment]

    def contact(self, suffix: str, email: str, name: str = "Jo", **fields: Any) -> int:
        """Create a party with an e-mail address; return the contact's id."""
        party = self.parties.create(suffix, name=name)
        return self.another(party["id"], email, **fields)

    def another(self, party: int, email: str, **fields: Any) -> int:
        """Give a party one more e-mail address; return the contact's id."""
        contact = {"party": party, "type": "email", "value": email, **fields}
        created = self.parties.server.call("POST", "/party.contact_mechanism", contact).expect(200).json()
        return int(created["id"])

    def change_contact(self, contact: int, **fields: Any) -> None:
        """Change a contact in Tryton."""
        self.parties.server.call("PUT", f"/party.contact_mechanism/{contact}", fields).expect(200)

    def address(self, name: str) -> str:
        """Return an e-mail address that is this test's own."""
        return self.members.address(name)

    @property
    def emails(self) -> list[str]:
        """The members' addresses, as Mailman tells them."""
        return sorted(member["email"] for member in self.members.members())

    @property
    def names(self) -> dict[str, str]:
        """The members' names by address, as Mailman tells them."""
        return {member["email"]: member["display_name"] for member in self.members.members()}
