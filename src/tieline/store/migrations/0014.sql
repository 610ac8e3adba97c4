-- What a system does not show, or is said to have been deleted, and is not believed to be gone yet: it is asked for again by later runs.
CREATE TABLE absent (
    integration INTEGER NOT NULL,  -- whose outbox holds the changes of the record's side
    id TEXT NOT NULL,
    told TEXT NOT NULL,            -- list, get, webhook, feed, refuted: see store/absent.py
    since REAL NOT NULL,           -- when it was first noted
    last REAL NOT NULL,            -- when it was last found so
    PRIMARY KEY (integration, id)
) WITHOUT ROWID;

-- When we made a record that neither a list nor a get has shown since; NULL: it was seen since.
ALTER TABLE pair ADD COLUMN left_unseen REAL;
ALTER TABLE pair ADD COLUMN right_unseen REAL;
