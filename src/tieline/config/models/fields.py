"""The fields that a resource declares, asked by address: is there such a field, and which is it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from tieline.config.models.connectors import Field, Resource
from tieline.config.models.integrations import Rule
from tieline.config.suggestions import nearest

Parts: TypeAlias = tuple[Any, ...]

_OPEN: Final = ("object", "array", "any")


def parse(address: str) -> Parts:
    """Return the parts of an address. Raises `ValueError`."""
    from tieline.model.paths import parse_path

    return parse_path(address)


class Fields:
    """A resource's fields. What lies inside a field of an open type is known as far as the field is.

    An address that can't be parsed is no field's; who wrote it is told by `problem`, or by the judge of that file.
    """

    def __init__(self, resource: Resource) -> None:
        self._addresses = list(resource.fields)
        self._by_parts: dict[Parts, tuple[str, Field]] = {}
        for address, field in (*resource.fields.items(), (resource.id, Field())):
            if (parts := _alike(address)) is not None:
                self._by_parts.setdefault(parse(address), (address, field))
                self._by_parts.setdefault(parts, (address, field))
        self._undeclared = not resource.fields

    def problem(self, address: str) -> tuple[str, str] | None:
        """Return what is wrong with an address, and a hint; None when the resource has such a field, or some in or around it."""
        try:
            parse(address)
        except ValueError as error:
            return str(error), ""
        parts = _alike(address) or ()
        around = any(known[: len(parts)] == parts for known in self._by_parts)
        if self._undeclared or around or self.at(address) is not None:
            return None
        return f"there is no field `{address}`", nearest(address, self._addresses)

    def at(self, address: str) -> tuple[str, Field] | None:
        """Return the declared field that holds an address: itself, or the open one that it lies in."""
        parts = _alike(address) or ()
        exact = parse(address) if parts else ()
        for length in range(len(parts), 0, -1):
            known = self._by_parts.get(exact[:length]) or self._by_parts.get(parts[:length])
            if known is not None and (length == len(parts) or known[1].type in _OPEN):
                return known
        return None

    def declared(self, address: str) -> Field | None:
        """Return the field that is declared under this very address."""
        known = self._by_parts.get(parse(address))
        return known[1] if known is not None else None


def with_declared_zones(rules: Mapping[str, str | Rule], resource: Resource) -> dict[str, str | Rule]:
    """Return the rules, those that make a time of one source field with that field's declared zone where they name none."""
    fields = Fields(resource)
    completed: dict[str, str | Rule] = {}
    for target, rule in rules.items():
        completed[target] = rule
        if isinstance(rule, Rule) and rule.convert in ("date", "datetime") and rule.zone is None and isinstance(rule.source, str):
            known = fields.at(rule.source)
            if known is not None and known[1].zone is not None:
                completed[target] = rule.model_copy(update={"zone": known[1].zone})
    return completed


def covers(written: Iterable[str], address: str) -> bool:
    """Say whether one of the written addresses gives a field a value: as a whole, in part, or around it."""
    parts = _alike(address)
    if parts is None:
        return True
    return any((other := _alike(one)) and other[: len(parts)] == parts[: len(other)] for one in written)


def _alike(address: str) -> Parts | None:
    """Return an address with its indices and entries made the same, because a list's entries have the same fields; None for no address."""
    try:
        return tuple(part if isinstance(part, str) else 0 for part in parse(address))
    except ValueError:
        return None
