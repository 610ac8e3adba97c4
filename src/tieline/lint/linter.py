"""Judgements over a whole project: do its files fit together, and are the questions answered that decide what happens?

Each is a complaint with file, line and what to write; an error keeps the project from being run, a warning is worth knowing.
Connectors, connections and integrations are judged one by one in `lint_connectors`, `lint_connections`, `lint_integrations`,
`lint_two_way` and `lint_rules`; what concerns several integrations is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tieline.config.loading.folder import Project
from tieline.config.models.integrations import Integration, Rule
from tieline.lint.connections import lint_connection
from tieline.lint.connectors import lint_connector
from tieline.lint.findings import Findings
from tieline.lint.integrations import lint_integration
from tieline.lint.rules import lint_rules
from tieline.lint.two_way import lint_two_way, only_two_way
from tieline.model.errors import Complaint


def lint(project: Project, environ: Mapping[str, str]) -> list[Complaint]:
    """Return all complaints about how a project's files fit together. What could not be read is left out."""
    complaints: list[Complaint] = []
    for name, connector in project.connectors.items():
        written = project.sources["connector", name][0].value
        complaints += lint_connector(Findings(project, "connector", name), connector, written)
    for name, connection in project.connections.items():
        complaints += lint_connection(project, Findings(project, "connection", name), connection, environ)
    for name, integration in project.integrations.items():
        judge = lint_two_way if integration.two_way else lint_integration
        if not integration.two_way:
            complaints += only_two_way(Findings(project, "integration", name), integration)
        complaints += judge(project, Findings(project, "integration", name), integration)
        complaints += lint_rules(project, Findings(project, "integration", name), integration)
    complaints += _unused(project)
    complaints += _cycles(project)
    return complaints


def _unused(project: Project) -> Iterator[Complaint]:
    """Complain of what nothing refers to, as far as everything could be read."""
    if any(kind == "integration" for kind, _ in project.broken):
        return
    if not project.integrations:
        hint = "write integrations/NAME.yaml"
        yield project.complaint("project", "", (), "there is no integration yet", hint, severity="warning")
        return
    used = {side.partition(".")[0] for one in project.integrations.values() for side in (one.source, one.target)}
    for name in project.connections:
        if name not in used:
            yield project.complaint("connection", name, (), "no integration uses it", "take it out", severity="warning")


def _cycles(project: Project) -> Iterator[Complaint]:
    """Complain of look-ups that wait for each other: neither could create its first record."""
    asks = {name: sorted(_looked_up(one) - {name}) for name, one in project.integrations.items()}
    done: set[str] = set()
    for start in asks:
        path: list[str] = []
        stack = [iter([start])]
        while stack:
            name = next(stack[-1], None)
            if name is None:
                stack.pop()
                if path:
                    done.add(path.pop())
            elif name in path:
                cycle = [*path[path.index(name) :], name]
                yield _cycle(project, cycle)
            elif name not in done and name in asks:
                path.append(name)
                stack.append(iter(asks[name]))


def _cycle(project: Project, cycle: list[str]) -> Complaint:
    first, second = cycle[0], cycle[1]
    target = next(target for target, rule in project.integrations[first].map.items() if isinstance(rule, Rule) and rule.lookup == second)
    message = f"look-ups wait for each other: {' → '.join(cycle)}"
    hint = (
        "write `missing: later` in one of them: that field is filled once there is a link"
        if project.integrations[first].two_way
        else "leave one of them out, and fill that field in a further integration"
    )
    return project.complaint("integration", first, ("map", target, "lookup"), message, hint)


def _looked_up(integration: Integration) -> set[str]:
    rules = (rule for rule in integration.map.values() if isinstance(rule, Rule))
    return {rule.lookup for rule in rules if rule.lookup is not None and rule.missing == "hold"}
