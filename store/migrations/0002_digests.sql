-- Digests of the content of files, as far as they were asked for: the next
-- question does not read the content again.
CREATE TABLE digests (
  entry  INTEGER PRIMARY KEY,       -- entries
  x      INTEGER NOT NULL,
  md5    BLOB, sha1 BLOB,           -- null where they were not asked for
  sha256 BLOB,                      -- null where the content could not be read to its end
  damage TEXT NOT NULL              -- what reading found, '' for nothing
) STRICT;
CREATE INDEX digests_x ON digests (x);
