"""Checking a project: how its files fit together, and with what its systems can do."""
