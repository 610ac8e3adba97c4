"""Judgements over what a connector says of success: an address that tells of a success is no error, and results must be named by something."""

from __future__ import annotations

import re
from typing import Final

from tieline.config.loading.yaml_source import Key
from tieline.config.models.operations import BatchResults
from tieline.config.models.success import InSuccess, conditions
from tieline.lint.findings import Findings

_SUCCESS: Final = frozenset(("success", "succeeded", "successful", "ok", "okay", "valid", "status", "code", "result", "done"))
_WORDS: Final = re.compile(r"[A-Za-z][a-z]*")


def lint_success(found: Findings, at: tuple[Key, ...], declared: InSuccess | None) -> None:
    """Warn of an address that is filled in successes, by its name."""
    for check in conditions(declared):
        words = [word.casefold() for word in _WORDS.findall(check.at)]
        if check.filled and words and words[-1] in _SUCCESS:
            message = f"`{check.at}` sounds as if it were filled when all is well: each such answer would be a failure"
            found.warning(at, message, f"such as `in_success: {{ at: {check.at}, equals: false }}`, or `not: ok`")


def lint_results(found: Findings, at: tuple[Key, ...], results: BatchResults) -> None:
    """Complain of results, and of errors apart, that name no record."""
    if results.by == "index" and not results.index:
        found.error((*at, "index"), "is missing: which value in a result is the record's number?", "such as `index: index`")
    if results.by != "index" and results.index:
        found.error((*at, "index"), "is only used with `by: index`", "add `by: index`, or take it out")
    several = isinstance(results.errors, tuple)
    for number, errors in enumerate(results.errors if isinstance(results.errors, tuple) else (results.errors,)):
        here = (*at, "errors", number) if several else (*at, "errors")
        for by in ("index", "key"):
            needed = errors.by == ("id" if by == "key" else by)
            if needed and not getattr(errors, by):
                hint = "such as `key: context.id`" if by == "key" else "such as `index: failedElementNumber`"
                found.error((*here, by), "is missing: which value in an error names the record?", hint)
            elif not needed and getattr(errors, by):
                found.error((*here, by), f"is not used with `by: {errors.by}`", "correct `by`, or take it out")
