package acquire

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/imaging"
)

// Underway is an acquisition that has not come to its end, as its journal tells
// it. Figures are bytes; what is counted is on disk.
type Underway struct {
	Exhibit string
	Kind    evidence.Kind
	Label   string
	Source  string
	API     string // as in acquisition.json
	Started imaging.Time
	Size    int64 // of the image; 0 for files
	Wanted  int64 // of that, what the source has; 0 where that is not known
	Block   int64 // of what one request of a service gives; 0 for what lies on this host
	// Data, Zeros and Lost make up what is dealt with: bytes that are here, that
	// the source says were never written, and that it could not give.
	Data, Zeros, Lost int64
	Files             int64
	Running           bool // somebody acquires it now
	Early             bool // it can be read meanwhile: OpenPartial
	// Error is why it stopped last, "" where that is not known or it was killed.
	Error string
}

// Done is how many bytes of the image are dealt with.
func (u *Underway) Done() int64 { return u.Data + u.Zeros + u.Lost }

// Watch tells of unfinished acquisitions. It reads each journal on from where it
// was the last time. It is safe for concurrent use.
type Watch struct {
	mu    sync.Mutex
	known map[string]*watched
}

type watched struct {
	u      Underway
	at     int64 // of the journal: before it all is counted
	block  int64
	lost   int64  // unreadable bytes of the block that follows
	why    string // Error, as of
	ledger int64  // this length of the ledger
}

// Look tells of all that is unfinished, in the order of the ids. What ends
// meanwhile is left out.
func (w *Watch) Look(f evidence.Folder) ([]Underway, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids, err := exhibitIDs(f)
	if err != nil {
		return nil, fmt.Errorf("look at acquisitions: %w", err)
	}
	if w.known == nil {
		w.known = map[string]*watched{}
	}
	var all []Underway
	for _, id := range ids {
		u, err := w.one(f, id)
		if err != nil {
			return nil, fmt.Errorf("look at the acquisition of %s: %w", id, err)
		}
		if u != nil {
			all = append(all, *u)
		}
	}
	return all, nil
}

func (w *Watch) one(f evidence.Folder, id string) (*Underway, error) {
	x := &exhibit{Job: &Job{Folder: f}, id: id}
	h, busy, err := peek(x.path(journalName))
	if errors.Is(err, os.ErrNotExist) || h == nil && err == nil {
		delete(w.known, id)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(f.Acquisition(id)); err == nil {
		return nil, nil // sealed; only its record is wanting
	}
	k := w.known[id]
	if k == nil || k.u.Started != h.Started {
		k = &watched{}
		w.known[id] = k
	}
	k.block = h.Identity.Block
	if k.block == 0 {
		k.block = blockSize
	}
	u := &k.u
	u.Exhibit, u.Kind, u.Label, u.Source, u.API, u.Started, u.Size, u.Wanted = id, h.Kind, h.Label, h.Source, h.Identity.API, h.Started, h.Identity.Size, h.Data
	u.Block = h.Identity.Block
	u.Running = busy
	_, err = os.Lstat(x.path(earlyListName))
	u.Early = err == nil
	if err := k.count(x.path(journalName)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if u.Error = ""; !busy {
		if u.Error, err = k.stopped(f, id); err != nil {
			return nil, err
		}
	}
	one := *u
	return &one, nil
}

// count reads what was added to the journal.
func (k *watched) count(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	if fi, err := f.Stat(); err != nil {
		return err
	} else if fi.Size() < k.at { // a torn end was cut
		k.again()
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, k.at, 1<<62), 64<<10)
	for {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // a line that is not whole is not counted
		}
		if err != nil {
			return err
		}
		var e entry
		if json.Unmarshal(text, &e) != nil {
			return nil
		}
		k.at += int64(len(text))
		k.entry(&e)
	}
}

func (k *watched) again() {
	k.at, k.lost, k.u.Data, k.u.Zeros, k.u.Lost, k.u.Files = 0, 0, 0, 0, 0, 0
}

func (k *watched) entry(e *entry) {
	switch {
	case e.Error != nil:
		k.lost += max(0, e.Error.Length)
	case e.Block != nil && e.Block.Zeros > 0:
		k.u.Zeros += e.Block.Length
		k.lost = 0
	case e.Block != nil:
		lost := min(k.lost, e.Block.Length)
		k.u.Data, k.u.Lost, k.lost = k.u.Data+e.Block.Length-lost, k.u.Lost+lost, 0
	case e.File != nil:
		k.u.Files++
		k.u.Data += e.File.Size
	case e.Drop != nil:
		// What lies behind counts no more. How it was made up is not known here:
		// it is counted again as it comes.
		left := min(k.u.Done(), *e.Drop*k.block)
		k.u.Zeros = min(k.u.Zeros, left)
		k.u.Lost = min(k.u.Lost, left-k.u.Zeros)
		k.u.Data = left - k.u.Zeros - k.u.Lost
	}
}

// stopped is why the acquisition of id stopped last, as the ledger has it.
func (k *watched) stopped(f evidence.Folder, id string) (string, error) {
	fi, err := os.Stat(f.Ledger())
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if fi.Size() == k.ledger {
		return k.why, nil
	}
	why := ""
	for r, err := range custody.Records(f) {
		if err != nil {
			break // verify tells of a ledger that is damaged
		}
		if r.Exhibit != id {
			continue
		}
		switch r.Type {
		case "evidence.acquire.start":
			why = ""
		case "evidence.acquire.error":
			why, _ = r.Data["error"].(string)
		}
	}
	k.why, k.ledger = why, fi.Size()
	return why, nil
}
