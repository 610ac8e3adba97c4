"""What a resource says once, `path`, `records`, `record` and `wrap`, becomes its operations.

    path: /contacts          list    GET    /contacts         records at `records`
    records: data            get     GET    /contacts/{id}    the record at `record`
    record: data             create  POST   /contacts         the record sent under `wrap`, the answer's at `record`
    wrap: contact            update  PATCH  /contacts/{id}    likewise
                             delete  DELETE /contacts/{id}

What an operation says itself wins; `false`, or `operations` without it, takes it away. `find` takes path and records over as well.
It is done to what was written, before it is judged: whoever reads a connector sees operations, wherever their words stood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

Operation = Literal["list", "get", "create", "update", "delete"]
OPERATIONS: Final[tuple[Operation, ...]] = ("list", "get", "create", "update", "delete")
"""What `path` gives a resource."""
_SHARED: Final[Mapping[str, Mapping[str, str]]] = {
    "list": {"records": "records"},
    "get": {"record": "record"},
    "create": {"record": "record", "wrap": "wrap"},
    "update": {"record": "record", "wrap": "wrap"},
    "delete": {},
    "find": {"records": "records"},
}
"""What each takes over from the resource beside the path: its own key, and the resource's."""
_METHODS: Final = {"update": "PATCH", "delete": "DELETE"}
"""Methods that are not the operation's own default."""


def expand(written: Any) -> Any:
    """Return a resource as it was written with its operations in full. What is no resource is returned as it is."""
    if not isinstance(written, dict):
        return written
    return expand_noting(written, lambda keys, key, of: None)


def expand_noting(written: Mapping[str, Any], note: Callable[[tuple[str, ...], str, str], None]) -> dict[str, Any]:
    """Return the resource in full; `note` hears of each key that is derived, and of the key that it comes from."""
    path, wanted = written.get("path"), written.get("operations", OPERATIONS)
    resource = {key: value for key, value in written.items() if not (value is False and key in OPERATIONS)}
    for operation in OPERATIONS:
        if operation not in written and (not isinstance(path, str) or not isinstance(wanted, list | tuple) or operation not in wanted):
            continue
        if isinstance(said := resource.get(operation, {} if operation not in written else None), dict):
            resource[operation] = _derived(written, operation, (operation,), said, note)
    if isinstance(finds := written.get("find"), dict):
        resource["find"] = {
            field: _derived(written, "find", ("find", field), said, note) if isinstance(said, dict) else said
            for field, said in finds.items()
        }
    return resource


def _derived(
    written: Mapping[str, Any],
    operation: str,
    keys: tuple[str, ...],
    said: dict[str, Any],
    note: Callable[[tuple[str, ...], str, str], None],
) -> dict[str, Any]:
    full = dict(said)
    if "path" not in said and isinstance(path := written.get("path"), str):
        full["path"] = of_one(path) if operation in ("get", "update", "delete") else path
        note(keys, "path", "path")
    if operation in _METHODS:
        full.setdefault("method", _METHODS[operation])
    for key, of in _SHARED[operation].items():
        if key not in said and isinstance(written.get(of), str):
            full[key] = written[of]
            note(keys, key, of)
    return full


def of_one(path: str) -> str:
    """Return the path of one record below a collection's: `/posts/` gives `/posts/{id}/`."""
    path, mark, query = path.partition("?")
    return (f"{path}{{id}}/" if path.endswith("/") else f"{path}/{{id}}") + mark + query
