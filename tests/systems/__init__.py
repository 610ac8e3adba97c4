"""Real servers that no one here wrote, installed and started by the tests themselves.

Each server has a module that says how it is installed, started and seeded, and gives tests a frozen value with its
address, its credentials and a way to a namespace of their own. The fixtures are in `conftest`.

The servers are test peers under their own licences: fetched from the package registry at test time, never shipped.
"""
