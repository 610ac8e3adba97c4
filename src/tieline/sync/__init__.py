"""What should happen to a pair of records: pure functions over values; no clock, no network, no store."""
