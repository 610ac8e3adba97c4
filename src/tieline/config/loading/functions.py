"""The functions in a project's `mappings.py`, for rules that `call` one.

The file is run when a function is first asked for, and not at all when no rule calls one. Whatever goes wrong in it is a complaint
with its line.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tieline.model.errors import Complaint, SpecError

FILE: Final = "mappings.py"
PREFIX: Final = "mappings:"


class Functions(Mapping[str, Callable[..., Any]]):
    """Functions by the name that rules use: `mappings:NAME`. Raises `SpecError` when the file can't be used."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._loaded: dict[str, Callable[..., Any]] | None = None
        self._error: SpecError | None = None

    def __repr__(self) -> str:
        return f"Functions({str(self._path)!r})"

    def __bool__(self) -> bool:
        return True  # there may be some; asking whether must not run the file

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._load()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def _load(self) -> dict[str, Callable[..., Any]]:
        if self._error is not None:
            raise self._error
        if self._loaded is None:
            try:
                self._loaded = _run(self._path)
            except SpecError as error:
                self._error = error
                raise
        return self._loaded


def _run(path: Path) -> dict[str, Callable[..., Any]]:
    if not path.is_file():
        raise SpecError([Complaint(FILE, None, "", "is not there, and a rule calls a function in it", "write it")])
    spec = importlib.util.spec_from_file_location("mappings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # a project folder holds what people wrote
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's own code: whatever it raises, an exit too, is a mistake in that file
        raise SpecError([_complaint(error, path)]) from error
    finally:
        sys.dont_write_bytecode = before
    return {
        PREFIX + name: _kept_inside(value)
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and not inspect.isclass(value)
    }


def _kept_inside(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*values: Any) -> Any:
        try:
            return function(*values)
        except SystemExit:
            raise RuntimeError("the function called sys.exit()") from None

    return call


def _complaint(error: BaseException, path: Path) -> Complaint:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return Complaint(FILE, error.lineno, "", f"is not Python: {error.msg}")
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    text = " ".join(str(error).split())[:200]
    return Complaint(FILE, line, "", f"stopped with {type(error).__name__}{': ' + text if text else ''}")
