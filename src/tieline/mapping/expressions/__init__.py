"""The small language of expressions, compiled to Python."""
