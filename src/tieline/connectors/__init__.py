"""Connectors of well-known vendors: one YAML file each, as a project's own `connectors/NAME.yaml` would be.

A connection that names one needs no file. `tieline connector list` and `show` tell of them, `add` copies one into a project, to be edited
and kept as it is. Plain data.
"""
