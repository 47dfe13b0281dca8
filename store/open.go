package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/acquire"
	"snapcase/evidence/custody"
	"snapcase/imaging"
)

// Case is an open case. It is safe for concurrent use.
type Case struct {
	folder evidence.Folder
	file   evidence.CaseFile
	o      Options
	ledger *custody.Ledger

	mu      sync.Mutex
	db      *sql.DB                      // for questions; nil until the first one
	snap    *snapshot                    // of the index; nil until the first question
	paths   map[string]map[string]string // files of exhibits, by exhibit and name
	unpack  unpacked                     // texts of log files that were unpacked last
	tags    tagCache
	disks   diskCache
	sealed  sealedFiles
	intel   intelCache
	fresh   string   // the exhibit that this process sealed last and indexes
	judging *judging // of the index run that goes on
	early   early
	watch   acquire.Watch
}

// Create makes a case folder with its ledger, and opens it. The folder may
// exist when it is empty.
func Create(ctx context.Context, dir string, n NewCase, o Options) (*Case, error) {
	f := evidence.Folder(dir)
	c := &Case{folder: f, o: o}
	if names, err := os.ReadDir(dir); err == nil && len(names) > 0 {
		return nil, evidence.WithHint(fmt.Errorf("make case %s: %w", dir, os.ErrExist), "name a folder that does not exist yet, or open the case that is there")
	}
	if err := os.MkdirAll(f.Exhibits(), 0o755); err != nil {
		return nil, fmt.Errorf("make case %s: %w", dir, err)
	}
	id, err := newUUID()
	if err != nil {
		return nil, fmt.Errorf("make case %s: %w", dir, err)
	}
	c.file = evidence.CaseFile{Version: evidence.CaseVersion, ID: "urn:uuid:" + id, Title: n.Title, Examiner: n.Examiner, Authority: n.Authority, Key: n.Key, Created: imaging.TimeOf(c.now().UTC())}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("make case %s: %w", dir, err)
	}
	if err := writeFile(f.CaseKey(), secret, 0o600); err != nil {
		return nil, fmt.Errorf("make case %s: %w", dir, err)
	}
	if err := c.createLedger(ctx); err != nil {
		return nil, fmt.Errorf("make case %s: %w", dir, err)
	}
	text, err := json.MarshalIndent(c.file, "", "  ")
	if err != nil {
		return nil, err
	}
	// case.json comes last: a folder without it is no case.
	if err := writeFile(f.CaseFile(), append(text, '\n'), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("make case %s: %w", dir, err), c.Close())
	}
	return c, nil
}

// Open opens a case folder; it does not index.
func Open(ctx context.Context, dir string, o Options) (*Case, error) {
	f := evidence.Folder(dir)
	file, err := evidence.ReadCase(f)
	if err != nil {
		return nil, err
	}
	c := &Case{folder: f, file: file, o: o}
	if o.Bundle {
		c.o.ReadOnly = true
	}
	if !c.o.ReadOnly {
		if err := c.openLedger(ctx); err != nil {
			return nil, fmt.Errorf("open case %s: %w", dir, err)
		}
	}
	return c, nil
}

// writeFile makes a new file whole or not at all.
func writeFile(path string, b []byte, mode os.FileMode) (err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// newUUID is a random UUID, version 4.
func newUUID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}

// Close releases the case; it makes a checkpoint where records were written.
func (c *Case) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.closeLedger()
	if c.db != nil {
		err = errors.Join(err, c.db.Close())
		c.db = nil
	}
	return errors.Join(err, c.disks.close(), c.early.close())
}

// File is case.json.
func (c *Case) File() evidence.CaseFile { return c.file }

// Folder is where the case lies.
func (c *Case) Folder() evidence.Folder { return c.folder }

// ReadOnly says whether the case refuses to write.
func (c *Case) ReadOnly() bool { return c.o.ReadOnly }

// Bundle says whether the case is a view of a bundle.
func (c *Case) Bundle() bool { return c.o.Bundle }

// Ledger is the custody ledger; nil in a read-only case.
func (c *Case) Ledger() *custody.Ledger { return c.ledger }

func (c *Case) now() time.Time {
	if c.o.Custody.Now == nil {
		return time.Time{}
	}
	return c.o.Custody.Now()
}

func (c *Case) indexPath() string {
	if c.o.Index != "" {
		return c.o.Index
	}
	return c.folder.Index()
}

// lockPath is the lock of who writes: of the case, or beside an index that
// lies elsewhere.
func (c *Case) lockPath() string {
	if c.o.Index != "" {
		return c.o.Index + ".lock"
	}
	return filepath.Join(string(c.folder), "case.lock")
}

// readers is the pool for questions.
func (c *Case) readers(ctx context.Context) (*sql.DB, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.db != nil {
		return c.db, nil
	}
	db, err := openReaders(ctx, c.indexPath())
	if err != nil {
		return nil, err
	}
	c.db = db
	return db, nil
}
