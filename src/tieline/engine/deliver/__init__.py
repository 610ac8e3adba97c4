"""Sending: what was decided goes to its system, and what became of it is found out."""
