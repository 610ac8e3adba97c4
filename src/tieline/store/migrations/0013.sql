-- One way: what a destination makes of what was written, where it says it in its own way: without blanks, sorted, with ids of its own.
-- A row holds as long as the same is written. Where `taken` is 0, the destination took the write and said what it had said before.

CREATE TABLE spelled (
    integration INTEGER NOT NULL,
    source_id   TEXT NOT NULL,
    address     TEXT NOT NULL,
    sent        BLOB NOT NULL,                 -- JSON
    seen        BLOB,                          -- JSON; NULL: it does not show the field
    taken       INTEGER NOT NULL,
    PRIMARY KEY (integration, source_id, address)
) WITHOUT ROWID;
