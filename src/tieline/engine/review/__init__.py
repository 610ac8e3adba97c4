"""What needs a person: dead letters, conflicts, unmatched records, links by hand."""
