-- What puts back what a run wrote is sent as it was meant, however long it is owed.

ALTER TABLE delivery ADD COLUMN undoes INTEGER;  -- the delivery that it puts back
