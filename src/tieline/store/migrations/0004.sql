-- Destination records as a search showed them, remembered for as long as the connector's `find` says. Only what was found: that there is
-- none is not remembered.

CREATE TABLE lookup (
    place TEXT NOT NULL,          -- CONNECTION.RESOURCE, FIELD
    value TEXT NOT NULL,          -- what was searched for, case folded
    number INTEGER NOT NULL,      -- counts the records that were shown
    target_id TEXT NOT NULL,
    at REAL NOT NULL,
    record BLOB NOT NULL,         -- JSON
    PRIMARY KEY (place, value, number)
) WITHOUT ROWID;
CREATE INDEX lookup_target ON lookup (place, target_id);
CREATE INDEX lookup_at ON lookup (place, at);
