-- Two-way integrations: which records of both sides are the same thing, and what each side said when both last agreed. A record without a
-- counterpart is a pair with one side.

CREATE TABLE pair (
    id INTEGER PRIMARY KEY,
    integration INTEGER NOT NULL,
    verdict TEXT NOT NULL,        -- linked; new, queued, held, parked, ignored, alone, gone: see store/pairs.py
    met INTEGER NOT NULL DEFAULT 0,  -- 1: the shadows are what was agreed on; 0: they are only what was seen
    left_id TEXT,
    right_id TEXT,
    left_key TEXT,                -- match key
    right_key TEXT,
    left_shadow BLOB,             -- JSON: the side's fields that the mapping knows, in its own spelling; NULL: the record is gone
    right_shadow BLOB,
    left_sent BLOB,               -- JSON: what was written to it and has not been seen there since
    right_sent BLOB,
    left_at REAL,                 -- when that version was made, by the system's own telling
    right_at REAL,
    rounds BLOB                   -- JSON: {strand: how often it came back as something else}
);
CREATE UNIQUE INDEX pair_left ON pair (integration, left_id) WHERE left_id IS NOT NULL;
CREATE UNIQUE INDEX pair_right ON pair (integration, right_id) WHERE right_id IS NOT NULL;
CREATE INDEX pair_left_key ON pair (integration, left_key) WHERE left_key IS NOT NULL;
CREATE INDEX pair_right_key ON pair (integration, right_key) WHERE right_key IS NOT NULL;

-- What was read of either side and is not decided yet. It is durable with the cursor that passed it.
CREATE TABLE staged (
    integration INTEGER NOT NULL,
    side TEXT NOT NULL,           -- left, right
    id TEXT NOT NULL,
    kind TEXT NOT NULL,           -- seen, gone, again, held: see store/staged.py
    at REAL NOT NULL,             -- when it was accepted
    run INTEGER NOT NULL,
    record BLOB,                  -- JSON, of seen ones
    PRIMARY KEY (integration, side, id)
) WITHOUT ROWID;
