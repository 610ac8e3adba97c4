"""Deciding: what follows from what was read, as one unit of work."""
