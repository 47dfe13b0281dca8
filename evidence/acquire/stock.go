package acquire

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"snapcase/evidence"
	"snapcase/imaging"

	"golang.org/x/sys/unix"
)

// The files of an exhibit that is read before it is whole. They are no part of
// it, and go when it is sealed.
const (
	earlyName     = ".early.tmp"      // blocks that were fetched before their turn, one behind the other
	earlyMapName  = ".early-map.tmp"  // where each block is, and its digest
	earlyListName = ".early-list.tmp" // which blocks the source has at all
	earlyDoorName = ".early-door.tmp" // a socket: who wants a block that is not here asks there
)

// Where a block is, as the map has it.
const (
	nowhere = iota // not here yet
	inImage        // at its place in the copy
	inEarly        // in earlyName, at a place of its own
	isLost         // the source could not give it
)

// mapEntry is the length of an entry of the map: where (1), 7 unused, place
// (8, big-endian), SHA-256.
const mapEntry = 48

// stock is the blocks of an image that are on disk before it is whole. A block
// counts only if it has the digest of the map: what a kill or anything else
// tore is not here. It is safe for concurrent use, one writer and many readers
// in any process.
type stock struct {
	size, block int64
	listed      []blockRange // in order; all other blocks are zeros
	image       *os.File
	early       *os.File
	places      *os.File // the map

	mu  sync.Mutex // of the end of early
	end int64
}

// blockRange is the blocks from first up to, not with, end.
type blockRange struct{ first, end int64 }

// openStock opens the stock of an exhibit; write makes what is not there.
func openStock(x *exhibit, size, block int64, write bool) (*stock, error) {
	s := &stock{size: size, block: block}
	mode := os.O_RDONLY
	if write {
		mode = os.O_RDWR | os.O_CREATE
	}
	var errs [3]error
	for _, name := range []string{partName, imageName} { // it has the other name a moment before it is sealed
		s.image, errs[0] = os.OpenFile(x.path(name), os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if !errors.Is(errs[0], fs.ErrNotExist) {
			break
		}
	}
	s.early, errs[1] = os.OpenFile(x.path(earlyName), mode|unix.O_NOFOLLOW, 0o600)
	s.places, errs[2] = os.OpenFile(x.path(earlyMapName), mode|unix.O_NOFOLLOW, 0o600)
	err := errors.Join(errs[:]...)
	if err == nil {
		s.end, err = s.early.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stock) close() error {
	var errs []error
	for _, f := range []*os.File{s.image, s.early, s.places} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// dropStock takes the files away: the exhibit is whole.
func dropStock(x *exhibit) error {
	var errs []error
	for _, name := range []string{earlyDoorName, earlyName, earlyMapName, earlyListName} {
		if err := os.Remove(x.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// length is that of block n in bytes; the last may be shorter.
func (s *stock) length(n int64) int64 { return min(s.block, s.size-n*s.block) }

// has says whether the source has block n: all others are zeros.
func (s *stock) has(n int64) bool {
	i, _ := slices.BinarySearchFunc(s.listed, n, func(r blockRange, n int64) int {
		if r.end <= n {
			return -1
		}
		return 1
	})
	return i < len(s.listed) && s.listed[i].first <= n
}

// load reads block n into p, which has its length, if it is here and has its
// digest; where says so.
func (s *stock) load(p []byte, n int64) (where byte, sum evidence.Digest) {
	var e [mapEntry]byte
	if k, _ := s.places.ReadAt(e[:], n*mapEntry); k < mapEntry { // behind the end: not here
		return nowhere, sum
	}
	copy(sum[:], e[16:])
	f, at := s.image, n*s.block
	switch e[0] {
	case inImage:
	case inEarly:
		place := binary.BigEndian.Uint64(e[8:])
		if place > uint64(s.size) { // at most every block is there once
			return nowhere, sum
		}
		f, at = s.early, int64(place) //nolint:gosec // bounded
	case isLost:
		return isLost, sum
	default:
		return nowhere, sum
	}
	if k, _ := f.ReadAt(p, at); k < len(p) || sha256.Sum256(p) != sum {
		return nowhere, sum
	}
	return e[0], sum
}

// note says where block n is.
func (s *stock) note(n int64, where byte, place int64, sum evidence.Digest) error {
	var e [mapEntry]byte
	e[0] = where
	binary.BigEndian.PutUint64(e[8:], uint64(place)) //nolint:gosec // not negative
	copy(e[16:], sum[:])
	if _, err := s.places.WriteAt(e[:], n*mapEntry); err != nil {
		return fmt.Errorf("note block %d: %w", n, err)
	}
	return nil
}

// put keeps a block that came before its turn.
func (s *stock) put(p []byte, n int64, sum evidence.Digest) error {
	s.mu.Lock()
	at := s.end
	s.end += int64(len(p))
	s.mu.Unlock()
	if at > s.size { // what is torn over and over is not kept without end
		return nil
	}
	if _, err := s.early.WriteAt(p, at); err != nil {
		return fmt.Errorf("keep block %d: %w", n, err)
	}
	return s.note(n, inEarly, at, sum)
}

// listing asks a source which of its blocks it has.
func (s *stock) listing(src Input) {
	from, ok := src.(sparse)
	if !ok {
		s.listed = []blockRange{{0, (s.size + s.block - 1) / s.block}}
		return
	}
	for off := int64(0); off < s.size; {
		start, end := from.NextData(off)
		if start >= s.size || end <= start {
			return
		}
		s.listed = append(s.listed, blockRange{start / s.block, (end + s.block - 1) / s.block})
		off = end
	}
}

// writeListing keeps the listing for other processes: "first end" a line.
func (s *stock) writeListing(path string) (err error) {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) } // Flush gives the error
	for _, r := range s.listed {
		line("%d %d", r.first, r.end)
	}
	// It is there whole or not at all: a range that is missing would be zeros.
	line("end")
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

var errListing = errors.New("the list of its blocks is not whole")

// readListing reads what writeListing wrote.
func (s *stock) readListing(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	last := int64(0)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if lines.Text() == "end" {
			return nil
		}
		var r blockRange
		if n, _ := fmt.Sscanf(lines.Text(), "%d %d", &r.first, &r.end); n != 2 || r.first < last || r.end <= r.first || r.end > (s.size+s.block-1)/s.block {
			return errListing
		}
		s.listed, last = append(s.listed, r), r.end
	}
	return errListing
}

// pieceOf is the part of a read that lies in one block.
type pieceOf struct {
	p    []byte
	n    int64 // the block
	from int64 // in it
}

// pieces cuts a read at the borders of blocks; eof says that it goes to the end.
func (s *stock) pieces(p []byte, off int64) (all []pieceOf, eof bool) {
	if int64(len(p)) > s.size-off {
		p, eof = p[:s.size-off], true
	}
	for len(p) > 0 {
		c := pieceOf{n: off / s.block, from: off % s.block}
		c.p = p[:min(int64(len(p)), s.block-c.from)]
		all = append(all, c)
		p, off = p[len(c.p):], off+int64(len(c.p))
	}
	return all, eof
}

// lostBlock is the error of a block that the source could not give.
func (s *stock) lostBlock(n int64) error {
	return &imaging.RangeError{Offset: n * s.block, Length: s.length(n), Tries: 1, Err: errLost}
}

var errLost = errors.New("the source could not give it")
