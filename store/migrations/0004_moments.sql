-- Moments are packed: a row each cost more than all else of an entry. They are
-- derived again, since what was loaded before has another loader version.
DROP TABLE moments;
CREATE TABLE moments (
  id   INTEGER PRIMARY KEY,         -- the number of the first; order: time, entry
  x    INTEGER NOT NULL,
  rows BLOB NOT NULL                -- up to 64 of them: momentPacker
) STRICT;
DELETE FROM ranges WHERE tbl = 'moments';
UPDATE generation SET n = n + 1;
