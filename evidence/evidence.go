// Package evidence holds the nouns of a case: exhibits, digests, addresses,
// events, findings, and what a question to a case answers. They are plain
// values with the JSON of the command line; nothing here reads or writes.
//
// The packages beside it turn formats into these values (cloudtrail, flowlog,
// netcap, credential), bring evidence in (acquire), and prove what was done
// (custody, bundle). None of them imports another.
package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// The sentinels: yes-or-no facts that a caller acts on.
var (
	// ErrReadOnly says that an action that writes was asked of a case or
	// bundle that is open read-only.
	ErrReadOnly = errors.New("the case is open read-only")
	// ErrBroken says that a hash, chain, signature or manifest does not hold.
	ErrBroken = errors.New("verification failed")
	// ErrUntrusted says that all is intact and no trusted signer vouches.
	ErrUntrusted = errors.New("intact, but trust is not established")
	// ErrGaps says that the work is done and something could not be read.
	ErrGaps = errors.New("done, with gaps")
	// ErrNotFound says that what was asked for is not in the case.
	ErrNotFound = errors.New("not found")
	// ErrIncomplete says that bytes of an exhibit that is being acquired are not
	// here yet.
	ErrIncomplete = errors.New("not acquired yet")
	// ErrUsage says that what was asked for cannot be meant: a malformed
	// address, time or option value.
	ErrUsage = errors.New("wrong usage")
)

// Hinted is an error that knows what the examiner can do next.
type Hinted interface {
	error
	Hint() string // one sentence, lower case, no full stop
}

type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }

// WithHint attaches a hint to err; nil stays nil.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hinted{err, fmt.Sprintf(format, args...)}
}

// Digest is a SHA-256. Its text form is 64 lower-case hexadecimal digits.
type Digest [sha256.Size]byte

// ParseDigest reads the text form.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) {
		return d, fmt.Errorf("digest %q: want 64 hexadecimal digits", s)
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return d, fmt.Errorf("digest %q: %w", s, err)
	}
	return d, nil
}

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText is the text form.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text form.
func (d *Digest) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDigest(string(b))
	return err
}

// Step is one report of progress on long work.
type Step struct {
	What  string // "acquire EX-001", lower case
	Done  int64  // so far, in Unit
	Total int64  // 0 when it cannot be known
	Unit  string // "B" for bytes, else a plural noun: "events"
}

// Progress takes reports of long work; nil means that nobody listens.
type Progress func(Step)

// Report passes s on; it does nothing on a nil Progress.
func (p Progress) Report(s Step) {
	if p != nil {
		p(s)
	}
}

// Canceled says whether err comes from a cancelled context.
func Canceled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
