"""Files that are wrong: what is not concerned goes on, and how things are can be seen all the same."""

from __future__ import annotations

import shutil

import pytest

from cli.world import NAME, World

INTEGRATION = f"integrations/{NAME}.yaml"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (INTEGRATION, "freshness: 5m", "freshness: [soon"),
        (INTEGRATION, "freshness: 5m", "freshness: soon"),
        (INTEGRATION, "  merge_fields.LNAME: last_name", "  merge_fields.LNAME: lastname"),
        ("connections.yaml", "connector: postbox", "connector: [postbox"),
        ("connections.yaml", "connector: postbox", "connectr: postbox"),
        ("connectors/postbox.yaml", "resources:", "resauces:"),
        ("tieline.yaml", "project: ", "retention: soon\nproject: "),
    ],
)
def test_what_happened_can_be_seen_whatever_is_wrong_in_the_files(world: World, file: str, old: str, new: str) -> None:
    """At three in the morning, after someone pushed a mistake in the evening. What would send stays refused."""
    world.crm.ask("POST", "bad", {"kind": "phone"})
    world.tieline("run", NAME)
    (letter,) = world.tieline("dead-letters", "--json").json
    record = letter["source_id"]
    world.change(file, (old, new))

    status, data = world.both(["status"], ["status", "--json"])
    letters, shown = world.both(["dead-letters", "list", "--json"], ["dead-letters", "show", str(letter["id"])])
    calls, explained = world.both(["calls", NAME], ["explain", "crm", "leads", record])
    run, plan = world.both(["run", NAME], ["plan", NAME])

    every = (status, data, letters, shown, calls, explained)
    assert all(f"{file}:" in said.err and "warning" in said.err for said in every)
    assert (2, 2, 1, 0, 0, 0) == tuple(said.code for said in every)
    assert "1 parked" in status.out
    assert "files     can't be used, so it does not run" in status.out
    assert [(NAME, 1)] == [(entry["integration"], entry["parked"]) for entry in data.json]
    assert file in data.json[0]["wrong"][0]
    assert [letter] == letters.json
    assert f"dead letter {letter['id']}" in shown.out
    assert "POST" in calls.out
    assert [] == [word for word in (NAME, "parked", "is not a phone number") if word not in explained.out]
    assert (2, 2) == (run.code, plan.code)
    assert f"error {file}:" in run.err
    assert "warning" not in run.err, "it is said once"


def test_an_integration_runs_although_another_one_s_file_is_wrong(world: World) -> None:
    shutil.copy(world.folder / INTEGRATION, world.folder / "integrations/other.yaml")
    world.change("integrations/other.yaml", ("freshness: 5m", "freshness: soon"))
    one = world.tieline("run", NAME)
    every = world.tieline("run", "--json")
    status = world.tieline("status", NAME)
    check = world.tieline("check")

    assert (0, 2, 0) == (one.code, every.code, status.code)
    assert "1 error: `other` can't run until they are corrected" in check.out
    assert world.qualified == world.members
    assert "warning integrations/other.yaml:" in one.err
    assert [("other", None), (NAME, "green")] == sorted((run["integration"], run.get("state")) for run in every.json)
    assert "integrations/other.yaml:" in next(run for run in every.json if run["integration"] == "other")["error"]


def test_a_secret_in_a_file_stops_every_run_and_is_not_shown(world: World) -> None:
    """Where one stands there may be others; what went wrong can be seen, the secret can't."""
    world.tieline("run", NAME)
    spare = "spare: { connector: postbox, environment: sandbox, auth: { api_key: canary-7f3a55-secret }, variables: { list: other } }"
    world.change("connections.yaml", ("\ncrm:", f"\n{spare}\n\ncrm:"))
    status, run = world.both(["status"], ["run", NAME])

    assert (2, 2) == (status.code, run.code)
    assert f"{NAME} " in status.out
    assert "canary-7f3a55-secret" not in status.said + run.said


def test_nothing_is_masked_by_guess(world: World) -> None:
    """While a connector can't be read, no one knows which of its fields are personal data."""
    world.tieline("run", NAME)
    lead = next(lead for lead in world.crm.records if lead["status"] == "qualified")
    world.change("connectors/postbox.yaml", ("resources:", "resauces:"))
    explained, calls = world.both(["explain", "crm", "leads", str(lead["id"]), "--mask"], ["calls", "--mask"])

    assert (2, 2) == (explained.code, calls.code)
    assert lead["email"].lower() not in (explained.said + calls.said).lower()
    assert "which fields are personal data can't be told" in explained.err


def test_nothing_is_shown_of_another_store_because_the_own_one_is_not_known(world: World) -> None:
    world.tieline("run", NAME)
    world.change("tieline.yaml", ("project: demo", "project: [demo"))
    unread = world.tieline("status")
    world.change("tieline.yaml", ("project: [demo", "project: demo\nstore: 5"))
    wrong = world.tieline("status")

    assert (2, 2) == (unread.code, wrong.code)
    assert "error tieline.yaml:" in unread.err
    assert "error tieline.yaml:" in wrong.err
    assert "" == unread.out + wrong.out
