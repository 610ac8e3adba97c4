"""One mapping, both directions: inverse rules and the laws that they keep."""
