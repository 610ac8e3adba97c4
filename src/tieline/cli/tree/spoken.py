"""What every command does: it takes `--json` and `--log`, says its errors in words, and exits with the number that it returns."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec

from tieline.cli.output import output, spoken_errors

_P = ParamSpec("_P")


def spoken(work: Callable[_P, int | None]) -> Callable[_P, None]:
    """Make a command of a function that returns an exit code, or nothing."""
    signature = inspect.signature(work)

    @functools.wraps(work)
    def command(*arguments: _P.args, **options: _P.kwargs) -> None:
        given = signature.bind(*arguments, **options).arguments
        output.json_mode = bool(given.get("json"))
        if "log" in signature.parameters:
            output.log = given.get("log", "off")
        with spoken_errors():
            code = work(*arguments, **options)
            if code is not None:
                raise SystemExit(code)

    return command
