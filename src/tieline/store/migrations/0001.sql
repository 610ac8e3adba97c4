-- What tieline knows. One row in `delivery` for every accepted change: its state says what became of it, so the balance
-- accepted = delivered + superseded + skipped + held + dead + owed holds at every commit by construction.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Blocks of ids are reserved here, so that a row's id is known before it is written.
CREATE TABLE sequence (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO sequence VALUES ('delivery', 1), ('call', 1);

CREATE TABLE integration (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    cursor TEXT,                -- JSON: where the next read starts
    mapping TEXT,               -- fingerprint of the mapping that the shadows were made with; `mixed`: of several
    delivered INTEGER NOT NULL DEFAULT 0,  -- deliveries that ever arrived; their rows go with the history
    complete_at REAL,           -- start of the last run that read everything it should
    fence INTEGER NOT NULL DEFAULT 0,
    holder TEXT,                -- who runs it now
    lease_until REAL NOT NULL DEFAULT 0
);

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    integration INTEGER NOT NULL,
    started_at REAL NOT NULL,
    first_delivery INTEGER NOT NULL,  -- no delivery of this run has a smaller id
    ended_at REAL,
    state TEXT NOT NULL,        -- running, green, attention, owed, failed, stopped
    counts TEXT NOT NULL DEFAULT '{}',
    error TEXT
);
CREATE INDEX run_integration ON run (integration, id);

-- Which record is which, and what both sides said when they last agreed.
CREATE TABLE link (
    integration INTEGER NOT NULL,
    source_id TEXT NOT NULL,
    target_id TEXT,
    match_key TEXT,
    source_shadow BLOB NOT NULL,  -- JSON: the source's fields that the mapping uses, as last seen
    target_shadow BLOB,           -- JSON: the destination's fields as last confirmed
    verdict TEXT NOT NULL,        -- what was decided about source_shadow: queued, linked, filtered, noted, held, unknown, ignored, parked
    seen_run INTEGER NOT NULL,
    PRIMARY KEY (integration, source_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX link_target ON link (integration, target_id) WHERE target_id IS NOT NULL;
CREATE INDEX link_match_key ON link (integration, match_key) WHERE match_key IS NOT NULL;

CREATE TABLE delivery (
    id INTEGER PRIMARY KEY,
    integration INTEGER NOT NULL,
    source_id TEXT NOT NULL,
    target_id TEXT,
    operation TEXT NOT NULL,      -- create, update, delete; none when nothing could be decided
    state TEXT NOT NULL,          -- owed, sending, unknown, delivered, superseded, held, dead, discarded
    run INTEGER NOT NULL,
    accepted_at REAL NOT NULL,
    changed BLOB,                 -- JSON: the fields to be written
    before BLOB,                  -- JSON: the agreed values that they replace
    record BLOB,                  -- JSON: the source record, kept for what needs a person
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL DEFAULT 0,
    settled_at REAL,
    settled_run INTEGER,
    call INTEGER,
    reason TEXT                   -- JSON: why it is held, dead, superseded or still owed
);
-- `sending` is left out on purpose: a delivery that arrives at once never touches this index. What a crash leaves in that state is found
-- by the ids of its run.
CREATE INDEX delivery_open ON delivery (integration, state, id) WHERE state IN ('owed', 'unknown', 'held', 'dead');
CREATE INDEX delivery_record ON delivery (integration, source_id);

-- What happened besides deliveries: filtered, matched, redriven, resolved.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    integration INTEGER NOT NULL,
    run INTEGER,
    source_id TEXT,
    kind TEXT NOT NULL,
    detail TEXT
);
CREATE INDEX event_record ON event (integration, source_id);

CREATE TABLE call (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    connection TEXT NOT NULL,
    integration INTEGER,
    run INTEGER,
    method TEXT NOT NULL,
    url TEXT NOT NULL,            -- without secrets
    status INTEGER,               -- null: no answer
    seconds REAL NOT NULL,
    waited REAL NOT NULL,
    sent INTEGER NOT NULL,
    received INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    failure TEXT,                 -- class of the failure
    answer TEXT                   -- of failures: the answer's text, masked and cut
);

CREATE INDEX call_run ON call (run);

-- The destination as listed, for the first meeting; emptied at the end of the run.
CREATE TABLE directory (
    integration INTEGER NOT NULL,
    key TEXT NOT NULL,
    target_id TEXT NOT NULL,
    fields BLOB NOT NULL,
    PRIMARY KEY (integration, key, target_id)
) WITHOUT ROWID;
