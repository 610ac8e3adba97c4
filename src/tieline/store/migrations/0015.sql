-- The calls of one connection, one integration or one status are found without walking through all others.
DROP INDEX call_at;
CREATE INDEX call_at ON call (at, seconds);
CREATE INDEX call_connection ON call (connection, at);
CREATE INDEX call_integration ON call (integration, at);
CREATE INDEX call_status ON call (status, at);
