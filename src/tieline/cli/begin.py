"""Commands for the first five minutes: a new project folder, and the schemas for an editor."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import typer

from tieline.cli.output import OK, output
from tieline.model.errors import TielineError

TEMPLATES = {
    "demo": "two sandbox systems that tieline ships, ready to run: to look around",
    "blank": "the smallest useful start, to be filled in with your own systems",
}


def init(folder: Path | None, template: str | None) -> None:
    """Make a project folder. What is not given is asked for, on a terminal."""
    asking = sys.stdin.isatty() and not output.json_mode
    if folder is None:
        if not asking:
            raise TielineError("which folder?", next_step="tieline init FOLDER --template blank")
        folder = Path(typer.prompt("Folder to make", default="integrations"))
    if template is None and asking:
        for name, text in TEMPLATES.items():
            output.print(f"  {name:6} {text}")
        template = typer.prompt("Template", default="blank")
    template = template or "blank"
    if template not in TEMPLATES:
        raise TielineError(f"there is no template `{template}`", next_step=f"there are: {', '.join(TEMPLATES)}")
    names: dict[str, str] = {}
    if template == "blank" and asking:
        names["project"] = _asked_name("Name of the project", _as_name(folder.resolve().name))
        names["owner"] = typer.prompt("Who answers for it (a mail address)", default="", show_default=False)
    copy_template(template, folder, names)
    if output.json_mode:
        output.json(
            {
                "folder": str(folder),
                "template": template,
                "files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()),
            }
        )
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            output.print(f"  {path.relative_to(folder.parent if folder.parent != folder else folder)}")
    output.print(f"next: cd {folder}, read README.md, then `tieline check`", style="dim")


def copy_template(template: str, folder: Path, names: dict[str, str] | None = None) -> None:
    """Copy a template into a new or empty folder. Raises `TielineError` rather than write over anything."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TielineError(f"{folder} is there already and not empty", next_step="choose another folder; nothing was written")
    source = resources.files("tieline.templates") / template
    with resources.as_file(source) as path, _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)  # before the copy, which tells many errors as one text
        shutil.copytree(path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
    file = folder / "tieline.yaml"
    text = file.read_text("utf-8")
    for key, value in (names or {}).items():
        if value:
            line = f"{key}: {json.dumps(value, ensure_ascii=False) if key != 'project' else value}"
            text, found = re.subn(rf"(?m)^{key}:.*$", line.replace("\\", r"\\"), text, count=1)
            if not found:
                text = f"{text.rstrip()}\n{line}\n"
    file.write_text(text, "utf-8")


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Tell of a folder in which nothing can be written."""
    try:
        yield
    except OSError as error:
        raise TielineError(f"{folder} can't be written: {error.strerror or error}", next_step="choose another folder") from None


def schema(kind: str | None, out: Path | None) -> int:
    """Print JSON Schemas, or write them into a folder."""
    from tieline.config.loading.schema import schemas

    found = schemas()
    if kind is not None and kind not in found:
        raise TielineError(f"there is no kind of file `{kind}`", next_step=f"there are: {', '.join(found)}")
    chosen = {kind: found[kind]} if kind is not None else found
    if out is not None:
        paths = {name: out / f"{name}.schema.json" for name in chosen}
        with _writing(out):
            out.mkdir(parents=True, exist_ok=True)
            for name, path in paths.items():
                path.write_text(json.dumps(chosen[name], indent=2, ensure_ascii=False) + "\n", "utf-8")
        if output.json_mode:
            output.json({"files": [str(path) for path in paths.values()]})
            return OK
        for path in paths.values():
            output.print(str(path))
        output.print("in an editor with a YAML language server, the first line of a file names its schema:", style="dim")
        output.print(f"# yaml-language-server: $schema={out / 'integration.schema.json'}", style="dim")
        return OK
    output.json(chosen[kind] if kind is not None else chosen)
    return OK


def _as_name(text: str) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-")
    return name if name and name[0].isalpha() else "integrations"


def _asked_name(question: str, default: str) -> str:
    while True:
        answer = str(typer.prompt(question, default=default))
        if re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", answer):
            return answer
        output.print("lower-case letters, digits, - and _, a letter first")
