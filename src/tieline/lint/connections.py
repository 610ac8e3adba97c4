"""Judgements over a connection: does it give its connector what that asks for, and can its references be resolved?"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping

from tieline.config.loading.folder import Project
from tieline.config.loading.references import ReferenceProblem, check_url, check_url_template, resolve, unresolved
from tieline.config.loading.yaml_source import Key
from tieline.config.models.connections import Connection, Credentials
from tieline.config.models.connectors import Connector
from tieline.config.models.escapes import gaps
from tieline.config.models.zones import filled, is_zone, zones_of
from tieline.config.suggestions import listed, meant, nearest
from tieline.lint.findings import Findings
from tieline.lint.limits import lint_limits
from tieline.lint.webhooks import lint_webhook_secret, secrets_of
from tieline.model.errors import Complaint

Keys = tuple[Key, ...]
METHODS = tuple(Credentials.model_fields)


def lint_connection(project: Project, found: Findings, connection: Connection, environ: Mapping[str, str]) -> list[Complaint]:
    """Return what is wrong with a connection."""
    connector = project.connectors.get(connection.connector)
    if connector is None:
        if ("connector", connection.connector) not in project.broken:
            others = [name for kind, name in project.broken if kind == "connector"]
            name = connection.connector
            hint = meant(name, [*project.connectors, *others]) or f"write connectors/{name}.yaml"
            found.error(("connector",), f"there is no connector `{name}`", hint)
    else:
        written = project.sources["connector", connection.connector][0].value.get("auth")
        if None not in (written or {}).values():  # which says nothing, and is complained of there
            _method(found, connection, connector)
        _variables(found, connection, connector)
        _zones(project, found, connection, connector, environ)
        lint_webhook_secret(project, found, connection, connector)
        _environment(project, found, connection, connector, environ)
    lint_limits(found, connection.limits or ())
    for keys, text in _referring(connection):
        for problem in unresolved(text, project.folder, environ):
            found.warning(keys, problem)
    return found.complaints


def _method(found: Findings, connection: Connection, connector: Connector) -> None:
    given = [name for name in METHODS if getattr(connection.auth, name) is not None]
    offered = [name for name in METHODS if getattr(connector.auth, name) is not None]
    words = listed([f"`{name}`" for name in offered])
    for name in given:
        if name not in offered:
            what = f"takes {words}" if offered else "takes no credentials"
            found.error(("auth", name), f"connector `{connector.connector}` {what}")
    if offered and not given:
        found.error(("auth",), f"credentials are missing: connector `{connector.connector}` takes {words}", _sample(offered[0]))
    if len(given) > 1:
        found.error(("auth",), f"one way is enough, and there are {len(given)}", f"keep one of {words}")


def _sample(method: str) -> str:
    value = '{username: NAME, password: "${env:PASSWORD}"}' if method == "basic" else '"${env:NAME}"'
    return f"such as `auth: {{{method}: {value}}}`"


def _variables(found: Findings, connection: Connection, connector: Connector) -> None:
    for name, meaning in connector.variables.items():
        if name not in connection.variables:
            what = f": {meaning}" if meaning else ""
            found.error(("variables", name), f"is missing{what}", f"add `variables: {{{name}: ...}}`")
        elif not connection.variables[name].strip():
            found.error(("variables", name), "is blank")
    for name in connection.variables:
        if name not in connector.variables:
            message = f"connector `{connector.connector}` has no such variable"
            found.error(("variables", name), message, nearest(name, connector.variables))


def _zones(project: Project, found: Findings, connection: Connection, connector: Connector, environ: Mapping[str, str]) -> None:
    """Judge the time zones that a connection gives."""
    for name, resource in connector.resources.items():
        for way, zone in zones_of(resource):
            try:
                given = {key: resolve(value, project.folder, environ) for key, value in connection.variables.items()}
            except ReferenceProblem:
                return
            meant_ = filled(zone, given)
            if not gaps(meant_) and not is_zone(meant_):
                at = ("variables", next(key for key in gaps(zone)))
                why = f"there is no time zone `{meant_}`, and it is that of `{name}.{way}.changed_since`"
                found.error(at, why, nearest(meant_, sorted(zoneinfo.available_timezones())))


def _environment(project: Project, found: Findings, connection: Connection, connector: Connector, environ: Mapping[str, str]) -> None:
    url = connector.environments.get(connection.environment)
    if url is None and not connector.environments:
        return
    if url is None:
        message = f"connector `{connector.connector}` has no environment `{connection.environment}`"
        found.error(("environment",), message, nearest(connection.environment, connector.environments))
        return
    for problem in unresolved(url, project.folder, environ):
        found.warning(("environment",), problem)
    if not all(map(str.strip, connection.variables.values())):
        return
    version = {"version": connector.version.name} if connector.version else {}
    try:
        for name, value in {**connection.variables, **version}.items():
            url = url.replace(f"{{{name}}}", resolve(value, project.folder, environ))
        url = resolve(url, project.folder, environ)
    except ReferenceProblem:
        return
    if check_url_template(connector.environments[connection.environment]) is None and (wrong := check_url(url)):
        found.error(("environment",), f"the address of `{connection.environment}` can't be used: {wrong}")


def _referring(connection: Connection) -> Iterator[tuple[Keys, str]]:
    """Yield the texts in which references are resolved."""
    auth = connection.auth
    for name, text in (("api_key", auth.api_key), ("bearer", auth.bearer)):
        if text is not None:
            yield ("auth", name), text
    if auth.basic is not None:
        yield ("auth", "basic", "username"), auth.basic.username
        yield ("auth", "basic", "password"), auth.basic.password
    yield from secrets_of(connection)
    for name, text in connection.variables.items():
        yield ("variables", name), text
