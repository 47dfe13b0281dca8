package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"snapcase/evidence/credential"
	decode "snapcase/evidence/credential/inside"
	"snapcase/imaging"
)

// insideHit is an access key id in what a file hides.
type insideHit struct {
	credential.Hit // its Offset counts in the decoded stream
	place          hitPlace
	key            ownerKey // whose content it is, on a disk
	first          int64    // where that content starts in the image, -1 where that is not known
	plain          int64    // byte of that content where the key lies as it is, -1 where it was decoded
	path           string   // of the stream: "!home/u/.aws/credentials"
}

// insideScan looks for access key ids in what the files of an exhibit hide. It
// is safe for concurrent use.
type insideScan struct {
	l      *load
	key    []byte // of the fingerprints; none in a bundle
	budget *decode.Budget

	mu      sync.Mutex
	hits    []insideHit
	paths   int // bytes of the paths of hits, of one stream once
	omitted int64
	passed  int64  // sources that were not looked into, since the budget was used up
	first   string // of them
	looked  int64
}

const (
	// insideLeast is what may be decoded of an exhibit, in bytes beyond what
	// goes in, insideShare the same for each byte of an image.
	insideLeast = 64 << 30
	insideShare = 8
	// insideMost is how many hits inside files are kept.
	insideMost = credential.MaxHits
	// insidePaths is how many bytes the names of their streams may have.
	insidePaths = 64 << 20
)

// newInside makes the scan of an exhibit of size bytes.
func (l *load) newInside(size int64) (*insideScan, error) {
	key, err := os.ReadFile(l.c.folder.CaseKey())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return &insideScan{l: l, key: key, budget: decode.NewBudget(max(insideLeast, insideShare*min(size, 1<<50)))}, nil
}

// insideSource is content that is looked into.
type insideSource struct {
	key     ownerKey
	first   int64 // in the image
	address string
	quiet   bool  // damage is no gap: the entry is deleted
	packed  bool  // its own bytes do not lie in the image as they are read
	most    int64 // bytes that it can have, by the size of its volume; 0 for any
	open    func() (imaging.Source, error)
	// late has it looked into when more is known of its holes; false where that
	// cannot be. It is nil where nothing more will be known.
	late func() bool
}

// look decodes one source. What cannot be read or decoded is a gap; the error
// is cancellation.
func (s *insideScan) look(ctx context.Context, d *decode.Decoder, f *insideSource) error {
	src, err := f.open()
	if err != nil {
		if !f.quiet {
			s.l.gap(f.address, max(0, f.first), fmt.Sprintf("it may hide access keys and cannot be opened: %v", err))
		}
		return ctx.Err()
	}
	t := &insideTaker{s: s, f: f}
	if f.most > 0 && src.Size() > f.most {
		end := dataEnd(src, f.most)
		if _, _, more := imaging.NextData(src, end); more {
			if f.late != nil && f.late() {
				return ctx.Err()
			}
			s.l.gap(f.address, max(0, f.first), fmt.Sprintf("looking inside for access keys: it claims %d bytes, more than its volume can hold: only the first %d are looked at", src.Size(), end))
		}
		src = imaging.Section(src, 0, end)
	}
	if f.packed {
		err = t.content(ctx, src)
	}
	if err == nil {
		err = d.Walk(ctx, src, t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(t)
	if s.looked++; s.looked%256 == 0 {
		s.l.report("files looked into", s.looked)
	}
	if errors.Is(err, decode.ErrBudget) {
		if s.passed++; s.first == "" {
			s.first = f.address
		}
		return nil
	}
	return err
}

// keep takes the hits of a source, within the bounds.
func (s *insideScan) keep(t *insideTaker) {
	s.omitted += t.omitted
	if s.paths += t.paths; s.paths > insidePaths {
		s.paths -= t.paths
		s.omitted += int64(len(t.hits))
		return
	}
	n := min(len(t.hits), insideMost-len(s.hits))
	s.hits = append(s.hits, t.hits[:n]...)
	s.omitted += int64(len(t.hits) - n)
}

// end tells what was left out, and puts the hits in order.
func (s *insideScan) end() []insideHit {
	if s.passed > 0 {
		s.l.gap(s.first, 0, fmt.Sprintf("%v: this file and %d more that may hide access keys were not, or not wholly, decoded", decode.ErrBudget, s.passed-1))
	}
	if s.omitted > 0 {
		s.l.gap(s.l.acq.Exhibit, 0, fmt.Sprintf("%d more access key ids were found inside files than are kept", s.omitted))
	}
	slices.SortFunc(s.hits, func(a, b insideHit) int {
		return cmp.Or(strings.Compare(a.key.volume, b.key.volume), cmp.Compare(a.key.ref.Inode, b.key.ref.Inode), cmp.Compare(a.key.ref.Generation, b.key.ref.Generation),
			strings.Compare(a.key.ref.Stream, b.key.ref.Stream), strings.Compare(a.path, b.path), cmp.Compare(a.Offset, b.Offset), strings.Compare(a.Encoding, b.Encoding))
	})
	// A file that was renamed is looked into under its old name too.
	s.hits = slices.CompactFunc(s.hits, func(a, b insideHit) bool {
		return a.key == b.key && a.path == b.path && a.Offset == b.Offset && a.Encoding == b.Encoding
	})
	s.hits = onlyMembers(s.hits)
	return s.hits
}

// onlyMembers leaves out the hits in the content of a file itself that are those
// of its members: one place, under the better name.
func onlyMembers(all []insideHit) []insideHit {
	members := map[sameKey]bool{}
	for i := range all {
		if h := &all[i]; h.path != "" && h.plain >= 0 {
			members[h.same()] = true
		}
	}
	return slices.DeleteFunc(all, func(h insideHit) bool {
		return h.path == "" && members[h.same()]
	})
}
