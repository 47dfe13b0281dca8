package acquire

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"sync/atomic"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	"snapcase/imaging/image/zst"

	"golang.org/x/sync/errgroup"
)

const (
	blockSize = 4 << 20
	inFlight  = 12       // blocks in memory: 32 MiB
	syncEvery = 64 << 20 // bytes between two syncs of the copy; what a kill may lose
	partName  = "image.part"
	imageName = "image.raw"

	packedName = "image.raw.zst"
)

// block is a part of the image on its way.
type block struct {
	n    int64
	off  int64
	data []byte // of the buffer, as long as the block is
	buf  []byte
	errs []errorLine
	runs [][2]int // of data that are no holes
	sum  evidence.Digest
	kept bool // it was on disk already, and sum is known
	left atomic.Int32

	packed []byte    // the frames, where the copy is packed
	table  zst.Table // and their entries
}

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

// imager copies an image: one goroutine reads, one for each hash takes the
// blocks in order, workers digest, scan and write them, one tells the journal
// what is on disk.
type imager struct {
	x       *exhibit
	size    int64
	src     Input
	out     *imageFile
	pack    *packer // nil where the copy is raw
	kept    *keptBlocks
	free    chan *block
	work    chan *block
	ordered []chan *block
	ready   chan *block
	scanner *credential.Scanner
	sha     hash.Hash
	hashes  map[string]hash.Hash
	result  imaged // of the goroutine that keeps the journal
}

func (x *exhibit) image(ctx context.Context) (*imaged, error) {
	size := x.head.Identity.Size
	src, err := x.openInput(x.head.Identity)
	if err != nil {
		return nil, err
	}
	defer src.Close() //nolint:errcheck // read-only
	if src.Size() != size {
		return nil, fmt.Errorf("the source has %d bytes, %d were expected", src.Size(), size)
	}
	if err := x.unseal(); err != nil {
		return nil, err
	}
	kept, err := x.keptBlocks(size)
	if err != nil {
		return nil, err
	}
	out, pack, err := x.openCopy(size, kept)
	if err != nil {
		return nil, err
	}
	many := inFlight
	if pack != nil {
		many = packedInFlight
	}
	buffers, release, err := alignedBlocks(many, blockSize)
	if err != nil {
		return nil, errors.Join(err, out.close())
	}
	defer release()
	m := &imager{
		x: x, size: size, src: src, out: out, pack: pack, kept: kept,
		free: make(chan *block, inFlight), work: make(chan *block, inFlight), ready: make(chan *block, inFlight),
		scanner: credential.NewScanner(x.CaseKey), sha: sha256.New(), hashes: map[string]hash.Hash{},
	}
	for _, b := range buffers {
		m.free <- &block{buf: b}
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
		out, err := openImage(x.path(partName), size, kept.bytes())
		return out, nil, err
	}
	n := kept.packedBytes()
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
		in := make(chan *block, inFlight)
		m.ordered = append(m.ordered, in)
		g.Go(func() error { return m.each(stages, in, func(b *block) error { h.Write(b.data); return nil }) })
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
			if b.left.Add(-1) == 0 {
				// ready has room for every block there is.
				m.ready <- b
			}
		}
	}
}

// read reads all blocks in order: those that are on disk already from there,
// the others from the source.
func (m *imager) read(ctx context.Context) error {
	defer func() {
		close(m.work)
		for _, c := range m.ordered {
			close(c)
		}
	}()
	d := &damage{src: m.src}
	for n, off := int64(0), int64(0); off < m.size; n, off = n+1, off+blockSize {
		var b *block
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b = <-m.free:
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		b.n, b.off, b.data, b.errs = n, off, b.buf[:min(blockSize, m.size-off)], nil
		var err error
		if b.kept, err = m.kept.load(m.out, m.x.log, b); err != nil {
			return err
		}
		if !b.kept {
			d.errors = nil
			if err := d.read(ctx, b.data, off); err != nil {
				return err
			}
			b.errs = append(d.errors, gapsIn(m.src, off, int64(len(b.data)))...)
		}
		b.left.Store(int32(1 + len(m.ordered))) //nolint:gosec // a handful
		m.work <- b                             // has room for every block there is, as the others
		for _, c := range m.ordered {
			c <- b
		}
	}
	return nil
}

// digest is the work on a block that needs no order.
func (m *imager) digest(b *block) error {
	m.scanner.Scan(b.data, b.off)
	b.runs = dataRuns(b.data)
	if b.kept {
		return nil
	}
	b.sum = sha256.Sum256(b.data)
	if m.pack != nil {
		m.pack.pack(b)
		return nil
	}
	if err := m.out.writeRuns(b.data, b.off, b.runs); err != nil {
		return fmt.Errorf("write block %d: %w", b.n, err)
	}
	return nil
}

// keeper puts finished blocks in order and tells the journal what is on disk.
type keeper struct {
	*imager
	waiting  map[int64]finished
	next     int64
	lines    []entry
	unsynced int64
	last     time.Time
}

// finished is what is left of a block when its buffer goes on.
type finished struct {
	blockLine
	errs []errorLine
	kept bool
	// block is set where the copy is packed: it is written, and its buffers go
	// on, when its turn comes.
	block *block
}

// keep takes finished blocks until ready is closed. On an error it stops the
// others.
func (m *imager) keep(stop func()) error {
	k := &keeper{imager: m, waiting: map[int64]finished{}, last: m.x.Now()}
	var failed error
	for b := range m.ready {
		f := finished{blockLine: blockLine{N: b.n, Length: int64(len(b.data)), SHA256: b.sum}, errs: b.errs, kept: b.kept}
		m.result.add(countBlock(b))
		if m.pack != nil {
			f.block, f.Frames = b, b.table.Sizes()
		} else {
			m.free <- b
		}
		k.waiting[b.n] = f
		if failed == nil {
			if failed = k.order(); failed != nil {
				stop()
			}
		}
		if failed == nil && (k.unsynced >= syncEvery || k.unsynced > 0 && m.x.Now().Sub(k.last) >= 2*time.Second) {
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

// order takes the blocks whose turn it is.
func (k *keeper) order() error {
	for f, ok := k.waiting[k.next]; ok; f, ok = k.waiting[k.next] {
		delete(k.waiting, k.next)
		if f.block != nil {
			if err := k.pack.append(f.block); err != nil {
				return err
			}
			k.free <- f.block
		}
		k.next++
		for i := range f.errs {
			k.result.errors = appendError(k.result.errors, f.errs[i])
			if !f.kept {
				k.lines = append(k.lines, entry{Error: &f.errs[i]})
			}
		}
		if f.kept {
			k.result.resumedFrom += f.Length
		} else {
			k.lines = append(k.lines, entry{Block: &f.blockLine})
			k.unsynced += f.Length
		}
		k.x.Progress.Report(evidence.Step{What: "acquire " + k.x.id, Done: min(k.next*blockSize, k.size), Total: k.size, Unit: "B"})
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
	err := k.x.log.append(k.lines...)
	k.lines, k.unsynced, k.last = k.lines[:0], 0, k.x.Now()
	return err
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
