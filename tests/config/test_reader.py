"""A folder becomes a project: its parts by name, its functions when they are asked for, its lines for those who must correct it."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from config.conftest import ENVIRON
from tieline.config.loading import built_in
from tieline.config.loading.folder import find_project_folder
from tieline.config.models.integrations import Rule
from tieline.lint.project import read_project, read_project_with_complaints
from tieline.model.errors import Complaint, SpecError


def test_a_project_has_its_parts_by_name(project_folder: Path) -> None:
    project = read_project(project_folder, environ=ENVIRON)

    assert "leads-to-mail" == project.file.project
    assert ["books", "crm", "desk", "mail"] == list(project.connectors)
    assert ["crm", "mail", "desk", "books"] == list(project.connections)
    assert ["companies", "leads", "people"] == list(project.integrations)
    assert frozenset() == project.broken


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (("project", "", "owner"), ("tieline.yaml", 2)),
        (("connector", "crm", "resources", "leads", "fields", "email"), ("connectors/crm.yaml", 24)),
        (("connection", "mail"), ("connections.yaml", 5)),
        (("connection", "mail", "auth", "basic", "password"), ("connections.yaml", 8)),
        (("integration", "leads", "map", "merge_fields.PHONE"), ("integrations/leads.yaml", 15)),
        (("integration", "leads", "map", "not there"), ("integrations/leads.yaml", 12)),
        (("integration", "leads", "tests", 1, "parked"), ("integrations/leads.yaml", 23)),
    ],
)
def test_a_project_knows_where_everything_is(project_folder: Path, address: tuple, place: tuple[str, int]) -> None:
    kind, name, *keys = address
    assert place == read_project(project_folder, environ=ENVIRON).where(kind, name, *keys)


def test_where_of_something_that_is_not_there_is_a_mistake_of_the_caller(project_folder: Path) -> None:
    with pytest.raises(KeyError):
        read_project(project_folder, environ=ENVIRON).where("integration", "nothing")


def test_numbers_in_values_keep_their_digits(project_folder: Path) -> None:
    path = project_folder / "integrations" / "leads.yaml"
    path.write_text(path.read_text().replace("  email_address: email\n", "  email_address: email\n  tags.rate: {const: 1.50}\n"))
    rule = read_project(project_folder, check=False).integrations["leads"].map["tags.rate"]
    assert isinstance(rule, Rule)
    assert Decimal("1.50").as_tuple() == rule.const.as_tuple()


def test_files_may_end_in_yml(project_folder: Path) -> None:
    for path in project_folder.rglob("*.yaml"):
        path.rename(path.with_suffix(".yml"))
    project = read_project(project_folder, environ=ENVIRON)
    assert ["companies", "leads", "people"] == list(project.integrations)
    assert ("tieline.yml", 1) == project.where("project", "")


def test_hidden_files_and_backups_are_passed_over(project_folder: Path) -> None:
    for name in (".leads.yaml", "leads.yaml~", "leads.yaml.bak", "README.md", ".#leads.yaml"):
        (project_folder / "integrations" / name).write_text("{broken")
    assert [] == read_project_with_complaints(project_folder, ENVIRON)[1]


def test_a_connection_may_use_a_connector_that_comes_with_tieline(
    project_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package" / "connectors").mkdir(parents=True)
    (project_folder / "connectors" / "mail.yaml").rename(tmp_path / "package" / "connectors" / "mail.yaml")
    monkeypatch.setattr(built_in.resources, "files", lambda package: tmp_path / "package")

    project = read_project(project_folder, environ=ENVIRON)

    assert {"books", "crm", "desk", "mail"} == set(project.connectors)
    assert ("tieline/connectors/mail.yaml", 1) == project.where("connector", "mail")


def test_a_connector_of_the_project_goes_before_one_that_comes_with_tieline(
    project_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "connectors").mkdir()
    (tmp_path / "connectors" / "crm.yaml").write_text("{broken")
    monkeypatch.setattr(built_in.resources, "files", lambda package: tmp_path)
    assert ("connectors/crm.yaml", 1) == read_project(project_folder, environ=ENVIRON).where("connector", "crm")


def test_all_errors_of_all_files_come_at_once_by_file_and_line(project_folder: Path) -> None:
    for name in ("tieline.yaml", "connections.yaml", "connectors/crm.yaml", "integrations/leads.yaml"):
        with (project_folder / name).open("a") as file:
            file.write("second: {}\nfirst: 1\n")
    with pytest.raises(SpecError) as caught:
        read_project(project_folder, environ=ENVIRON)

    complaints = caught.value.complaints
    assert ["connections.yaml", "connectors/crm.yaml", "integrations/leads.yaml", "tieline.yaml"] == sorted(
        {complaint.file for complaint in complaints}
    )
    assert sorted(complaints, key=lambda one: (one.file, one.line)) == complaints
    assert str(caught.value).count("\n") == len(complaints) - 1
    assert "correct the files, then `tieline check`" == caught.value.next_step


def test_a_mistake_made_a_thousand_times_is_told_a_hundred_times_and_counted(project_folder: Path) -> None:
    fields = "".join(f"      f{number}: {{typ: string}}\n" for number in range(1000))
    path = project_folder / "connectors" / "crm.yaml"
    path.write_text(f"{path.read_text()}  many:\n    fields:\n{fields}")

    _, complaints = read_project_with_complaints(project_folder, ENVIRON)

    assert 101 == len(complaints)
    assert ("and 900 more like these", "error") == (complaints[-1].message, complaints[-1].severity)


def test_a_file_that_is_wrong_does_not_make_others_wrong(project_folder: Path) -> None:
    """Nothing is said about what refers to something that is there and could not be read."""
    (project_folder / "connectors" / "mail.yaml").write_text("connector: mail\nenvironmets: {}\n")
    _, complaints = read_project_with_complaints(project_folder, ENVIRON)
    assert {"connectors/mail.yaml"} == {complaint.file for complaint in complaints}


def test_connections_that_can_not_be_read_are_complained_of_alone(project_folder: Path) -> None:
    (project_folder / "connections.yaml").write_text("crm: {")
    _, complaints = read_project_with_complaints(project_folder, ENVIRON)
    assert ["connections.yaml"] == [complaint.file for complaint in complaints]


def test_one_bad_connection_leaves_the_other_usable(project_folder: Path) -> None:
    path = project_folder / "connections.yaml"
    path.write_text(path.read_text().replace("connector: mail", "conector: mail"))
    _, complaints = read_project_with_complaints(project_folder, ENVIRON)
    assert ["mail.conector", "mail.connector"] == sorted(complaint.key for complaint in complaints)


def test_warnings_do_not_keep_a_project_from_being_used(project_folder: Path) -> None:
    project, complaints = read_project_with_complaints(project_folder, {})
    assert ["warning"] * 4 == [complaint.severity for complaint in complaints]
    assert project is not None
    assert read_project(project_folder, environ={}).integrations.keys() == project.integrations.keys()


def test_the_environment_is_the_process_own_unless_told_otherwise(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    assert [] == read_project_with_complaints(project_folder)[1]


def test_without_a_check_only_the_outline_is_judged(project_folder: Path) -> None:
    path = project_folder / "integrations" / "leads.yaml"
    path.write_text(path.read_text().replace("freshness: 5m\n", "").replace("crm.leads", "nowhere.leads"))
    assert "nowhere.leads" == read_project(project_folder, check=False).integrations["leads"].source
    with pytest.raises(SpecError):
        read_project(project_folder, environ=ENVIRON)


def test_secrets_are_refused_without_a_check_too(project_folder: Path) -> None:
    path = project_folder / "connections.yaml"
    path.write_text(path.read_text().replace("${env:CRM_TOKEN}", "canary-4f7a91c2"))
    with pytest.raises(SpecError, match="a secret must not be written here") as caught:
        read_project(project_folder, check=False)
    assert "canary" not in str(caught.value)


def test_an_unreadable_folder_is_complained_of(project_folder: Path) -> None:
    for path in (project_folder / "integrations").iterdir():
        path.unlink()
    (project_folder / "integrations").rmdir()
    (project_folder / "integrations").symlink_to("integrations")
    _, complaints = read_project_with_complaints(project_folder, ENVIRON)
    assert any(str(one).startswith("integrations: can't be read: Too many levels") for one in complaints)


def test_a_project_file_that_is_a_folder_is_complained_of(project_folder: Path) -> None:
    (project_folder / "tieline.yaml").unlink()
    (project_folder / "tieline.yaml").mkdir()
    _, complaints = read_project_with_complaints(project_folder, ENVIRON)
    assert ["tieline.yaml: this is not a file (a YAML file belongs here)"] == list(map(str, complaints))


# Finding the folder


def test_the_nearest_project_above_is_found(project_folder: Path) -> None:
    inside = project_folder / "integrations"
    assert [project_folder] * 2 == [find_project_folder(project_folder), find_project_folder(inside)]


def test_a_project_inside_another_is_its_own(project_folder: Path) -> None:
    (project_folder / "integrations" / "tieline.yml").write_text("project: inner")
    assert project_folder / "integrations" == find_project_folder(project_folder / "integrations")


def test_a_relative_start_is_taken_from_the_working_folder(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project_folder / "connectors")
    assert Path(os.path.realpath(project_folder)) == Path(os.path.realpath(find_project_folder(Path())))


def test_no_project_is_a_problem_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        find_project_folder(tmp_path)
    assert f"tieline.yaml: there is none in {tmp_path}, nor in a folder above it" == str(caught.value)
    assert "go to a project's folder, or begin one here with `tieline init`" == caught.value.next_step
    assert (None, caught.value.complaints) == read_project_with_complaints(tmp_path)


# Functions


def test_functions_are_run_only_when_a_rule_calls_one(project_folder: Path) -> None:
    path = project_folder / "integrations" / "leads.yaml"
    path.write_text(path.read_text().replace("  tags: {call: mappings:tags, from: tags}\n", ""))
    (project_folder / "mappings.py").write_text("raise RuntimeError('run')\n")

    project = read_project(project_folder, environ=ENVIRON)

    with pytest.raises(SpecError, match=r"mappings.py:1: stopped with RuntimeError: run"):
        project.functions["mappings:tags"]


def test_functions_are_found_by_the_name_that_rules_use(project_folder: Path) -> None:
    project = read_project(project_folder, environ=ENVIRON)
    assert ["mappings:tags"] == list(project.functions)
    assert ["crm", "x"] == project.functions["mappings:tags"](["x"])
    assert "mappings:other" not in project.functions
    assert "Functions(" in repr(project.functions)


def test_functions_are_run_once_even_when_they_fail(project_folder: Path) -> None:
    (project_folder / "mappings.py").write_text("from pathlib import Path\nPath('ran').mkdir()\n1 / 0\n")
    before = Path.cwd()
    os.chdir(project_folder)
    try:
        _, complaints = read_project_with_complaints(project_folder, ENVIRON)
    finally:
        os.chdir(before)
    assert [Complaint("mappings.py", 3, "", "stopped with ZeroDivisionError: division by zero")] == complaints


def test_a_functions_file_that_exits_is_complained_of(project_folder: Path) -> None:
    (project_folder / "mappings.py").write_text("import sys\nsys.exit(3)\n")
    _, complaints = read_project_with_complaints(project_folder, ENVIRON)
    assert ["mappings.py:2: stopped with SystemExit: 3"] == list(map(str, complaints))


def test_running_the_functions_leaves_nothing_in_the_folder(project_folder: Path) -> None:
    before = sorted(path.name for path in project_folder.rglob("*"))
    read_project(project_folder, environ=ENVIRON)
    assert before == sorted(path.name for path in project_folder.rglob("*"))


def test_five_keys_are_enough_for_a_first_trial_and_nothing_is_overwritten_by_what_is_not_said(project_folder: Path) -> None:
    """What is open is asked by warnings, and the answer until then is the safe one."""
    (project_folder / "integrations" / "leads.yaml").write_text(
        "from: crm.leads\nto: mail.members\nmatch: {email_address: email}\nunmatched: create\nmap: {email_address: email, status: {const: subscribed}}\n"
    )
    _, complaints = read_project_with_complaints(project_folder, ENVIRON)
    asked = {one.key for one in complaints if one.file == "integrations/leads.yaml"}
    integration = read_project(project_folder, environ=ENVIRON).integrations["leads"]

    assert {"purpose", "direction", "freshness", "unavailable", "conflict"} == asked
    assert {"warning"} == {one.severity for one in complaints}
    assert (False, "hold", None) == (integration.two_way, integration.meeting, integration.unavailable)
