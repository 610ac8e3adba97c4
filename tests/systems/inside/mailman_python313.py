"""Gives Python 3.13 back what Mailman uses of earlier ones: a path as a context manager. Run by Mailman's Python."""

from pathlib import Path

if not hasattr(Path, "__enter__"):
    Path.__enter__ = lambda self: self
    Path.__exit__ = lambda self, *_: None
