"""Project folders to begin with: `demo`, which speaks to the sandboxes, and `blank`, which is edited.

Plain files, copied as they are. Nothing that is there already is overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

TEMPLATES: Final = ("blank", "demo")


def copy_template(name: str, folder: Path) -> list[Path]:
    """Copy a template's files into a folder, which is made if need be; return what was written, in order.

    Raises `FileExistsError`, before anything is written, when one of the files is there already.
    """
    if name not in TEMPLATES:
        raise ValueError(f"there is no template {name}: {', '.join(TEMPLATES)} are known")
    files = [(folder / place, file) for place, file in sorted(_files(resources.files(__name__) / name, Path()))]
    for target, _ in files:
        if target.exists():
            raise FileExistsError(f"{target} is there already")
    for target, file in files:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    return [target for target, _ in files]


def _files(folder: Traversable, place: Path) -> Iterator[tuple[Path, Traversable]]:
    for entry in folder.iterdir():
        if entry.name == "__pycache__":
            continue
        if entry.is_dir():
            yield from _files(entry, place / entry.name)
        else:
            yield place / entry.name, entry
