"""The compiled mapping against the rules read one by one, and the laws of absent, null and blank."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.config.models.integrations import Rule
from tieline.mapping import compile_mapping, get, problems
from tieline.mapping.convert import conversions as convert
from tieline.model.errors import MappingError
from tieline.model.records import ABSENT

FUNCTIONS = {
    "mappings:wrap": lambda value: {"wrapped": value},
    "mappings:count": lambda record: len(record),
    "mappings:pair": lambda one, other: [one, other],
    "mappings:fail": lambda value: 1 // 0,
}


def rule(**keys):
    return Rule.model_validate({{"from_": "from", "as_": "as"}.get(key, key): value for key, value in keys.items()})


def run(record, links=None, **keys):
    values = compile_mapping({"out": rule(**keys)}, functions=FUNCTIONS)(record, links or {})
    return values.get("out", ABSENT)


# One rule after the other, as the documentation tells it; nothing here is shared with the compiler but the conversions.

EXPRESSIONS = {
    "value": lambda record, value: value,
    "[value, b]": lambda record, value: [value, None if record.get("b", ABSENT) is ABSENT else record["b"]],
    "'none' if b is None else b": lambda record, value: "none" if record.get("b") is None else record["b"],
    "coalesce(c.d, value, 'z')": lambda record, value: next(
        (v for v in (get(record, "c.d"), value) if v is not None and v is not ABSENT), "z"
    ),
    "value == 'x' or value in ['y', 1]": lambda record, value: (
        value == "x" or any(value == entry and isinstance(value, bool) == isinstance(entry, bool) for entry in ("y", 1))
    ),
}
CONVERSIONS = {name: getattr(convert, name) for name in ("string", "integer", "number", "boolean", "lower", "upper", "trim", "email")}
IDS = {("companies", "x"): 7, ("companies", "1"): "a1"}


class Parked(Exception):
    pass


def interpret(rules, record, links):
    out = {}
    for target, declared in rules.items():
        value = interpret_rule(rule(from_=declared) if isinstance(declared, str) else declared, record, links)
        if value is not ABSENT:
            out[target] = value
    return out


def interpret_rule(rule, record, links):
    if "const" in rule.model_fields_set:
        return rule.const
    value = interpret_steps(rule, record, links)
    if "default" in rule.model_fields_set and (is_nothing(value) or (rule.default_blank and is_blank(value))):
        return rule.default
    return value


def interpret_steps(rule, record, links):
    sources = () if rule.source is None else (rule.source,) if isinstance(rule.source, str) else rule.source
    values = [get(record, address) for address in sources]
    value = values[0] if isinstance(rule.source, str) else [None if v is ABSENT else v for v in values]
    if rule.join is not None:
        texts = [as_text(v) for v in values if not is_nothing(v)]
        present = [text for text in texts if text.strip()]
        value = rule.join.join(present) if present else "" if texts else None if None in values else ABSENT
    if rule.default_blank and is_blank(value):
        return ABSENT
    if rule.split is not None and not is_nothing(value):
        value = interpret_split(rule, value)
    if rule.expr is not None and not (sources and is_nothing(value)):
        value = EXPRESSIONS[rule.expr](record, value)
    if rule.call is not None:
        function = FUNCTIONS[rule.call]
        if not sources:
            value = function(record)
        elif isinstance(rule.source, tuple) and rule.join is None:
            value = function(*value)
        elif not is_nothing(value):
            value = function(value)
    if rule.values is not None and value is not ABSENT and (value is not None or "null" in rule.values):
        value = interpret_table(rule, value)
    if rule.lookup is not None and not is_nothing(value):
        if isinstance(value, (bool, list, dict)) or (isinstance(value, Decimal) and value % 1):
            raise Parked
        key = value if isinstance(value, str) else str(int(value))
        linked = links.get((rule.lookup, key), ABSENT) if key.strip() else None
        if linked is ABSENT and rule.missing == "hold":
            raise Parked
        value = None if linked is ABSENT and rule.missing == "empty" else linked
    if rule.convert is not None and not is_nothing(value):
        value = CONVERSIONS[rule.convert](value)
    return value


def interpret_split(rule, value):
    text = as_text(value)
    if not text.strip():
        return [] if rule.take == "all" else text
    if rule.take == "rest":
        parts = text.split(rule.split, 1)
        return parts[1].strip() if len(parts) == 2 else None
    parts = [part.strip() for part in text.split(rule.split)]
    if rule.take == "all":
        return [part for part in parts if part]
    position = {"first": 0, "last": -1}.get(rule.take, rule.take)
    return parts[position] if position < len(parts) else None


def interpret_table(rule, value):
    if isinstance(value, (list, dict)):
        raise Parked
    for key, result in rule.values.items():
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            if key.isdigit() and value == int(key):
                return result
        elif key == ("null" if value is None else as_text(value)):
            return result
    if "otherwise" in rule.model_fields_set:
        return rule.otherwise
    raise Parked


def is_nothing(value):
    return value is None or value is ABSENT


def is_blank(value):
    return isinstance(value, str) and not value.strip()


def as_text(value):
    if isinstance(value, (list, dict)):
        raise Parked
    return convert.string(value)


scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from(["x", "y", "x,y", " a , b ,", "", " ", "Yes", "1", "a@b.org", "🙂", "\0", "ع"])
    | st.sampled_from([0, 1, 5, 2**63, -1, Decimal("1.0"), Decimal("0.1234567890123456789")])
)
records = st.dictionaries(
    st.sampled_from(["a", "b", "c", "odd key"]),
    scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from(["d", "e"]), scalars, max_size=2),
)
addresses = st.sampled_from(["a", "b", "c.d", '"odd key"', "a[0]", "c"])


@st.composite
def rules(draw):
    """A rule that may be declared, with any of the steps that go together."""
    kind = draw(st.sampled_from(["one", "several", "const", "expr", "call"]))
    if kind == "const":
        return rule(const=draw(scalars | st.just({"k": [1]})))
    keys = {}
    if kind == "one":
        keys["from_"] = draw(addresses)
        if draw(st.booleans()):
            keys |= {"split": ",", "take": draw(st.sampled_from(["first", "last", "rest", "all", 0, 1, 2]))}
        step = draw(st.sampled_from([{}, {}, {"call": "mappings:wrap"}, {"expr": draw(st.sampled_from([*EXPRESSIONS]))}]))
        keys |= step
    elif kind == "several":
        keys["from_"] = (draw(addresses), draw(addresses))
        keys |= draw(st.sampled_from([{"join": ", "}, {"call": "mappings:pair"}, {"expr": "value"}]))
    elif kind == "expr":
        keys["expr"] = "'none' if b is None else b"
    else:
        keys["call"] = "mappings:count"
    if draw(st.booleans()):
        keys["values"] = draw(st.sampled_from([{"x": "hot", "1": "one", "true": 1}, {"null": "n", "": None}, {"5": ["five"], "y": None}]))
        if draw(st.booleans()):
            keys["otherwise"] = draw(st.sampled_from([None, "other", 5]))
    if draw(st.booleans()):
        keys |= {"lookup": "companies", "missing": draw(st.sampled_from(["hold", "empty", "absent"]))}
    if draw(st.booleans()):
        keys["as_"] = draw(st.sampled_from([*CONVERSIONS]))
    if draw(st.booleans()):
        keys["default"] = draw(st.sampled_from([None, "d", 0, []]))
        keys["default_blank"] = draw(st.booleans())
    return rule(**keys)


@given(st.dictionaries(st.sampled_from(["o", "p.q", "p.r", "l[0]"]), rules() | addresses, max_size=4), records)
def test_the_compiled_mapping_does_what_the_rules_say(declared, record):
    """One function for all rules, written by a program, is the rules one after the other; a trace shows the same."""
    mapping = compile_mapping(declared, functions=FUNCTIONS)
    try:
        wanted = interpret(declared, record, IDS)
    except Exception:  # noqa: BLE001 - whatever the reason, the record must be parked
        wanted = None
    try:
        got = mapping(record, IDS)
    except MappingError as error:
        got, guilty = None, error.target
    else:
        guilty = None
    steps = mapping.trace(record, IDS)

    assert wanted == got
    assert list(declared) == [step.target for step in steps]
    assert guilty == next((step.target for step in steps if step.problem), None)
    if got is not None:
        assert got == {step.target: step.result for step in steps if step.result is not ABSENT}


@given(rules(), records)
def test_a_mapping_reads_only_what_it_says_it_reads(declared, record):
    """Only these fields are read, compared and kept: a field that was read in secret would never count as a change."""
    mapping = compile_mapping({"o": declared}, functions=FUNCTIONS)
    if mapping.reads_all:
        return
    tops = {address.strip('"').split(".")[0].split("[")[0] for address in mapping.reads}
    trimmed = {key: value for key, value in record.items() if key in tops}

    assert [step.result for step in mapping.trace(record, IDS)] == [step.result for step in mapping.trace(trimmed, IDS)]


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"split": ","},
        {"expr": "value"},
        {"call": "mappings:fail"},
        {"values": {"x": 1}},
        {"values": {"x": 1}, "otherwise": 2},
        {"lookup": "companies"},
        *({"as_": name} for name in (*CONVERSIONS, "phone", "date", "datetime", "country")),
        {"as_": "money", "currency": "EUR"},
    ],
)
def test_absent_stays_absent_and_null_stays_null_through_every_step(keys):
    """An update that says nothing of a field must not touch it, and one that empties it must empty it."""
    assert ABSENT is run({}, from_="a", **keys)
    assert None is run({"a": None}, from_="a", **keys)
    assert "d" == run({}, from_="a", default="d", **keys)
    assert "d" == run({"a": None}, from_="a", default="d", **keys)
    assert None is run({}, from_="a", default=None, **keys)
    assert "d" == run({"a": " "}, from_="a", default="d", default_blank=True, **keys)


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({}, " "),
        ({"split": ",", "take": "first"}, " "),
        ({"split": ",", "take": "rest"}, " "),
        ({"split": ",", "take": 3}, " "),
        ({"split": ","}, []),
        ({"as_": "string"}, " "),
        ({"as_": "lower"}, " "),
        ({"as_": "trim"}, ""),
        ({"lookup": "companies"}, None),
        ({"values": {" ": "blank"}}, "blank"),
        *(({"as_": name}, None) for name in ("integer", "number", "boolean", "email", "phone", "date", "datetime", "country")),
        ({"as_": "money", "currency": "EUR"}, None),
    ],
)
def test_blank_stays_blank_where_a_blank_can_be(keys, wanted):
    assert wanted == run({"a": " "}, from_="a", **keys)


def test_joining_leaves_out_what_is_not_there():
    assert "Anna L" == run({"a": "Anna", "b": None, "c": "L"}, from_=["a", "b", "c"], join=" ")
    assert "" == run({"a": " ", "b": None}, from_=["a", "b"], join=" ")
    assert None is run({"b": None}, from_=["a", "b"], join=" ")
    assert ABSENT is run({}, from_=["a", "b"], join=" ")


def test_a_value_table_compares_text_by_letters_and_numbers_by_value():
    table = {"1": "one", "true": "yes", "null": "none", "1.0": "same"}
    with pytest.raises(ValueError, match="same number"):
        run({}, from_="a", values=table)
    table.pop("1.0")
    table["007"] = "code"

    assert ["one", "one", "one", "yes", "yes", "none", "none"] == [
        run({"a": value}, from_="a", values=table) for value in (1, "1", Decimal("1.0"), True, "true", None, "null")
    ]
    assert "other" == run({"a": "1.0"}, from_="a", values=table, otherwise="other")
    assert "other" == run({"a": 7}, from_="a", values=table, otherwise="other")


def test_a_constant_is_new_for_each_record():
    """A list that two records share would carry a change of one into the other."""
    mapping = compile_mapping({"a": rule(const=["x"]), "b": rule(from_="k", values={"k": ["x"]})})
    first, second = mapping({"k": "k"}), mapping({"k": "k"})

    assert first == second == {"a": ["x"], "b": ["x"]}
    assert first["a"] is not second["a"]
    assert first["b"] is not second["b"]


def test_a_lookup_says_beforehand_which_link_it_will_need():
    """The engine fetches the links of a whole page at once; a rule that fails before its lookup wants none."""
    mapping = compile_mapping({"account": rule(from_="company.id", lookup="companies"), "name": "name"})
    (lookup,) = mapping.lookups

    assert "companies" == lookup.integration
    assert ["17", "17", "x", None, None, None] == [
        lookup.wants({"company": {"id": value}}) for value in (17, Decimal("17.0"), "x", None, "", [1])
    ]
    assert {"account": 5} == mapping({"company": {"id": 17}}, {("companies", "17"): 5})
    with pytest.raises(MappingError, match="record 17 has no link yet in `companies`") as caught:
        mapping({"company": {"id": 17}})
    assert ("companies", "17") == caught.value.lookup


def test_an_error_names_the_field_its_source_and_its_value():
    mapping = compile_mapping({"a": "x", "phone": rule(from_="tel", as_="phone", region="AU")})
    with pytest.raises(MappingError, match="phone: `tel` is not a phone number") as caught:
        mapping({"x": 1, "tel": "none"})

    assert ("phone", "tel", "none") == (caught.value.target, caught.value.source, caught.value.value)


def test_a_failing_function_of_the_project_parks_the_record():
    with pytest.raises(MappingError, match="`mappings:fail` failed: ZeroDivisionError"):
        run({"a": 1}, from_="a", call="mappings:fail")


def test_what_a_function_returns_is_made_fit_for_json():
    """A float would come back from the destination as a decimal and look like a change for ever."""
    functions = {"m:float": lambda record: {"x": 0.1}, "m:set": lambda record: {1}, "m:half": lambda record: ["ok", "Zoë \ud83d"]}
    values = compile_mapping({"a": rule(call="m:float")}, functions=functions)({})

    assert "{'a': {'x': Decimal('0.1')}}" == str(values)
    with pytest.raises(MappingError, match="a set, which has no order"):
        compile_mapping({"a": rule(call="m:set")}, functions=functions)({})
    with pytest.raises(MappingError, match="holds half of a character"):
        compile_mapping({"a": rule(call="m:half")}, functions=functions)({})


def test_everything_that_is_wrong_with_a_mapping_is_told_at_once():
    wrong = problems(
        {
            "a": rule(from_="x", const=1),
            "b": rule(default=1),
            "c": rule(from_=["x", "y"]),
            "d": rule(from_="x", join=","),
            "e": rule(from_="x", take="first"),
            "f": rule(from_="x", as_="money"),
            "g": rule(from_="x", as_="money", currency="EURO"),
            "h": rule(from_="x", as_="phone", region="Australia"),
            "i": rule(from_="x", as_="date", zone="Mars/Olympus"),
            "j": rule(from_="x", as_="date", format="%Q"),
            "k": rule(from_="x", as_="date", format="%d.%m."),
            "l": rule(from_="x", as_="string", region="AU"),
            "m": rule(call="mappings:gone"),
            "n": rule(expr="import os"),
            "o": "x..y",
            "p..q": "x",
            "r": "x",
            "r.s": "x",
            "t[1]": "x",
            "u": rule(from_="x", values={}),
            "v": rule(from_="x", otherwise=1),
            "w": rule(from_="x", default_blank=True),
            "x": rule(expr="value"),
            "y": rule(from_="x", as_="datetime", format="%Y-%m-%d %H:%M %Z"),
            "z": rule(from_=["x", "y"], split=",", join=","),
        },
        FUNCTIONS,
    )

    assert [*"abcdefghijklmno", "p..q", "r.s", "u", "v", "w", "x", "y", "z", "z", "t[1]"] == [target for target, _ in wrong]
    with pytest.raises(ValueError, match=r"^a: `const` stands alone.*; b: needs one of"):
        compile_mapping({"a": rule(from_="x", const=1), "b": rule(default=1)})
