"""What each declared key means: the docstring below it.

Reading the source takes longer than reading a project, so it is done when someone asks: for a JSON Schema, a reference page, a complaint.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache


def meaning_of(model: type, name: str) -> str:
    """Return the docstring of an attribute, empty when it has none; an inherited attribute has that of the class that declares it."""
    for owner in model.__mro__:
        if name in inspect.get_annotations(owner):
            return _docstrings(owner.__module__).get((owner.__qualname__, name), "")
    return ""


@cache
def _docstrings(module: str) -> dict[tuple[str, str], str]:
    """Return {(class, attribute): docstring} of a module; of its outermost classes, for there are no others that declare keys."""
    found = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.ClassDef):
            for before, after in zip(node.body, node.body[1:], strict=False):
                match before, after:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found[node.name, name] = inspect.cleandoc(text)
    return found
