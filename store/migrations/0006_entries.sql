-- Entries are packed, as moments are: what an entry costs is the row. They are
-- derived again, since what was loaded before has another loader version.
DROP TABLE entries;
CREATE TABLE entries (
  id   INTEGER PRIMARY KEY,         -- the number of the first; order: volume, path, then as the reader gave them
  x    INTEGER NOT NULL,
  rows BLOB NOT NULL                -- up to 64 of them: entryPacker
) STRICT;
DELETE FROM ranges WHERE tbl = 'entries' OR tbl LIKE 'entries %';
UPDATE generation SET n = n + 1;
