"""The documents: examples are run, generated pages are fresh, links lead somewhere."""

from __future__ import annotations

import re
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from tieline.cli.reference import EXAMPLES, commands_page
from tieline.config.loading.complaints import read_as
from tieline.config.loading.yaml_source import Source, parse
from tieline.config.models.connectors import Connector, Resource
from tieline.config.models.integrations import Integration, MapRule
from tieline.config.models.operations import List
from tieline.engine.core.failures import as_table
from tieline.mapping import broken_laws, compile_both_ways, compile_mapping, compile_when
from tieline.model.errors import MappingError
from tieline.model.paths import flatten, nest
from tieline.model.records import decode_json, encode_json
from tieline.store import outbox

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Return the fenced blocks of a language, with the lines where they begin."""
    text = page.read_text("utf-8")
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, match.start()) + 2, match[1]) for match in pattern.finditer(text)]


def examples(page: str, key: str) -> list[Any]:
    """Return the YAML blocks that have a key, as parameters named for their lines."""
    found = [(line, read(text)) for line, text in blocks(DOCS / page, "yaml")]
    return [pytest.param(value, id=f"line {line}") for line, value in found if isinstance(value, dict) and key in value]


def connector_examples() -> list[Any]:
    """Return all YAML blocks of the page of connectors; one that says the same key in each line is an example a line."""
    found = []
    for line, text in blocks(DOCS / "connectors.md", "yaml"):
        lines = text.splitlines()
        alike = len(lines) > 1 and len({one.partition(":")[0] for one in lines}) == 1
        found += [pytest.param(read(one), id=f"line {line + at}") for at, one in enumerate(lines if alike else [text])]
    return found


def read(text: str) -> Any:
    """Return what a file of a project would say."""
    source, complaints = parse(text, "an example")
    assert source is not None, complaints
    return source.value


def record(value: Any) -> Any:
    """Return a value as it would come from a system: numbers with a point are decimals."""
    return decode_json(encode_json(value))


@pytest.fixture(scope="module")
def functions() -> dict[str, Any]:
    """The functions that the page of mappings defines."""
    names: dict[str, Any] = {}
    for _, text in blocks(DOCS / "mapping.md", "python"):
        exec(text, names)  # noqa: S102 - our own page
    return {f"mappings:{name}": value for name, value in names.items() if callable(value)}


@pytest.mark.parametrize("example", examples("mapping.md", "map"))
def test_an_example_of_a_rule_comes_out_as_written(example, functions):
    rules = TypeAdapter(dict[str, MapRule]).validate_python(example["map"])
    mapping = compile_mapping(rules, functions=functions)
    links = {(name, source): target for name, pairs in example.get("links", {}).items() for source, target in pairs.items()}
    if "parked" in example:
        with pytest.raises(MappingError, match=re.escape(example["parked"])):
            mapping(record(example["given"]), links)
        return
    values = flatten(nest(mapping(record(example["given"]), links)))

    expected = flatten(record(example["expect"]))
    assert expected == values
    assert {address: type(value) for address, value in expected.items() if not isinstance(value, (int, Decimal))} == {
        address: type(value) for address, value in values.items() if not isinstance(value, (int, Decimal))
    }


@pytest.mark.parametrize("example", examples("mapping.md", "edited"))
def test_an_example_of_a_way_back_comes_out_as_written(example, functions):
    rules = TypeAdapter(dict[str, MapRule]).validate_python(example["map"])
    both = compile_both_ways(rules, functions=functions)

    assert flatten(record(example["expect"])) == both.forward(record(example["given"]))
    assert flatten(record(example["becomes"])) == both.back(record(example["edited"]))
    assert [] == broken_laws(both, record(example["given"]))


@pytest.mark.parametrize("example", examples("mapping.md", "when"))
def test_an_example_of_a_condition_comes_out_as_written(example):
    moves = compile_when(example["when"])(record(example["new"]), flatten(record(example["old"])))

    assert example["moves"] is moves


def test_the_page_of_mappings_shows_every_key_of_a_rule():
    text = (DOCS / "mapping.md").read_text("utf-8")
    keys = [field.alias or name for name, field in _rule_fields().items()]

    assert [] == [key for key in keys if not re.search(rf"[`{{ ,]{key}[`:]", text)]


@pytest.mark.parametrize("example", connector_examples())
def test_an_example_of_a_connector_can_be_read(example):
    """A whole one, or a part, put where it belongs."""
    resource = {"fields": {}, "list": {"path": "/"}}
    whole = {"connector": "example", "environments": {"production": "https://api.example.com"}, "resources": {"things": resource}}
    if set(example) <= set(List.model_fields) - set(Resource.model_fields):
        resource["list"] |= example
    elif set(example) <= set(Resource.model_fields):
        resource |= example
        whole["resources"] = {"things": resource}
    else:
        whole |= example
    connector, complaints = read_as(Connector, Source("example", whole, (1, None)), (), whole, str)

    assert [] == complaints
    assert connector is not None


def test_the_page_of_connectors_shows_every_style_of_paging():
    shown = {example.values[0]["paging"]["style"] for example in connector_examples() if "paging" in example.values[0]}

    assert {"page", "offset", "cursor", "next_url", "link_header", "keyset"} == shown


def test_the_page_of_failures_shows_the_table_of_the_code():
    text = (DOCS / "failures.md").read_text("utf-8")

    assert f"<!-- failures: begin -->\n{as_table()}\n<!-- failures: end -->" in text


def test_the_page_of_how_it_works_draws_the_states_as_the_code_does():
    drawing = outbox.__doc__.split("\n\n")[1].replace(" (redriven, or a later version came)", "")

    assert drawing in (DOCS / "how-it-works.md").read_text("utf-8")


def test_the_page_of_commands_is_fresh():
    """`python -m tieline.cli.reference docs/commands.md` writes it."""
    assert commands_page() == (DOCS / "commands.md").read_text("utf-8")
    assert set(EXAMPLES) == {
        heading.removeprefix("## tieline ") for heading in commands_page().splitlines() if heading.startswith("## tieline ")
    }


def test_the_readme_s_integration_can_be_read():
    (block,) = re.findall(r"^   ```yaml\n(.*?)^   ```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    value = read(textwrap.dedent(block))
    integration, complaints = read_as(Integration, Source("an example", value, (1, None)), (), value, str)

    assert [] == complaints
    assert integration is not None
    example = integration.tests[0]
    values = compile_mapping(integration.map)(example.given)
    assert {**values, **example.expect} == values


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """To a file that is there, and to a heading in it."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (heading and heading not in _anchors(path)):
            broken.append(target)

    assert [] == broken


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _rule_fields():
    from tieline.config.models.integrations import Rule

    return Rule.model_fields
