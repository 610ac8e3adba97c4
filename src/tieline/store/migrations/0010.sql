-- What vendors have told by webhooks: a hint for each event that concerns a resource. The record itself is asked for by the next run.

CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: integrations keep their place by it
    connection TEXT NOT NULL,
    event TEXT NOT NULL,          -- what the vendor calls it, or `=` and a hash of its content
    resource TEXT NOT NULL,
    id TEXT NOT NULL,             -- the record's
    kind TEXT NOT NULL,           -- changed, deleted, merged
    into_id TEXT,                 -- into which record it was merged, if the event says so
    type TEXT NOT NULL,           -- in the vendor's words
    at REAL NOT NULL              -- when it was received
);
CREATE UNIQUE INDEX inbox_event ON inbox (connection, event);
CREATE INDEX inbox_place ON inbox (connection, resource, seq);

ALTER TABLE integration ADD COLUMN inbox_seq INTEGER NOT NULL DEFAULT 0;  -- up to which event its runs have taken them up
