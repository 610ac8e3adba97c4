-- Zeros beside a creation that is on its way. Its row is confirmed with a time, a run and a call, which then take no more place than these
-- did: rows are appended page by page, each page filled to the brim, and rows that grow would split nearly all of them.
ALTER TABLE delivery ADD COLUMN room BLOB;
