package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	decode "snapcase/evidence/credential/inside"
	"snapcase/imaging"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
)

// insideHit is an access key id in what a file hides.
type insideHit struct {
	credential.Hit // its Offset counts in the decoded stream
	place          hitPlace
	key            ownerKey // whose content it is, on a disk
	first          int64    // where that content starts in the image, -1 where that is not known
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
		s.l.gap(f.address, max(0, f.first), fmt.Sprintf("looking inside for access keys: it claims %d bytes, more than its volume can hold: only the first %d are looked at", src.Size(), f.most))
		src = imaging.Section(src, 0, f.most)
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
	return s.hits
}

// insideTaker takes the decoded streams of one source.
type insideTaker struct {
	s       *insideScan
	f       *insideSource
	hits    []insideHit
	paths   int
	omitted int64
}

// Whole implements decode.Taker.
func (t *insideTaker) Whole(path string, b []byte) { t.found(path, credential.Find(t.s.key, b)) }

// Stream implements decode.Taker.
func (t *insideTaker) Stream(path string) io.WriteCloser {
	return &insideStream{t: t, path: path, scan: credential.NewScanner(t.s.key)}
}

// Damage implements decode.Taker.
func (t *insideTaker) Damage(path string, at int64, reason string) {
	if t.f.quiet {
		return
	}
	if at >= 0 {
		reason = fmt.Sprintf("at byte %d of it: %s", at, reason)
	}
	t.s.l.gap(t.f.address+path, max(0, t.f.first), "looking inside for access keys: "+reason)
}

func (t *insideTaker) found(path string, hits []credential.Hit) {
	if len(hits) == 0 {
		return
	}
	if len(t.hits)+len(hits) > insideMost || t.paths+len(path) > insidePaths {
		t.omitted += int64(len(hits))
		return
	}
	t.paths += len(path)
	for _, h := range hits {
		t.hits = append(t.hits, insideHit{Hit: h, key: t.f.key, first: t.f.first, path: path})
	}
}

// content scans the source itself. The error is cancellation or
// decode.ErrBudget.
func (t *insideTaker) content(ctx context.Context, src imaging.Source) error {
	out := t.Stream("")
	defer out.Close() //nolint:errcheck // it scans what it has, and cannot fail
	b := make([]byte, 256<<10)
	for off := int64(0); off < src.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := src.ReadAt(b[:min(int64(len(b)), src.Size()-off)], off)
		if err := t.s.budget.Spend(int64(n)); err != nil {
			return err
		}
		if _, err := out.Write(b[:n]); err != nil {
			return err
		}
		if off += int64(n); n == 0 || err != nil && !errors.Is(err, io.EOF) {
			t.Damage("", off, fmt.Sprintf("it cannot be read further: %v", err))
			break
		}
	}
	return nil
}

// insideStream scans a long stream.
type insideStream struct {
	t    *insideTaker
	path string
	scan *credential.Scanner
	off  int64
}

func (s *insideStream) Write(b []byte) (int, error) {
	s.scan.Scan(b, s.off)
	s.off += int64(len(b))
	return len(b), nil
}

// Close ends the stream.
func (s *insideStream) Close() error {
	s.t.found(s.path, s.scan.Hits())
	s.t.omitted += s.scan.Omitted()
	return nil
}

// insideVolume finds the entries of a volume that are worth a look, while they
// are walked: it reads their first bytes in the order of the disk, batch by
// batch, and looks into those beside the walk.
type insideVolume struct {
	s       *insideScan
	v       *disk.Volume
	opens   bool // what lies at First need not be the content as it is read
	sure    int  // bytes from First on that are surely the entry's own
	batch   []insideEntry
	batches chan []insideEntry
	sources chan *insideSource
	seen    map[filesystem.Ref]struct{} // of what may have several names
	wg      sync.WaitGroup
	mu      sync.Mutex
	err     error
}

// insideEntry is an entry that has content.
type insideEntry struct {
	ref     filesystem.Ref
	first   int64
	size    int64
	deleted bool
	single  bool // it has one name
	path    string
}

const (
	insideBatch = 8192
	insideHead  = 4096
	// insideSmallest is the shortest content that can hide an access key id: its
	// 20 characters in base64. No compressed form with its header is shorter.
	insideSmallest = 28
	insideWindow   = 1 << 20   // bytes that are read at once
	insideNear     = 128 << 10 // bytes between two heads that are read rather than passed over
)

// volume begins the scan of a volume; done must be called.
func (s *insideScan) volume(ctx context.Context, v *disk.Volume) *insideVolume {
	w := &insideVolume{s: s, v: v, batches: make(chan []insideEntry, 1), sources: make(chan *insideSource, 64), seen: map[filesystem.Ref]struct{}{}}
	switch v.FS.Info().Type {
	case "ntfs", "squashfs":
		w.opens = true
	}
	w.sure = int(min(insideHead, max(512, v.FS.Info().BlockSize)))
	w.wg.Go(func() {
		defer close(w.sources)
		buf := make([]byte, insideWindow)
		for b := range w.batches {
			if err := w.heads(ctx, b, buf); err != nil {
				w.fail(err)
			}
		}
	})
	for range runtime.GOMAXPROCS(0) {
		w.wg.Go(func() {
			d := decode.NewDecoder(s.budget)
			for f := range w.sources {
				if err := s.look(ctx, d, f); err != nil {
					w.fail(err)
				}
			}
		})
	}
	return w
}

func (w *insideVolume) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// add takes an entry of the walk.
func (w *insideVolume) add(e *filesystem.Entry) {
	if e.Type != filesystem.TypeFile || e.Size < insideSmallest {
		return
	}
	if w.s.l.early {
		if ofInterest(e.Path) && e.Size <= earlyMost {
			w.submit(&insideEntry{ref: e.Ref, first: e.First, deleted: e.Status == filesystem.Deleted, single: e.Links == 1 && e.Status == filesystem.Allocated, path: e.Path}, true)
		}
		return
	}
	w.batch = append(w.batch, insideEntry{ref: e.Ref, first: e.First, size: e.Size, deleted: e.Status == filesystem.Deleted, single: e.Links == 1 && e.Status == filesystem.Allocated, path: e.Path})
	if len(w.batch) == insideBatch {
		w.batches <- w.batch
		w.batch = make([]insideEntry, 0, insideBatch)
	}
}

// done waits until all was looked into.
func (w *insideVolume) done() error {
	w.batches <- w.batch
	close(w.batches)
	w.wg.Wait()
	return w.err
}

// heads looks at the first bytes of entries. Where they lie in no one place of
// the volume the entry is opened for them.
func (w *insideVolume) heads(ctx context.Context, batch []insideEntry, buf []byte) error {
	slices.SortStableFunc(batch, func(a, b insideEntry) int { return cmp.Compare(a.first, b.first) })
	var from, to int64 // of buf, in the volume
	for i := range batch {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e := &batch[i]
		if e.first < 0 || w.opens {
			if head, packed := w.opened(e); packed || decode.Hides(head, e.size, len(head)) {
				w.submit(e, packed)
			}
			continue
		}
		if e.first < from || e.first+insideHead > to {
			end := e.first + insideHead
			for _, next := range batch[i:] {
				if next.first-end > insideNear || next.first+insideHead-e.first > insideWindow {
					break
				}
				end = max(end, next.first+insideHead)
			}
			n, _ := w.v.Source.ReadAt(buf[:end-e.first], e.first) // what cannot be read is told where the entry is opened
			from, to = e.first, e.first+int64(n)
		}
		head := buf[min(e.first, to)-from : min(e.first+insideHead, to)-from]
		if len(head) == 0 || decode.Hides(head, e.size, w.sure) {
			w.submit(e, false)
		}
	}
	return nil
}

// opened reads the head of an entry through the file system, and says whether
// its content lies packed in the volume. What cannot be opened is told with the
// entry itself.
func (w *insideVolume) opened(e *insideEntry) (head []byte, packed bool) {
	src, err := w.v.FS.Open(e.ref)
	if err != nil {
		return nil, false
	}
	head = make([]byte, min(insideHead, e.size))
	n, _ := src.ReadAt(head, 0) // what cannot be read is told by the decoder
	p, ok := src.(interface{ Packed() bool })
	return head[:n], ok && p.Packed() || w.v.FS.Info().Type == "squashfs"
}

// submit has an entry looked into, under the first of its names.
func (w *insideVolume) submit(e *insideEntry, packed bool) {
	if !e.single {
		if _, ok := w.seen[e.ref]; ok {
			return
		}
		w.seen[e.ref] = struct{}{}
	}
	path := e.path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	ref, first := e.ref, int64(-1)
	if at, ok := w.v.Place(e.first); ok {
		first = at
	}
	w.sources <- &insideSource{
		key: ownerKey{w.v.Image, w.v.ID, ref}, first: first, quiet: e.deleted,
		address: evidence.Address{Exhibit: w.s.l.acq.Exhibit, Volume: w.v.ID, Inode: ref.Inode, Generation: ref.Generation, Path: path}.String(),
		open:    func() (imaging.Source, error) { return w.v.FS.Open(ref) },
		packed:  packed,
		most:    w.most(packed),
	}
}

// most is how many bytes a file can have that is no hole for the most part.
func (w *insideVolume) most(packed bool) int64 {
	const ratio = 64 // of what file systems compress
	n := max(w.v.Source.Size(), 64<<20)
	if packed {
		n *= ratio
	}
	return n
}

// insideWanted asks for the names of the entries of a volume that hold hits.
func (l *imageLoad) insideWanted() {
	for _, h := range l.inside.hits {
		if l.wanted[h.key] == nil {
			l.wanted[h.key] = &ownerName{}
		}
	}
}

// insideHits gives the hits inside files, with their places.
func (l *imageLoad) insideHits() []insideHit {
	if l.inside == nil {
		return nil
	}
	all := l.inside.end()
	for i := range all {
		h := &all[i]
		name := l.wanted[h.key]
		h.place = hitPlace{status: hitAllocated, inner: h.Offset}
		if h.path == "" {
			h.place.fileOffset, h.place.inner = h.place.inner, nil
		}
		if name.rank > filesystem.Orphan {
			h.place.status = hitDeleted
		}
		h.place.address = evidence.Address{Exhibit: l.acq.Exhibit, Volume: h.key.volume, Inode: h.key.ref.Inode, Generation: h.key.ref.Generation, Path: name.path}.String() + h.path
		h.Offset = h.first
	}
	return all
}

// folderInside looks into the files of an exhibit that is a folder.
func (l *load) folderInside(ctx context.Context, ids map[string]int64, status string) ([]insideHit, error) {
	s, err := l.newInside(l.acq.Bytes)
	if err != nil {
		return nil, err
	}
	d := decode.NewDecoder(s.budget)
	numbers := map[string]driver.Value{}
	for _, f := range l.files {
		in, err := os.Open(f.path)
		if err != nil {
			return nil, err
		}
		address := l.acq.Exhibit + "/" + f.name
		numbers[address] = null(ids[f.name])
		err = s.file(ctx, d, in, address)
		if err := errors.Join(err, in.Close()); err != nil {
			return nil, err
		}
	}
	all := s.end()
	for i := range all {
		h := &all[i]
		address := h.key.volume
		h.place = hitPlace{file: numbers[address], address: address + h.path, status: status, inner: h.Offset}
		h.Offset = 0
	}
	return all, nil
}

// file looks into one open file.
func (s *insideScan) file(ctx context.Context, d *decode.Decoder, in *os.File, address string) error {
	st, err := in.Stat()
	if err != nil {
		return err
	}
	src := imaging.Section(sizedFile{in, st.Size()}, 0, st.Size())
	head := make([]byte, insideHead)
	n, err := src.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !decode.Hides(head[:n], st.Size(), n) {
		return ctx.Err()
	}
	return s.look(ctx, d, &insideSource{key: ownerKey{volume: address}, address: address, open: func() (imaging.Source, error) { return src, nil }})
}

// sizedFile is a file whose length is known.
type sizedFile struct {
	*os.File
	size int64
}

// Size is the length in bytes.
func (f sizedFile) Size() int64 { return f.size }
