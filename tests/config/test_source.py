"""Values and lines out of YAML text: what is written is what is meant, and no file is a trap."""

from __future__ import annotations

import os
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.config.loading.yaml_source import LARGEST, Source, dotted, parse, read_source
from tieline.model.records import encode_json


def read(text: str) -> Source:
    source, complaints = parse(text, "f.yaml")
    assert [] == complaints
    assert source is not None
    return source


def complaint(text: str) -> str:
    _, complaints = parse(text, "f.yaml")
    assert complaints
    return str(complaints[-1])


@pytest.mark.parametrize("text", ["no", "off", "on", "yes", "Yes", "True", "FALSE", "Null", "n", "y"])
def test_only_true_false_and_null_are_words(text: str) -> None:
    assert {"a": text} == read(f"a: {text}").value


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("false", False), ("null", None), ("~", None), ("", None), ("'true'", "true"), ('"null"', "null")],
)
def test_the_words_are_read_as_such_unless_quoted(text: str, value: object) -> None:
    assert read(f"a: {text}").value["a"] is value or read(f"a: {text}").value["a"] == value


@pytest.mark.parametrize(
    "text",
    ["08", "007", "0x1F", "0o7", "1_000", "12:30", "1:02:03", "+5", "+61491570156", "1.", ".5", ".inf", ".nan", "1e9999",
     "2026-01-31", "2026-01-31T12:00:00Z", "1,000", "3.1.4", "--1", "9" * 65, "\u0966"],
)  # fmt: skip
def test_what_is_no_number_in_json_is_text(text: str) -> None:
    assert {"a": text} == read(f"a: {text}").value


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("-12", -12), ("99999999999999999999", 99999999999999999999)])
def test_whole_numbers_are_whole(text: str, value: int) -> None:
    found = read(f"a: {text}").value["a"]
    assert value == found
    assert int is type(found)


@pytest.mark.parametrize("text", ["1.50", "0.1", "-3.00", "1e3", "1.5E-7", "3.141592653589793238462643383279"])
def test_a_number_with_a_point_keeps_every_digit(text: str) -> None:
    found = read(f"a: {text}").value["a"]
    assert isinstance(found, Decimal)
    assert Decimal(text).as_tuple() == found.as_tuple()


def test_keys_are_always_text() -> None:
    assert {"1": "a", "true": "b", "no": "c", "null": "d", "1.5": "e"} == read("1: a\ntrue: b\nno: c\nnull: d\n1.5: e").value


def test_the_tag_for_text_makes_text() -> None:
    assert {"a": "12", "b": "13"} == read("a: !!str 12\nb: ! 13").value


def test_every_key_and_entry_has_its_line() -> None:
    source = read("# a comment\na:\n  b:\n    - x\n    - c: 1\n      d: 2\n  e: {f: 1,\n    g: 2}\n")
    lines = {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "b", 0): 4,
        ("a", "b", 1): 5,
        ("a", "b", 1, "d"): 6,
        ("a", "e", "g"): 8,
        ("a", "missing", "deeper"): 2,
        ("a", "b", 7): 3,
        ("a", "b", 1, "d", "inside a scalar"): 6,
    }
    assert lines == {keys: source.line(*keys) for keys in lines}


def test_aliases_repeat_and_merged_keys_give_way() -> None:
    source = read("base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\none:\n  <<: [*base, *more]\n  a: 0\ntwo: *base\n")
    assert {"a": 0, "b": 2, "c": 4} == source.value["one"]
    assert {"a": 1, "b": 2} == source.value["two"]
    assert 5 == source.line("one", "a")
    assert 1 == source.line("one", "b")
    assert 6 == source.line("two")


def test_a_quoted_merge_key_is_a_key() -> None:
    assert {"<<": 1} == read('"<<": 1').value


def test_a_scalar_may_be_repeated_and_a_list_too() -> None:
    assert {"a": "x", "b": "x", "c": [1], "d": [1]} == read("a: &x x\nb: *x\nc: &l [1]\nd: *l").value


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\n\n", "\ufeff"])
def test_an_empty_file_says_nothing(text: str) -> None:
    assert read(text).value is None


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    source, complaints = read_source(path, "f.yaml")
    assert [] == complaints
    assert source is not None
    assert {"a": 1, "b": 2} == source.value
    assert 2 == source.line("b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3: a: `a` is written twice, first in line 1 (keep one of them)"),
        ("x:\n  - a: 1\n    a: 2", "f.yaml:3: x[0].a: `a` is written twice, first in line 2 (keep one of them)"),
        ("a: \0", "f.yaml:1: a control character (U+0000) stands in the text"),
        ("a: 1\nb: \x1b[0m", "f.yaml:2: a control character (U+001B) stands in the text"),
        ("a: *a", "f.yaml:1: nothing above is marked `&a`"),
        ("a: &a [*a]", "f.yaml:1: nothing above is marked `&a`"),
        ("? [a]\n: b", "f.yaml:1: a key must be text"),
        ("{{name}}", "f.yaml:1: a key must be text"),
        (": b", "f.yaml:1: neither a key nor the end of the map"),
        ("?\n: b", "f.yaml:1: a key is missing before the colon"),
        ("<<: 1", "f.yaml:1: `<<` takes a map, or a list of maps"),
        ("a: !x 1", "f.yaml:1: the tag `!x` is not used here"),
        ("a: !!float 1", "f.yaml:1: the tag `!!float` is not used here"),
        ("a: !!python/name:os.system {}", "f.yaml:1: the tag `!!python/name:os.system` is not used here"),
        ("!!set {a}", "f.yaml:1: the tag `!!set` is not used here"),
        ("a: 1\n...\nb: 1", "f.yaml:3: more text follows after the end"),
        ("a:\n  - b\n -c", "f.yaml:3: "),
        ("%YAML 9.9\n---\na: 1", "f.yaml:1: "),
        ("a: \"\\q\"", "f.yaml:1: an escape that YAML doesn't know"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_line(text: str, expected: str) -> None:
    assert complaint(text).startswith(expected)


@pytest.mark.parametrize("open_", ["[", "{a: ", "- "])
def test_a_deep_file_is_refused_and_does_no_harm(open_: str) -> None:
    """PyYAML's own composer, which is recursive C, dies of this with the whole process."""
    assert "f.yaml:1: is nested more than 64 deep" == complaint(open_ * 100_000)


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    names = "abcdefghijklmnop"
    lines = [f"{names[0]}: &{names[0]} [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise(names)]
    assert "aliases repeat more than 100000 values" in complaint("\n".join(lines))


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"#" * (LARGEST + 1))
    assert "f.yaml: is larger than 5 MiB (records don't belong into these files)" == str(read_source(path, "f.yaml")[1][0])


def test_a_large_file_is_read_in_good_time(tmp_path: Path) -> None:
    """An imported connector has 2.5 MB: ten times the fields cost ten times the calls, not a hundred times."""
    field = "{{type: string, required: true, description: 'Some words about {0}'}}"

    def calls(count: int) -> int:
        text, made = "fields:\n" + "".join(f"  f{i}: {field.format(i)}\n" for i in range(count)), 0

        def called(frame: FrameType, event: str, argument: object) -> None:
            nonlocal made
            made += 1

        sys.setprofile(called)
        try:
            fields = read(text).value["fields"]
        finally:
            sys.setprofile(None)
        assert count == len(fields)
        return made

    assert calls(3000) < 11 * calls(300)


@pytest.mark.parametrize("data", [b"a: \xff", "a: é".encode("latin-1"), "a: 1".encode("utf-16")])
def test_what_is_not_utf_8_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    assert "f.yaml:1: is not UTF-8 text (save the file as UTF-8)" == str(read_source(path, "f.yaml")[1][0])


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.symlink_to(path)
    assert str(read_source(path, "f.yaml")[1][0]).startswith("f.yaml: can't be read: Too many levels of symbolic links")


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f.yaml")
    assert "f.yaml: this is not a file (a YAML file belongs here)" == str(read_source(tmp_path / "f.yaml", "f.yaml")[1][0])


def test_a_folder_and_a_device_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        assert "f.yaml: this is not a file (a YAML file belongs here)" == str(read_source(path, "f.yaml")[1][0])


def test_a_file_that_is_gone_is_complained_of(tmp_path: Path) -> None:
    assert "f.yaml: can't be read: No such file or directory" in str(read_source(tmp_path / "f.yaml", "f.yaml")[1][0])


@pytest.mark.parametrize(
    ("keys", "text"),
    [((), ""), (("a", "b"), "a.b"), (("limits", 0, "requests"), "limits[0].requests"), (("a b", ""), "'a b'.''")],
)
def test_keys_are_shown_as_people_write_them(keys: tuple[str | int, ...], text: str) -> None:
    assert text == dotted(keys)


# Three characters end a line in YAML, quoted or not; whoever has them in a file writes them as \\u0085, \\u2028, \\u2029.
_CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029")
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(_CHARACTERS) | st.decimals(-1000, 1000, places=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(_CHARACTERS, max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_json_is_read_as_json(value: Any) -> None:
    """YAML is meant to be a superset of JSON; for what JSON says there is no second reading."""
    text = encode_json(value).decode()
    source, complaints = parse(text, "f.yaml")
    if source is None:  # characters that YAML keeps out of its text, though JSON doesn't
        assert "control character" in str(complaints[0])
    else:
        assert [] == complaints
        assert value == source.value
