"""Ways to spoil a project by chance: its text as typing hands do it, its values as wrong ideas do it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from config.conftest import VALID
from tieline.config.loading.yaml_source import parse
from tieline.model.records import encode_json

FILES = sorted(path.relative_to(VALID).as_posix() for path in VALID.rglob("*.yaml"))
TEXTS = {name: (VALID / name).read_text() for name in FILES}
VALUES = {name: source.value for name, text in TEXTS.items() if (source := parse(text, name)[0])}

_WORDS = (
    "null true yes 0 -1 1e999 1.50 [] {} '' \"\" ~ ? : - | > & * &a *a <<: !!str !!int # @ ` % , [ ] { } ' \" "
    "${env: ${env:X} ${file:/} {id} {value} {record} .. a..b a[0] [0] /x http://x https://[ 5m 5 id email source "
    "target convert style paging page lookup leads companies mappings:tags ignore const new old value \\ \t \u2028 "
    "\ufeff \u00e9 \U0001f600 --- ... sk_live_4eC39HqLyjWDarjtT1zdp7dc 99999999999999999999999999"
)
WORDS = st.sampled_from(_WORDS.split(" "))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**20),
    st.sampled_from([0.5, 1e300, -0.0]),
    st.text(max_size=8),
    WORDS,
    st.just("x" * 600),
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | WORDS, inner, max_size=3))


@st.composite
def spoiled_text(draw: st.DrawFn) -> tuple[str, str]:
    """Return a file's name and its text after some slips of the fingers."""
    name = draw(st.sampled_from(FILES))
    text = TEXTS[name]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        to = min(len(text), at + draw(st.sampled_from([0, 0, 1, 3, 20])))
        text = text[:at] + draw(st.one_of(WORDS, st.sampled_from(["\n", "\n  ", " ", ""]), st.text(max_size=3))) + text[to:]
    return name, text


@st.composite
def spoiled_value(draw: st.DrawFn) -> tuple[str, Any]:
    """Return a file's name and its value, with something in it replaced, added, taken away or renamed."""
    name = draw(st.sampled_from(FILES))
    value = json.loads(encode_json(VALUES[name]))
    for _ in range(draw(st.integers(1, 3))):
        value = _spoil(draw, value)
    return name, value


def _spoil(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value)))
        way = draw(st.integers(0, 9))
        if way == 0:
            return {k: v for k, v in value.items() if k != key}
        if way == 1:
            return {**value, draw(WORDS | st.text(max_size=5)): draw(JSON)}
        if way == 2:
            return {(draw(WORDS) if k == key else k): v for k, v in value.items()}
        return {**value, key: _spoil(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _spoil(draw, value[at]), *value[at + 1 :]]
    return draw(JSON)


def write(folder: Path, name: str, text: str) -> None:
    """Write the valid project with one file replaced."""
    for path in VALID.rglob("*.*"):
        if "__pycache__" not in path.parts:
            there = folder / path.relative_to(VALID)
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(path.read_bytes())
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
