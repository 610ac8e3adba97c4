"""What someone wrote, checked against a declared model; what is wrong with it, in words that help.

pydantic finds the mistakes; here they get a file, a line, the key as written, what was expected, what was found, and the nearest word
that would have been right. It also finds what pydantic forgives: `"100"` for a number, `1` for true. A file must not be
read by us in one way and by an editor's JSON Schema in another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tieline.config.loading.shape import Group, Leaf, Many, OneOf, Shape, Table
from tieline.config.loading.yaml_source import Key, Source
from tieline.config.models.base import parse_duration
from tieline.config.suggestions import NAME_WORDS, found, listed, meant, nearest
from tieline.model.errors import Complaint

M = TypeVar("M", bound=BaseModel)

_PATTERNS: Final = {
    r"^[a-z][a-z0-9_-]{0,63}$": NAME_WORDS,
    r"^[a-z][a-z0-9_-]*\.[a-z][a-z0-9_-]*$": "`CONNECTION.RESOURCE`, such as `crm.leads`",
    r"^\d{1,2}(\.\d+)?\s*%$": "a number, or a share such as 10%",
}
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_CENTURY: Final = 100 * 366 * 86400.0


def read_as(
    model: type[M], source: Source, keys: tuple[Key, ...], value: Any, mask: Callable[[str], str]
) -> tuple[M | None, list[Complaint]]:
    """Return the value as a model, or None, and what is wrong with it. `keys` is where it stands, `mask` hides secrets."""
    reader = _Reader(source, keys, Group(model), value, mask)
    result = None
    try:
        result = model.model_validate(value)
    except ValidationError as error:
        for details in error.errors(include_url=False, include_context=True):
            reader.explain(details)
    reader.compare()
    return (None if reader.complaints else result), reader.complaints


class _Reader:
    """Explains one value. A key gets one complaint: the first that says something about it."""

    def __init__(self, source: Source, keys: tuple[Key, ...], shape: Shape, value: Any, mask: Callable[[str], str]) -> None:
        self._source, self._keys, self._shape, self._value, self._mask = source, keys, shape, value, mask
        self._seen: set[tuple[Key, ...]] = set()
        self.complaints: list[Complaint] = []

    def _complain(self, keys: tuple[Key, ...], message: str, hint: str = "") -> None:
        if keys not in self._seen:
            self._seen.add(keys)
            self.complaints.append(self._source.complaint((*self._keys, *keys), message, hint))

    def _unexpected(self, keys: tuple[Key, ...], expected: str, value: Any, hint: str = "") -> None:
        if self._mask(str(value)) != str(value):
            hint = ""  # it would repeat the secret
        self._complain(keys, f"expected {expected}, found {found(value, self._mask)}", hint)

    # -- what pydantic found

    def explain(self, error: ErrorDetails) -> None:
        walked = self._walk(error["loc"])
        if walked is None:
            return
        keys, shape, value = walked
        kind, context = error["type"], error.get("ctx", {})
        if kind == "missing":
            self._missing(keys, shape)
        elif error["loc"][-1:] == ("[key]",):
            self._complain(keys, f"expected {NAME_WORDS}", _as_name(str(keys[-1])))
        elif kind.startswith("union_tag"):
            assert isinstance(shape, OneOf)
            assert shape.by is not None
            self._tag(keys, shape, shape.by, value)
        elif kind == "string_pattern_mismatch":
            pattern = context["pattern"]
            self._unexpected(keys, _PATTERNS.get(pattern, f"text like {pattern}"), value)
        elif kind in _BOUNDS:
            words, name = _BOUNDS[kind]
            self._unexpected(keys, f"a number {words} {context[name]}", value)
        elif kind == "string_too_long":
            self._complain(keys, f"is longer than {context['max_length']} characters")
        elif kind == "value_error":
            self._complain(keys, f"{error['msg'].removeprefix('Value error, ')}, found {found(value, self._mask)}")
        elif shape is not None:
            self._unexpected(keys, shape.words(), value, _mend(shape, value))
        else:
            self._complain(keys, error["msg"])

    def _walk(self, loc: tuple[Key, ...]) -> tuple[tuple[Key, ...], Shape | None, Any] | None:
        """Follow pydantic's address, which names the chosen members of unions as well. None for a member that was not meant."""
        keys: tuple[Key, ...] = ()
        shape: Shape | None = self._shape
        value = self._value
        left = list(loc)
        while left:
            item = left.pop(0)
            if item == "[key]" and not left:
                break
            if isinstance(shape, OneOf):
                chosen = shape.shapes[shape.tags.index(str(item))] if str(item) in shape.tags else shape.choose(value)
                if chosen is None or (not left and not _fits_outline(chosen, value)):
                    return keys, shape, value  # like none of them: say what all of them are
                if not _is_tag_of(chosen, item, shape):
                    return None
                shape = chosen
                continue
            if isinstance(shape, Group):
                key = str(item)
                if key not in shape.members:
                    self._unknown((*keys, key))
                    return None
                shape = shape.members[key].shape
                value = value.get(key) if isinstance(value, dict) else None
                keys += (key,)
            elif isinstance(shape, Table):
                shape = shape.value
                value = value.get(item) if isinstance(value, dict) else None
                keys += (str(item),)
            elif isinstance(shape, Many):
                shape = shape.item
                value = value[int(item)] if isinstance(value, list) else None
                keys += (int(item),)
        return keys, shape, value

    def _group(self, keys: tuple[Key, ...]) -> Group:
        """Return the model in which a key stands."""
        shape: Shape = self._shape
        value = self._value
        for key in keys:
            shape = _below(shape, key)
            value = value[key]
            if isinstance(shape, OneOf):
                shape = shape.choose(value) or shape
        assert isinstance(shape, Group)
        return shape

    def _missing(self, keys: tuple[Key, ...], shape: Shape | None) -> None:
        member = self._group(keys[:-1]).members[str(keys[-1])]
        self._complain(keys, "is missing", _sentence(member.meaning) if member.meaning else shape.words() if shape else "")

    def _unknown(self, keys: tuple[Key, ...]) -> None:
        group, key = self._group(keys[:-1]), str(keys[-1])
        alias = field.alias if (field := group.model.model_fields.get(key)) else None  # our name for it, in code
        self._complain(keys, "unknown key", f"did you mean `{alias}`?" if alias else nearest(key, group.members))

    def _tag(self, keys: tuple[Key, ...], shape: OneOf, by: str, value: Any) -> None:
        words = listed([f"`{tag}`" for tag in shape.tags])
        if not isinstance(value, dict):
            self._unexpected(keys, f"a map with `{by}`", value)
        elif by not in value:
            self._complain((*keys, by), "is missing", f"one of {words}")
            self._seen.add(keys)
        else:
            tag = value[by]
            self._unexpected((*keys, by), words, tag, nearest(tag, shape.tags) if isinstance(tag, str) else "")
            self._seen.add(keys)

    # -- what pydantic forgives

    def compare(self) -> None:
        """Complain of what pydantic converts and a JSON Schema refuses."""
        for keys, shape, value in _differences(self._shape, self._value, ()):
            if not any(keys[:length] in self._seen for length in range(len(keys) + 1)):
                if shape is None:
                    self._unknown(keys)
                elif isinstance(shape, Leaf) and shape.kind == "address" and shape.fits(value):
                    self._complain(keys, _wrong_address(value) or "")
                elif isinstance(shape, Leaf) and shape.fits(value) and shape.kind != "date":
                    self._complain(keys, f"is too large: {found(value)}")
                else:
                    self._unexpected(keys, shape.words(), value, _mend(shape, value))


def _differences(shape: Shape, value: Any, keys: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], Shape | None, Any]]:
    """Yield what is not written as the shape wants it; None for a key that is not one."""
    if isinstance(shape, OneOf):
        chosen = shape.choose(value)
        if chosen is None:
            yield keys, shape, value
            return
        shape = chosen
    if isinstance(shape, Group) and isinstance(value, dict):
        for key, item in value.items():
            member = shape.members.get(key)
            if member is None:
                yield (*keys, key), None, item
            elif item is not None or not member.nullable:
                yield from _differences(member.shape, item, (*keys, key))
    elif isinstance(shape, Table) and isinstance(value, dict):
        if shape.value != Leaf("any"):
            for key, item in value.items():
                yield from _differences(shape.value, item, (*keys, key))
    elif isinstance(shape, Many) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _differences(shape.item, item, (*keys, index))
    elif isinstance(shape, Leaf) and not _is_exact(shape, value):
        yield keys, shape, value


def _is_exact(leaf: Leaf, value: Any) -> bool:
    if not leaf.fits(value):
        return False
    match leaf.kind:
        case "date":
            return _DATE.fullmatch(value) is not None
        case "address":
            return _wrong_address(value) is None
        case "number":
            return math.isfinite(float(value))
        case "duration":
            try:
                return parse_duration(value) <= _CENTURY
            except ValueError:
                return True  # pydantic said so already
    return True


def _wrong_address(text: str) -> str | None:
    from tieline.model.paths import parse_path

    try:
        parse_path(text)
    except ValueError as error:
        return str(error)
    return None


def _below(shape: Shape, key: Key) -> Shape:
    match shape:
        case Group():
            return shape.members[str(key)].shape
        case Table():
            return shape.value
        case Many():
            return shape.item
    raise AssertionError(shape)


def _fits_outline(shape: Shape, value: Any) -> bool:
    match shape:
        case Group() | Table():
            return isinstance(value, dict)
        case Many():
            return isinstance(value, list)
        case Leaf():
            return shape.fits(value)
    return True


def _is_tag_of(shape: Shape, item: Key, choice: OneOf) -> bool:
    """Say whether pydantic's name for a member of a union means this shape."""
    label = str(item)
    if label in choice.tags:
        return True
    if label.startswith(("tuple[", "list[")):
        return isinstance(shape, Many)
    if isinstance(shape, Group):
        return label == shape.model.__name__
    if isinstance(shape, Leaf):
        return {"choice": label.startswith("literal["), "integer": label == "int"}.get(shape.kind, label.endswith("str"))
    return label.startswith("dict[")


def _mend(shape: Shape, value: Any) -> str:
    """Return how to write what was probably meant."""
    if isinstance(shape, OneOf) and isinstance(value, str):
        choices = [choice for option in shape.shapes if isinstance(option, Leaf) for choice in option.choices]
        return meant(value, choices)
    if not isinstance(shape, Leaf):
        return ""
    if value is None and "null" in shape.choices:
        return 'put it in quotes: "null"'
    if shape.kind == "choice" and isinstance(value, str):
        return meant(value, shape.choices)
    if shape.kind in ("text", "address") and value is not None and not isinstance(value, dict | list):
        shown = str(value).lower() if isinstance(value, bool) else value
        return f'put it in quotes: "{shown}"'
    if shape.kind == "bool" and isinstance(value, str) and value.lower() in _YES | _NO:
        return "write `true`" if value.lower() in _YES else "write `false`"
    if shape.kind in ("integer", "number") and isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return "write it without quotes" if not value.lstrip("-").startswith("0") else "write it without leading zeros"
    return ""


def _as_name(text: str) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:64]
    return f"`{name}` would do" if name and name[0].isalpha() else ""


def _sentence(meaning: str) -> str:
    first = meaning.split(". ")[0].rstrip(".")
    return first[:1].lower() + first[1:]


_YES: Final = {"yes", "on", "true", "y"}
_NO: Final = {"no", "off", "false", "n"}
_BOUNDS: Final = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("of at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("of at most", "le"),
}
