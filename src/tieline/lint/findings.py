"""Where the judges of `lint.linter` put what they find."""

from __future__ import annotations

from tieline.config.loading.folder import Kind, Project
from tieline.config.loading.yaml_source import Key
from tieline.model.errors import Complaint


class Findings:
    """Complaints about one thing: a connector, a connection, an integration."""

    def __init__(self, project: Project, kind: Kind, name: str) -> None:
        self._project, self._kind, self._name = project, kind, name
        self.complaints: list[Complaint] = []

    def error(self, keys: tuple[Key, ...], message: str, hint: str = "") -> None:
        """Add what keeps the project from being run."""
        self._add(keys, message, hint, "error")

    def warning(self, keys: tuple[Key, ...], message: str, hint: str = "") -> None:
        """Add what is allowed, and worth knowing."""
        self._add(keys, message, hint, "warning")

    def _add(self, keys: tuple[Key, ...], message: str, hint: str, severity: str) -> None:
        complaint = self._project.complaint(self._kind, self._name, keys, message, hint, severity=severity)
        self.complaints.append(complaint)
