"""Finding things in systems and in the store: counterparts, references, records by id, what stood there before."""
