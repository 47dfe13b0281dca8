-- Records of the change journals of file systems: lines of the timeline.
CREATE TABLE changes (
  id         INTEGER PRIMARY KEY,   -- order: time, then as they lie in the journal; without a time last
  x          INTEGER NOT NULL,
  ts         INTEGER,
  volume     INTEGER NOT NULL,      -- dict
  inode      INTEGER NOT NULL,      -- of the file; two's complement above 2^63
  generation INTEGER NOT NULL,      -- as the entry has it
  dir        INTEGER NOT NULL,      -- dict: path of the directory; 0 the root
  name       TEXT NOT NULL,
  reason     INTEGER NOT NULL,      -- bits of Windows
  rest       BLOB NOT NULL          -- packChange
) STRICT;
UPDATE generation SET n = n + 1;
