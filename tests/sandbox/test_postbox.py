import pytest

from sandbox.calls import MEMBERS, calling
from tieline.sandbox import AcmeCrm, Postbox
from tieline.sandbox.state import State

ANN = {"email_address": "Ann@Example.com ", "status": "subscribed", "merge_fields": {"FNAME": " Ann ", "PHONE": None}}


def people(count, start=0):
    return [{"email_address": f"p{n}@example.com", "status": "subscribed"} for n in range(start, start + count)]


async def test_a_member_is_stored_in_postbox_s_own_spelling(postbox):
    async with calling(postbox) as call:
        created = await call("POST", MEMBERS, {**ANN, "tags": ["b", "a", "b"]})
        read = await call("GET", f"{MEMBERS}/{created.body['id']}")

    assert 201 == created.status
    assert created.body == read.body
    assert {
        "id": created.body["id"],
        "list_id": "nurture",
        "email_address": "ann@example.com",
        "status": "subscribed",
        "language": "en",
        "vip": False,
        "merge_fields": {"FNAME": "Ann", "LNAME": "", "PHONE": "", "COMPANY": ""},
        "tags": ["b", "a"],
        "last_changed": "2026-09-21T14:13:20+00:00",
    } == read.body


async def test_an_address_is_on_a_list_once(postbox):
    async with calling(postbox) as call:
        await call("POST", MEMBERS, ANN)
        again = await call("POST", MEMBERS, {**ANN, "email_address": "ANN@example.com"})
        elsewhere = await call("POST", MEMBERS.replace("nurture", "newsletter"), ANN)
        bob = await call("POST", MEMBERS, {**ANN, "email_address": "bob@example.com"})
        taken = await call("PATCH", f"{MEMBERS}/{bob.body['id']}", {"email_address": "ann@example.com"})

    assert (400, "Member Exists") == (again.status, again.body["title"])
    assert 201 == elsewhere.status
    assert (400, "Member Exists") == (taken.status, taken.body["title"])


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"email_address": ""}, "email_address", "required"),
        ({"email_address": None}, "email_address", "required"),
        ({"email_address": "ann at example"}, "email_address", "valid"),
        ({"email_address": "a..b@example.com"}, "email_address", "valid"),
        ({"email_address": "x" * 250 + "@example.com"}, "email_address", "valid"),
        ({"email_address": 7}, "email_address", "valid"),
        ({"status": "happy"}, "status", "Must be one of"),
        ({"status": None}, "status", "required"),
        ({"language": "tlh"}, "language", "Must be one of"),
        ({"vip": "yes"}, "vip", "true or false"),
        ({"merge_fields": {"PHONE": "02 5550 1234"}}, "merge_fields.PHONE", "E.164"),
        ({"merge_fields": {"FNAME": "x" * 51}}, "merge_fields.FNAME", "at most 50"),
        ({"merge_fields": {"FNAME": 5}}, "merge_fields.FNAME", "text"),
        ({"merge_fields": {"COLOUR": "red"}}, "merge_fields.COLOUR", "no such merge field"),
        ({"merge_fields": []}, "merge_fields", "object"),
        ({"tags": "hot"}, "tags", "list"),
        ({"tags": [""]}, "tags", "1 to 50"),
        ({"tags": list("abcdefghijk")}, "tags", "At most 10"),
        ({"colour": "red"}, "colour", "no such field"),
    ],
)
async def test_what_is_wrong_is_told_by_field(postbox, fields, field, message):
    async with calling(postbox) as call:
        answer = await call("POST", MEMBERS, {**ANN, **fields})

    assert (400, "Invalid Resource") == (answer.status, answer.body["title"])
    assert [field] == [error["field"] for error in answer.body["errors"]]
    assert message in answer.body["errors"][0]["message"]
    assert 0 == postbox.counts()["members"]


async def test_an_update_changes_what_it_names(postbox):
    async with calling(postbox) as call:
        path = f"{MEMBERS}/{(await call('POST', MEMBERS, ANN)).body['id']}"
        changed = await call("PATCH", path, {"merge_fields": {"PHONE": "+61491570006"}, "vip": True})
        moved = await call("PATCH", path, {"email_address": "Ann.New@example.com"})
        old = await call("GET", MEMBERS, params={"email_address": "ann@example.com"})
        deleted = await call("DELETE", path)
        gone = await call("PATCH", path, {"vip": False})

    assert {"FNAME": "Ann", "LNAME": "", "PHONE": "+61491570006", "COMPANY": ""} == changed.body["merge_fields"]
    assert changed.body["vip"] is True
    assert "ann.new@example.com" == moved.body["email_address"]
    assert {"members": [], "total_items": 0} == old.body
    assert 204 == deleted.status
    assert 404 == gone.status


async def test_who_has_left_a_list_is_not_subscribed_again_by_a_program(postbox):
    async with calling(postbox) as call:
        key = (await call("POST", MEMBERS, ANN)).body["id"]
        await call("PATCH", f"{MEMBERS}/{key}", {"status": "unsubscribed"})
        refused = await call("PATCH", f"{MEMBERS}/{key}", {"status": "subscribed"})
        other = await call("PATCH", f"{MEMBERS}/{key}", {"vip": True})
        by_herself = await call.admin("PATCH", f"records/{key}", {"status": "subscribed"})

    assert (400, "Member In Compliance State") == (refused.status, refused.body["title"])
    assert "unsubscribed" == other.body["status"]
    assert "subscribed" == by_herself["status"]


async def test_a_list_is_read_by_offset(postbox):
    async with calling(postbox) as call:
        await call("POST", f"{MEMBERS}/batch", {"members": people(25)})
        pages = [(await call("GET", MEMBERS, params={"offset": n, "count": 10})).body for n in (0, 10, 20, 30)]
        refused = [await call("GET", MEMBERS, params=params) for params in ({"count": 1001}, {"offset": -1})]

    assert [10, 10, 5, 0] == [len(page["members"]) for page in pages]
    assert [25] * 4 == [page["total_items"] for page in pages]
    assert 25 == len({member["id"] for page in pages for member in page["members"]})
    assert [400, 400] == [answer.status for answer in refused]


async def test_a_member_is_found_by_address(postbox):
    async with calling(postbox) as call:
        await call("POST", MEMBERS, {**ANN, "email_address": "o'neill+news@example.com"})
        found = await call("GET", MEMBERS, params={"email_address": "O'Neill+News@Example.com"})

    assert ["o'neill+news@example.com"] == [member["email_address"] for member in found.body["members"]]
    assert 1 == found.body["total_items"]


async def test_a_batch_tells_what_became_of_each_record(postbox):
    async with calling(postbox) as call:
        await call("POST", MEMBERS, ANN)
        entries = [*people(2), ANN, {"email_address": "?", "status": "subscribed"}, people(1)[0], 5]
        answer = await call("POST", f"{MEMBERS}/batch", {"members": entries})

    results = answer.body["results"]
    assert 207 == answer.status
    assert [201, 201, 400, 400, 400, 400] == [result["status"] for result in results]
    assert list(range(6)) == [result["index"] for result in results]
    assert ["Member Exists", "Invalid Resource", "Member Exists"] == [r["error"]["title"] for r in results[2:5]]
    assert all(result["id"] for result in results[:2])
    assert (2, 4) == (answer.body["accepted"], answer.body["failed"])
    assert 3 == postbox.counts()["members"]


async def test_a_batch_takes_up_to_a_hundred(postbox):
    async with calling(postbox) as call:
        hundred = await call("POST", f"{MEMBERS}/batch", {"members": people(100)})
        more = await call("POST", f"{MEMBERS}/batch", {"members": people(101, start=100)})
        none = await call("POST", f"{MEMBERS}/batch", {"members": []})

    assert 200 == hundred.status
    assert [400, 400] == [more.status, none.status]
    assert 100 == postbox.counts()["members"]


async def test_a_batch_of_updates_names_each_member(postbox):
    async with calling(postbox) as call:
        made = (await call("POST", f"{MEMBERS}/batch", {"members": people(2)})).body["results"]
        entries = [{"id": result["id"], "member": {"vip": True}} for result in made]
        entries += [{"id": "nobody", "member": {"vip": True}}, {"vip": True}]
        answer = await call("PATCH", f"{MEMBERS}/batch", {"members": entries})

    assert [200, 200, 404, 400] == [result["status"] for result in answer.body["results"]]
    assert [True, True] == [member["vip"] for member in postbox.records()]


async def test_a_repeated_write_is_done_once_and_answered_as_the_first_time(postbox):
    async with calling(postbox) as call:
        first = await call.write(MEMBERS, ANN, key="k1")
        second = await call.write(MEMBERS, ANN, key="k1")
        batches = [await call.write(f"{MEMBERS}/batch", {"members": [*people(3), ANN]}, key="k2") for _ in "ab"]
        path = f"{MEMBERS}/{first.body['id']}"
        deletions = [await call.write(path, None, key="k3", method="DELETE") for _ in "ab"]

    assert [201, 201] == [first.status, second.status]
    assert first.body == second.body
    assert "true" == second.headers["X-Idempotent-Replay"]
    assert (207, batches[0].text) == (batches[1].status, batches[1].text)
    assert [204, 204] == [answer.status for answer in deletions]
    assert 3 == postbox.counts()["members"]


async def test_a_key_is_good_for_one_request(postbox):
    async with calling(postbox) as call:
        await call.write(MEMBERS, ANN, key="k1")
        other = await call.write(MEMBERS, people(1)[0], key="k1")
        blank = await call.write(MEMBERS, people(1)[0], key="")

    assert [422, 400] == [other.status, blank.status]
    assert 1 == postbox.counts()["members"]


async def test_a_refused_write_is_judged_again_under_the_same_key(postbox):
    """As with the larger vendors: a key remembers what was done, not what was refused."""
    async with calling(postbox) as call:
        ann = (await call("POST", MEMBERS, ANN)).body
        refused = await call.write(MEMBERS, ANN, key="k1")
        await call("DELETE", f"{MEMBERS}/{ann['id']}")
        accepted = await call.write(MEMBERS, ANN, key="k1")

    assert [400, 201] == [refused.status, accepted.status]


async def test_keys_and_members_outlive_the_process(clock, tmp_path):
    file = tmp_path / "postbox.jsonl"
    async with calling(Postbox(State("email", file), members=0, clock=clock)) as call:
        first = await call.write(MEMBERS, ANN, key="k1")
    async with calling(Postbox(State("email", file), members=60, clock=clock)) as call:
        again = await call.write(MEMBERS, ANN, key="k1")
        double = await call("POST", MEMBERS, ANN)
        other = await call("POST", MEMBERS, people(1)[0])

    assert first.body == again.body
    assert "Member Exists" == double.body["title"]
    assert first.body["id"] != other.body["id"]


async def test_some_qualified_leads_are_members_already(clock):
    """With these, a first run has someone to match."""
    postbox = Postbox(clock=clock)
    qualified = {lead["email"].lower() for lead in AcmeCrm(clock=clock).records() if lead["status"] == "qualified"}

    assert {member["email_address"] for member in postbox.records()} < qualified
    assert 60 == postbox.counts()["members"]
    assert {"old-import"} == {tag for member in postbox.records() for tag in member["tags"]}


async def test_lists_that_don_t_exist_and_bodies_that_are_no_json_are_refused(postbox):
    async with calling(postbox) as call:
        lists = await call("GET", "/3.0/lists")
        nowhere = [await call(method, "/3.0/lists/x/members", ANN) for method in ("GET", "POST")]
        shapes = [await call("POST", MEMBERS, body) for body in ([], "text", None)]
        bad = await call("POST", "/_sandbox/bad", {"kind": "email"})

    assert ["nurture", "newsletter"] == [entry["id"] for entry in lists.body["lists"]]
    assert [404, 404] == [answer.status for answer in nowhere]
    assert [400, 400, 400] == [answer.status for answer in shapes]
    assert 400 == bad.status
