"""The connectors that come along: `tieline connector list`, `show` and `add`."""

from __future__ import annotations

from pathlib import Path

from tieline.cli.output import OK, output
from tieline.config.loading.built_in import built_in_file, built_in_names, read_built_in
from tieline.config.models.connectors import Connector
from tieline.config.suggestions import nearest
from tieline.model.errors import TielineError


def text_of(name: str) -> str:
    """Return a connector's file. Raises `TielineError` for a name that is not in the catalogue."""
    known = built_in_names()
    if name not in known:
        raise TielineError(
            f"the catalogue has no connector `{name}`", next_step=f"{nearest(name, known)}; `tieline connector list` has all"
        )
    return built_in_file(name).read_text("utf-8")


def show_list() -> int:
    """Print the catalogue, a line each."""
    found = [_read(name) for name in built_in_names()]
    if output.json_mode:
        output.json([{"name": c.connector, "title": c.title, "resources": sorted(c.resources), "docs": c.docs} for c in found])
        return OK
    widths = [max(len(text) for text in texts) for texts in ([c.connector for c in found], [c.title for c in found])]
    for c in found:
        output.print(f"{c.connector:{widths[0]}}  {c.title:{widths[1]}}  {', '.join(sorted(c.resources))}")
    output.print("next: `tieline connector add NAME` puts one into your project", style="dim")
    return OK


def show(name: str) -> int:
    """Print a connector's file."""
    text = text_of(name)
    if output.json_mode:
        output.json({"name": name, "text": text})
    else:
        output.lines(text.rstrip("\n"))
    return OK


def add(folder: Path, name: str) -> int:
    """Copy a connector into a project: from then on it is the project's own, and no new version of tieline changes it."""
    text = text_of(name)
    if not (folder / "tieline.yaml").is_file():
        raise TielineError(f"{folder} is no project folder", next_step="go into one, or make one: `tieline init FOLDER`")
    path = folder / "connectors" / f"{name}.yaml"
    if path.exists():
        raise TielineError(f"{path} is there already: nothing is overwritten", next_step=f"compare it with `tieline connector show {name}`")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise TielineError(f"{path} can't be written: {error.strerror or error}") from None
    connector = _read(name)
    if output.json_mode:
        output.json({"file": str(path), "connection": _connection(connector)})
        return OK
    output.print(f"wrote {path}")
    output.print("next: name your account in connections.yaml, then `tieline check --live`:")
    output.lines(_connection(connector))
    return OK


def _read(name: str) -> Connector:
    text_of(name)
    _, connector, wrong = read_built_in(name, str)
    if connector is None:
        raise TielineError(f"the connector `{name}` can't be read: {wrong[0]}", next_step="please report this")
    return connector


def _connection(connector: Connector) -> str:
    """Return what a connection of it looks like."""
    prefix = connector.connector.upper().replace("-", "_")
    if connector.auth.bearer is not None:
        auth = f'{{ bearer: "${{env:{prefix}_TOKEN}}" }}'
    elif connector.auth.api_key is not None:
        auth = f'{{ api_key: "${{env:{prefix}_KEY}}" }}'
    else:
        auth = f'{{ basic: {{ username: "${{env:{prefix}_USER}}", password: "${{env:{prefix}_PASSWORD}}" }} }}'
    lines = [f"{connector.connector}:", f"  connector: {connector.connector}", f"  auth: {auth}"]
    if connector.variables:
        lines += ["  variables:", *(f"    {variable}: …  # {meaning}" for variable, meaning in connector.variables.items())]
    return "\n".join([*lines, "  owner: you@example.com"])
