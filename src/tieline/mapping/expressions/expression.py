"""Expressions over a record: a safe subset of Python, translated into the function that the mapping is compiled into.

    'hot' if score > 0.8 else 'warm'
    lower(emails[0].value)          new.total - old.total > 100          record["odd key"]

Names are addresses. What is allowed is listed in `translator`, node by node; everything else is refused when the
mapping is compiled. There is no attribute of a Python object, no import, no comprehension, no lambda and no name that
is not a field, so there is nothing to climb out by. Constants with a point are decimals, and arithmetic keeps every
digit.

`x is None` asks whether x is null or absent; `==` tells the two apart.
"""

from __future__ import annotations

import ast
import warnings
from typing import Final

from tieline.mapping.expressions.source import Source
from tieline.mapping.expressions.translator import Address, Translator
from tieline.model.paths import format_path

_MOST_TEXT: Final = 4_000
_MOST_NODES: Final = 500


class Expression:
    """An expression that has been checked. With `conditions` it is over `new` and `old`, and may ask what changed.

    `value` says whether the rule has a `from`, which `value` then stands for.
    """

    def __init__(self, text: str, *, conditions: bool = False, value: bool = False) -> None:
        self._tree = _parse(text)
        self._text, self._conditions, self._value = text, conditions, value
        self.reads: tuple[Address, ...] = ()
        self.emit(Source())

    def emit(self, source: Source) -> str:
        """Write the statements that read the fields, and return the Python expression for the result.

        The function around it has `record` and `record_get`, and `v` for `value`; for conditions `old_get`, `first`
        (the record was never seen) and `gone` (there is no record any more).
        """
        translator = Translator(source, self._text, self._conditions, self._value)
        code = translator.expression(self._tree, 0)
        self.reads = tuple(translator.variables)
        for (root, parts), variable in translator.variables.items():
            if root == "value":
                source.line(f"{variable} = v")
                source.descend(parts, variable)
            elif root == "old":
                source.line(f"{variable} = old_get({format_path(parts)!a}, ABSENT)")
            else:
                source.read(parts, variable, root="record")
        return code


def _parse(text: str) -> ast.expr:
    if len(text) > _MOST_TEXT:
        raise ValueError(f"an expression has at most {_MOST_TEXT} characters; use `call` for more")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ast.parse(text.strip(), mode="eval").body
        nodes = sum(1 for _ in ast.walk(tree))
    except SyntaxError as error:
        problem = f"{error.msg}, at character {error.offset}" if error.offset else "it ends too early"
        raise ValueError(f"`{text}` is not an expression: {problem}") from None
    except (ValueError, Warning, RecursionError, MemoryError) as error:
        raise ValueError(f"`{text[:200]}` is not an expression: {error}") from None
    if nodes > _MOST_NODES:
        raise ValueError("the expression is too long; use `call` for such a rule")
    return tree
