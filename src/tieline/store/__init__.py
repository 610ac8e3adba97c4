"""Durable state. `database` is the only module that knows SQLite; the others own one subject each, with its statements."""
