from decimal import Decimal

import pytest

from sandbox.calls import calling
from tieline.sandbox import AcmeCrm
from tieline.sandbox.state import State


@pytest.fixture
def file(tmp_path):
    return tmp_path / "kept" / "crm.jsonl"


async def test_what_was_answered_is_remembered_by_a_sandbox_that_was_killed(file, clock):
    """The file is read as a kill would have left it: while the first sandbox still has it open."""
    first = AcmeCrm(State("crm", file), leads=20, clock=clock)
    gone = first.records()[1]["id"]
    async with calling(first) as call:
        added = (await call("POST", "/v2/leads", {"last_name": "Ng", "score": 0.250})).body
        await call("PATCH", f"/v2/leads/{first.records()[0]['id']}", {"status": "lost"})
        await call("DELETE", f"/v2/leads/{gone}")
        second = AcmeCrm(State("crm", file), clock=clock)

        assert first.records() == second.records()
        assert added["id"] in {lead["id"] for lead in second.records()}
        assert gone not in {lead["id"] for lead in second.records()}
        second.close()


async def test_a_line_that_was_cut_off_is_left_out(file, clock):
    first = AcmeCrm(State("crm", file), leads=5, clock=clock)
    first.close()
    whole = file.read_bytes()
    file.write_bytes(whole + b'["leads",691752902764108')
    second = AcmeCrm(State("crm", file), clock=clock)
    second.close()

    assert first.records() == second.records()
    assert sorted(whole.splitlines()) == sorted(file.read_bytes().splitlines())


def test_numbers_keep_their_digits(file):
    state = State("crm", file)
    state.put("t", 2**62 + 1, {"score": Decimal("0.250")})
    state.put("t", "text", None)
    state.commit()
    state.close()

    assert {2**62 + 1: {"score": Decimal("0.250")}, "text": None} == State("crm", file).table("t")


def test_what_is_outdated_is_dropped_when_a_sandbox_stops(file, clock):
    crm = AcmeCrm(State("crm", file), leads=3, clock=clock)
    key = str(crm.records()[0]["id"])
    for number in range(50):
        crm.edit(key, {"phone": str(number)})
        crm.state.commit()
    grown = len(file.read_bytes().splitlines())
    crm.close()

    assert 55 == grown
    assert 5 == len(file.read_bytes().splitlines())


@pytest.mark.parametrize("content", [b"", b"name,email\n", b'{"sandbox":"email","format":1}\n', b'{"sandbox":"crm"}\n'])
def test_another_file_is_neither_read_nor_overwritten(file, content):
    file.parent.mkdir()
    file.write_bytes(content)

    with pytest.raises(ValueError, match="is not from a sandbox"):
        State("crm", file)
    assert content == file.read_bytes()
