"""From files to models: YAML with line numbers, secrets, references, and errors that say where."""
