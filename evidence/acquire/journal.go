package acquire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"snapcase/evidence"
	"snapcase/imaging"

	"golang.org/x/sys/unix"
)

const (
	journalName    = ".acquiring"
	journalVersion = 1
	longestLine    = 1 << 20
	lookTries      = 5
	lookTime       = 5 * time.Millisecond
)

// header is the journal's first line: what is acquired.
type header struct {
	V         int           `json:"v"`
	Source    string        `json:"source"`
	SourceB64 []byte        `json:"source_b64,omitempty"`
	Kind      evidence.Kind `json:"kind"`
	Detected  string        `json:"detected,omitempty"` // how the kind was found, when it was
	Label     string        `json:"label,omitempty"`
	Hashes    []string      `json:"hashes,omitempty"`
	Format    string        `json:"format,omitempty"` // of the copy: "zst", "" for raw
	Identity  identity      `json:"identity"`
	Started   imaging.Time  `json:"started"`
	// Part is the length of the parts of a block that have a digest each; 0
	// where a block has one.
	Part int64 `json:"part,omitempty"`
	// Data is how many bytes the source has that are not known to be zeros; 0
	// where that is not known.
	Data int64 `json:"data,omitempty"`
	// Container is set where the source is one.
	Container *evidence.Container `json:"container,omitempty"`
}

// blockLine says that a block of an image is on disk. Blocks come nearly in
// order: at most lookahead lines lie between where one is and where it would be.
type blockLine struct {
	N      int64           `json:"n"`
	Length int64           `json:"length"`
	SHA256 evidence.Digest `json:"sha256,omitzero"`
	// Parts are the digests of the parts of the block, one behind the other,
	// in place of SHA256 where the header gives their length.
	Parts []byte `json:"parts,omitempty"`
	// Zeros, where it is not 0, is how many blocks of zeros the line stands for;
	// SHA256 is that of one of them, Length that of all.
	Zeros int64 `json:"zeros,omitempty"`
	// Frames are the lengths of the block's frames, where the copy is packed.
	Frames []int64 `json:"frames,omitempty"`
}

// errorLine is an unreadable range; it comes before the line of its block.
type errorLine struct {
	evidence.ReadError
	Retries int `json:"retries"`
}

// entry is one line of the journal; one field is set.
type entry struct {
	Header *header    `json:"header,omitempty"`
	Block  *blockLine `json:"block,omitempty"`
	Error  *errorLine `json:"error,omitempty"`
	File   *fileLine  `json:"file,omitempty"`
	// Drop says that lines before it of blocks from this number on count no more.
	Drop *int64 `json:"drop,omitempty"`
}

// journal is an open, locked journal. Its methods are safe for concurrent use.
type journal struct {
	f  *os.File
	mu sync.Mutex // of appends
}

var errBusy = errors.New("another process is acquiring it")

// openJournal opens and locks a journal, making it where there is none.
func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for try := 0; errors.Is(err, unix.EWOULDBLOCK) && try < lookTries; try++ {
		time.Sleep(lookTime) // somebody may only look whether it is locked
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errBusy
		}
		return nil, errors.Join(err, f.Close())
	}
	return &journal{f: f}, nil
}

func (l *journal) close() error { return l.f.Close() }

// append writes entries and returns once they are on disk.
func (l *journal) append(entries ...entry) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for i := range entries {
		if err := e.Encode(&entries[i]); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.f.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := unix.Fdatasync(int(l.f.Fd())); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// read gives every whole line to yield, with the offset behind it, until it says
// no. A line that is torn or none of ours ends it.
func (l *journal) read(yield func(e entry, end int64) bool) error {
	r := bufio.NewReaderSize(io.NewSectionReader(l.f, 0, 1<<62), longestLine)
	for end := int64(0); ; {
		text, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		end += int64(len(text))
		var e entry
		if json.Unmarshal(text, &e) != nil || !yield(e, end) {
			return nil
		}
	}
}

// header is the journal's first line; nil when there is none.
func (l *journal) header() (*header, error) {
	var h *header
	err := l.read(func(e entry, _ int64) bool {
		if e.Header != nil && e.Header.V == journalVersion {
			h = e.Header
		}
		return false
	})
	return h, err
}

// cut drops everything from offset end.
func (l *journal) cut(end int64) error {
	if err := l.f.Truncate(end); err != nil {
		return fmt.Errorf("cut journal: %w", err)
	}
	if err := unix.Fdatasync(int(l.f.Fd())); err != nil {
		return fmt.Errorf("cut journal: %w", err)
	}
	return nil
}
