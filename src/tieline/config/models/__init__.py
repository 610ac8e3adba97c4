"""What may stand in a project's files, as models: the one place where each declaration is described."""
