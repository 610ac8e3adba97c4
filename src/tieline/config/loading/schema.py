"""JSON Schemas (2020-12) for the four kinds of files, and reference pages: both from the declarations and their docstrings.

An editor that is told of a schema completes and explains keys while one writes:

    # yaml-language-server: $schema=https://.../connector.schema.json

A schema knows the outline; whether names, addresses and rules make sense is for `tieline check`.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from tieline.config.loading.shape import Group, Leaf, Many, Member, OneOf, Shape, Table
from tieline.config.models.base import SHARE_PATTERN, SIZE_PATTERN, Declared, Name
from tieline.config.models.connections import Connection
from tieline.config.models.connectors import Connector
from tieline.config.models.integrations import Integration
from tieline.config.models.project import ProjectFile
from tieline.config.suggestions import listed

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_KINDS: Final[dict[str, tuple[Any, type[BaseModel], str]]] = {
    "tieline": (ProjectFile, ProjectFile, "tieline.yaml"),
    "connector": (Connector, Connector, "connectors/NAME.yaml"),
    "connections": (dict[Name, Connection], Connection, "connections.yaml"),
    "integration": (Integration, Integration, "integrations/NAME.yaml"),
}
_INTRODUCTIONS: Final = {
    "tieline": "A folder with this file is a project.",
    "connector": "A vendor's API as data: no secret, no customer, no code.",
    "connections": "Your accounts, each under a name of your choice. Credentials are references: `${env:NAME}`, `${file:PATH}`.",
    "integration": "What must move from one resource to another. The file's name is the integration's.",
}


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each kind of file: `tieline`, `connector`, `connections`, `integration`."""
    result = {}
    for kind, (declared, _, file) in _KINDS.items():
        schema = _published(TypeAdapter(declared).json_schema(by_alias=True))
        if kind == "connections":
            schema["type"] = ["object", "null"]  # there may be none yet
        rest = {key: value for key, value in schema.items() if key not in ("title", "description")}
        result[kind] = {"$schema": _DIALECT, "title": file, "description": _INTRODUCTIONS[kind], **rest}
    return result


def reference_pages() -> dict[str, str]:
    """Return a Markdown page for each kind of file: every key with its type, default and meaning."""
    return {kind: _page(kind, model, file) for kind, (_, model, file) in _KINDS.items()}


def write_reference(folder: Path) -> None:
    """Write the pages into a folder, and the schemas into `schemas/` below it."""
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for kind, page in reference_pages().items():
        (folder / f"{kind}.md").write_text(page, encoding="utf-8")
    for kind, schema in schemas().items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        (folder / "schemas" / f"{kind}.schema.json").write_text(text, encoding="utf-8")


def duration_text(seconds: float) -> str:
    """Return seconds as they are written in files: `90d`, `5m`, `500ms`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return "0s" if not seconds else f"{seconds * 1000:g}ms"


def size_text(size: int) -> str:
    """Return bytes as they are written in files: `500MiB`, `16KiB`."""
    for unit, unit_size in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= unit_size and size % unit_size == 0:
            return f"{size // unit_size}{unit}"
    return f"{size / 2**10:g}KiB"


def share_text(share: float) -> str:
    """Return a fraction as it is written in files: `1%`."""
    return f"{share * 100:g}%"


# -- schemas


def _published(schema: dict[str, Any]) -> dict[str, Any]:
    """Return pydantic's schema as editors want it: no generated titles, no null defaults, durations as they are written."""
    for group in (schema, *schema.get("$defs", {}).values()):
        for name, member in group.get("properties", {}).items():
            group["properties"][name] = _member(member)
        _close(group)
    return schema


def _member(schema: dict[str, Any]) -> dict[str, Any]:
    schema = {key: value for key, value in schema.items() if key != "title"}
    default = schema.get("default")
    if default is None or isinstance(default, dict):
        schema.pop("default", None)
    elif not isinstance(default, str | bool) and (patterns := [option["pattern"] for option in _options(schema) if "pattern" in option]):
        schema["default"] = {SIZE_PATTERN: size_text, SHARE_PATTERN: share_text}.get(patterns[0], duration_text)(default)
    for option in _options(schema):
        _close(option)
    return schema


def _options(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for key in ("anyOf", "oneOf"):
        for option in schema.get(key, ()):
            yield from _options(option)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _options(schema[key])


def _close(schema: dict[str, Any]) -> None:
    if schema.pop("discriminator", None) is None and "oneOf" in schema:  # OpenAPI's word, unknown to JSON Schema
        schema["anyOf"] = schema.pop("oneOf")  # what a function tells apart may look alike to a schema
    if "patternProperties" in schema:
        schema["additionalProperties"] = False


# -- pages


def _page(kind: str, model: type[BaseModel], file: str) -> str:
    groups = list(_groups(model))
    lines = [f"# `{file}`", "", _INTRODUCTIONS[kind], "", "<!-- Written by tieline.config.loading.schema; edit the declarations. -->", ""]
    lines += _table(Group(model))
    for group in groups:
        lines += ["", f"## {_title(group.model)}", "", _doc(group.model), "", *_table(group)]
    return "\n".join(lines) + "\n"


def _groups(model: type[BaseModel]) -> Iterator[Group]:
    """Yield the models that stand below one, each once, in the order in which a reader meets them."""
    seen = {model}
    waiting: list[Shape] = [member.shape for member in Group(model).members.values()]
    while waiting:
        shape = waiting.pop(0)
        match shape:
            case Group() if shape.model not in seen:
                seen.add(shape.model)
                yield shape
                waiting = [member.shape for member in shape.members.values()] + waiting
            case OneOf():
                waiting = [*shape.shapes, *waiting]
            case Many():
                waiting.insert(0, shape.item)
            case Table():
                waiting.insert(0, shape.value)


def _table(group: Group) -> list[str]:
    if not group.members:
        return ["Nothing more to say: `{}`."]
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key, member in group.members.items():
        meaning = member.meaning or (_doc(member.shape.model) if isinstance(member.shape, Group) else "")
        cells = (f"`{key}`", _type(member.shape), _default(group.model, key, member), " ".join(meaning.split()))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _type(shape: Shape) -> str:
    match shape:
        case Leaf("choice"):
            return ", ".join(f"`{choice}`" for choice in shape.choices)
        case Leaf():
            return _TYPES[shape.kind]
        case Many():
            return f"list of {_type(shape.item)}"
        case Table():
            return f"map of {_type(shape.value)}"
        case Group():
            title = _title(shape.model)
            return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"
        case OneOf():
            return listed([_type(option) for option in shape.shapes])


def _default(model: type[BaseModel], key: str, member: Member) -> str:
    if issubclass(model, Declared) and key in model.takes_over:
        return "the resource's"
    if member.required:
        return "**required**"
    value = member.default
    if value is None or value == "" or isinstance(value, BaseModel) or value == () or value == {}:
        return ""
    if isinstance(member.shape, Leaf) and member.shape.kind in _WRITTEN:
        return f"`{_WRITTEN[member.shape.kind](value)}`"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def _title(model: type[BaseModel]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model.__name__).capitalize()


def _doc(model: type[BaseModel]) -> str:
    return " ".join((inspect.getdoc(model) or "").split())


_WRITTEN: Final[dict[str, Callable[[Any], str]]] = {"duration": duration_text, "size": size_text, "share": share_text}
_TYPES: Final = {
    "text": "text",
    "bool": "`true`, `false`",
    "integer": "whole number",
    "number": "number",
    "duration": "duration",
    "size": "size",
    "share": "share",
    "date": "date",
    "any": "anything",
    "address": "address",
}
