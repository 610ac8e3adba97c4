-- What a destination record is to keep against its source: an answer that must not grow old with the history.

CREATE TABLE kept (
    integration INTEGER NOT NULL,
    source_id TEXT NOT NULL,
    address TEXT NOT NULL,        -- the destination's field; empty: what was sent is what a person made of the record
    PRIMARY KEY (integration, source_id, address)
) WITHOUT ROWID;
