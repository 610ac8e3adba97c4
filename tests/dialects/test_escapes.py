"""No value can change the question that it is put into: each language reads back what was put there, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tieline.dialects.rest.escapes import escape
from tieline.dialects.rest.templates import Gaps, Template, compile_json, well_formed_address
from tieline.model.errors import Rejected

VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text("'\"\\ or1=eq()*:\n\t", max_size=30)


def doubled(text: str, quote: str) -> str | None:
    """Read a text in quotes in which a quote is doubled; None when the quotes end before the text does."""
    found = re.fullmatch(f"{quote}((?:[^{quote}]|{quote}{quote})*){quote}", text)
    return found[1].replace(quote * 2, quote) if found is not None else None


def backslashed(text: str, quote: str) -> str | None:
    """Read a text in quotes in which a backslash stands before what is special."""
    found = re.fullmatch(rf"{quote}((?:[^{quote}\\]|\\.)*){quote}", text, re.DOTALL)
    special = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
    return re.sub(r"\\(.)", lambda match: special.get(match[1], match[1]), found[1], flags=re.DOTALL) if found is not None else None


def lucene(text: str, _: str) -> str | None:
    """Read a term: no special character stands there by itself."""
    found = re.fullmatch(r"""((?:[^-\\+!(){}\[\]^"~*?:/&|]|\\.)*)""", text, re.DOTALL)
    return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL) if found is not None else None


def as_json(text: str, _: str) -> str | None:
    return str(json.loads(text))


LANGUAGES: list[tuple[str, str, Callable[[str, str], str | None]]] = [
    ("odata", "'", doubled), ("sql", "'", doubled), ("soql", "'", backslashed), ("soql", '"', backslashed), ("jql", '"', backslashed),
    ("jql", "'", backslashed), ("nql", '"', backslashed), ("formula", "'", backslashed), ("formula", '"', backslashed),
    ("json", '"', as_json), ("graphql", '"', as_json), ("lucene", "", lucene),
]  # fmt: skip


@pytest.mark.parametrize(("name", "quote", "read"), LANGUAGES, ids=lambda part: part if isinstance(part, str) else "")
@given(value=VALUES)
@example(value="' or '1' eq '1")
@example(value='\\" OR ""="')
@example(value="pat.o'brien@example.com")
@example(value="\\")
def test_a_language_reads_back_what_was_put_between_quotes(name, quote, read, value: str):
    assert read(f"{quote}{escape(name, {})(value)}{quote}", quote) == value


@given(VALUES)
def test_an_escape_of_the_connectors_own_replaces_in_one_pass(value: str):
    escaped = escape("mine", {"mine": {"'": "''", "''": "''''", "\\": "\\\\"}})(value)

    assert doubled(f"'{escaped}'", "'") == value.replace("\\", "\\\\")


@pytest.mark.parametrize("value", ["1 or 1 eq 1", "", "1e", "0x1", "1;", "NaN"])
def test_a_number_is_a_number(value: str):
    with pytest.raises(Rejected, match="is no number"):
        escape("number", {})(value)

    assert escape("number", {})("-12.50") == "-12.50"


@given(VALUES)
@example("a&b=c#d%20 + é")
def test_a_parameter_holds_the_literal_text_and_the_value_and_nothing_else(value: str):
    template = Template("name eq '{value|odata}' & x#y", {}, part="query")

    query = f"$filter={template.fill({'value': value})}&top=1"

    assert re.fullmatch(r"[!-~]*", query)
    assert dict(parse_qsl(query)) == {"$filter": "name eq '" + value.replace("'", "''") + "' & x#y", "top": "1"}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
@example("100%")
@example("%20%2")
def test_what_is_encoded_stays_and_the_rest_is_encoded_once(text: str):
    once = well_formed_address(f"https://example.com/a?b={text}")

    assert re.fullmatch(r"[!-~]*", once)
    assert well_formed_address(once) == once
    assert unquote(urlsplit(once).query) == unquote(f"b={text}")
    assert "%2520" not in once or "%2520" in text


def test_an_address_that_a_vendor_gave_keeps_what_it_means():
    given_ = "https://a.example/accounts?$filter=statecode eq 0&$orderby=name%20asc&$skiptoken=%3Ccookie%3E#2"

    assert (
        well_formed_address(given_)
        == "https://a.example/accounts?$filter=statecode%20eq%200&$orderby=name%20asc&$skiptoken=%3Ccookie%3E%232"
    )


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
@example("..")
@example(".")
@example("../../admin")
@example("?x=1")
@example(" ")
def test_a_value_in_a_path_is_one_segment_or_is_refused(value: str):
    template = Template("/contacts/{id}/notes", {})
    try:
        filled = template.fill({"id": value})
    except Rejected:
        assert value in (".", "..") or not value.strip()
        return
    assert [unquote(part) for part in urlsplit(f"https://x{filled}").path.split("/")] == ["", "contacts", value, "notes"]


@pytest.mark.parametrize("value", [None, "", [], {}, [1]])
def test_a_value_that_has_no_text_is_never_sent_as_text(value):
    with pytest.raises(Rejected, match="`email` has no value"):
        Template("/members/{email}", {}).fill({"email": value})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["a", "b", "email"]), JSON, max_size=3), st.text(max_size=10))
def test_in_json_a_gap_is_the_value_itself(record, id):
    make = compile_json(
        {"key": "{id}", "text": "id-{id}", "fields": "{record}", "list": ["{record}"], "flat": {"...": "{record}", "a": "{id}"}}, {}
    )

    made = make(Gaps({"id": id, "record": record}, record))

    assert made == {"key": id, "text": f"id-{id}", "fields": record, "list": [record], "flat": {**record, "a": id}}


def test_a_field_that_is_not_there_is_refused_and_null_is_null():
    make = compile_json({"key": "{email}", "n": "{amount}"}, {})

    assert make(Gaps({}, {"email": None, "amount": Decimal("1.50")})) == {"key": None, "n": Decimal("1.50")}
    with pytest.raises(Rejected, match="`email` has no value"):
        make(Gaps({}, {"amount": 1}))
