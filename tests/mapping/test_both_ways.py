"""One mapping, both directions: the laws hold for every kind of rule that runs backwards, and the others are refused with a reason."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tieline.config.models.connectors import Field
from tieline.config.models.integrations import Conversion, MapRule, Rule
from tieline.mapping import BothWays, Broken, Strand, backwards, broken_laws, compile_both_ways, nest
from tieline.mapping.convert.times import rfc3339
from tieline.mapping.convert.values import same
from tieline.mapping.inverse.round_trip import written
from tieline.model.errors import MappingError
from tieline.model.records import ABSENT

FUNCTIONS = {"mappings:shout": str.upper}


def rules(declared: dict[str, Any]) -> dict[str, str | Rule]:
    return TypeAdapter(dict[str, MapRule]).validate_python(declared)


def both_ways(declared: dict[str, Any], left: dict[str, str] | None = None) -> BothWays:
    """Compile rules; `left` is the type of the left's fields, where it is declared."""
    left_fields = {address: Field(type=type_) for address, type_ in (left or {}).items()}
    return compile_both_ways(rules(declared), functions=FUNCTIONS, left_fields=left_fields)


def declared(rule: str | Rule) -> Any:
    """Return a rule as a person would write it."""
    return (
        rule if isinstance(rule, str) else {{"source": "from", "convert": "as"}.get(k, k): getattr(rule, k) for k in rule.model_fields_set}
    )


# Each kind of rule, with records of the left as they come, and fields of the right as the rule writes them.


@dataclass
class Kind:
    rules: dict[str, Any]
    left: st.SearchStrategy[dict[str, Any]]
    right: st.SearchStrategy[dict[str, Any]]
    left_types: dict[str, str] = field(default_factory=dict)
    links: dict[tuple[str, str], Any] = field(default_factory=dict)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Records in which each field may be absent or null too."""
    return st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in fields.items()})


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.decimals(-1000, 1000, places=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
word = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=6)
phrase = st.lists(word, min_size=1, max_size=3).map(" ".join)
blank_or_phrase = st.just("") | phrase
moment = st.integers(631152000 * 1000, 2840140800 * 1000).map(lambda ms: dt.datetime.fromtimestamp(ms / 1000, dt.UTC))
minute = moment.map(lambda one: one.replace(second=0, microsecond=0))
day = moment.map(dt.datetime.date)
sydney, brisbane = zoneinfo.ZoneInfo("Australia/Sydney"), zoneinfo.ZoneInfo("Australia/Brisbane")
cents = st.decimals(-10000, 10000, places=2)
links = {("companies", "a"): 1, ("companies", "b"): 2, ("companies/back", "1"): "a", ("companies/back", "2"): "b"}


def one(rule: Any, left: st.SearchStrategy[Any], right: st.SearchStrategy[Any], left_type: str = "", **more: Any) -> Kind:
    """A rule of one field on each side. One that makes something else of null never writes it."""
    filled = isinstance(rule, dict) and ("default" in rule or "null" in rule.get("values", ()))
    return Kind(
        {"r": rule},
        some(l=left),
        st.fixed_dictionaries({"r": right}) if filled else some(r=right),
        {"l": left_type} if left_type else {},
        **more,
    )


KINDS = {
    "copy": one("l", json, json),
    "rename inside objects": Kind(
        {"a.b": "x.y", "a.c": "x.z[0]", "d": '"odd.key"'},
        st.fixed_dictionaries(
            {"x": st.fixed_dictionaries({"y": json, "w": json}, optional={"z": st.lists(json, max_size=3)}), "odd.key": json}
        ),
        st.fixed_dictionaries({"a.b": json, "a.c": json, "d": json}),
    ),
    "join": Kind(
        {"r": {"from": ["first", "last"], "join": " "}}, some(first=blank_or_phrase, last=blank_or_phrase), some(r=blank_or_phrase)
    ),
    "join by a comma": Kind(
        {"r": {"from": ["first", "last"], "join": ", "}},
        some(first=blank_or_phrase, last=blank_or_phrase),
        some(r=st.lists(phrase, min_size=1, max_size=3).map(", ".join)),
    ),
    "join with numbers": Kind(
        {"r": {"from": ["street", "number"], "join": " "}},
        some(street=word, number=st.integers(0, 999)),
        some(r=st.tuples(word, st.integers(0, 999)).map(lambda parts: f"{parts[0]} {parts[1]}")),
        {"number": "integer"},
    ),
    "split into two": Kind(
        {"first": {"from": "name", "split": " ", "take": "first"}, "rest": {"from": "name", "split": " ", "take": "rest"}},
        some(name=blank_or_phrase),
        st.fixed_dictionaries({"first": word, "rest": st.none() | phrase}) | st.just({"first": None, "rest": None}),
    ),
    "split into a list": one({"from": "l", "split": ";"}, st.text("ab; ", max_size=9), st.lists(phrase, max_size=4)),
    "values": one(
        {"from": "l", "values": {"new": "lead", "won": "customer"}}, st.sampled_from(["new", "won"]), st.sampled_from(["lead", "customer"])
    ),
    "values of every type": one(
        {"from": "l", "values": {"true": "no", "false": "yes", "null": "unknown", "5": 1, "": False}},
        st.sampled_from([True, False, 5, "5", Decimal("5.0"), ""]),
        st.sampled_from(["no", "yes", "unknown", 1, False]),
    ),
    "values of numbers": one(
        {"from": "l", "values": {"1": "low", "2.5": "high"}},
        st.sampled_from([1, Decimal("2.5")]),
        st.sampled_from(["low", "high"]),
        "number",
    ),
    "values and then a conversion": one(
        {"from": "l", "values": {"a": " X ", "b": "y"}, "as": "trim"}, st.sampled_from(["a", "b"]), st.sampled_from(["X", "y"])
    ),
    "look-up": one({"from": "l", "lookup": "companies"}, st.sampled_from(["a", "b"]), st.sampled_from([1, 2]), "string", links=links),
    "default": one({"from": "l", "default": "friend"}, blank_or_phrase, phrase),
    "default of a table": one(
        {"from": "l", "values": {"a": "x", "b": "y"}, "default": "y"}, st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"])
    ),
    "as string": one({"from": "l", "as": "string"}, st.integers(), st.integers().map(str), "integer"),
    "as string, of true and false": one({"from": "l", "as": "string"}, st.booleans(), st.sampled_from(["true", "false"]), "boolean"),
    "as integer": one({"from": "l", "as": "integer"}, st.integers().map(str), st.integers(), "string"),
    "as integer, of numbers": one({"from": "l", "as": "integer"}, st.integers().map(Decimal), st.integers()),
    "as number": one({"from": "l", "as": "number"}, cents.map(str), cents, "string"),
    "as money": one({"from": "l", "as": "money", "currency": "EUR"}, cents.map(str) | cents, cents, "string"),
    "as boolean": one({"from": "l", "as": "boolean"}, st.booleans() | st.sampled_from(["yes", "no", 0, 1]), st.booleans()),
    "as boolean, of numbers": one({"from": "l", "as": "boolean"}, st.sampled_from([0, 1]), st.booleans(), "integer"),
    "as boolean, in words": one(
        {"from": "l", "as": "boolean", "true": "Y", "false": "N"},
        st.booleans() | st.sampled_from(["ja", "nein"]),
        st.sampled_from(["Y", "N"]),
    ),
    "as lower": one({"from": "l", "as": "lower"}, st.text(), st.text().map(str.lower)),
    "as upper": one({"from": "l", "as": "upper"}, st.text(), st.text().map(str.upper)),
    "as trim": one({"from": "l", "as": "trim"}, st.text(), st.text().map(str.strip)),
    "as email": one(
        {"from": "l", "as": "email"}, st.sampled_from([" Ann@Example.com ", "ann@example.com", ""]), st.just("ann@example.com")
    ),
    "as phone": one(
        {"from": "l", "as": "phone", "region": "AU"}, st.sampled_from(["(02) 5550 0142", "+44 20 7946 0018", ""]), st.just("+61255500142")
    ),
    "as country": one(
        {"from": "l", "as": "country"}, st.sampled_from(["the Netherlands", "NL", "Österreich"]), st.sampled_from(["NL", "AT"])
    ),
    "as date": one({"from": "l", "as": "date"}, day.map(str), day.map(str)),
    "as date, in two formats": one(
        {"from": "l", "as": "date", "format": "%d/%m/%Y", "to_format": "%Y%m%d"},
        day.map(lambda one: one.strftime("%d/%m/%Y")),
        day.map(lambda one: one.strftime("%Y%m%d")),
    ),
    "as datetime": one({"from": "l", "as": "datetime"}, moment.map(lambda one: one.astimezone(sydney).isoformat()), moment.map(rfc3339)),
    "as datetime, with a zone": one(
        {"from": "l", "as": "datetime", "zone": "Australia/Sydney"},
        moment.map(lambda one: one.astimezone(sydney).isoformat()),
        moment.map(rfc3339),
    ),
    "as datetime, to another zone": one(
        {"from": "l", "as": "datetime", "to_zone": "Australia/Sydney"},
        moment.map(rfc3339),
        moment.map(lambda one: rfc3339(one.astimezone(sydney))),
    ),
    "as datetime, of local text and Unix time": one(
        {"from": "l", "as": "datetime", "zone": "Australia/Brisbane", "format": "%d/%m/%Y %H:%M", "to_format": "unix"},
        minute.map(lambda one: one.astimezone(brisbane).strftime("%d/%m/%Y %H:%M")),
        minute.map(lambda one: int(one.timestamp())),
    ),
    "as datetime, to local text": one(
        {"from": "l", "as": "datetime", "format": "unix_ms", "to_zone": "Australia/Brisbane", "to_format": "%Y-%m-%d %H:%M"},
        minute.map(lambda one: int(one.timestamp()) * 1000),
        minute.map(lambda one: one.astimezone(brisbane).strftime("%Y-%m-%d %H:%M")),
    ),
    "a way back of one's own": one(
        {"from": "l", "call": "mappings:shout", "back": {"from": "r", "as": "lower"}}, st.text("abcXYZ"), st.text("ABC")
    ),
    "a way back of several fields": Kind(
        {
            "r": {
                "expr": "coalesce(a, '') + '-' + coalesce(b, '')",
                "back": {"a": {"from": "r", "expr": "split(value, '-')[0]"}, "b": {"from": "r", "expr": "split(value, '-')[1]"}},
            }
        },
        some(a=st.text("xy"), b=st.text("xy")),
        st.fixed_dictionaries({"r": st.tuples(st.text("xy", min_size=1), st.text("xy", min_size=1)).map("-".join)}),
    ),
}

every_kind = pytest.mark.parametrize("kind", [pytest.param(kind, id=name) for name, kind in KINDS.items()])


@every_kind
def test_what_the_right_says_comes_forward_again_after_it_went_back(kind: Kind) -> None:
    """There and back: whatever the left said before."""
    both = both_ways(kind.rules, kind.left_types)

    @given(kind.left, kind.right)
    def holds(left: dict[str, Any], right: dict[str, Any]) -> None:
        after = both.forward(written(left, both.back(nest(dict(right)), kind.links)), kind.links)
        assert {} == {address: after.get(address) for address, value in right.items() if not same(value, after.get(address))}

    holds()


@every_kind
def test_going_back_changes_nothing_that_the_mapping_does_not_see(kind: Kind) -> None:
    """Back and there: a record that no one changed on the right stays as it is, as far as the right can tell."""
    both = both_ways(kind.rules, kind.left_types)

    @given(kind.left, json)
    def holds(left: dict[str, Any], unseen: Any) -> None:
        left = {**left, "unseen": unseen}
        assert [] == broken_laws(both, left, kind.links)
        after = written(left, both.back(nest(both.forward(left, kind.links)), kind.links))
        assert same(unseen, after["unseen"])

    holds()


def test_the_laws_are_tried_for_every_conversion():
    tried = {rule["as"] for kind in KINDS.values() for rule in kind.rules.values() if isinstance(rule, dict) and "as" in rule}

    assert set(get_args(Conversion)) == tried


def test_a_broken_law_is_found():
    both = both_ways({"r": {"from": "l", "as": "integer", "back": {"from": "r", "expr": "value + 1"}}})

    assert [Broken("there and back", "r", 1, 2)] == broken_laws(both, {"l": 1})


def test_what_is_lost_with_an_object_that_is_written_whole_is_found():
    both = both_ways({"r": {"from": "l.a", "back": {"l": {"expr": "{'a': r}"}}}})

    assert [] == broken_laws(both, {"l": {"a": 1}, "m": 2})
    assert [Broken("back and there", "l.b", 2, ABSENT)] == broken_laws(both, {"l": {"a": 1, "b": 2}})


def test_what_cannot_go_back_is_found():
    both = both_ways({"r": {"from": "l", "back": {"from": "r", "as": "integer"}}})

    assert [Broken("there and back", "r", "x", ABSENT, "can't go back: `r` is not a whole number")] == broken_laws(both, {"l": "x"})


def test_what_cannot_come_forward_again_is_found():
    both = both_ways({"r": {"from": "l", "as": "integer", "back": {"from": "r", "expr": "'x'"}}})

    assert [Broken("there and back", "r", 1, ABSENT, "can't come forward again: `l` is not a whole number")] == broken_laws(both, {"l": 1})


# The way back, as rules


@pytest.mark.parametrize(
    ("rule", "left_type", "back"),
    [
        ("l", "", "r"),
        ({"from": "l", "as": "phone", "region": "AU"}, "string", "r"),
        ({"from": "l", "as": "integer"}, "string", {"from": "r", "as": "string"}),
        ({"from": "l", "as": "integer"}, "", "r"),
        ({"from": "l", "as": "number"}, "integer", {"from": "r", "as": "integer"}),
        ({"from": "l", "values": {"a": "x", "true": True}}, "", {"from": "r", "values": {"x": "a", "true": True}}),
        ({"from": "l", "values": {"1": "x", "true": "y"}}, "string", {"from": "r", "values": {"x": "1", "y": "true"}}),
        ({"from": "l", "values": {"1": "x"}}, "integer", {"from": "r", "values": {"x": 1}}),
        ({"from": "l", "lookup": "companies", "missing": "empty"}, "", {"from": "r", "lookup": "companies/back", "missing": "empty"}),
        ({"from": "l", "as": "boolean", "true": "Y", "false": "N"}, "", {"from": "r", "values": {"Y": True, "N": False}}),
        ({"from": "l", "as": "date", "format": "%d.%m.%Y"}, "", {"from": "r", "as": "date", "to_format": "%d.%m.%Y"}),
        (
            {"from": "l", "as": "datetime", "zone": "Europe/Berlin", "format": "%d.%m.%Y %H:%M", "to_format": "%Y-%m-%d %H:%M"},
            "",
            {"from": "r", "as": "datetime", "zone": "UTC", "format": "%Y-%m-%d %H:%M", "to_zone": "Europe/Berlin", "to_format": "%d.%m.%Y %H:%M"},
        ),
        ({"from": "l", "split": ", "}, "", {"from": "r", "expr": "join(value, ', ')"}),
    ],
)  # fmt: skip
def test_the_way_back_is_a_rule_that_people_can_read(rule, left_type, back):
    found, refused = backwards(rules({"r": rule}), left_fields={"l": Field(type=left_type)} if left_type else {})

    assert [] == refused
    assert {"l": back} == {address: declared(rule) for address, rule in found.items()}


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"expr": "a + b"}, "an expression can't be run backwards"),
        ({"from": "l", "call": "mappings:shout"}, "a function can't be run backwards"),
        ({"from": "l", "values": {"a": 1, "b": 1}}, "`values` gives `a` and `b` the same value `1`: no one could tell which it was"),
        ({"from": "l", "values": {"a": 1, "b": "1.0"}}, "the same value"),
        ({"from": "l", "values": {"a": None}}, "`values` makes `a` null, as null itself is"),
        ({"from": "l", "values": {"a": ["x"]}}, "which a table of values can't look up"),
        ({"from": "l", "values": {"a": "x"}, "otherwise": "y"}, "`otherwise` makes many values one"),
        ({"from": "l", "values": {"a": "x"}, "default": "z"}, 'its `default` `"z"` would go back as a value that'),
        ({"from": "l", "as": "phone", "default": "none"}, 'its `default` `"none"` would go back'),
        ({"from": "l", "lookup": "companies", "default": "c-1"}, "the `default` of a look-up is no one's id"),
        ({"from": ["a", "b", "c"], "join": " "}, "3 fields that are joined can't be told apart again; two can"),
        ({"from": ["a", "b"], "join": ""}, "without a text between them"),
        ({"from": ["a", "b"], "join": "\n"}, "only a single space is joined as it was cut"),
        ({"from": ["a", "b"], "join": " ", "as": "lower"}, "joined and then converted"),
        ({"from": "l", "split": " ", "take": "first"}, "takes one part (`take: first`), and the others are not there"),
        ({"from": "l", "split": ";", "values": {"a": "b"}}, "cut and then converted"),
        ({"from": "l", "as": "date", "to_zone": "Europe/Berlin"}, "its time of day is lost"),
        ({"from": "l", "as": "date", "format": "%d/%m/%Y %H:%M"}, "its time of day is lost"),
        ({"from": "l", "as": "date", "to_format": "%m/%Y"}, "`to_format: %m/%Y` has no place for the whole date"),
        ({"from": "l", "as": "datetime", "to_format": "%d/%m/%Y"}, "has no place for the time of day"),
        ({"from": "l", "as": "datetime", "format": "%d/%m/%Y %H:%M"}, "has no offset, so the rule needs a `zone`"),
        ({"from": "l", "as": "date", "to_format": "%-d/%m/%Y"}, "can be written in one direction only"),
        ({"from": "l", "as": "boolean", "true": "x", "false": "x"}, "true and false are written in the same way"),
        ({"from": "l", "as": "boolean", "true": "x", "false": None}, "is written as null, as null itself is"),
        ({"from": ""}, "it reads the whole record"),
    ],
)
def test_what_cannot_run_backwards_is_refused_with_the_reason(rule, reason):
    refused = backwards(rules({"r": rule}), FUNCTIONS)[1]

    assert ["r"] == [target for target, _ in refused]
    assert reason in refused[0][1]
    with pytest.raises(ValueError, match=r"give the way back with `back: ...`, or write `only: forward`"):
        both_ways({"r": rule})


@pytest.mark.parametrize("rule", [{"expr": "a + b"}, {"from": "l", "values": {"a": 1, "b": 1}}, {"from": ["a", "b", "c"], "join": " "}])
def test_a_rule_that_runs_forward_only_needs_no_way_back(rule):
    both = both_ways({"r": {**rule, "only": "forward"}, "s": "s"})

    assert {"s": "s"} == both.rules_back
    assert [("r", True, False), ("s", True, True)] == [(strand.name, strand.forward, strand.back) for strand in both.strands]


def test_a_rule_that_runs_back_only_is_left_out_of_the_way_forward():
    both = both_ways({"r": {"from": "l", "values": {"a": "x"}, "only": "back"}, "s": {"only": "back", "back": {"q": "s"}}})

    assert {} == both.forward({"l": "a", "q": 1})
    assert {"l": "a", "q": 1} == both.back({"r": "x", "s": 1})
    assert [("r", False, True), ("s", False, True)] == [(strand.name, strand.forward, strand.back) for strand in both.strands]


def test_constants_and_what_is_written_once_are_never_compared():
    both = both_ways({"r": {"const": "crm"}, "s": {"from": "s", "only": "create"}, "t": "t"})

    assert {"r": "crm", "s": 1, "t": 2} == both.forward({"s": 1, "t": 2})
    assert {"t": "t"} == both.rules_back
    assert ["t"] == [strand.name for strand in both.strands]


def test_fields_that_hang_together_are_one_strand():
    both = both_ways(
        {
            "full": {"from": ["name.first", "name.last"], "join": " ", "conflict": "left"},
            "a": {"from": "x", "split": " ", "take": "first"},
            "b": {"from": "x", "split": " ", "take": "rest"},
            "shout": {"from": "x", "call": "mappings:shout", "only": "forward"},
        }
    )

    assert (
        Strand("full", ("name.first", "name.last"), ("full",), True, True, "left"),
        Strand("a, b", ("x",), ("a", "b"), True, True, None),
        Strand("shout", ("x",), ("shout",), True, False, None),
    ) == both.strands


def test_strands_that_a_later_rule_ties_become_one():
    both = both_ways(
        {"a": "x", "b": "y", "c": {"from": ["x", "y"], "expr": "value[0]", "back": {"z": {"expr": "coalesce(a, b, c)"}}}, "d": "w"}
    )

    assert ["a, b, c", "d"] == [strand.name for strand in both.strands]


def test_a_look_up_backwards_asks_for_the_links_of_the_other_direction():
    both = both_ways({"r": {"from": "l", "lookup": "companies"}})
    (lookup,) = both.back.lookups

    assert ("companies/back", "7") == (lookup.integration, lookup.wants({"r": 7}))
    assert {"l": "a"} == both.back({"r": 7}, {("companies/back", "7"): "a"})
    with pytest.raises(MappingError, match="has no link yet in `companies/back`"):
        both.back({"r": 7})


def test_one_field_of_the_left_has_one_rule_that_gives_it():
    refused = backwards(rules({"a": "x", "b": "x"}))[1]

    assert [("b", "`x` gets its value back by the rule of `a` already, and two could say different things")] == refused


def test_a_zone_that_the_left_declares_is_the_rule_s():
    both = compile_both_ways(
        rules({"r": {"from": "l", "as": "datetime"}}), left_fields={"l": Field(type="datetime", zone="Australia/Brisbane")}
    )

    assert {"r": "2026-01-14T23:30:00Z"} == both.forward({"l": "2026-01-15 09:30:00"})
    assert {"l": "2026-01-15T09:30:00+10:00"} == both.back({"r": "2026-01-14T23:30:00Z"})
