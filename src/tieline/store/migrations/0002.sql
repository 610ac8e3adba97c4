-- What processes must not forget and share: budgets, breakers. One JSON value a name.

CREATE TABLE state (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
