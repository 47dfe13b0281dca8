package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"snapcase/evidence"
	"snapcase/evidence/custody"
	"snapcase/imaging"
	"snapcase/imaging/image"
)

// blocksFile is where acquire leaves the digests of the blocks of an image, in
// the folder of the exhibit: "<sha256>  <offset> <length>" a line.
const blocksFile = "blocks-sha256.txt"

// sealedImage is the sealed image of an exhibit. No byte of it is given before
// the block that holds it was hashed and has the digest of the list that was
// made when the exhibit was sealed; a block is hashed once. The first block
// that differs is the end: from there on every read says so, because nothing
// that is put together from an altered image is an answer. Where an exhibit has
// no list (its ledger names none) bytes are given as they are.
//
// It is safe for concurrent use.
//
// With checkLater blocks are hashed beside the reading, on another core; what
// was read counts only when settle says so.
type sealedImage struct {
	file    sealedFile
	name    string // of the file in its folder
	exhibit string
	length  int64 // of a block, bytes; 0 without a list
	sums    []evidence.Digest
	state   []atomic.Uint32 // by block: blockUnknown, …
	locks   [16]sync.Mutex
	later   chan int64 // blocks that were given and are still to be hashed; nil where none is given before
	pending sync.WaitGroup
	buffers sync.Pool
	zeros   evidence.Digest // of a whole block of zeros
	broken  atomic.Pointer[error]
	early   *earlyImage // the file, where it is not sealed yet; then there is no list
	// coverage is set where only a part of the source was acquired: a read of
	// the rest is an error.
	coverage *coverage
}

// The states of a block.
const (
	blockUnknown = iota
	blockQueued  // it will be hashed
	blockGood    // it has its digest
)

// sealedFile is a sealed image as the bytes of the disk.
type sealedFile interface {
	imaging.Source
	io.Closer
}

// openFile opens the sealed image of an exhibit in whichever form it is there.
func openFile(f evidence.Folder, exhibit string) (sealedFile, string, error) {
	src, err := image.Open(f.Image(exhibit))
	if err == nil {
		return src, filepath.Base(f.Image(exhibit)), nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, is := os.Lstat(f.PackedImage(exhibit)); is == nil {
			packed, err := image.OpenPacked(f.PackedImage(exhibit))
			var bad *imaging.FormatError
			if errors.As(err, &bad) { // it was sound when it was sealed
				err = altered(fmt.Errorf("%w: %w", evidence.ErrBroken, err))
			}
			if err != nil {
				return nil, "", err
			}
			return packed, filepath.Base(f.PackedImage(exhibit)), nil
		}
	}
	return nil, "", err
}

// openSealed opens the sealed image of an exhibit, read-only.
func openSealed(f evidence.Folder, exhibit string) (*sealedImage, error) {
	src, name, err := openFile(f, exhibit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, evidence.WithHint(fmt.Errorf("open image of %s: %w", exhibit, err), "the exhibit is not complete: run snapcase verify CASE")
	}
	if err != nil {
		return nil, err
	}
	s := &sealedImage{file: src, name: name, exhibit: exhibit}
	if err := s.readList(f); err != nil {
		return nil, errors.Join(fmt.Errorf("open image of %s: %w", exhibit, err), src.Close())
	}
	if s.coverage, err = readCoverage(f, exhibit, src.Size()); err != nil {
		return nil, errors.Join(fmt.Errorf("open image of %s: %w", exhibit, err), src.Close())
	}
	return s, nil
}

// altered says that a file of an exhibit is not what was sealed.
func altered(err error) error {
	return evidence.WithHint(err, "it was changed since it was sealed: run snapcase verify CASE")
}

// readList reads the list of blocks and compares it with the ledger and with
// the size of the image.
func (s *sealedImage) readList(f evidence.Folder) error {
	want, err := sealedListDigest(f, s.exhibit)
	if err != nil {
		return err
	}
	in, err := os.Open(filepath.Join(f.Exhibit(s.exhibit), blocksFile))
	if errors.Is(err, fs.ErrNotExist) && want == "" {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return altered(fmt.Errorf("%s is missing: %w", blocksFile, evidence.ErrBroken))
	}
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read-only
	h := sha256.New()
	bad := s.parseList(io.TeeReader(in, h))
	if _, err := io.Copy(h, in); err != nil { // what parseList left
		return err
	}
	if sum := evidence.Digest(h.Sum(nil)); want != "" && sum.String() != want {
		return altered(fmt.Errorf("%s has the digest %s, the ledger says %s: %w", blocksFile, sum, want, evidence.ErrBroken))
	}
	return bad
}

// sealedListDigest is the digest of the list of blocks as the ledger gives it,
// "" where it gives none or cannot be read: verify tells of that.
func sealedListDigest(f evidence.Folder, exhibit string) (string, error) {
	want := ""
	for r, err := range custody.Records(f) {
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		if err != nil {
			return want, nil //nolint:nilerr // a bundle may be redacted; verify tells of a ledger that is damaged
		}
		if d, ok := r.Data["block_list_sha256"].(string); ok && r.Exhibit == exhibit && r.Type == "evidence.acquire.end" {
			want = d
		}
	}
	return want, nil
}

// parseList takes lines of touching blocks of one length, the last one shorter
// perhaps, that cover the image.
func (s *sealedImage) parseList(in io.Reader) error {
	var end int64
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		sum, off, n, ok := parseBlock(lines.Bytes())
		if len(s.sums) == 0 {
			s.length = n
		}
		short := end%max(1, s.length) != 0
		if !ok || off != end || n <= 0 || n > s.length || short || n > s.Size()-end {
			return altered(fmt.Errorf("%s: line %d does not fit the image of %d bytes: %w", blocksFile, len(s.sums)+1, s.Size(), evidence.ErrBroken))
		}
		s.sums, end = append(s.sums, sum), end+n
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if end != s.Size() {
		return altered(fmt.Errorf("%s has %d bytes, %d were sealed: %w", s.name, s.Size(), end, evidence.ErrBroken))
	}
	if s.length > 0 {
		s.zeros = sha256.Sum256(make([]byte, s.length))
	}
	s.state = make([]atomic.Uint32, len(s.sums))
	return nil
}

// parseBlock reads "<sha256>  <offset> <length>". There are many of them, so it
// makes nothing that has to be collected.
func parseBlock(line []byte) (sum evidence.Digest, off, n int64, ok bool) {
	const text = 2 * sha256.Size
	if len(line) < text {
		return sum, 0, 0, false
	}
	if _, err := hex.Decode(sum[:], line[:text]); err != nil {
		return sum, 0, 0, false
	}
	first, second, _ := bytes.Cut(bytes.Trim(line[text:], " "), []byte{' '})
	off, ok1 := parseCount(first)
	n, ok2 := parseCount(second)
	return sum, off, n, ok1 && ok2 && line[text] == ' '
}

// parseCount reads a decimal number.
func parseCount(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' || n > (math.MaxInt64-9)/10 {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, len(b) > 0
}

// Size is the length of the image in bytes.
func (s *sealedImage) Size() int64 { return s.file.Size() }

// ReadAt reads as io.ReaderAt, what has its digest.
func (s *sealedImage) ReadAt(p []byte, off int64) (int, error) {
	if s.early != nil {
		return s.file.ReadAt(p, off)
	}
	if err := s.failed(); err != nil {
		return 0, err
	}
	if s.later != nil {
		n, err := s.readPart(p, off)
		for i := range s.unchecked(p[:n], off) {
			s.queue(i, p[:n], off)
		}
		return n, err
	}
	for i := range s.unchecked(p, off) {
		if err := s.check(i); err != nil {
			return 0, err
		}
	}
	return s.readPart(p, off)
}

// unchecked are the blocks that a read of p at off touches and that are not
// hashed yet.
func (s *sealedImage) unchecked(p []byte, off int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		if off < 0 || off >= s.Size() || s.length == 0 || len(p) == 0 {
			return
		}
		last := min(off+int64(len(p)), s.Size()) - 1
		for i := off / s.length; i <= last/s.length; i++ {
			if s.state[i].Load() == blockUnknown && !yield(i) {
				return
			}
		}
	}
}

// check hashes block i, unless another goroutine did.
func (s *sealedImage) check(i int64) error {
	lock := &s.locks[i%int64(len(s.locks))]
	lock.Lock()
	defer lock.Unlock()
	if s.state[i].Load() == blockGood {
		return nil
	}
	buf, ok := s.buffers.Get().(*[]byte)
	if !ok {
		b := make([]byte, s.length)
		buf = &b
	}
	defer s.buffers.Put(buf)
	at := i * s.length
	block := (*buf)[:min(s.length, s.Size()-at)]
	if _, err := s.file.ReadAt(block, at); err != nil && !errors.Is(err, io.EOF) {
		var bad *imaging.FormatError
		if errors.As(err, &bad) { // of a packed copy, which was sound when it was sealed
			err = altered(fmt.Errorf("%s: %s: %w: %w", s.exhibit, s.name, evidence.ErrBroken, err))
			s.broken.CompareAndSwap(nil, &err)
		}
		return err
	}
	return s.judge(i, block)
}

// judge compares what block i is now with its digest.
func (s *sealedImage) judge(i int64, block []byte) error {
	sum := s.zeros
	if int64(len(block)) < s.length || !allZero(block) {
		sum = sha256.Sum256(block)
	}
	if sum != s.sums[i] {
		err := altered(fmt.Errorf("%s: %s: the %d bytes from offset %d are not those that were sealed: %w", s.exhibit, s.name, len(block), i*s.length, evidence.ErrBroken))
		s.broken.CompareAndSwap(nil, &err)
		return err
	}
	s.state[i].Store(blockGood)
	return nil
}

// trust lets blocks be given without a check: they were hashed when they were
// written, by this process. It must be called before the first read.
func (s *sealedImage) trust() { s.length = 0 }

// checkLater lets blocks be given before they are hashed. It must be called
// before the first read.
func (s *sealedImage) checkLater() {
	if s.length == 0 {
		return
	}
	s.later = make(chan int64, len(s.sums)) // each once: who reads never waits
	for range min(runtime.GOMAXPROCS(0), len(s.locks)) {
		go func() {
			for i := range s.later {
				if s.failed() == nil {
					if err := s.check(i); err != nil {
						s.broken.CompareAndSwap(nil, &err) // or it could not be read again
					}
				}
				s.pending.Done()
			}
		}()
	}
}

// queue has block i hashed, once: at once where it lies whole in p, which was
// read at off.
func (s *sealedImage) queue(i int64, p []byte, off int64) {
	if !s.state[i].CompareAndSwap(blockUnknown, blockQueued) {
		return
	}
	from := i*s.length - off
	to := min(from+s.length, s.Size()-off)
	if from >= 0 && to <= int64(len(p)) {
		_ = s.judge(i, p[from:to]) // broken keeps it
		return
	}
	s.pending.Add(1)
	s.later <- i
}

// settle waits until every block that was given is hashed; then it is failed.
// Nothing may be read meanwhile.
func (s *sealedImage) settle() error {
	s.pending.Wait()
	return s.failed()
}

// Close closes the image.
func (s *sealedImage) Close() error {
	s.pending.Wait()
	if s.later != nil {
		close(s.later)
		s.later = nil
	}
	return s.file.Close()
}

// failed is the first block that did not have its digest, as an error. A reader
// of a format may have taken the failure of a read for damage: who used one
// asks here afterwards.
func (s *sealedImage) failed() error {
	if s.early != nil {
		if s.early.shared {
			return s.early.source()
		}
		return s.early.broken(0)
	}
	if err := s.broken.Load(); err != nil {
		return *err
	}
	return nil
}

var zeroPage [4096]byte

func allZero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeroPage))
		if !bytes.Equal(b[:n], zeroPage[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}
