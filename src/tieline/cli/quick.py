"""Takes the plain values of a command line as they are, without importing what `typer` checks them with: that takes as long as a look.

What is not plain, or not allowed, is left to `typer`, which says what is wrong with it. With a `typer` that is made otherwise inside, all is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

_NO: Final = object()


class _Quick:
    """What turns the text of one parameter into its value, in place of `typer`'s own."""

    def __init__(self, parameter: Any) -> None:
        self._descriptor = parameter.type_descriptor

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value; of a parameter that was not given, `None`, or `()` where it may come several times."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        found = self._plain(self._descriptor.annotation, value)
        if found is not _NO:
            return found
        from typer._coercion import build_runtime_param  # imports what checks

        return build_runtime_param(self._descriptor).coerce(value, param=param, ctx=ctx)

    def _plain(self, kind: Any, value: Any) -> Any:
        info, origin, inside = self._descriptor.parameter_info, get_origin(kind), get_args(kind)
        if info.parser is not None or info.exists or info.resolve_path:
            return _NO
        if origin in (list, tuple) and isinstance(value, (list, tuple)):
            kinds = inside * len(value) if origin is list else inside
            found = [self._plain(each, one) for each, one in zip(kinds, value, strict=False)]
            return _NO if _NO in found or len(found) != len(value) else origin(found)
        if origin is Literal:
            return value if value in inside else _NO
        if kind in (str, Path):
            return value if isinstance(value, kind) else kind(value) if isinstance(value, str) else _NO
        if kind is int and (
            isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19)
        ):
            number = int(value)
            return number if (info.min is None or number >= info.min) and (info.max is None or number <= info.max) else _NO
        return _NO


def take_plainly(command: Any, within: Any = None) -> None:
    """Have the values of a command, and of those below it, taken quickly; `within` is the context of the one above it."""
    context = command.context_class(command, info_name=command.name, parent=within, **command.context_settings)
    for parameter in command.get_params(context):
        if getattr(parameter, "type_descriptor", None) is not None and hasattr(parameter, "_runtime_param"):
            parameter._runtime_param = _Quick(parameter)
    for below in getattr(command, "commands", {}).values():
        take_plainly(below, context)
