"""The published schemas say what the reader says, and the reference pages say what the declarations say."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from config.conftest import VALID
from config.spoiling import FILES, VALUES, spoiled_value
from tieline.config.loading.complaints import read_as
from tieline.config.loading.schema import duration_text, reference_pages, schemas, write_reference
from tieline.config.loading.yaml_source import parse
from tieline.config.models.connections import Connection
from tieline.config.models.connectors import Connector
from tieline.config.models.integrations import Integration
from tieline.config.models.project import ProjectFile
from tieline.model.records import encode_json

ROOT = Path(__file__).parents[2]
VALIDATORS = {kind: Draft202012Validator(schema) for kind, schema in schemas().items()}


def kind_of(name: str) -> str:
    top, _, rest = name.partition("/")
    return {"connectors": "connector", "integrations": "integration"}[top] if rest else top.partition(".")[0]


def every_file() -> list[Path]:
    """Return the files of every project in this repository."""
    found = set(VALID.rglob("*.yaml"))
    for project in ROOT.glob("**/tieline.yaml"):
        if not any(part.startswith(".") for part in project.relative_to(ROOT).parts):
            found |= {project, project.parent / "connections.yaml"}
            found |= {*project.parent.glob("connectors/*.yaml"), *project.parent.glob("integrations/*.yaml")}
    found |= set(ROOT.glob("src/tieline/connectors/*.yaml"))
    return sorted(path for path in found if path.exists())


def accepted_by_schema(kind: str, value: Any) -> bool:
    return VALIDATORS[kind].is_valid(json.loads(encode_json(value)))


def accepted_by_reader(kind: str, text: str) -> bool:
    source, complaints = parse(text, "f.yaml")
    if source is None or complaints:
        return False
    if kind == "connections":
        if not isinstance(source.value, dict):
            return source.value is None
        named = all(re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name) for name in source.value)  # the reader's own look at names
        return named and all(not read_as(Connection, source, (name,), one, str)[1] for name, one in source.value.items())
    model = {"tieline": ProjectFile, "connector": Connector, "integration": Integration}[kind]
    return not read_as(model, source, (), source.value, str)[1]


@pytest.mark.parametrize("path", every_file(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_that_we_accept_is_accepted_by_its_schema(path: Path) -> None:
    kind = kind_of("/".join(path.parts[-2:]) if path.parent.name in ("connectors", "integrations") else path.name)
    source, _ = parse(path.read_text(), path.name)
    assert source is not None
    assert accepted_by_reader(kind, path.read_text())
    errors = [error.message for error in VALIDATORS[kind].iter_errors(json.loads(encode_json(source.value)))]
    assert [] == errors


def _maps(value: Any, keys: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [keys, *(place for key, item in value.items() for place in _maps(item, (*keys, key)))]
    if isinstance(value, list):
        return [place for index, item in enumerate(value) for place in _maps(item, (*keys, index))]
    return []


@pytest.mark.parametrize("name", FILES)
def test_an_unknown_key_is_refused_by_both_wherever_it_stands(name: str) -> None:
    """In maps whose keys are one's own, as in `map` and `params`, both take it."""
    for keys in _maps(VALUES[name]):
        value = json.loads(encode_json(VALUES[name]))
        inside = value
        for key in keys:
            inside = inside[key]
        inside["Unknown Key"] = "x"
        kind = kind_of(name)
        assert accepted_by_reader(kind, json.dumps(value)) is accepted_by_schema(kind, value) or keys == (), keys


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoiled_value())
def test_what_the_reader_accepts_the_schema_accepts(spoiled: tuple[str, Any]) -> None:
    name, value = spoiled
    kind = kind_of(name)
    if accepted_by_reader(kind, json.dumps(value)):
        asked = {"purpose", "direction", "freshness", "unavailable"}
        if kind != "integration" or asked <= value.keys():
            assert accepted_by_schema(kind, value)


@pytest.mark.parametrize("kind", sorted(VALIDATORS))
def test_each_schema_is_one(kind: str) -> None:
    schema = schemas()[kind]
    Draft202012Validator.check_schema(schema)
    assert "https://json-schema.org/draft/2020-12/schema" == schema["$schema"]
    assert schema["title"].endswith(".yaml")
    assert schema["description"]
    assert "discriminator" not in json.dumps(schema)


def test_keys_are_explained_to_whoever_writes_them() -> None:
    properties = schemas()["integration"]["properties"]
    assert "Where records come from: `CONNECTION.RESOURCE`." == properties["from"]["description"]
    assert "source" not in properties
    assert {"from", "to", "map"} == set(schemas()["integration"]["required"])


def test_defaults_of_durations_are_written_as_people_write_them() -> None:
    schema = schemas()
    assert "1d" == schema["integration"]["properties"]["max_run"]["default"]
    assert "90d" == schema["tieline"]["$defs"]["Retention"]["properties"]["history"]["default"]
    assert all(
        accepted_by_schema("integration", {**json.loads(encode_json(VALUES["integrations/leads.yaml"])), "max_run": text})
        for text in ("30s", "1h30m", "1.5 h", "7d")
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (1, "1s"), (90, "90s"), (60, "1m"), (5400, "90m"), (7200, "2h"), (86400, "1d"), (1.5, "1500ms")],
)
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert text == duration_text(seconds)


def test_a_null_is_taken_where_the_declaration_takes_one() -> None:
    value = json.loads(encode_json(VALUES["integrations/leads.yaml"]))
    value["map"]["company"] = {"const": None}
    assert accepted_by_schema("integration", value)
    assert not accepted_by_schema("integration", {**value, "map": None})


def test_decimals_are_numbers_to_a_schema() -> None:
    assert VALIDATORS["connector"].is_valid({**VALUES["connectors/mail.yaml"], "max_answer_mib": Decimal("1.5")})


def test_the_reference_in_the_documentation_is_up_to_date(tmp_path: Path) -> None:
    """Written by `write_reference(Path("docs/reference"))` in `tieline.config.loading.schema`."""
    write_reference(tmp_path)
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        there = ROOT / "docs" / "reference" / path.relative_to(tmp_path)
        assert path.read_text() == there.read_text(), there


def test_a_page_has_a_row_for_every_key() -> None:
    pages = reference_pages()
    for kind, schema in schemas().items():
        groups = [schema, *schema.get("$defs", {}).values()]
        for key in (key for group in groups for key in group.get("properties", {})):
            assert f"| `{key}` |" in pages[kind]


def test_the_links_of_a_page_lead_somewhere() -> None:
    for page in reference_pages().values():
        headings = {line[3:].lower().replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
        links = {part.partition(")")[0] for part in page.split("](#")[1:]}
        assert links <= headings
