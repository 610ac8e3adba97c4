"""REST: lists and their paging, points in time, writes, batches and their results."""
