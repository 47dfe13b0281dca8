package store

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
)

// The columns that use a string of the dictionary: text search looks only
// where a string can stand.
const (
	colName = 1 << iota
	colSource
	colRegion
	colType
	colPrincipalType
	colPrincipalID
	colARN
	colAccount
	colUser
	colKey
	colIssuer
	colIP
	colAgent
	colError
	colMessage
	colResourceType
	colResourceName
	colOther   // not of an event
	colAddress // of a flow record or frame
	colFlow    // of a flow record, no address
	colDir     // of a change
)

// dict numbers strings while exhibits are loaded. Number 0 is no string. It
// is safe for concurrent use.
type dict struct {
	seed   maphash.Seed
	shards [64]dictShard
	next   atomic.Int64
}

type dictShard struct {
	mu    sync.Mutex
	words map[string]*word
	_     [40]byte // keeps neighbours apart
}

type word struct {
	id    int64
	cols  int64
	saved int64 // cols that the database has; -1 when it has not the word
}

// loadDict reads the dictionary of the database.
func loadDict(ctx context.Context, t *tx) (*dict, error) {
	d := &dict{seed: maphash.MakeSeed()}
	for i := range d.shards {
		d.shards[i].words = map[string]*word{}
	}
	rows, err := t.conn.QueryContext(ctx, "SELECT id, cols, text FROM dict")
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is asked
	for rows.Next() {
		var w word
		var text string
		if err := rows.Scan(&w.id, &w.cols, &text); err != nil {
			return nil, err
		}
		w.saved = w.cols
		d.shard(text).words[text] = &w
		d.next.Store(max(d.next.Load(), w.id))
	}
	return d, rows.Err()
}

func (d *dict) shard(s string) *dictShard {
	return &d.shards[maphash.String(d.seed, s)%uint64(len(d.shards))]
}

// id is the number of s, used in column col; 0 for "".
func (d *dict) id(s string, col int64) int64 {
	if s == "" {
		return 0
	}
	sh := d.shard(s)
	sh.mu.Lock()
	w := sh.words[s]
	if w == nil {
		w = &word{id: d.next.Add(1), saved: -1}
		sh.words[strings.Clone(s)] = w
	}
	w.cols |= col
	id := w.id
	sh.mu.Unlock()
	return id
}

// save writes what the database has not.
func (d *dict) save(ctx context.Context, t *tx) error {
	b, err := newBulk(t, "dict", "id,cols,text")
	if err != nil {
		return err
	}
	up, err := t.conn.PrepareContext(ctx, "UPDATE dict SET cols = ? WHERE id = ?")
	if err != nil {
		return err
	}
	defer up.Close() //nolint:errcheck // nothing is buffered in it
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		for s, w := range sh.words {
			switch w.saved {
			case w.cols:
				continue
			case -1:
				err = b.add(ctx, w.id, w.cols, s)
			default:
				_, err = up.ExecContext(ctx, w.cols, w.id)
			}
			if err != nil {
				sh.mu.Unlock()
				return err
			}
			w.saved = w.cols
		}
		sh.mu.Unlock()
	}
	return b.end(ctx)
}

// texts is the dictionary the other way round.
func (d *dict) texts() map[int64]string {
	out := make(map[int64]string, d.next.Load())
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		for s, w := range sh.words {
			out[w.id] = s
		}
		sh.mu.Unlock()
	}
	return out
}
