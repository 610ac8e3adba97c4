"""What Postbox accepts as a member of a list, and how it stores it: strict, tidy, and in its own spelling.

Addresses become lower case, names lose the blanks around them, null becomes blank, tags are kept once each. Pure
functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tieline.model.records import Record
from tieline.sandbox.answers import Refusal

STATUSES: Final = ("subscribed", "unsubscribed", "cleaned")
LANGUAGES: Final = ("ar", "de", "el", "en", "fr", "he", "ja", "vi", "zh")
MERGE_FIELDS: Final = {"FNAME": 50, "LNAME": 50, "PHONE": 16, "COMPANY": 100}
MOST_TAGS: Final = 10
LONGEST_TAG: Final = 50
SET_BY_US: Final = ("id", "list_id", "last_changed")

_EMAIL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


def new_member(fields: Record) -> Record:
    """Return what is stored for a new member, without its id. Raises `Refusal`, with every field that is wrong."""
    accepted = _accepted(fields, ("email_address", "status"))
    blanks = dict.fromkeys(MERGE_FIELDS, "")
    return {
        "email_address": accepted["email_address"],
        "status": accepted["status"],
        "language": accepted.get("language", "en"),
        "vip": accepted.get("vip", False),
        "merge_fields": blanks | accepted.get("merge_fields", {}),
        "tags": accepted.get("tags", []),
    }


def changed_member(member: Record, fields: Record) -> Record:
    """Return the member with some fields changed; a merge field that is not named stays. Raises `Refusal`."""
    accepted = _accepted(fields, ())
    if accepted.get("status") == "subscribed" and member["status"] != "subscribed":
        # Who has left a list joins it again by their own doing, not by a program's.
        raise Refusal(
            400,
            "Member In Compliance State",
            f"{member['email_address']} is {member['status']} and can only be subscribed by its owner",
        )
    if "merge_fields" in accepted:
        accepted["merge_fields"] = member["merge_fields"] | accepted["merge_fields"]
    return {**member, **accepted}


def _accepted(fields: Record, required: tuple[str, ...]) -> Record:
    missing = [name for name in required if fields.get(name) in (None, "")]
    wrong = [{"field": name, "message": "This value is required"} for name in missing]
    accepted: Record = {}
    for name, value in fields.items():
        judge = _JUDGES.get(name)
        try:
            if judge is not None:
                accepted[name] = judge(value)
            elif name not in SET_BY_US:
                raise ValueError("There is no such field")
        except ValueError as problem:
            field, _, message = str(problem).rpartition(": ")
            if name not in missing:
                wrong.append({"field": f"{name}.{field}" if field else name, "message": message})
    if wrong:
        told = "; ".join(f"{entry['field']}: {entry['message']}" for entry in wrong)
        raise Refusal(400, "Invalid Resource", told, tuple(wrong))
    return accepted


def _email(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 254 or not _EMAIL.fullmatch(value.strip()):
        raise ValueError("Please provide a valid email address")
    return value.strip().lower()


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def judge(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"Must be one of {', '.join(choices)}")
        return value

    return judge


def _vip(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("Must be true or false")
    return value


def _merge_fields(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("Must be an object")
    stored = {}
    for name, text in value.items():
        if name not in MERGE_FIELDS:
            raise ValueError(f"{name}: There is no such merge field")
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{name}: Must be text")
        stored[name] = (text or "").strip()
        if len(stored[name]) > MERGE_FIELDS[name]:
            raise ValueError(f"{name}: Must be at most {MERGE_FIELDS[name]} characters")
        if name == "PHONE" and stored[name] and not _E164.fullmatch(stored[name]):
            raise ValueError(f"{name}: Must be in E.164 format, such as +61491570006")
    return stored


def _tags(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(tag, str) and 0 < len(tag) <= LONGEST_TAG for tag in value):
        raise ValueError(f"Must be a list of texts, each of 1 to {LONGEST_TAG} characters")
    if len(set(value)) > MOST_TAGS:
        raise ValueError(f"At most {MOST_TAGS} tags")
    return list(dict.fromkeys(value))


_JUDGES: Final[dict[str, Callable[[Any], Any]]] = {
    "email_address": _email,
    "status": _one_of(STATUSES),
    "language": _one_of(LANGUAGES),
    "vip": _vip,
    "merge_fields": _merge_fields,
    "tags": _tags,
}
