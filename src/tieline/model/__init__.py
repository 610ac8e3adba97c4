"""The words: records, errors, clock, secrets. Nothing here does I/O."""
