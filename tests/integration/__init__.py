"""tieline and real servers: whole projects are run, and what arrived is counted in the servers themselves.

The servers and their fixtures are those of `tests/systems`; the connectors are those of `examples/`.
"""
