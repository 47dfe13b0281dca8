package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"

	"snapcase/evidence"
	"snapcase/evidence/hashset"
)

// contentSums are the digests of one content. sha256 is nil where it could not
// be read to its end; md5 and sha1 are nil where nothing asked for them.
type contentSums struct {
	md5, sha1, sha256 []byte
	damage            string // what reading found
}

func (s *contentSums) of(a hashset.Algorithm) []byte {
	switch a {
	case hashset.MD5:
		return s.md5
	case hashset.SHA1:
		return s.sha1
	case hashset.SHA256:
	}
	return s.sha256
}

// answers says whether the digests that are needed are there.
func (s *contentSums) answers(needs [len(hashset.Algorithms)]bool) bool {
	if s.sha256 == nil {
		return true // there will be no more
	}
	for _, a := range hashset.Algorithms {
		if needs[a] && s.of(a) == nil {
			return false
		}
	}
	return true
}

// tell sets what an entry shows of its content.
func (r *entryRow) tell(s *contentSums) {
	r.SHA256, r.SHA1, r.MD5 = hex.EncodeToString(s.sha256), hex.EncodeToString(s.sha1), hex.EncodeToString(s.md5)
	r.damaged(s.damage)
}

// hasher gives the digests of entries of one question: those that the index
// keeps, and of the others the content is read. What was read is kept for the
// next question where the case allows it.
type hasher struct {
	q      *question
	sets   *knownSets
	recent map[int64]*contentSums // by entry: of the last rows that were asked for
	fresh  []freshSums            // to be kept
	keeper *digestKeeper
}

type freshSums struct {
	entry int64
	x     int
	sums  *contentSums
}

// recentMost is how many digests a question remembers: a filter asks for the
// same rows as the listing behind it.
const recentMost = 1 << 16

// newHasher opens the lists of the case; end must be called after the question
// has ended.
func (c *Case) newHasher(q *question) (*hasher, error) {
	sets, err := c.openSets(q)
	if err != nil {
		return nil, err
	}
	return &hasher{q: q, sets: sets, recent: map[int64]*contentSums{}, keeper: &digestKeeper{c: c, generation: q.generation}}, nil
}

// end keeps what is left to keep.
func (h *hasher) end(ctx context.Context) error {
	if h == nil {
		return nil
	}
	h.keeper.keep(ctx, h.fresh)
	h.keeper.end()
	return h.sets.close()
}

// entries sets the digests of the regular files among rows, and the lists that
// know them.
func (h *hasher) entries(ctx context.Context, rows []entryRow) error {
	if len(h.recent)+len(rows) > recentMost {
		clear(h.recent)
	}
	if err := h.kept(ctx, rows); err != nil {
		return err
	}
	if err := h.q.c.hashEntries(ctx, h, rows); err != nil {
		return err
	}
	for i := range rows {
		s := h.recent[rows[i].id]
		if s == nil {
			continue
		}
		rows[i].tell(s)
		if len(h.sets.all) == 0 {
			continue
		}
		var err error
		if rows[i].Known, err = h.sets.names(s); err != nil {
			return err
		}
	}
	if len(h.fresh) >= 4096 {
		h.keeper.keep(ctx, h.fresh)
		h.fresh = h.fresh[:0]
	}
	return nil
}

// kept takes from the index what it has of rows.
func (h *hasher) kept(ctx context.Context, rows []entryRow) error {
	var ids []int64
	for i := range rows {
		if h.recent[rows[i].id] == nil {
			ids = append(ids, rows[i].id)
		}
	}
	return h.q.byIDs(ctx, "SELECT entry, md5, sha1, sha256, damage FROM digests WHERE entry", ids, func(r *sql.Rows) error {
		var id int64
		s := &contentSums{}
		if err := r.Scan(&id, &s.md5, &s.sha1, &s.sha256, &s.damage); err != nil {
			return err
		}
		if s.answers(h.sets.needs) {
			h.recent[id] = s
		}
		return nil
	})
}

// learned takes the digests that were read of an entry.
func (h *hasher) learned(r *entryRow, s *contentSums) {
	h.recent[r.id] = s
	h.fresh = append(h.fresh, freshSums{r.id, exhibitNumber(r.Exhibit), s})
}

// digestKeeper writes digests into the index. They are a convenience: where
// that is not possible (the case may not be written, another process writes, the
// index was made anew meanwhile) they are not kept, and nothing is said.
type digestKeeper struct {
	c          *Case
	generation int64 // of the index that the numbers of entries are of
	db         *sql.DB
	lock       *lock
	off        bool
}

func (k *digestKeeper) keep(ctx context.Context, all []freshSums) {
	if len(all) == 0 || k.off || !k.c.o.derives() || ctx.Err() != nil {
		return
	}
	if k.db == nil {
		var err error
		if k.lock, err = takeLock(k.c.lockPath(), "files --hash"); err == nil {
			k.db, err = openWriter(ctx, k.c.indexPath())
		}
		if k.off = err != nil; k.off {
			return
		}
	}
	k.off = k.write(ctx, all) != nil
}

var errIndexChanged = errors.New("the index was made anew")

func (k *digestKeeper) write(ctx context.Context, all []freshSums) error {
	return inTx(ctx, k.db, func(t *tx) error {
		var n int64
		if err := t.conn.QueryRowContext(ctx, "SELECT n FROM generation").Scan(&n); err != nil {
			return err
		}
		if n != k.generation {
			return errIndexChanged
		}
		for _, f := range all {
			if err := t.exec(ctx, "INSERT OR REPLACE INTO digests (entry, x, md5, sha1, sha256, damage) VALUES (?,?,?,?,?,?)",
				f.entry, f.x, blob(f.sums.md5), blob(f.sums.sha1), blob(f.sums.sha256), f.sums.damage); err != nil {
				return err
			}
		}
		return nil
	})
}

// blob is bytes for a column that may be missing.
func blob(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

func (k *digestKeeper) end() {
	if k.db != nil {
		k.c.closeWriter(context.Background(), k.db) //nolint:errcheck // what was not kept is read again
	}
	if k.lock != nil {
		k.lock.release() //nolint:errcheck // nothing was promised
	}
}

// derives says whether what is derived may be written beside the case.
func (o Options) derives() bool { return !o.ReadOnly || o.Bundle || o.Derive }

// knownAs says whether an entry belongs to the files of a role: "good" and
// "bad" by the lists, "unknown" the regular files that no list has.
func knownAs(e *evidence.FileEntry, role string) bool {
	for _, name := range e.Known {
		if len(name) > len(role) && name[:len(role)] == role && name[len(role)] == ':' {
			return true
		}
	}
	return role == knownUnknown && e.Type == "file" && len(e.Known) == 0
}

const knownUnknown = "unknown"
