-- Which version of each record it is that is known: what a write is made on condition of. NULL: not known, or the system tells none.

ALTER TABLE pair ADD COLUMN left_version TEXT;   -- JSON
ALTER TABLE pair ADD COLUMN right_version TEXT;
