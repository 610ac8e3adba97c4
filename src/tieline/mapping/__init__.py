"""One record into another: addresses, rules, expressions and conversions. Pure: no I/O, no clock, no chance."""

from tieline.mapping.access import compile_get, compile_nest
from tieline.mapping.checks import Check, Problem, compile_check
from tieline.mapping.compiler import CompiledMapping, Links, Lookup, Step, compile_mapping, problems
from tieline.mapping.inverse.bidirectional import BothWays, Examined, Strand, backwards, compile_both_ways
from tieline.mapping.inverse.round_trip import Broken, broken_laws, written
from tieline.mapping.inverse.rules import BACK, other_way
from tieline.mapping.keys import normalise_key, normaliser
from tieline.mapping.when import CompiledWhen, compile_projection, compile_when
from tieline.model.paths import flatten, format_path, get, nest, parse_path, put

__all__ = [
    "BACK",
    "BothWays",
    "Broken",
    "Check",
    "CompiledMapping",
    "CompiledWhen",
    "Examined",
    "Links",
    "Lookup",
    "Problem",
    "Step",
    "Strand",
    "backwards",
    "broken_laws",
    "compile_both_ways",
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
    "normaliser",
    "other_way",
    "parse_path",
    "problems",
    "put",
    "written",
]
