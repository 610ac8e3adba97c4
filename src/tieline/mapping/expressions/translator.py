"""From the syntax tree of an expression to Python source: what is allowed is listed here, node by node.

Each method returns source that is made of bound names and literals alone; everything that has no method is refused.
"""

from __future__ import annotations

import ast
from typing import Any, Final, TypeAlias

from tieline.mapping.convert.values import nothing, same
from tieline.mapping.expressions import operators
from tieline.mapping.expressions.functions import FUNCTIONS
from tieline.mapping.expressions.operators import LENIENT, lenient
from tieline.mapping.expressions.source import Source, is_decimal_literal
from tieline.model.paths import Parts, parse_path

Address: TypeAlias = tuple[str, Parts]
"""A root (`record`, `old` or `value`) and what is read below it."""

_MOST_DEPTH: Final = 30

_BINARY: Final[dict[type, Any]] = {
    ast.Add: operators.add,
    ast.Sub: operators.subtract,
    ast.Mult: operators.multiply,
    ast.Div: operators.divide,
    ast.FloorDiv: operators.floor_divide,
    ast.Mod: operators.modulo,
}
_ORDER: Final[dict[type, Any]] = {
    ast.Lt: operators.less,
    ast.LtE: operators.at_most,
    ast.Gt: operators.greater,
    ast.GtE: operators.at_least,
}


class Translator:
    """One walk over the tree; `variables` are the fields it came by, which the caller reads beforehand."""

    def __init__(self, source: Source, text: str, conditions: bool, value: bool) -> None:
        self._source, self._text, self._conditions, self._value = source, text.strip(), conditions, value
        self.variables: dict[Address, str] = {}

    def expression(self, node: ast.expr, depth: int) -> str:
        if depth > _MOST_DEPTH:
            raise ValueError("the expression is nested too deeply; use `call` for such a rule")
        address = self._address(node)
        if address is not None:
            return self._variable(address)
        translate = getattr(self, f"_{type(node).__name__}", None)
        if translate is None:
            raise ValueError(f"{self._quote(node)} is not allowed in an expression")
        return str(translate(node, depth + 1))

    # Fields

    def _variable(self, address: Address) -> str:
        if address not in self.variables:
            self.variables[address] = self._source.fresh("x")
        return self.variables[address]

    def _address(self, node: ast.expr) -> Address | None:
        """Return the address that names, dots and constant subscripts make; None for anything else."""
        parts: list[str | int] = []
        at: ast.expr = node
        while True:
            if isinstance(at, ast.Attribute):
                parts.append(_plain_name(at.attr))
                at = at.value
            elif isinstance(at, ast.Subscript) and (key := _constant_key(at.slice)) is not None:
                parts.append(key)
                at = at.value
            else:
                break
        if not isinstance(at, ast.Name):
            return None
        parts.reverse()
        return self._rooted(_plain_name(at.id), tuple(parts), node)

    def _rooted(self, name: str, parts: Parts, node: ast.expr) -> Address:
        if self._conditions:
            if name not in ("new", "old"):
                raise ValueError(f"{self._quote(node)}: write `new.{name}` or `old.{name}`")
            root = "record" if name == "new" else "old"
        elif name == "value":
            if not self._value:
                raise ValueError('`value` needs a `from`; a field of that name is record["value"]')
            return "value", parts
        elif name in ("record", "new"):
            root = "record"
        elif name == "old":
            raise ValueError('a mapping knows no `old`; a field of that name is record["old"]')
        else:
            root, parts = "record", (name, *parts)
        if not parts:
            raise ValueError(f"`{name}` stands for the whole record; name a field of it")
        if isinstance(parts[0], int):
            raise ValueError(f"{self._quote(node)}: a record has keys, not numbers")
        return root, parts

    def _Attribute(self, node: ast.Attribute, depth: int) -> str:  # noqa: N802 - named for its node
        raise ValueError(f"{self._quote(node)}: only a field has parts")

    def _Subscript(self, node: ast.Subscript, depth: int) -> str:  # noqa: N802
        inner = self.expression(node.value, depth)
        if isinstance(node.slice, ast.Slice):
            quoted = self._quote(node)
            bounds = [_bound(bound, quoted) for bound in (node.slice.lower, node.slice.upper, node.slice.step)]
            if bounds[2] == 0:
                raise ValueError(f"{self._quote(node)}: a step of 0 leads nowhere")
            return self._apply(operators.part, [inner, *map(repr, bounds)], [node.value])
        key = _constant_key(node.slice)
        if key is None:
            raise ValueError(f"{self._quote(node)}: an index must be a constant")
        return f"step({inner}, {key!a})"

    # Values

    def _Constant(self, node: ast.Constant, depth: int) -> str:  # noqa: N802
        return self._source.literal(self._constant(node))

    def _constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, float):
            written = ast.get_source_segment(self._text, node) or ""
            number = is_decimal_literal(written)
            if number is not None and abs(number.adjusted()) < 1000:
                return number
        elif node.value is None or isinstance(node.value, (str, bool, int)):
            return node.value
        raise ValueError(f"{self._quote(node)} is not allowed in an expression")

    def _List(self, node: ast.List | ast.Tuple, depth: int) -> str:  # noqa: N802
        if all(isinstance(entry, ast.Constant) for entry in node.elts):
            return "[" + ", ".join(self.expression(entry, depth) for entry in node.elts) + "]"
        return self._call(operators.entries, [self.expression(entry, depth) for entry in node.elts])

    _Tuple = _List

    def _Dict(self, node: ast.Dict, depth: int) -> str:  # noqa: N802
        keys = []
        for key in node.keys:
            if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
                raise ValueError(f"{self._quote(node)}: the keys of an object are text")
            keys.append(key.value)
        values = [self.expression(value, depth) for value in node.values]
        return self._call(operators.members, [self._source.bind(tuple(keys)), *values])

    # Operators

    def _BoolOp(self, node: ast.BoolOp, depth: int) -> str:  # noqa: N802
        word = " and " if isinstance(node.op, ast.And) else " or "
        return "(" + word.join(self.expression(value, depth) for value in node.values) + ")"

    def _IfExp(self, node: ast.IfExp, depth: int) -> str:  # noqa: N802
        yes, test, no = (self.expression(part, depth) for part in (node.body, node.test, node.orelse))
        return f"({yes} if {test} else {no})"

    def _UnaryOp(self, node: ast.UnaryOp, depth: int) -> str:  # noqa: N802
        if isinstance(node.op, ast.Not):
            return f"(not {self.expression(node.operand, depth)})"
        if isinstance(node.op, ast.USub):
            if isinstance(node.operand, ast.Constant):
                number = self._constant(node.operand)
                if not isinstance(number, (str, bool)) and number is not None:
                    return self._source.literal(-number)
            return self._apply(operators.negate, [self.expression(node.operand, depth)], [node.operand])
        raise ValueError(f"{self._quote(node)} is not allowed in an expression")

    def _BinOp(self, node: ast.BinOp, depth: int) -> str:  # noqa: N802
        operation = _BINARY.get(type(node.op))
        if operation is None:
            raise ValueError(f"{self._quote(node)}: the operators are + - * / // %")
        operands = [node.left, node.right]
        return self._apply(operation, [self.expression(operand, depth) for operand in operands], operands)

    def _Compare(self, node: ast.Compare, depth: int) -> str:  # noqa: N802
        left, terms = node.left, []
        if self._conditions and isinstance(left, ast.Name) and left.id in ("old", "new") and len(node.ops) == 1:
            test = {"old": "first", "new": "gone"}[left.id]
            if isinstance(node.ops[0], (ast.Is, ast.IsNot)) and _is_none(node.comparators[0]):
                return test if isinstance(node.ops[0], ast.Is) else f"(not {test})"
        code = self.expression(left, depth)
        for index, (op, right) in enumerate(zip(node.ops, node.comparators, strict=True)):
            other = following = self.expression(right, depth)
            if index < len(node.ops) - 1 and not isinstance(right, ast.Constant):
                following = self._source.fresh("t")  # each operand is evaluated once
                other = f"({following} := {other})"
            terms.append(self._comparison(op, left, code, right, other))
            left, code = right, following
        return terms[0] if len(terms) == 1 else "(" + " and ".join(terms) + ")"

    def _comparison(self, op: ast.cmpop, left: ast.expr, one: str, right: ast.expr, other: str) -> str:
        if isinstance(op, (ast.Is, ast.IsNot)):
            if not _is_none(right):
                raise ValueError(f"{self._quote(right)}: `is` only goes with None")
            test = self._call(nothing, [one])
            return test if isinstance(op, ast.Is) else f"(not {test})"
        if isinstance(op, (ast.Eq, ast.NotEq)):
            negative = isinstance(op, ast.NotEq)
            if any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in (left, right)):
                return f"({one} {'!=' if negative else '=='} {other})"
            return f"(not {self._call(same, [one, other])})" if negative else self._call(same, [one, other])
        if isinstance(op, (ast.In, ast.NotIn)):
            test = self._apply(operators.within, [one, other], [left, right])
            return f"(not {test})" if isinstance(op, ast.NotIn) else test
        return self._apply(_ORDER[type(op)], [one, other], [left, right])

    # Calls

    def _Call(self, node: ast.Call, depth: int) -> str:  # noqa: N802
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise ValueError(f"{self._quote(node)}: arguments are given one by one, without names")
        if self._conditions and name in ("became", "changed"):
            return self._changes(name, node, depth)
        function = FUNCTIONS.get(name)
        if function is None:
            known = ", ".join(sorted([*FUNCTIONS, *(("became", "changed") if self._conditions else ())]))
            raise ValueError(f"{self._quote(node.func)} is not a function here; there are {known}")
        if not function.least <= len(node.args) <= function.most:
            raise ValueError(f"{self._quote(node)}: {name}() takes {_count(function.least, function.most)}")
        call = function.call
        if self._conditions and function.numeric:
            call = lenient(call, None)
        return self._call(call, [self.expression(argument, depth) for argument in node.args])

    def _changes(self, name: str, node: ast.Call, depth: int) -> str:
        if name == "changed":
            if not node.args:
                raise ValueError("changed() takes one field or more")
            return "(" + " or ".join(self._differs(argument) for argument in node.args) + ")"
        if len(node.args) != 2:
            raise ValueError(f"{self._quote(node)}: became() takes a field and a value")
        new, old = self._both(node.args[0])
        value = self._source.fresh("t")
        is_now = self._call(same, [new, f"({value} := {self.expression(node.args[1], depth)})"])
        return f"({is_now} and (first or not {self._call(same, [old, value])}))"

    def _differs(self, argument: ast.expr) -> str:
        new, old = self._both(argument)
        return f"first or not {self._call(same, [new, old])}"

    def _both(self, argument: ast.expr) -> tuple[str, str]:
        """Return the variables of a field as it is and as it was."""
        if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value):
            raise ValueError(f'{self._quote(argument)}: name the field in quotes, such as changed("phone")')
        parts = parse_path(argument.value)
        return self._variable(("record", parts)), self._variable(("old", parts))

    # Writing

    def _apply(self, operation: Any, operands: list[str], nodes: list[ast.expr]) -> str:
        """A call of an operator, with the operands' texts for its problems."""
        names = self._source.bind(tuple(self._quote(node) for node in nodes))
        return self._call(LENIENT.get(operation, operation) if self._conditions else operation, [*operands, names])

    def _call(self, function: Any, arguments: list[str]) -> str:
        return f"{self._source.bind(function, 'f')}({', '.join(arguments)})"

    def _quote(self, node: ast.AST) -> str:
        try:
            text = ast.unparse(node)
        except RecursionError:
            text = "a part of it"
        return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def _plain_name(name: str) -> str:
    if name.startswith("__"):
        raise ValueError(f'`{name}` is not allowed in an expression; a field of that name is record["{name}"]')
    return name


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _constant_key(node: ast.expr) -> str | int | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    index = _index(node)
    return index if index is not None and abs(index) <= 999_999 else None


def _index(node: ast.expr | None) -> int | None:
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1, node.operand
    return sign * node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


def _bound(node: ast.expr | None, quoted: str) -> int | None:
    if node is None:
        return None
    index = _index(node)
    if index is None or abs(index) > operators.MAX_TEXT:
        raise ValueError(f"{quoted}: the bounds of a part are whole numbers")
    return index


def _count(least: int, most: int) -> str:
    if least == most:
        return f"{least} argument{'s' if least > 1 else ''}"
    return f"{least} to {most} arguments" if most < 50 else f"{least} argument or more"
