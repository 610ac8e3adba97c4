"""A project's files: what may stand in them, and reading them."""
