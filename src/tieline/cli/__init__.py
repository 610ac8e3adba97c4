"""The commands. `main` is the entry; the others hold one group each and are imported when they are used."""
