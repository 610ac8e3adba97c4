import hashlib
import unicodedata
from collections import Counter

import phonenumbers
import pytest

from tieline.model.records import encode_json
from tieline.sandbox.answers import Refusal
from tieline.sandbox.leads import BAD, bad_lead, make_leads
from tieline.sandbox.members import new_member

LEADS = list(make_leads(2000, seed=1))


def as_member(lead):
    """What a careful integration makes of a lead."""
    phone = lead.get("phone") and phonenumbers.parse(lead["phone"], "AU")
    e164 = phone and phonenumbers.format_number(phone, phonenumbers.PhoneNumberFormat.E164)
    names = {"FNAME": lead["first_name"], "LNAME": lead["last_name"], "PHONE": e164}
    company = (lead.get("company") or {}).get("name")
    return {"email_address": lead["email"], "status": "subscribed", "merge_fields": {**names, "COMPANY": company}}


def test_the_same_seed_makes_the_same_leads():
    """On every supported Python: demos, screenshots and bug reports speak of the same people."""
    digest = hashlib.sha256(encode_json(LEADS)).hexdigest()

    assert LEADS == list(make_leads(2000, seed=1))
    assert LEADS != list(make_leads(2000, seed=2))
    assert "2413a65ab9e65770" == digest[:16]


def test_two_of_five_leads_are_qualified():
    assert 800 == Counter(lead["status"] for lead in LEADS)["qualified"]


def test_the_leads_are_untidy():
    phones = [lead.get("phone", "absent") for lead in LEADS]
    names = [lead["first_name"] + lead["last_name"] for lead in LEADS]
    directions = Counter(unicodedata.bidirectional(name[0]) for name in names)

    assert 50 < phones.count(None) < 150
    assert 50 < phones.count("absent") < 150
    assert any(lead["email"] != lead["email"].lower() for lead in LEADS)
    assert any(lead["company"] is None for lead in LEADS)
    assert 0 < directions["R"] + directions["AL"] < 100
    assert any(unicodedata.category(sign) == "So" for name in names for sign in name)
    assert any(name != unicodedata.normalize("NFC", name) for name in names)
    assert len({lead["updated_at"] for lead in LEADS}) < len(LEADS)


def test_ids_don_t_fit_into_a_floating_point_number():
    ids = {lead["id"] for lead in LEADS}

    assert 2000 == len(ids)
    assert all(2**53 < id < 2**63 for id in ids)
    assert len({float(id) for id in ids}) < 2000


def test_every_lead_can_become_a_member():
    """Without `bad` ones the demo parks nothing; no two leads share an address, whatever its case."""
    members = [new_member(as_member(lead)) for lead in LEADS]

    assert 2000 == len({member["email_address"] for member in members})


def test_every_telephone_number_is_one():
    for lead in LEADS:
        if phone := lead.get("phone"):
            assert phonenumbers.is_valid_number(phonenumbers.parse(phone, "AU")), phone


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_bad_lead_can_t_become_a_member(kind):
    with pytest.raises((Refusal, phonenumbers.NumberParseException)):
        new_member(as_member(bad_lead(kind)))
