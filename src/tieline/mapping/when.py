"""Conditions over a change: which changes move, and the flat fields that are read of every record."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tieline.mapping.convert.values import Unfit
from tieline.mapping.expressions.expression import Expression
from tieline.mapping.expressions.source import Source
from tieline.model.errors import MappingError
from tieline.model.paths import format_path, parse_path
from tieline.model.records import Record, Values


class CompiledWhen:
    """Whether a change moves. `reads` are the addresses that must be kept of each record, to be `old` the next time."""

    def __init__(self, text: str) -> None:
        expression = Expression(text, conditions=True)
        self.text = text
        self.reads: tuple[str, ...] = tuple(sorted({format_path(parts) for _, parts in expression.reads}))
        source = Source()
        source.names |= {"bool": bool, "explain": self._explain, "Exception": Exception}
        with source.block("def when(record, old):"):
            source.line("first = old is None")
            source.line("gone = record is None")
            source.line("if first: old = {}")
            source.line("if gone: record = {}")
            with source.block("try:"):
                source.line("record_get = record.get")
                source.line("old_get = old.get")
                source.line(f"return bool({expression.emit(source)})")
            with source.block("except Exception as error:"):
                source.line("raise explain(error) from None")
        self._run: Callable[[Record | None, Values | None], bool] = source.function("when")

    def __call__(self, new: Record | None, old: Values | None) -> bool:
        """Return whether the change moves. Raises `MappingError` for values that the condition can't be asked of."""
        return self._run(new, old)

    def _explain(self, error: Exception) -> MappingError:
        words = str(error) if isinstance(error, Unfit) else f"{type(error).__name__}: {error}"
        return MappingError("when", words[:300], source=", ".join(self.reads))


def compile_when(text: str) -> CompiledWhen:
    """Compile a condition over `new` and `old`; raise `ValueError` for one that is not allowed.

    `became("status", "qualified")`: it is so now and was not before. `changed("phone")`: it differs, or the record is
    seen for the first time. A field that is not there equals nothing else, and is neither smaller nor larger.
    """
    return CompiledWhen(text)


def compile_projection(addresses: Sequence[str]) -> Callable[[Record], Values]:
    """Return the function that picks fields out of a record, flat and in this order; what is absent is left out."""
    source = Source()
    with source.block("def projection(record):"):
        source.line("record_get = record.get")
        source.line("out = {}")
        for address in dict.fromkeys(addresses):
            parts = parse_path(address)
            if len(parts) == 1:
                key = ascii(parts[0])
                source.line(f"if {key} in record: out[{address!a}] = record[{key}]")
            else:
                source.read(parts, "v", root="record")
                source.line(f"if v is not ABSENT: out[{address!a}] = v")
        source.line("return out")
    return source.function("projection")
