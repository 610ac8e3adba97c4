-- The journal of calls, so that it can be searched: what a call was for, which records it was about, what passed between the systems.

ALTER TABLE call ADD COLUMN operation TEXT NOT NULL DEFAULT '';   -- list, get, find, create, update, upsert, delete, ping
ALTER TABLE call ADD COLUMN resource TEXT NOT NULL DEFAULT '';
ALTER TABLE call ADD COLUMN page INTEGER;                         -- of a list
ALTER TABLE call ADD COLUMN deliveries TEXT;                      -- of a write: `7-106,120`
ALTER TABLE call ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;   -- records that an answer refused which took others

-- By time, with what is asked for most: a search looks at the rows themselves only where it has found one.
CREATE INDEX call_at ON call (at, status, connection, integration, seconds);
CREATE INDEX call_failed ON call (at) WHERE failure IS NOT NULL OR refused > 0;

-- Which records a call was about, where no delivery tells it: failed attempts and look-ups.
CREATE TABLE call_record (
    call INTEGER NOT NULL,
    source_id TEXT NOT NULL,
    integration INTEGER NOT NULL,  -- after the key's columns: else `PRAGMA integrity_check` of SQLite 3.40 says that it is NULL
    PRIMARY KEY (call, source_id)
) WITHOUT ROWID;
CREATE INDEX call_record_source ON call_record (source_id, integration);

-- What was said, of failures and samples: masked, cut, and kept for a shorter time than the calls.
CREATE TABLE call_body (
    call INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    request_headers TEXT NOT NULL,  -- JSON, those that matter
    request TEXT NOT NULL,
    answer_headers TEXT NOT NULL,
    answer TEXT NOT NULL
);
CREATE INDEX call_body_at ON call_body (at);

-- Running sums, so that nothing has to be counted to know whether there is too much.
CREATE TABLE tally (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
INSERT INTO tally SELECT 'call bytes', coalesce(sum(160 + length(url) + coalesce(length(answer), 0)), 0) FROM call;
INSERT INTO tally VALUES ('body bytes', 0), ('calls dropped', 0), ('calls dropped until', 0);
