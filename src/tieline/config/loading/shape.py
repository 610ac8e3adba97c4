"""What a declared model takes, as a tree that can be walked beside what someone wrote.

Read from the models once, so that there is one description of each key: `config.loading.complaints` words complaints with it,
`config.loading.schema` writes the reference pages.
"""

from __future__ import annotations

import datetime as dt
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Tag

from tieline.config.docstrings import meaning_of
from tieline.config.models.base import Path, parse_duration, parse_share, parse_size
from tieline.config.suggestions import listed


@dataclass(frozen=True)
class Leaf:
    """A single value."""

    kind: Literal["text", "address", "bool", "integer", "number", "duration", "size", "share", "date", "any", "choice"]
    choices: tuple[Any, ...] = ()

    def words(self) -> str:
        """Say what is expected."""
        if self.kind == "choice":
            return listed([f"`{choice}`" for choice in self.choices])
        return _LEAF_WORDS[self.kind]

    def fits(self, value: Any) -> bool:
        """Say whether the value is of this type as written, without any conversion."""
        match self.kind:
            case "any":
                return True
            case "choice":
                return isinstance(value, str) and value in self.choices
            case "text" | "address" | "duration" | "size" | "share" | "date":
                return isinstance(value, str)
            case "bool":
                return isinstance(value, bool)
            case "integer":
                return not isinstance(value, bool | str) and value == int(value) if _is_number(value) else False
            case "number":
                return _is_number(value)


@dataclass(frozen=True)
class Many:
    """A list."""

    item: Shape

    def words(self) -> str:
        """Say what is expected."""
        return "a list"


@dataclass(frozen=True)
class Table:
    """A map whose keys the user chooses."""

    value: Shape

    def words(self) -> str:
        """Say what is expected."""
        return "a map"


@dataclass(frozen=True)
class Group:
    """A map whose keys are known: one of the declared models. Its members are read when asked for."""

    model: type[BaseModel]

    def words(self) -> str:
        """Say what is expected."""
        needed = [f"`{key}`" for key, member in self.members.items() if member.required]
        return "a map with " + listed(needed, "and") if needed else "a map"

    @property
    def members(self) -> Mapping[str, Member]:
        """Return what may stand in it, by the key that is written in files."""
        return _members(self.model)


@dataclass(frozen=True)
class OneOf:
    """One of several shapes; `tags` are pydantic's names for them, `by` the key, `tell` the function that tells which it is."""

    shapes: tuple[Shape, ...]
    tags: tuple[str, ...] = ()
    by: str | None = None
    tell: Callable[[Any], str] | None = None

    def words(self) -> str:
        """Say what is expected."""
        if self.by:
            return f"a map with `{self.by}`"
        choices = [f"`{choice}`" for shape in self.shapes if isinstance(shape, Leaf) for choice in shape.choices]
        return listed([*choices, *(shape.words() for shape in self.shapes if not getattr(shape, "choices", ()))])

    def choose(self, value: Any) -> Shape | None:
        """Return the shape that the value is meant for, judged by its outline; None when it is like none of them."""
        if self.by:
            tag = value.get(self.by) if isinstance(value, dict) else None
            return next((shape for shape, known in zip(self.shapes, self.tags, strict=True) if known == tag), None)
        if self.tell is not None and isinstance(value, dict):
            return self.shapes[self.tags.index(self.tell(value))]
        outline = Group | Table if isinstance(value, dict) else Many if isinstance(value, list) else None
        if outline is not None:
            return next((shape for shape in self.shapes if isinstance(shape, outline)), None)
        return next((shape for shape in self.shapes if isinstance(shape, Leaf) and shape.fits(value)), None)


Shape: TypeAlias = Leaf | Many | Table | Group | OneOf


@dataclass(frozen=True)
class Member:
    """One key of a group."""

    shape: Shape
    nullable: bool
    required: bool
    default: Any
    model: type[BaseModel]
    name: str
    """The model that it belongs to, and its name in code."""

    @property
    def meaning(self) -> str:
        """Return what it means, in its docstring's words."""
        return meaning_of(self.model, self.name)


_LEAF_WORDS = {
    "text": "text",
    "address": "text",
    "bool": "`true` or `false`",
    "integer": "a whole number",
    "number": "a number",
    "duration": "a duration such as `30s`, `5m`, `2h` or `7d`",
    "size": "a size such as `16KiB`, `500MiB` or `2GiB`",
    "share": "a share such as `1%`",
    "date": "a date such as `2026-01-31`",
    "any": "anything",
}


_PARSED: dict[Any, Literal["duration", "size", "share"]] = {parse_duration: "duration", parse_size: "size", parse_share: "share"}


@cache
def _members(model: type[BaseModel]) -> dict[str, Member]:
    members = {}
    if not model.__pydantic_fields_complete__:  # it names a type that is declared below it
        model.model_rebuild()
    for name, field in model.model_fields.items():
        shape, nullable = _shape(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(shape, OneOf) and isinstance(field.discriminator, str):
            shape = _by_key(shape, field.discriminator)
        members[field.alias or name] = Member(shape, nullable, field.is_required(), default, model, name)
    return members


def shape_of(annotation: Any) -> Shape:
    """Return the shape of a type: a declared model, or a dict of them."""
    return _shape(annotation)[0]


def _shape(annotation: Any) -> tuple[Shape, bool]:
    """Return the shape of a type, and whether null may stand for it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        if annotation == Path:
            return Leaf("address"), False
        for note in metadata:
            if isinstance(note, BeforeValidator) and note.func in _PARSED:
                return Leaf(_PARSED[note.func]), False
        shape, nullable = _shape(inner)
        for note in metadata:
            by = getattr(note, "discriminator", None)
            if isinstance(shape, OneOf) and by is not None:
                shape = _by_key(shape, by) if isinstance(by, str) else replace(shape, tell=by)
        return shape, nullable
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not types.NoneType]
        nullable = len(options) < len(get_args(annotation))
        if len(options) == 1:
            return _shape(options[0])[0], nullable
        return OneOf(tuple(_shape(option)[0] for option in options), tuple(map(_tag, options))), nullable
    if origin is Literal:
        return Leaf("choice", get_args(annotation)), False
    if origin in (tuple, list):
        return Many(_shape(get_args(annotation)[0])[0]), False
    if origin is dict:
        return Table(_shape(get_args(annotation)[1])[0]), False
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Group(annotation), False
    leaves: dict[Any, Leaf] = {
        str: Leaf("text"),
        bool: Leaf("bool"),
        int: Leaf("integer"),
        float: Leaf("number"),
        dt.date: Leaf("date"),
        Any: Leaf("any"),
    }
    return leaves[annotation], annotation is Any


def _tag(option: Any) -> str:
    return next((note.tag for note in get_args(option)[1:] if isinstance(note, Tag)), "") if get_origin(option) is Annotated else ""


def _by_key(shape: OneOf, key: str) -> OneOf:
    """Return the choice with the values of the key that tell its shapes apart."""
    tags = []
    for option in shape.shapes:
        assert isinstance(option, Group)
        leaf = option.members[key].shape
        assert isinstance(leaf, Leaf)
        tags.append(str(leaf.choices[0]))
    return OneOf(shape.shapes, tuple(tags), key)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str) and hasattr(value, "as_integer_ratio")
