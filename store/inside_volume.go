package store

import (
	"bytes"
	"cmp"
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"

	"snapcase/evidence"
	decode "snapcase/evidence/credential/inside"
	"snapcase/imaging"
	"snapcase/imaging/disk"
	"snapcase/imaging/filesystem"
)

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
	late    []*insideSource // whose holes the owner map of the volume tells
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
func (w *insideVolume) done(ctx context.Context) error {
	w.batches <- w.batch
	close(w.batches)
	w.wg.Wait()
	if w.err != nil {
		return w.err
	}
	return w.lookLate(ctx)
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
			if worth, packed := w.opened(e); worth {
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

// opened reads the head of the data of an entry through the file system, and
// says whether it is worth a look and whether the content lies packed in the
// volume. What cannot be opened is told by whoever looks into it.
func (w *insideVolume) opened(e *insideEntry) (worth, packed bool) {
	src, err := w.v.FS.Open(e.ref)
	if err != nil {
		return decode.Hides(nil, e.size, 0), false
	}
	start, _, ok := imaging.NextData(src, 0)
	if !ok {
		return false, false
	}
	head := make([]byte, min(insideHead, src.Size()-start))
	n, _ := src.ReadAt(head, start) // what cannot be read is told by the decoder
	head = head[:n]
	p, ok := src.(interface{ Packed() bool })
	packed = ok && p.Packed() || w.v.FS.Info().Type == "squashfs"
	if e.first < 0 && !packed && !w.opens && n > 0 && len(bytes.Trim(head, "\x00")) == 0 {
		return false, false // it has no block
	}
	return packed || decode.Hides(head, e.size, n), packed
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
	f := &insideSource{
		key: ownerKey{w.v.Image, w.v.ID, ref}, first: first, quiet: e.deleted,
		address: evidence.Address{Exhibit: w.s.l.acq.Exhibit, Volume: w.v.ID, Inode: ref.Inode, Generation: ref.Generation, Path: path}.String(),
		open:    func() (imaging.Source, error) { return w.v.FS.Open(ref) },
		packed:  packed,
		most:    w.most(packed),
	}
	if !packed && !e.deleted {
		f.late = func() bool { return w.wait(f) }
	}
	w.sources <- f
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
