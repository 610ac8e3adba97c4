"""One record into another: addresses, rules, expressions and conversions. Pure: no I/O, no clock, no chance."""

from tieline.mapping.access import compile_get, compile_nest
from tieline.mapping.checks import Check, Problem, compile_check
from tieline.mapping.compiler import CompiledMapping, Links, Lookup, Step, compile_mapping, problems
from tieline.mapping.keys import normalise_key
from tieline.mapping.when import CompiledWhen, compile_projection, compile_when
from tieline.model.paths import flatten, format_path, get, nest, parse_path, put

__all__ = [
    "Check",
    "CompiledMapping",
    "CompiledWhen",
    "Links",
    "Lookup",
    "Problem",
    "Step",
    "compile_check",
    "compile_get",
    "compile_mapping",
    "compile_nest",
    "compile_projection",
    "compile_when",
    "flatten",
    "format_path",
    "get",
    "nest",
    "normalise_key",
    "parse_path",
    "problems",
    "put",
]
