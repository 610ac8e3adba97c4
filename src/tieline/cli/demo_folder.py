"""The folder of a demo: made from the template, with what a person needs to go on in it, and replaced only while no one has worked in it.

Which folders are ours says a mark in `.tieline/`, with the digest of every file that was written. One file more, or one that reads
otherwise, and the folder is someone's: it is left alone.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tieline
from tieline.cli.begin import copy_template
from tieline.cli.demo_systems import STATE, Systems, answers
from tieline.model.errors import TielineError

_MARK: Final = f"{STATE}/demo.json"
_FORMAT: Final = 1

_SYSTEMS_SCRIPT: Final = '''"""Starts the demo's systems again, with the records they had, and stops them on Ctrl-C: `python systems.py`"""

import subprocess
import sys
from pathlib import Path

SYSTEMS = {systems}

started = [
    subprocess.Popen([sys.executable, "-m", "tieline.sandbox", *arguments], cwd=Path(__file__).parent, stdin=subprocess.PIPE)
    for arguments in SYSTEMS
]
try:
    for process in started:
        process.wait()
except KeyboardInterrupt:
    for process in started:
        process.wait()
'''

_README: Final = """`tieline demo` made this folder and has been at work in it. To go on, in one terminal:

    . ./demo.env && python systems.py   # the systems, with the records they had; Ctrl-C stops them

and in another one:

    . ./demo.env                        # their addresses and keys
    tieline status

What follows is how the same is done by hand, and what to try.

"""


def make_folder(folder: Path) -> None:
    """Fill a new or empty folder from the template."""
    copy_template("demo", folder)
    _mark_it(folder, [])


def hand_over(folder: Path, systems: Systems) -> None:
    """Put in what a person needs to go on: `demo.env` with the addresses and keys, `systems.py` that starts the systems again."""
    readme = folder / "README.md"
    title, _, rest = readme.read_text("utf-8").partition("\n\n")
    readme.write_text(f"{title}\n\n{_README}{rest}", "utf-8")
    (folder / "demo.env").write_text(_env_file(systems.environ), "utf-8")
    listed = "".join(f"\n    {json.dumps(arguments)}," for arguments in systems.arguments)
    (folder / "systems.py").write_text(_SYSTEMS_SCRIPT.format(systems=f"[{listed}\n]"), "utf-8")
    _mark_it(folder, systems.addresses)


def clear_folder(folder: Path) -> bool:
    """Make room: nothing to do for a new or empty folder; an earlier demo's is removed. Return whether one was.

    Raises `TielineError` for any other folder, and for one in which someone has worked.
    """
    if not folder.exists() and not folder.is_symlink():
        return False
    if folder.is_symlink() or not folder.is_dir():
        raise _refusal(folder, "is there already and is no folder")
    if not any(folder.iterdir()):
        return False
    mark = _mark(folder)
    if mark is None:
        raise _refusal(folder, "is there already, and no demo made it")
    theirs = sorted({*_changed(folder, mark["files"]), *_additional(folder, mark["files"])})
    if theirs:
        more = f" and {len(theirs) - 3} more" if len(theirs) > 3 else ""
        raise _refusal(folder, f"is from an earlier demo, and has been worked in: {', '.join(theirs[:3])}{more}")
    for address in mark["addresses"]:
        if answers(address):
            raise _refusal(folder, f"is from an earlier demo, and its system at {address} seems to be running still")
    shutil.rmtree(folder)
    return True


def _mark_it(folder: Path, addresses: Sequence[str]) -> None:
    files = {path.relative_to(folder).as_posix(): _digest(path) for path in _files(folder)}
    path = folder / _MARK
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"tieline_demo": _FORMAT, "addresses": addresses, "files": files}, indent=1) + "\n", "utf-8")


def _refusal(folder: Path, what: str) -> TielineError:
    return TielineError(f"{folder} {what}; nothing was written", next_step="choose another: `tieline demo --folder NAME`")


def _mark(folder: Path) -> dict[str, Any] | None:
    path = folder / _MARK
    if path.is_symlink() or path.parent.is_symlink():
        return None
    try:
        mark = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(mark, dict) and mark.get("tieline_demo") == _FORMAT and isinstance(mark.get("files"), dict)
    return mark if known else None


def _files(folder: Path) -> list[Path]:
    """Return everything in the folder that is not state and not made by an interpreter."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or not path.is_dir()) and path.relative_to(folder).parts[0] != STATE and path.parent.name != "__pycache__"
    ]


def _changed(folder: Path, files: Mapping[str, str]) -> list[str]:
    return [name for name, digest in files.items() if (folder / name).exists() and _digest(folder / name) != digest]


def _additional(folder: Path, files: Mapping[str, str]) -> list[str]:
    return [name for path in _files(folder) if (name := path.relative_to(folder).as_posix()) not in files]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else "no file"


def _env_file(environ: Mapping[str, str]) -> str:
    lines = ["# Where the demo's systems are, and the keys that open them and nothing else. Read it with `. ./demo.env`", ""]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in environ.items()]
    here = Path(sys.executable).parent
    lines += ["", "# the Python that this demo ran with", f'export PATH={shlex.quote(str(here))}:"$PATH"']
    if not (here / "tieline").exists():  # run from a checkout, without an installation
        lines.append(f"export PYTHONPATH={shlex.quote(str(Path(tieline.__file__).parents[1]))}")
        lines.append(f'tieline() {{ {shlex.quote(sys.executable)} -P -m tieline.cli.main "$@"; }}')
    return "\n".join(lines) + "\n"
