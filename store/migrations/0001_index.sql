-- The index of a case. Derived: every row can be made again from the exhibits
-- and the ledger. Repeated strings are numbers of dict. Within one exhibit
-- (x) the numbers of entries, moments, events, flows and packets are dense and
-- stand in the order of the question that lists them; ranges says where.

CREATE TABLE dict (
  id   INTEGER PRIMARY KEY,
  cols INTEGER NOT NULL,            -- bit set: which columns use it
  text TEXT NOT NULL                -- raw bytes of the evidence
) STRICT;
CREATE INDEX dict_text ON dict (text);

-- Raised by every load, so that a reader knows that what it keeps is old.
CREATE TABLE generation (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL) STRICT;
INSERT INTO generation VALUES (1, 0);

-- One row an exhibit that was loaded. x is the number of the exhibit's id.
CREATE TABLE loads (
  x       INTEGER PRIMARY KEY,
  exhibit TEXT NOT NULL UNIQUE,
  kind    TEXT NOT NULL,
  sha256  TEXT NOT NULL,
  loader  INTEGER NOT NULL,         -- version of the code that loaded it
  stats   TEXT NOT NULL             -- JSON of evidence.ExhibitStats
) STRICT;

-- Where the rows of an exhibit lie: id lo to hi; up to timed they have a time
-- and stand in its order. anchors holds the time of every 64th row as 8 bytes,
-- big endian.
CREATE TABLE ranges (
  x       INTEGER NOT NULL,
  tbl     TEXT NOT NULL,
  lo      INTEGER NOT NULL,
  hi      INTEGER NOT NULL,
  timed   INTEGER NOT NULL,
  anchors BLOB NOT NULL,
  PRIMARY KEY (x, tbl)
) STRICT, WITHOUT ROWID;

-- Exact value of times that do not fit into 64 bits of nanoseconds.
CREATE TABLE times_beyond (
  tbl  TEXT NOT NULL,
  id   INTEGER NOT NULL,
  col  TEXT NOT NULL,
  sec  INTEGER NOT NULL,
  nsec INTEGER NOT NULL,
  PRIMARY KEY (tbl, id, col)
) STRICT, WITHOUT ROWID;

-- Files of log and capture exhibits. places holds offset and length of every
-- record in the unpacked text, as varints: offset minus the end of the one
-- before (zigzag), length.
CREATE TABLE files (
  id      INTEGER PRIMARY KEY,
  x       INTEGER NOT NULL,
  name    TEXT NOT NULL,            -- below files/ of the exhibit, as stored
  records INTEGER NOT NULL,
  places  BLOB
) STRICT;
CREATE INDEX files_name ON files (x, name);

-- Disk exhibits.
CREATE TABLE dirs (
  id     INTEGER PRIMARY KEY,
  x      INTEGER NOT NULL,
  volume TEXT NOT NULL,
  path   TEXT NOT NULL,             -- without the last slash; '' is the root of the volume
  lo     INTEGER NOT NULL,          -- entries: the first and the last one that lies directly in it
  hi     INTEGER NOT NULL,
  runs   BLOB                       -- which ones between are its own: packRuns; null where they are too many runs
) STRICT;
CREATE INDEX dirs_path ON dirs (path);

-- Few columns: what an entry costs is their number.
CREATE TABLE entries (
  id     INTEGER PRIMARY KEY,       -- order: volume, path, then as the reader gave them
  x      INTEGER NOT NULL,
  dir    INTEGER NOT NULL,          -- dirs: it says the volume too
  name   TEXT NOT NULL,             -- '' is the root itself
  type   INTEGER NOT NULL,
  status INTEGER NOT NULL,
  inode  INTEGER NOT NULL,          -- two's complement above 2^63
  rest   BLOB NOT NULL              -- all of the entry but its path: packEntry
) STRICT;

CREATE TABLE moments (
  id    INTEGER PRIMARY KEY,        -- order: time, entry
  x     INTEGER NOT NULL,
  ts    INTEGER NOT NULL,
  entry INTEGER NOT NULL,
  macb  INTEGER NOT NULL            -- bit set: 8 M, 4 A, 2 C, 1 B, 16 deleted
) STRICT;

CREATE TABLE hits (
  id          INTEGER PRIMARY KEY,
  x           INTEGER NOT NULL,
  key         INTEGER NOT NULL,     -- dict
  kind        TEXT NOT NULL,
  off         INTEGER NOT NULL,
  file        INTEGER,              -- files, for exhibits that are folders
  address     TEXT,
  status      TEXT NOT NULL,
  file_offset INTEGER,
  secret      INTEGER NOT NULL,
  fingerprint TEXT,
  doc         INTEGER NOT NULL,
  area        TEXT                  -- what the bytes are, where that is not plain content: journal, metadata, …
) STRICT;
CREATE INDEX hits_key ON hits (key);

-- CloudTrail. Small numbers are dict; ids that are UUIDs are 16 bytes.
CREATE TABLE events (
  id      INTEGER PRIMARY KEY,      -- order: time, event id; without a time last
  x       INTEGER NOT NULL,
  ts      INTEGER,
  eid     ANY,
  name    INTEGER, source INTEGER, region INTEGER, type INTEGER,
  ptype   INTEGER, pid INTEGER, arn INTEGER, account INTEGER, user INTEGER,
  key     INTEGER, issuer INTEGER, ip INTEGER, agent INTEGER,
  error   INTEGER, message INTEGER,
  flags   INTEGER NOT NULL,         -- 1 read-only known, 2 read-only, 4 mfa known, 8 mfa, 16 by a service, 32 conflict
  request ANY, shared ANY,
  file    INTEGER NOT NULL, n INTEGER NOT NULL,
  copies  INTEGER NOT NULL,
  hash    BLOB NOT NULL             -- of the record's text, for finding copies later
) STRICT;

CREATE TABLE copies (               -- the other places of an event
  event INTEGER NOT NULL, x INTEGER NOT NULL, file INTEGER NOT NULL, n INTEGER NOT NULL
) STRICT;

CREATE TABLE resources (
  event INTEGER NOT NULL, type INTEGER NOT NULL, name INTEGER NOT NULL, -- type 0: the record gives none
  PRIMARY KEY (event, type, name)
) STRICT, WITHOUT ROWID;

-- The parts of an ARN by which --resource-name finds it too.
CREATE TABLE name_parts (
  part INTEGER NOT NULL, name INTEGER NOT NULL, PRIMARY KEY (part, name)
) STRICT, WITHOUT ROWID;

-- An answer that held a key: edge from the caller to the key.
CREATE TABLE issues (
  event     INTEGER NOT NULL,
  x         INTEGER NOT NULL,
  ts        INTEGER,
  caller    INTEGER,                -- key that called; null where none did
  issued    INTEGER NOT NULL,       -- key in the answer
  assumed   INTEGER,                -- assumedRoleId or federatedUserId
  principal INTEGER,                -- arn or user the issued key belongs to
  session   INTEGER,                -- roleSessionName
  service   INTEGER,                -- service that called, where none of the account did
  permanent INTEGER NOT NULL
) STRICT;

-- Sessions in use: a temporary key with its principalId and creation date.
CREATE TABLE sessions (
  x INTEGER NOT NULL, key INTEGER NOT NULL, pid INTEGER NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY (key, pid, created, x)
) STRICT, WITHOUT ROWID;

CREATE TABLE mentions (             -- key ids in the text of records: the first place in the exhibit
  x INTEGER NOT NULL, key INTEGER NOT NULL, file INTEGER NOT NULL, n INTEGER NOT NULL, off INTEGER NOT NULL,
  PRIMARY KEY (key, x)
) STRICT, WITHOUT ROWID;

CREATE TABLE created (              -- what successful calls made
  event INTEGER NOT NULL, x INTEGER NOT NULL, type TEXT NOT NULL, name INTEGER NOT NULL
) STRICT;

CREATE TABLE instances (            -- what records show of an instance
  x INTEGER NOT NULL, instance INTEGER NOT NULL, region INTEGER NOT NULL, attr TEXT NOT NULL, value INTEGER NOT NULL,
  PRIMARY KEY (instance, attr, value, region, x)
) STRICT;

-- Sums by who, kept while loading: the keys screen and the regions never scan.
CREATE TABLE uses (
  x INTEGER NOT NULL, key INTEGER, arn INTEGER, region INTEGER, service INTEGER NOT NULL,
  n INTEGER NOT NULL, failed INTEGER NOT NULL, first INTEGER, last INTEGER
) STRICT;
CREATE INDEX uses_key ON uses (key);
CREATE INDEX uses_region ON uses (region);

-- Flow records; addresses are dict.
CREATE TABLE flows (
  id INTEGER PRIMARY KEY,           -- order: start, file, record
  x INTEGER NOT NULL, ts INTEGER, te INTEGER,
  file INTEGER NOT NULL, n INTEGER NOT NULL,
  version INTEGER, account INTEGER, iface INTEGER, instance INTEGER, vpc INTEGER, subnet INTEGER,
  src INTEGER, dst INTEGER, psrc INTEGER, pdst INTEGER, sport INTEGER, dport INTEGER,
  proto INTEGER, packets INTEGER, bytes INTEGER, action INTEGER, status INTEGER,
  tcp INTEGER, direction INTEGER, region INTEGER, other INTEGER,
  peer INTEGER,                     -- the remote address; null where it cannot be told
  copy INTEGER NOT NULL             -- 1: the same record is in another flow log
) STRICT;

CREATE TABLE flow_sums (            -- records of status OK that are no copies
  x INTEGER NOT NULL, iface INTEGER, instance INTEGER, src INTEGER, dst INTEGER,
  lsrc INTEGER, ldst INTEGER, proto INTEGER, direction INTEGER, peer INTEGER,
  records INTEGER NOT NULL, packets INTEGER NOT NULL, bytes INTEGER NOT NULL,
  accepted INTEGER NOT NULL, rejected INTEGER NOT NULL, first INTEGER, last INTEGER,
  ports BLOB                        -- ascending lower ports, as varints of their distances
) STRICT;
CREATE TABLE flow_gaps (            -- windows of which records were lost
  x INTEGER NOT NULL, iface INTEGER, n INTEGER NOT NULL
) STRICT;

-- Frames that are more than counted: ICMP, DNS, TLS hello, HTTP.
CREATE TABLE packets (
  id INTEGER PRIMARY KEY,           -- order: time, file, frame
  x INTEGER NOT NULL, ts INTEGER, file INTEGER NOT NULL, n INTEGER NOT NULL,
  src INTEGER, dst INTEGER, proto INTEGER, type TEXT NOT NULL, summary TEXT NOT NULL
) STRICT;
CREATE TABLE conversations (
  x INTEGER NOT NULL, src INTEGER, dst INTEGER, proto INTEGER,
  packets INTEGER NOT NULL, bytes INTEGER NOT NULL, first INTEGER, last INTEGER
) STRICT;
CREATE TABLE icmp (                 -- JSON of evidence.ICMPPair, over all captures
  id INTEGER PRIMARY KEY, pair TEXT NOT NULL
) STRICT;
