package acquire

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	"snapcase/imaging/image/zst"

	"golang.org/x/sync/errgroup"
)

const (
	blockSize = 4 << 20
	inFlight  = 12       // blocks in memory: 48 MiB
	syncEvery = 64 << 20 // bytes between two syncs of the copy; what a kill may lose
	partName  = "image.part"
	imageName = "image.raw"

	packedName = "image.raw.zst"
)

// A reader that looks at little of an image has to hash the whole of each block
// that it touches before it may believe it, so blocks of the list are short; of
// a large image longer, so that the list stays one that is read in no time.
const (
	leastPart = 64 << 10
	mostParts = 1 << 17
)

// partLength is the length of a block of the list of an image of size bytes;
// 0 where it is that of the blocks that are read.
func partLength(size int64) int64 {
	for n := int64(leastPart); n < blockSize; n *= 2 {
		if size <= n*mostParts {
			return n
		}
	}
	return 0
}

// block is a part of the image on its way.
type block struct {
	n     int64
	off   int64
	data  []byte // of the buffer, as long as the block is
	buf   []byte
	zeros int64 // so many blocks of zeros instead of data
	errs  []errorLine
	runs  [][2]int // of data that are no holes
	sum   evidence.Digest
	parts []byte // in place of sum, where parts have digests
	kept  bool   // it was on disk already, and sum is known
	over  bool   // the copy may have bytes at its place
	left  atomic.Int32
	// summed says that sum is known though it was not kept.
	summed bool

	packed []byte    // the frames, where the copy is packed
	table  zst.Table // and their entries
}

// length is how many bytes of the image it stands for.
func (b *block) length() int64 { return int64(len(b.data)) * max(1, b.zeros) }

// counts of an image; data, holes and unreadable bytes make its size.
type counts struct{ data, holes, unreadable int64 }

func (c *counts) add(d counts) {
	c.data, c.holes, c.unreadable = c.data+d.data, c.holes+d.holes, c.unreadable+d.unreadable
}

// imaged is what came of a read of an image.
type imaged struct {
	counts
	sha256      evidence.Digest
	hashes      map[string]string
	errors      []errorLine
	hits        []credential.Hit
	omitted     int64
	resumedFrom int64
	packed      *evidence.Packed // nil where the copy is raw
}

// imager copies an image: readers read, one goroutine for each hash takes the
// blocks in order, workers digest, scan and write them, one tells the journal
// what is on disk.
type imager struct {
	x       *exhibit
	size    int64
	pace    // how it is read
	src     Input
	out     *imageFile
	pack    *packer // nil where the copy is raw
	kept    *keptBlocks
	free    chan *block
	work    chan *block
	ordered []chan *block
	ready   chan finished
	scanner *credential.Scanner
	sha     hash.Hash
	hashes  map[string]hash.Hash
	noSum   evidence.Digest // of a block of zeros
	// unsaid holds a token for each block that was asked of a service and is not
	// in the journal yet, so that a kill loses no more; nil for what is on this host.
	unsaid chan struct{}
	begun  chan struct{} // a token for each block that was handed out and whose turn in the journal has not come
	result imaged        // of the goroutine that keeps the journal
	lazy   *Early        // nil where nobody reads it early

	turn  sync.Mutex
	early map[int64]*block // read before their turn at the hashes
	next  int64
}

// pace is how an image is read: in blocks of so many bytes, so many of them in
// memory and being read at once, and how much is copied between two syncs.
type pace struct {
	block     int64
	buffers   int
	readers   int
	syncBytes int64
}

// pace is that of the exhibit's source.
func (x *exhibit) pace() pace {
	if r := x.Remote; r != nil {
		b := int64(r.Block)
		return pace{block: b, buffers: int(max(4, remoteBuffers/b)), readers: r.Readers, syncBytes: remoteSync * b}
	}
	return pace{block: blockSize, buffers: inFlight, readers: 1, syncBytes: syncEvery}
}

func (x *exhibit) image(ctx context.Context) (*imaged, error) {
	size := x.head.Identity.Size
	src, err := x.openInput(x.head.Identity)
	if err != nil {
		return nil, err
	}
	if x.Remote == nil {
		defer src.Close() //nolint:errcheck // read-only
	}
	if src.Size() != size {
		return nil, fmt.Errorf("the source has %d bytes, %d were expected", src.Size(), size)
	}
	if err := x.unseal(); err != nil {
		return nil, err
	}
	p := x.pace()
	kept, err := x.keptBlocks(size, p.block, x.head.Part)
	if err != nil {
		return nil, err
	}
	defer kept.stop()
	out, pack, err := x.openCopy(size, kept)
	if err != nil {
		return nil, err
	}
	if pack != nil && x.Remote == nil {
		p.buffers = packedInFlight
	}
	buffers, release, err := alignedBlocks(p.buffers, int(p.block))
	if err != nil {
		return nil, errors.Join(err, out.close())
	}
	defer release()
	m := &imager{
		x: x, size: size, pace: p, src: src, out: out, pack: pack, kept: kept, early: map[int64]*block{},
		free: make(chan *block, p.buffers), work: make(chan *block, p.buffers), ready: make(chan finished, p.buffers),
		scanner: credential.NewScanner(x.CaseKey), sha: sha256.New(), hashes: map[string]hash.Hash{}, begun: make(chan struct{}, mostAhead),
	}
	if x.Remote != nil {
		m.unsaid = make(chan struct{}, remoteUnsaid)
		m.noSum = sha256.Sum256(make([]byte, p.block))
	}
	for _, b := range buffers {
		m.free <- &block{buf: b}
	}
	if m.lazy, err = x.openEarly(src, p.block); err != nil {
		return nil, errors.Join(err, out.close())
	}
	if m.lazy != nil {
		m.src = m.lazy
		defer x.handEarly(m.lazy)()
	}
	err = m.run(ctx)
	if err == nil && pack != nil {
		m.result.packed, err = pack.finish()
	}
	if err == nil {
		err = x.sealImage(out)
	} else {
		err = errors.Join(err, out.close())
	}
	if err != nil {
		return nil, diskFull(err)
	}
	m.result.sha256 = evidence.Digest(m.sha.Sum(nil))
	m.result.hashes = hexSums(m.hashes)
	m.result.hits, m.result.omitted = m.scanner.Hits(), m.scanner.Omitted()
	return &m.result, nil
}

// openCopy opens the copy, and what packs it where it is packed.
func (x *exhibit) openCopy(size int64, kept *keptBlocks) (*imageFile, *packer, error) {
	if x.head.Format != formatZst {
		out, err := openImage(x.path(partName), size, kept.end)
		return out, nil, err
	}
	n := kept.packedEnd
	out, err := openImage(x.path(partName), n, n)
	if err != nil {
		return nil, nil, err
	}
	pack, err := newPacker(out)
	if err != nil {
		return nil, nil, errors.Join(err, out.close())
	}
	return out, pack, nil
}

// unseal takes back the name of a copy that was whole and not yet sealed.
func (x *exhibit) unseal() error {
	err := os.Rename(x.path(x.copyName()), x.path(partName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(x.path(partName), 0o600)
}

// sealImage makes the copy durable and read-only, and gives it its name.
func (x *exhibit) sealImage(out *imageFile) error {
	err := errors.Join(out.plain.Sync(), out.plain.Chmod(0o444), out.plain.Sync(), out.close())
	if err != nil {
		return err
	}
	return errors.Join(os.Rename(x.path(partName), x.path(x.copyName())), syncFolder(x.dir()))
}

// run reads, and returns when all that was read is dealt with. A failure of the
// source and a cancellation end the reading only: what is in memory is still
// written, and the journal knows it.
func (m *imager) run(ctx context.Context) error {
	const workers = 3 // one may wait for the disk
	stages, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, stages := errgroup.WithContext(stages)
	all := []hash.Hash{m.sha}
	for _, name := range m.x.head.Hashes {
		m.hashes[name] = newHash(name)
		all = append(all, m.hashes[name])
	}
	for _, h := range all {
		in := make(chan *block, m.buffers)
		m.ordered = append(m.ordered, in)
		g.Go(func() error { return m.each(stages, in, func(b *block) error { hashBlock(h, b); return nil }) })
	}
	for range workers {
		g.Go(func() error { return m.each(stages, m.work, m.digest) })
	}
	keeper := make(chan error, 1)
	go func() { keeper <- m.keep(stop) }()
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	defer context.AfterFunc(stages, stopReading)()
	read := m.read(reading)
	worked := g.Wait()
	close(m.ready)
	switch kept := <-keeper; {
	case kept != nil && (worked == nil || evidence.Canceled(worked)):
		return kept
	case worked != nil:
		return errors.Join(worked, kept)
	}
	return read
}

// each does f with every block of in. The last stage to finish a block passes
// it on.
func (m *imager) each(ctx context.Context, in <-chan *block, f func(*block) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-in:
			if !ok {
				return nil
			}
			if err := f(b); err != nil {
				return err
			}
			m.done(b)
		}
	}
}

// done is said of a block by each that had to do with it; after the last it is
// free.
func (m *imager) done(b *block) {
	if b.left.Add(-1) == 0 {
		m.free <- b // it has room for every block there is
	}
}

// zeros are what blocks of zeros are hashed and scanned as.
var zeros [1 << 20]byte

// eachZero calls f with pieces of the zeros that b stands for.
func (b *block) eachZero(f func(p []byte, off int64)) {
	for done := int64(0); done < b.length(); {
		p := zeros[:min(int64(len(zeros)), b.length()-done)]
		f(p, b.off+done)
		done += int64(len(p))
	}
}

func hashBlock(h hash.Hash, b *block) {
	if b.zeros == 0 {
		h.Write(b.data)
		return
	}
	b.eachZero(func(p []byte, _ int64) { h.Write(p) })
}

// digest is the work on a block that needs no order.
func (m *imager) digest(b *block) error {
	f := finished{blockLine: blockLine{N: b.n, Length: b.length(), Zeros: b.zeros}, errs: b.errs, kept: b.kept}
	if b.zeros > 0 {
		b.eachZero(m.scanner.Scan)
		f.SHA256, f.counts = m.noSum, counts{holes: f.Length}
		if b.over && !m.out.isHole(b.off, f.Length) {
			return fmt.Errorf("block %d: %w", b.n, errNotZero)
		}
	} else {
		m.scanner.Scan(b.data, b.off)
		b.runs = dataRuns(b.data)
		if !b.kept {
			m.sum(b)
			if m.pack != nil {
				m.pack.pack(b)
			} else if err := m.write(b); err != nil {
				return fmt.Errorf("write block %d: %w", b.n, err)
			}
		}
		f.SHA256, f.Parts, f.counts = b.sum, b.parts, countBlock(b)
		if m.lazy != nil {
			if err := m.lazy.written(b); err != nil {
				return err
			}
		}
	}
	if m.pack != nil {
		f.block, f.Frames = b, b.table.Sizes()
	}
	m.ready <- f
	return nil
}

// sum makes the digest of a block, or those of its parts.
func (m *imager) sum(b *block) {
	if m.kept.part > 0 {
		b.parts = partDigests(b.data, m.kept.part)
	} else if !b.summed {
		b.sum = sha256.Sum256(b.data)
	}
}

// partDigests are the digests of the parts of p, each n bytes but for the last.
func partDigests(p []byte, n int64) []byte {
	out := make([]byte, 0, (int64(len(p))+n-1)/n*sha256.Size)
	for len(p) > 0 {
		sum := sha256.Sum256(p[:min(n, int64(len(p)))])
		out, p = append(out, sum[:]...), p[min(n, int64(len(p))):]
	}
	return out
}

// write writes a block: all of it where the copy may have other bytes, else
// only what is no hole.
func (m *imager) write(b *block) error {
	if b.over {
		return m.out.writeRuns(b.data, b.off, [][2]int{{0, len(b.data)}})
	}
	return m.out.writeRuns(b.data, b.off, b.runs)
}

// keeper tells the journal what is on disk, and puts finished blocks in order.
type keeper struct {
	*imager
	waiting  map[int64]finished
	turn     int64
	lines    []entry
	unsynced int64
	asked    int // of the blocks in lines: how many hold a token of unsaid
	last     time.Time
}

// finished is what is left of a block that is in the copy.
type finished struct {
	blockLine
	counts
	errs []errorLine
	kept bool
	// block is set where the copy is packed: it is written, and told to the
	// journal, when its turn comes.
	block *block
}

// keep takes finished blocks until ready is closed. On an error it stops the
// others.
func (m *imager) keep(stop func()) error {
	k := &keeper{imager: m, waiting: map[int64]finished{}, last: m.x.Now()}
	var failed error
	for f := range m.ready {
		m.result.add(f.counts)
		if m.pack == nil {
			k.line(f)
		}
		k.waiting[f.N] = f
		if failed == nil {
			if failed = k.order(); failed != nil {
				stop()
			}
		}
		if failed == nil && (k.unsynced >= m.syncBytes || len(k.lines) > 0 && m.x.Now().Sub(k.last) >= 2*time.Second) {
			if failed = k.sync(); failed != nil {
				stop()
			}
		}
	}
	if failed == nil {
		failed = k.sync()
	}
	return failed
}

// line makes the lines of the journal of a block, its errors first.
func (k *keeper) line(f finished) {
	if f.kept {
		return
	}
	for i := range f.errs {
		k.lines = append(k.lines, entry{Error: &f.errs[i]})
	}
	k.lines = append(k.lines, entry{Block: &f.blockLine})
	if f.Zeros == 0 {
		k.unsynced += f.Length
		k.asked++
	}
}

// order takes the blocks whose turn it is.
func (k *keeper) order() error {
	for f, ok := k.waiting[k.turn]; ok; f, ok = k.waiting[k.turn] {
		delete(k.waiting, k.turn)
		<-k.begun
		if f.block != nil {
			if err := k.pack.append(f.block); err != nil {
				return err
			}
			k.line(f)
			k.done(f.block)
		}
		k.turn += f.count()
		for i := range f.errs {
			k.result.errors = appendError(k.result.errors, f.errs[i])
		}
		if f.kept {
			k.result.resumedFrom += f.Length
		}
		k.x.Progress.Report(evidence.Step{What: "acquire " + k.x.id, Done: min(k.turn*k.block, k.size), Total: k.size, Unit: "B"})
	}
	return nil
}

// sync makes the copy durable, then says so in the journal.
func (k *keeper) sync() error {
	if len(k.lines) == 0 {
		return nil
	}
	if err := k.out.sync(); err != nil {
		return fmt.Errorf("sync the copy: %w", err)
	}
	if err := k.x.log.append(k.lines...); err != nil {
		return err
	}
	if k.unsaid != nil {
		for range k.asked {
			<-k.unsaid
		}
	}
	k.lines, k.unsynced, k.asked, k.last = k.lines[:0], 0, 0, k.x.Now()
	return nil
}

// countBlock tells data from holes and from what could not be read.
func countBlock(b *block) counts {
	var c counts
	for _, r := range b.runs {
		c.data += int64(r[1] - r[0])
	}
	c.holes = int64(len(b.data)) - c.data
	for _, e := range b.errs {
		for _, r := range b.runs {
			lost := min(e.Offset+e.Length, b.off+int64(r[1])) - max(e.Offset, b.off+int64(r[0]))
			if lost > 0 {
				c.data -= lost
				c.holes += lost
			}
		}
		c.holes -= e.Length
		c.unreadable += e.Length
	}
	return c
}
