"""The mapping that every contestant does: five fields of a contact, as an email platform wants them."""

from typing import Any


def mapped(contact: dict[str, Any]) -> dict[str, Any]:
    """Return the member that a contact becomes."""
    return {
        "email_address": contact["email"].lower(),
        "merge_fields": {
            "FNAME": contact["first_name"],
            "LNAME": contact["last_name"],
            "PHONE": contact["phone"].replace(" ", ""),
            "COMPANY": contact["company"]["name"],
        },
        "status": "subscribed" if contact["status"] == "qualified" else "pending",
    }
