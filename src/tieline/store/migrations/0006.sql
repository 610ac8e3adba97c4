-- How long something has been owed: a later version of a record that takes the place of an owed one is owed since that one was.

ALTER TABLE delivery ADD COLUMN owed_since REAL;  -- NULL: since it was accepted
