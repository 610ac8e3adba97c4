"""Bytes to and from other systems: one client, budgets, retries, and what an answer means."""
