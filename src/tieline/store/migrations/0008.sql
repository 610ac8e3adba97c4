-- What the field says there: an update that replaces the whole record must send it along.

ALTER TABLE kept ADD COLUMN value BLOB;  -- JSON; NULL: the destination had none
