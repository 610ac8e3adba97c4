"""Functions for the rules."""


def tags(value):
    """Tell where a member came from."""
    return ["crm", *(value or [])]
