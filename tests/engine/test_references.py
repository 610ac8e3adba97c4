"""References between records of two-way integrations: a contact's company, a company's first contact."""

from tests.engine.world import NAME, World, told

from tieline.engine.review import unmatched
from tieline.testing import Collection

PEOPLE = {"email": {"type": "string"}, "name": {"type": "string"}, "org": {"type": "string"}}
ORGS = {"code": {"type": "string"}, "title": {"type": "string"}, "contact": {"type": "string"}}


def world_of_two(tmp_path, deletes="ignore", **contact):
    """Return people and companies on both sides; `contact` is the rule by which a company names its contact, `deletes` is of companies."""
    world = World(
        tmp_path, *(Collection(name, fields, ids="text") for name, fields in (("leads", PEOPLE), ("members", PEOPLE), ("orgs", ORGS)))
    )
    there = Collection("firms", ORGS, ids="text")
    there.now, world.mail.collections["firms"] = world.mail.now, there
    both_ways = {"direction": "two-way", "conflict": "hold", "unmatched": "create"}
    rules = {"code": "code", "title": "title", **({"contact": {"from": "contact", "lookup": NAME, **contact}} if contact else {})}
    world._others = {
        "orgs": {**both_ways, "from": "crm.orgs", "to": "mail.firms", "match": {"code": "code"}, "map": rules, "deletes": deletes}
    }
    people = {"email": "email", "name": "name", "org": {"from": "org", "lookup": "orgs"}}
    world.declare(**both_ways, match={"email": "email"}, map=people)
    world.orgs, world.firms = world.crm["orgs"], there
    return world


async def verify(tieline):
    with await tieline.verify(NAME) as verification:
        return verification.verified


def of(collection, field, value):
    (record,) = collection.where(field, value)
    return record


def test_a_child_waits_visibly_for_its_parent_and_goes_on_when_it_appears_whichever_side_has_it(tmp_path):
    world = world_of_two(tmp_path)
    acme, best = world.orgs.add(code="acme", title="Acme"), world.firms.add(code="best", title="Best")
    world.leads.add(email="ann@x", name="Ann", org=acme)
    world.members.add(email="bob@x", name="Bob", org=best)

    first = world.run()
    waiting = world.letters()
    with world.store() as db:
        alone, settled = [(one.state, one.why) for one in unmatched.every(db)], unmatched.count_settled(db)
    world.run("orgs")
    second = world.run()

    assert {"attention": 2, "held": 2} == told(first)
    assert ["waiting", "waiting"] == [letter.cause for letter in waiting]
    assert ([("waiting", letter.message) for letter in waiting], 0) == (alone, settled), "they do not wait for no one"
    assert {"green": 2, "created": 2} == told(second)
    assert of(world.firms, "code", "acme")["id"] == of(world.members, "email", "ann@x")["org"]
    assert of(world.orgs, "code", "best")["id"] == of(world.leads, "email", "bob@x")["org"]


def test_a_reference_that_changes_on_the_right_changes_on_the_left_to_the_record_that_is_meant(tmp_path):
    world = world_of_two(tmp_path)
    acme, best = world.orgs.add(code="acme", title="Acme"), world.orgs.add(code="best", title="Best")
    ann = world.leads.add(email="ann@x", name="Ann", org=acme)
    world.run("orgs")
    world.run()

    world.members.change(of(world.members, "email", "ann@x")["id"], org=of(world.firms, "code", "best")["id"])
    world.run()

    assert best == world.leads.record(ann)["org"]


def test_two_records_that_need_each_other_are_made_without_and_completed_by_a_second_write(tmp_path):
    world = world_of_two(tmp_path, missing="later")
    acme = world.orgs.add(code="acme", title="Acme")
    ann = world.leads.add(email="ann@x", name="Ann", org=acme)
    world.orgs.change(acme, contact=ann)

    world.run("orgs")
    without = dict(of(world.firms, "code", "acme"))
    world.run()
    completed = world.run("orgs")
    after = world.run("orgs")

    assert "contact" not in without
    assert of(world.members, "email", "ann@x")["id"] == of(world.firms, "code", "acme")["contact"]
    assert 1 == completed.counts.updated
    assert {"green": 2, "unchanged": 2} == told(after)
    assert 1 == len(world.firms.records)


def test_a_reference_to_what_both_sides_have_deleted_holds_nothing_up_until_it_changes(tmp_path):
    """A contact's company is closed. The contact's other fields go on, it can get another company, and verify finds nothing astray."""
    world = world_of_two(tmp_path, deletes={"left": "delete", "right": "delete"})
    acme, best = world.orgs.add(code="acme", title="Acme"), world.orgs.add(code="best", title="Best")
    ann, bob, cy = (world.leads.add(email=f"{name}@x", name=name, org=acme) for name in ("ann", "bob", "cy"))
    for name in ("orgs", NAME, NAME):
        world.run(name)

    world.orgs.remove(acme)
    world.leads.change(ann, name="Ann")
    world.leads.change(bob, org=best)
    world.members.change(of(world.members, "email", "cy@x")["id"], name="Cy", org="")
    outcomes = [world.run("orgs"), world.run()]
    verified = world.within(verify)

    assert [{"green": 4, "deleted": 1}, {"green": 6, "updated": 3}] == [
        {k: v for k, v in told(one).items() if k in ("green", "deleted", "updated", "held")} for one in outcomes
    ]
    assert "Ann" == of(world.members, "email", "ann@x")["name"]
    assert of(world.firms, "code", "best")["id"] == of(world.members, "email", "bob@x")["org"]
    assert ("Cy", None) == tuple(world.leads.record(cy)[field] for field in ("name", "org"))
    assert (3, 0) == (verified.in_sync, verified.wrong)

    world.leads.change(ann, org="o99")
    assert {"attention", "held"} <= told(world.run()).keys(), "a reference that has changed waits for what it refers to"
