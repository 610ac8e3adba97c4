"""Runs: the passes of an integration, plans, and the commands that are runs of their own."""
