import pytest

from sandbox.calls import calling
from tieline.model.records import decode_json


async def walk(call, **params):
    """Read a list to its end; return the leads and how many pages there were."""
    leads, pages = [], 0
    while True:
        answer = await call("GET", "/v2/leads", params=params)
        assert 200 == answer.status, answer.text
        leads += answer.body["data"]
        pages += 1
        if not (cursor := answer.body["meta"]["next_cursor"]):
            return leads, pages
        params["cursor"] = cursor


async def test_a_list_is_read_to_its_end_by_cursor(crm):
    async with calling(crm) as call:
        leads, pages = await walk(call, limit=60)

    assert 4 == pages
    assert 200 == len({lead["id"] for lead in leads})
    assert leads == sorted(leads, key=lambda lead: (lead["updated_at"], lead["id"]))


async def test_a_lead_that_changes_while_the_list_is_read_comes_again_and_no_other_is_missed(crm):
    async with calling(crm) as call:
        first = (await call("GET", "/v2/leads", params={"limit": 100})).body
        await call.admin("PATCH", f"records/{first['data'][3]['id']}", {"status": "lost"})
        rest, _ = await walk(call, limit=100, cursor=first["meta"]["next_cursor"])

    assert 101 == len(rest)
    assert first["data"][3]["id"] == rest[-1]["id"]
    assert 200 == len({lead["id"] for lead in [*first["data"], *rest]})


async def test_updated_after_leaves_out_its_own_millisecond(crm):
    """So a reader has to reach back: the imports share one time."""
    async with calling(crm) as call:
        leads, _ = await walk(call, limit=200)
        time = leads[55]["updated_at"]
        ties = sum(lead["updated_at"] == time for lead in leads)
        later, _ = await walk(call, updated_after=time)
        back, _ = await walk(call, updated_after=time.replace("Z", "+00:00"), limit=10)

    assert ties > 5
    assert [lead for lead in leads if lead["updated_at"] > time] == later == back


async def test_the_total_counts_the_whole_answer_not_the_page(crm):
    async with calling(crm) as call:
        everything = await call("GET", "/v2/leads", params={"limit": 7})
        last = everything.body["data"][-1]["updated_at"]
        newer = await call("GET", "/v2/leads", params={"limit": 7, "updated_after": last})

    assert 200 == everything.body["meta"]["total"]
    assert newer.body["meta"]["total"] < 200
    assert 7 == len(newer.body["data"])


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "ten"},
        {"cursor": "§"},
        {"cursor": "bm90IG9uZQ"},
        {"updated_after": "2026-01-05T22:30:00"},
        {"updated_after": "yesterday"},
        {"updated_after": "0001-01-01T00:00:00+14:00"},
    ],
)
async def test_a_parameter_that_makes_no_sense_is_refused(crm, params):
    async with calling(crm) as call:
        answer = await call("GET", "/v2/leads", params=params)

    assert 400 == answer.status
    assert answer.body["error"]["code"].startswith("invalid_")


async def test_without_the_token_nothing_is_answered(crm):
    async with calling(crm) as call:
        answer = await call("GET", "/v2/leads", headers={"Authorization": "Bearer guessed"})
        me = await call("GET", "/v2/me")

    assert 401 == answer.status
    assert "unauthorized" == answer.body["error"]["code"]
    assert 200 == me.status


async def test_ids_and_scores_keep_their_digits(crm):
    lead = crm.records()[0]
    async with calling(crm) as call:
        answer = await call("GET", f"/v2/leads/{lead['id']}")

    assert lead == decode_json(answer.text)
    assert f'"score":{lead["score"]}' in answer.text


async def test_a_lead_is_found_by_its_address_in_any_case(crm):
    lead = crm.records()[0]
    async with calling(crm) as call:
        found, _ = await walk(call, email=lead["email"].swapcase())
        none, _ = await walk(call, email="nobody@example.com")

    assert [lead["id"]] == [one["id"] for one in found]
    assert [] == none


async def test_a_lead_is_created_changed_and_deleted(crm):
    async with calling(crm) as call:
        created = await call("POST", "/v2/leads", {"last_name": "Ng", "company": {"id": 1, "name": "A"}})
        path = created.headers["Location"]
        changed = await call("PATCH", path, {"company": {"name": "B"}, "score": 0.25})
        deleted = await call("DELETE", path)
        gone = [await call("GET", path), await call("PATCH", path, {}), await call("DELETE", path)]

    assert 201 == created.status
    assert "new" == created.body["status"]
    assert {"id": 1, "name": "B"} == changed.body["company"]
    assert 204 == deleted.status
    assert [404, 404, 404] == [answer.status for answer in gone]


async def test_what_is_deleted_leaves_no_trace_in_the_list_and_its_id_is_not_used_again(crm):
    async with calling(crm) as call:
        first = (await call("POST", "/v2/leads", {"last_name": "First"})).body
        await call("DELETE", f"/v2/leads/{first['id']}")
        second = (await call("POST", "/v2/leads", {"last_name": "Second"})).body
        leads, _ = await walk(call, limit=200)

    assert first["id"] < second["id"]
    assert second["id"] == leads[-1]["id"]
    assert 201 == len(leads)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "last_name is required"),
        ({"last_name": "Ng", "status": "hot"}, "status must be one of"),
        ({"last_name": "Ng", "score": 1.5}, "score must be a number from 0 to 1"),
        ({"last_name": "Ng", "score": True}, "score must be a number"),
        ({"last_name": "Ng", "company": "Acme"}, "company must have"),
        ({"last_name": "Ng", "phone": 61491570006}, "phone must be text"),
        ({"last_name": "Ng", "id": 7}, "id is set by us"),
        ({"last_name": "Ng", "colour": "red"}, "colour is not a field"),
    ],
)
async def test_what_the_crm_can_t_store_is_refused(crm, fields, told):
    async with calling(crm) as call:
        answer = await call("POST", "/v2/leads", fields)

    assert 422 == answer.status
    assert told in answer.body["error"]["message"]


async def test_an_etag_guards_an_update(crm):
    path = f"/v2/leads/{crm.records()[0]['id']}"
    async with calling(crm) as call:
        etag = (await call("GET", path)).headers["ETag"]
        same = await call("GET", path, headers={"If-None-Match": etag})
        await call.admin("PATCH", path.replace("/v2/leads", "records").lstrip("/"), {"phone": "0491 570 156"})
        stale = await call("PATCH", path, {"status": "lost"}, headers={"If-Match": etag})
        fresh = (await call("GET", path)).headers["ETag"]
        done = await call("PATCH", path, {"status": "lost"}, headers={"If-Match": fresh})

    assert 304 == same.status
    assert 412 == stale.status
    assert 200 == done.status


async def test_an_edit_moves_a_lead_to_the_end_and_an_edit_of_nothing_doesn_t(crm, clock):
    lead = crm.records()[0]
    async with calling(crm) as call:
        same = await call.admin("PATCH", f"records/{lead['id']}", {"status": lead["status"]})
        edited = await call.admin("PATCH", f"records/{lead['id']}", {"phone": None})

    assert lead["updated_at"] == same["updated_at"]
    assert "2026-09-21T14:13:20.250Z" == edited["updated_at"]
    assert lead["id"] == crm.records()[-1]["id"]
    assert crm.records()[-1]["phone"] is None


@pytest.mark.parametrize("kind", ["email", "no_email", "phone", "name"])
async def test_a_bad_lead_is_seeded_on_request(crm, kind):
    async with calling(crm) as call:
        bad = await call.admin("POST", "bad", {"kind": kind})
        counts = (await call.admin("GET"))["counts"]
        unknown = await call("POST", "/_sandbox/bad", {"kind": "luck"})

    assert "qualified" == bad["status"]
    assert 201 == counts["leads"]
    assert 400 == unknown.status


async def test_people_work_on_leads_at_the_admin_address(crm):
    async with calling(crm) as call:
        begun = await call.admin("GET")
        added = await call.admin("POST", "records", {"last_name": "Ng", "email": "ng@example.com"})
        everything = await call.admin("GET", "records")
        await call.admin("DELETE", f"records/{added['id']}")
        missing = [await call("DELETE", f"/_sandbox/records/{key}") for key in (added["id"], "x")]
        await call.admin("PATCH", f"records/{everything['records'][0]['id']}", {"status": "lost"})
        reset = await call.admin("POST", "reset")

    assert 201 == len(everything["records"])
    assert [404, 404] == [answer.status for answer in missing]
    assert begun["counts"] == reset["counts"]
