package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/imaging"
)

// coverage is what the map of a partly acquired image says: which runs are not
// there, and which changed.
type coverage struct {
	since   string
	absent  []byteRun
	changed []byteRun
}

// byteRun is the bytes from off up to end.
type byteRun struct{ off, end int64 }

// readCoverage reads the map of an exhibit and compares it with the ledger; nil
// where the exhibit has none.
func readCoverage(f evidence.Folder, exhibit string, size int64) (*coverage, error) {
	want, since, err := sealedMapDigest(f, exhibit)
	if err != nil {
		return nil, err
	}
	in, err := os.Open(f.Map(exhibit))
	switch {
	case errors.Is(err, fs.ErrNotExist) && want == "":
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, altered(fmt.Errorf("map.jsonl is missing: %w", evidence.ErrBroken))
	case err != nil:
		return nil, err
	}
	defer in.Close() //nolint:errcheck // read-only
	c, h := &coverage{since: since}, sha256.New()
	bad := evidence.ReadMap(io.TeeReader(in, h), size, c.add)
	if _, err := io.Copy(h, in); err != nil { // what ReadMap left
		return nil, err
	}
	if sum := evidence.Digest(h.Sum(nil)); want != "" && sum.String() != want {
		return nil, altered(fmt.Errorf("map.jsonl has the digest %s, the ledger says %s: %w", sum, want, evidence.ErrBroken))
	}
	if bad != nil {
		return nil, altered(bad)
	}
	return c, nil
}

// sealedMapDigest is the digest of the map as the ledger gives it, and the older
// snapshot that it is of; "" where it gives none or cannot be read.
func sealedMapDigest(f evidence.Folder, exhibit string) (sum, since string, err error) {
	for r, err := range custody.Records(f) {
		if errors.Is(err, fs.ErrNotExist) {
			return "", "", nil
		}
		if err != nil {
			break // a bundle may be redacted; verify tells of a ledger that is damaged
		}
		if r.Exhibit != exhibit || r.Type != "evidence.acquire.end" {
			continue
		}
		sum, _ = r.Data["map_sha256"].(string)         //nolint:errcheck // empty when it is not there
		origin, _ := r.Data["origin"].(map[string]any) //nolint:errcheck // as above
		since, _ = origin["since"].(string)            //nolint:errcheck // as above
	}
	return sum, since, nil
}

func (c *coverage) add(l evidence.MapLine) {
	join := func(all []byteRun) []byteRun {
		if n := len(all); n > 0 && all[n-1].end == l.Offset {
			all[n-1].end += l.Length
			return all
		}
		return append(all, byteRun{l.Offset, l.Offset + l.Length})
	}
	if l.State == evidence.MapNotAcquired {
		c.absent = join(c.absent)
	}
	if l.Changed {
		c.changed = join(c.changed)
	}
}

// firstRun is the part of the first of some runs within n bytes from off.
func firstRun(runs []byteRun, off, n int64) (byteRun, bool) {
	i, _ := slices.BinarySearchFunc(runs, off, func(r byteRun, off int64) int {
		if r.end <= off {
			return -1
		}
		return 1
	})
	if i == len(runs) || n <= 0 || runs[i].off-off >= n {
		return byteRun{}, false
	}
	r := byteRun{max(off, runs[i].off), runs[i].end}
	if r.end-off > n {
		r.end = off + n
	}
	return r, true
}

// FirstHole is the first run within n bytes from off that was not acquired.
func (s *sealedImage) FirstHole(off, n int64) (imaging.Hole, bool) {
	if s.coverage == nil {
		return imaging.Hole{}, false
	}
	r, ok := firstRun(s.coverage.absent, off, n)
	if !ok {
		return imaging.Hole{}, false
	}
	reason := "not acquired"
	if s.coverage.since != "" {
		reason += ": only what changed since " + s.coverage.since + " was"
	}
	return imaging.Hole{Offset: r.off, Length: r.end - r.off, Reason: reason, Refused: true}, true
}

// readPart reads up to the first byte that was not acquired; what lies there is
// an error, never zeros.
func (s *sealedImage) readPart(p []byte, off int64) (int, error) {
	h, ok := s.FirstHole(off, int64(len(p)))
	if !ok {
		return s.file.ReadAt(p, off)
	}
	n, err := s.file.ReadAt(p[:h.Offset-off], off)
	if int64(n) == h.Offset-off {
		err = &imaging.HoleError{Hole: h}
	}
	return n, err
}

// changedView is a sealed image whose holes are what changed in it: so whatever
// finds the files that lie in holes finds the files that changed.
type changedView struct{ *sealedImage }

// changedReason tells a run that changed from a member that is not there.
const changedReason = "changed"

// FirstHole is the first run within n bytes from off that changed.
func (v changedView) FirstHole(off, n int64) (imaging.Hole, bool) {
	if v.coverage == nil {
		return imaging.Hole{}, false
	}
	r, ok := firstRun(v.coverage.changed, off, n)
	return imaging.Hole{Offset: r.off, Length: r.end - r.off, Reason: changedReason}, ok
}
